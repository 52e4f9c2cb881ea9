"""A study's page: Markdown with tables, HTML with plots beside them, and the figures as JSON."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from rewardranker.files import write_json, write_text
from rewardranker.recipe import Recipe
from rewardranker.report.charts import Series, interval_strip, line_chart
from rewardranker.run import environment
from rewardranker.studies.study import MEASURES, Results, Study
from rewardranker.studies.summary import Json, between, points, summarise

_STYLES = (
    *("ranker-1", "policy-2", "ranker-2", "policy-3", "majority", "policy-4", "ranker-3", "logprob"),
    *("oracle", "pass"),
)
"""Of the style sheet, for lines that are to be told apart."""
_EPOCHS_SHOWN = 8


def write_page(
    study: Study, results: Results, recipe: Recipe, directory: Path, name: str, command: str
) -> Path:
    """Write NAME.md, NAME.html and NAME.json into `directory` / NAME; returns the path of the first."""
    folder = directory / name
    summary = {
        "study": name,
        "command": command,
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "environment": environment(recipe),
        **summarise(study, results),
    }
    write_json(folder / f"{name}.json", summary)
    write_text(folder / f"{name}.md", markdown(summary))
    write_text(folder / f"{name}.html", html(study, summary))
    return folder / f"{name}.md"


def setting(summary: Json) -> str:
    """What was measured how, in a few sentences."""
    seeds, recipe = summary["seeds"], summary["recipe"]
    count = "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    spent = summary["cost"]
    processors = " and ".join(summary["processors"]) or summary["environment"]["processor"]
    over = "problems alone: one seed says little" if len(seeds) == 1 else "seeds, and problems within a seed"
    if len(seeds) > 1 and not recipe["problems"].get("micro"):
        over += " (too narrow where seeds share test problems, for each seed counts as having its own)"
    compared = len(summary["differences"])
    different = sum(not d["ci95"][0] <= 0 <= d["ci95"][1] for d in summary["differences"])
    chance = (
        f"{different} of {compared} comparisons show a difference, by chance {0.05 * compared:.1f} would."
    )
    return (
        f"Recipe {recipe['name']}, {count} ({', '.join(map(str, seeds))}), {summary['problems']:,} test "
        f"problems a seed, {recipe['evaluation']['n']} candidates a problem. Intervals are 95 % bootstrap "
        f"intervals over {over}; differences are paired by problem. {chance} Cost of everything here, what "
        f"arms share counted once: {spent['cpu_s'] / 60:,.0f} CPU minutes on "
        f"{processors}, {spent['tokens'] / 1e6:,.1f} million tokens, "
        f"{spent['executions']:,} executions."
    )


def missing(summary: Json) -> list[str]:
    """What was asked for and isn't there, a line each."""
    lines_ = [
        f"Seed {seed} is incomplete and doesn't count: {', '.join(arms)} not measured yet."
        if summary["seeds"] and int(seed) not in summary["seeds"]
        else f"Seed {seed}: {', '.join(arms)} not measured yet."
        for seed, arms in summary["incomplete"].items()
    ]
    return lines_ + [f"Seed {f['seed']}, {f['arm']}: {f['reason']}" for f in summary["failed"]]


Table = tuple[str, list[str], list[list[str]]]
"""Title, heads, rows; a row's first cell is its name."""


def tables(summary: Json) -> list[Table]:
    """The study's tables as text."""
    arms = summary["arms"]
    if not arms:
        return []
    measures = [m for m in MEASURES if any(m in arm["solved"] for arm in arms)]
    numbers = list(dict.fromkeys(n for arm in arms for n in arm["numbers"]))
    found: list[Table] = [
        (
            "Test problems solved, percent",
            ["arm", *(MEASURES[m] for m in measures)],
            [[arm["name"], *(_percent(arm["solved"].get(m)) for m in measures)] for arm in arms],
        ),
        (
            "Differences, points",
            ["of", "a", "b", "a - b", "95 % interval", "each seed"],
            [
                [
                    *_compared(d),
                    points(d["value"]),
                    between(d["ci95"]),
                    ", ".join(map(points, d["seeds"])),
                ]
                for d in summary["differences"]
            ],
        ),
        (
            "Cost a seed, without evaluation",
            ["arm", "CPU s", "wall s", "tokens", "executions", "CPU s beyond the arm it is compared with"],
            [
                [
                    arm["name"],
                    *(f"{arm['cost'][c]:,.0f}" for c in ("cpu_s", "wall_s", "tokens", "executions")),
                    f"{arm['extra']['cpu_s']:,.0f}" if arm["extra"] else "-",
                ]
                for arm in arms
            ],
        ),
    ]
    if numbers:
        rows = [[arm["name"], *(_number(arm["numbers"].get(n)) for n in numbers)] for arm in arms]
        found.insert(2, ("Also measured, mean over seeds (lowest to highest)", ["arm", *numbers], rows))
    for name, curves in _curves(summary).items():
        epochs = max(map(len, curves.values()))
        shown = sorted({round(epochs * k / _EPOCHS_SHOWN) for k in range(1, _EPOCHS_SHOWN + 1)} - {0})
        heads = [f"{name}, after epoch", *map(str, shown)]
        rows = [
            [arm, *(f"{curve[e - 1]:.4g}" if e <= len(curve) else "-" for e in shown)]
            for arm, curve in curves.items()
        ]
        found.append(("Learning curves, mean over seeds", heads, rows))
    return found


