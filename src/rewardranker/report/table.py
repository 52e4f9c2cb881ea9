"""The result in words and as a table: for the terminal, and what the page is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

Metrics = Mapping[str, Any]
"""The content of a run's metrics.json (`rewardranker.evaluation.summary.summarise` describes it)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A share of problems solved with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def percent(self) -> str:
        """The value, for example "61.2"."""
        return f"{100 * self.value:.1f}"

    @property
    def half_width(self) -> str:
        """Half the interval's width in points, for example "1.5"."""
        return f"{50 * (self.high - self.low):.1f}"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One policy under every selector."""

    policy: str
    ranker: int | None
    """Iteration of the ranker in column "ranker": the newest that scored this policy."""
    cells: dict[str, Cell]
    """By column; columns that were not measured are absent."""

    @property
    def best(self) -> str:
        """The column with the highest value that can be had without knowing the answer."""
        return max((c for c in self.cells if c != "oracle"), key=lambda c: self.cells[c].value)


COLUMNS = ("greedy", "cool", "sample", "logprob", "majority", "ranker", "oracle")


def languages(metrics: Metrics) -> list[str]:
    """Languages with rows, "all" first when there are several."""
    found = {row["language"] for row in metrics["rows"]}
    return sorted(found, key=lambda language: (language != "all", language))


def headers(metrics: Metrics) -> dict[str, str]:
    """What stands above each of COLUMNS."""
    n = max((row["n"] for row in metrics["rows"]), default=1)
    return {
        "greedy": "greedy",
        "cool": f"T={metrics['cool_temperature']:g}",
        "sample": f"T={metrics['temperature']:g}",
        "logprob": "log-prob",
        "majority": "majority",
        "ranker": "ranker",
        "oracle": f"pass@{n}",
    }


def result_rows(metrics: Metrics, language: str) -> list[ResultRow]:
    """One row a policy, in the order of metrics.json."""
    cells: dict[str, dict[str, Cell]] = {}
    newest: dict[str, int] = {}
    for row in metrics["rows"]:
        if row["language"] != language:
            continue
        policy, column = row["policy"], row["selector"]
        if column == "sample" and row["temperature"] != metrics["temperature"]:
            column = "cool"
        if column == "ranker":
            if row["ranker"] < newest.get(policy, 0):
                continue
            newest[policy] = row["ranker"]
        cells.setdefault(policy, {})[column] = Cell(row["value"], *row["ci95"])
    return [ResultRow(policy, newest.get(policy), found) for policy, found in cells.items()]


def system_name(system: Mapping[str, Any]) -> str:
    """A policy and selector in words, for example "aligned-2 with ranker 2"."""
    words = {
        "greedy": "greedy",
        "sample": "one sample",
        "cool": "one cooler sample",
        "logprob": "by log-prob",
        "majority": "by majority",
        "ranker": f"with ranker {system['ranker']}",
        "oracle": "with an oracle",
    }
    return f"{system['policy']} {words[system['selector']]}"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign: "+3.1"."""
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\u2212")


def findings(metrics: Metrics) -> list[str]:
    """The decisive differences, a line each below a line that explains them; empty without any."""
    lines = []
    for pair in metrics["paired"]:
        if pair["decisive"]:
            low, high = pair["ci95"]
            interval = f"({points(low)} to {points(high)})"
            unclear = "" if low > 0 or high < 0 else "  unclear"
            over = f"{system_name(pair['a'])} over {system_name(pair['b'])}"
            lines.append(f"{points(pair['difference']):>6} {interval:<17} {over}{unclear}")
    title = "Points gained on the same problems (95 % interval; unclear: it includes 0)"
    return [title, *lines] if lines else []


def headline(metrics: Metrics) -> str:
    """The result in one or two sentences, from the first language ("all" when there are several).

    The system it speaks of is the last policy that a ranker scored, with the newest ranker over it; it is
    compared with longer SFT where that was run, with the SFT policy's greedy answer otherwise.
    """
    language = languages(metrics)[0]
    rows = result_rows(metrics, language)
    ranked = [row for row in rows if row.ranker is not None]
    if not ranked:
        last = rows[-1]
        solved = f"{last.cells[last.best].percent}\u00a0% of {metrics['problems']:,} unseen problems"
        return f"{last.policy} solves {solved}; no ranker scored its programs."
    final = ranked[-1]
    n = max(row["n"] for row in metrics["rows"] if row["policy"] == final.policy)
    text = (
        f"Ranker {final.ranker} picks a correct program out of {n} by {final.policy} "
        f"for {final.cells['ranker'].percent}\u00a0% of {metrics['problems']:,} unseen problems."
    )
    greedy = {row.policy: row.cells["greedy"].percent for row in rows if "greedy" in row.cells}
    if "sft" in greedy:
        text += f" The fine-tuned generator's greedy answer solves {greedy['sft']}\u00a0%"
        text += f", with longer fine-tuning {greedy['sft-longer']}\u00a0%." if "sft-longer" in greedy else "."
    system = {"policy": final.policy, "selector": "ranker", "ranker": final.ranker}
    pair = next((p for p in metrics["paired"] if p["decisive"] and p["a"] == system), None)
    if pair:
        low, high = pair["ci95"]
        text += (
            f" Over {system_name(pair['b'])}: {points(pair['difference'])} points "
            f"(95\u00a0% interval {points(low)} to {points(high)})."
        )
    return text


def table(metrics: Metrics) -> Table:
    """The result for a terminal of 80 columns: a policy a row, a selector a column.

    With several languages it shows all of them together.
    """
    language = languages(metrics)[0]
    titles = headers(metrics)
    rows = result_rows(metrics, language)
    shown = [c for c in COLUMNS if any(c in row.cells for row in rows)]
    drawn = Table(
        title=f"{metrics['problems']:,} test problems, {'all languages' if language == 'all' else language}",
        caption="Percent solved ± half the 95 % interval; log-prob, majority, ranker: best of n",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style="",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    drawn.add_column("policy", no_wrap=True)
    for column in shown:
        drawn.add_column(titles[column], justify="right", no_wrap=True)
    for row in rows:
        texts = []
        for column in shown:
            cell = row.cells.get(column)
            text = f"{cell.percent}±{cell.half_width}" if cell else "-"
            texts.append(f"[bold]{text}[/]" if column == row.best else text)
        drawn.add_row(row.policy, *texts)
    return drawn
