"""Results a language and on average, in the form of the paper's Table 1: terminal, Markdown, LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from rewardranker.evaluation.selection import AVERAGE

LANGUAGES = {
    "python": "Python",
    "cpp": "C++",
    "java": "Java",
    "php": "PHP",
    "typescript": "TS",
    "csharp": "C#",
    "bash": "Bash",
    "javascript": "JS",
}
"""Columns of the paper's Table 1, in its order; other languages follow under their own names."""
NAMES = {"sample": "sample (pass@1)", "logprob": "log-prob", "visible": "visible tests"}
NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class LanguageTable:
    """Percent solved: a selector or pass@k a row, a language a column."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    """Name and cells."""

    def terminal(self) -> Table:
        """For a terminal of 80 columns; the title is for the line above."""
        drawn = Table(box=box.SIMPLE_HEAD, padding=0)
        drawn.add_column("% solved", no_wrap=True)
        for column in self.columns:
            drawn.add_column(column, justify="right", no_wrap=True)
        for name, cells in self.rows:
            drawn.add_row(name, *cells)
        return drawn

    def markdown(self) -> str:
        """A table of GitHub's Markdown, below its title."""
        lines = [
            f"{self.title}",
            "",
            _line(["% solved", *self.columns]),
            _line(["---"] * (len(self.columns) + 1)),
        ]
        return "\n".join([*lines, *(_line([name, *cells]) for name, cells in self.rows)]) + "\n"

    def latex(self) -> str:
        r"""A `table` with `booktabs`' rules (`\usepackage{booktabs}`)."""
        rows = [" & ".join(map(_escaped, [name, *cells])) + r" \\" for name, cells in self.rows]
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}",
                r"\toprule",
                " & ".join(map(_escaped, ["% solved", *self.columns])) + r" \\",
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                rf"\caption{{{_escaped(self.title)}}}",
                r"\end{table}",
                "",
            ]
        )


def language_table(summary: Mapping[str, Any]) -> LanguageTable:
    """The table of what `selection.compare_selectors` measured.

    pass@k stands there for k = 10 and 100 too, as far as it was measured, and the last column says how far
    the last value is certain: half the width of its 95 % interval.
    """
    languages = sorted(
        summary["languages"], key=lambda x: (list(LANGUAGES).index(x) if x in LANGUAGES else 99, x)
    )
    shown = [*languages, AVERAGE] if len(languages) > 1 else languages
    most, up_to = most_candidates(summary), up_to_as_many(summary)
    named: dict[str, dict[str, Mapping[str, Any]]] = {}
    of_all = rows_with_a_choice(summary)
    for row in of_all:
        name = NAMES.get(row["selector"], row["selector"])
        if row["selector"] != "oracle":
            name = f"{name}, best of {up_to}{row['n']}" if row["n"] > 1 else name
            named.setdefault(name, {})[row["language"]] = row
    for row in summary["pass_at_k"]:
        if 1 < row["k"] < most:
            named.setdefault(f"pass@{row['k']}", {})[row["language"]] = row
    for row in of_all:
        if row["selector"] == "oracle":
            named.setdefault(f"oracle (pass@{most})" if not up_to else f"oracle of {up_to}{most}", {})[
                row["language"]
            ] = row
    rows = [(name, _cells([cells.get(language) for language in shown])) for name, cells in named.items()]
    tasks = f"{summary['problems']:,} problems, {summary['candidates']:,} candidates"
    return LanguageTable(tasks, [*(LANGUAGES.get(x, x) for x in shown), "±"], rows)


def most_candidates(summary: Mapping[str, Any]) -> int:
    """How many candidates a problem has, at most."""
    n: int = max(row["n"] for row in summary["rows"])
    return n


def up_to_as_many(summary: Mapping[str, Any]) -> str:
    """What stands before that number where not all problems have so many."""
    return "up to " if summary["candidates"] < most_candidates(summary) * summary["problems"] else ""


def rows_with_a_choice(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The selectors' rows; without those that would choose among one candidate."""
    choice = most_candidates(summary) > 1
    return [row for row in summary["rows"] if choice or row["selector"] in ("sample", "greedy")]


def _cells(found: Sequence[Mapping[str, Any] | None]) -> list[str]:
    cells = [f"{100 * row['value']:.1f}" if row else NOT_MEASURED for row in found]
    last = found[-1]
    low, high = last["ci95"] if last else (None, None)
    return [*cells, NOT_MEASURED if low is None or high is None else f"{50 * (high - low):.1f}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", r"$\pm$")