def _curves(summary: Json) -> dict[str, dict[str, list[float]]]:
    """By what was measured, then by arm."""
    names = dict.fromkeys(name for arm in summary["arms"] for name in arm["curves"])
    return {
        name: {arm["name"]: arm["curves"][name] for arm in summary["arms"] if name in arm["curves"]}
        for name in names
    }


def markdown(summary: Json) -> str:
    """The page in Markdown."""
    out = [f"# {summary['question']}", "", f"Made by `{summary['command']}`.", "", summary["about"], ""]
    out += [setting(summary), "", "## Findings", ""]
    out += [f"- {sentence}" for sentence in summary["findings"] or ["Nothing was measured yet."]]
    out += ["", *(f"**Missing.** {line}\n" for line in missing(summary))]
    for title, heads, rows in tables(summary):
        out += [f"## {title}", "", _row(heads), _row(["---"] * len(heads)), *map(_row, rows), ""]
    return "\n".join(out)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(estimate: Json | None) -> str:
    if estimate is None:
        return "-"
    low, high = estimate["ci95"]
    return f"{100 * estimate['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _number(found: Json | None) -> str:
    if found is None:
        return "-"
    low, high = f"{found['low']:,.4g}", f"{found['high']:,.4g}"
    return f"{found['mean']:,.4g}" + ("" if low == high else f" ({low} to {high})")


def _compared(d: Json) -> tuple[str, str, str]:
    """What is compared of what with what: two arms by one measure, or two measures of one arm."""
    if d["arm"] == d["against"]:
        return d["arm"], MEASURES[d["measure"]], MEASURES[d["against_measure"]]
    return MEASURES[d["measure"]], d["arm"], d["against"]


def html(study: Study, summary: Json) -> str:
    """The page as HTML: no script, nothing loaded."""
    environment_ = jinja2.Environment(
        loader=jinja2.PackageLoader("rewardranker.studies"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = (resources.files("rewardranker.report") / "templates" / "viewer.css").read_text("utf-8")
    return environment_.get_template("study.html").render(
        summary=summary,
        setting=setting(summary),
        missing=missing(summary),
        tables=tables(summary),
        charts=_charts(study, summary),
        strips=_strips(summary),
        css=css,
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
    )


def _strips(summary: Json) -> list[Markup]:
    """A strip for each difference, all on one axis."""
    differences = summary["differences"]
    bounds = [v for d in differences for v in d["ci95"]]
    span = (min([-0.01, *bounds]), max([0.01, *bounds]))
    return [interval_strip(d["ci95"][0], d["value"], d["ci95"][1], span=span) for d in differences]


def _charts(study: Study, summary: Json) -> list[Markup]:
    """Solved by the axes that arms have a place on, and solved by what every arm costs."""
    solved = {arm["name"]: arm["solved"] for arm in summary["arms"]}
    places = [(arm.name, point) for arm in study.arms for point in arm.points if arm.name in solved]
    y_label = "test problems solved, %"
    drawn = []
    for axis in dict.fromkeys(point.axis for _, point in places):
        for measure in study.claims:
            placed: dict[str, list[tuple[float, Json]]] = {}
            for name, point in places:
                if point.axis == axis and measure in solved[name]:
                    placed.setdefault(point.line, []).append((point.x, solved[name][measure]))
            series = [
                _series(line, sorted(at, key=lambda pair: pair[0]), style)
                for (line, at), style in zip(placed.items(), _STYLES, strict=False)
            ]
            if series:
                title = f"Solved, {MEASURES[measure]}"
                drawn.append(line_chart(title, series, x_label=axis, y_label=y_label, percent=True))
    for name, curves in _curves(summary).items():
        series = [
            Series(arm, list(range(1, len(curve) + 1)), curve, style)
            for (arm, curve), style in zip(curves.items(), _STYLES, strict=False)
        ]
        drawn.append(line_chart("Learning curves", series, x_label="epoch", y_label=name))
    first = study.claims[0]
    priced = [
        (arm["name"], [(arm["cost"]["cpu_s"] / 60, arm["solved"][first])])
        for arm in summary["arms"]
        if first in arm["solved"]
    ]
    if 1 < len(priced) <= len(_STYLES):  # no more than can be told apart
        series = [_series(name, at, style) for (name, at), style in zip(priced, _STYLES, strict=False)]
        title = f"Solved against cost, {MEASURES[first]}"
        drawn.append(line_chart(title, series, x_label="CPU minutes a seed", y_label=y_label, percent=True))
    return drawn


def _series(name: str, at: Sequence[tuple[float, Json]], style: str) -> Series:
    return Series(name, [x for x, _ in at], [e["value"] for _, e in at], style, [e["ci95"] for _, e in at])
