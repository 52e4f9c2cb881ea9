"""The viewer of a run: a page with its tables and charts, and beside it the data of its problems."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rewardranker.errors import UserError
from rewardranker.files import read_text, write_text
from rewardranker.report import charts
from rewardranker.report.attempts import read_attempts
from rewardranker.report.bundle import remove_other_bundles, shown_policies, visible, write_bundle
from rewardranker.report.charts import Series, interval_strip, line_chart
from rewardranker.report.table import (
    COLUMNS,
    Metrics,
    headers,
    headline,
    languages,
    points,
    result_rows,
    system_name,
)

VIEWS = {
    "summary": "Summary",
    "problems": "Problems",
    "iterations": "Iterations",
    "calibration": "Calibration",
    "hacking": "Reward hacking",
}
"""Part of the page (its template's name) -> what readers call it, in the order of the keys 1, 2, ..."""


def write_report(run_dir: Path, neighbours: Sequence[Metrics] = ()) -> Path:
    """Write the viewer of a run to `run_dir`/report and return the path of its index.html.

    It opens from disk and needs no network. Needs recipe.toml, environment.json, metrics.json and cost.json;
    every other part is left out, with a line saying so, when its file is not there. What candidates wrote is
    untrusted: it is escaped or set as text, and the page's Content-Security-Policy runs the page's own script
    and what that loads, nothing else.

    Args:
        run_dir: a finished run.
        neighbours: metrics.json of other runs to show beside this one, each with a field "command" that
            says how to get it.

    Raises:
        UserError: one of the four files is missing or damaged.
    """
    metrics = _json(run_dir / "metrics.json")
    recipe, environment = read_text(run_dir / "recipe.toml"), _json(run_dir / "environment.json")
    cost = _json(run_dir / "cost.json")
    run = read_attempts(run_dir, metrics["temperature"])
    folder = run_dir / "report"
    bundle = write_bundle(folder, run.problems, shown_policies(run)) if run else None
    html = (
        _templates()
        .get_template("page.html")
        .render(
            views=VIEWS,
            bundle=bundle,
            css=_template_text("viewer.css"),
            js=_template_text("viewer.js"),
            metrics=metrics,
            headline=headline(metrics),
            recipe=recipe,
            environment=environment,
            cost=cost,
            tables=_tables(metrics),
            differences=_differences(metrics),
            rankers=_ranker_table(metrics),
            curve_charts=_curve_charts(metrics),
            calibration_charts=_calibration_charts(metrics),
            learning_charts=_learning_charts(run_dir),
            ppo=_ppo(run_dir, metrics),
            mined=_by_iteration(run_dir, "mine", "summary.json"),
            neighbours=[
                {"metrics": n, "tables": _tables(n), "differences": _differences(n)} for n in neighbours
            ],
        )
    )
    path = folder / "index.html"
    write_text(path, html)
    remove_other_bundles(folder, bundle)
    return path


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rewardranker.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "sha256": lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        "code": visible,
        "points": points,
        "system": system_name,
        "number": charts.number,
    }
    return environment


def _template_text(name: str) -> str:
    return (resources.files("rewardranker.report") / "templates" / name).read_text(encoding="utf-8")


def _json(path: Path) -> Any:
    if not path.exists():
        raise UserError(
            f"{path}: no such file; the report needs a finished run (`rewardranker run` goes on with it)"
        )
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as e:
        raise UserError(
            f"{path}:{e.lineno}: not JSON ({e.msg}); remove it and run `rewardranker run` again"
        ) from e


def _by_iteration(run_dir: Path, stage: str, file: str) -> dict[int, Any]:
    """Content of <i>-<stage>/<file> by i, for those that are there."""
    found = {}
    for path in run_dir.glob(f"*-{stage}/{file}"):
        number = path.parent.name.partition("-")[0]
        if number.isdigit():
            found[int(number)] = _json(path)
    return dict(sorted(found.items()))


def _tables(metrics: Metrics) -> list[dict[str, Any]]:
    """The result table of each language: columns shown, rows, and the cell that is the final system."""
    tables = []
    for language in languages(metrics):
        rows = result_rows(metrics, language)
        shown = [c for c in COLUMNS if any(c in row.cells for row in rows)]
        problems = next(row["problems"] for row in metrics["rows"] if row["language"] == language)
        tables.append({"language": language, "problems": problems, "columns": shown, "rows": rows})
    titles = headers(metrics)
    return [table | {"headers": titles} for table in tables]


def _differences(metrics: Metrics) -> list[dict[str, Any]]:
    """The paired differences with their strips, all on one axis."""
    bounds = [v for pair in metrics["paired"] for v in pair["ci95"]]
    span = (min([-0.01, *bounds]), max([0.01, *bounds]))
    return [
        {**pair, "strip": interval_strip(pair["ci95"][0], pair["difference"], pair["ci95"][1], span=span)}
        for pair in metrics["paired"]
    ]


def _ranker_table(metrics: Metrics) -> list[dict[str, Any]]:
    """What every ranker makes of every policy's samples."""
    value = {
        (row["policy"], row["ranker"]): row
        for row in metrics["rows"]
        if row["selector"] == "ranker" and row["language"] == languages(metrics)[0]
    }
    return [{**r, "best_of_n": value[r["policy"], r["iteration"]]} for r in metrics["ranker"]]


_SELECTOR_NAMES = {"oracle": "pass@k", "logprob": "log-prob", "majority": "majority"}


def _series(curve: Mapping[str, Any], name: str, style: str) -> Series:
    return Series(name, curve["k"], curve["value"], style, band=curve["ci95"])


def _curve_charts(metrics: Metrics) -> list[Markup]:
    """Best-of-k across policies, pass@k across policies, and every selector within each policy."""
    curves = metrics["curves"]
    if not curves or max(len(c["k"]) for c in curves) < 2:
        return []
    bounds = [v for c in curves for pair in c["ci95"] for v in pair]
    y_range = (max(0.0, min(bounds) - 0.02), min(1.0, max(bounds) + 0.02))
    policies = list(dict.fromkeys(c["policy"] for c in curves))
    axes: dict[str, Any] = {"x_label": "candidates k", "percent": True, "y_range": y_range}

    def across(selector: str) -> list[Series]:
        newest = {c["policy"]: c for c in curves if c["selector"] == selector}  # the last ranker of each wins
        return [
            _series(
                curve,
                f"{p}, ranker {curve['ranker']}" if curve["ranker"] else p,
                f"policy-{policies.index(p)}",
            )
            for p, curve in newest.items()
        ]

    drawn = []
    if ranked := across("ranker"):
        drawn.append(line_chart("Best of k by the newest ranker", ranked, y_label="solved, %", **axes))
    drawn.append(line_chart("pass@k, the ceiling of any pick", across("oracle"), y_label="solved, %", **axes))
    for policy in policies:
        series = [
            _series(
                c,
                _SELECTOR_NAMES.get(c["selector"], f"ranker {c['ranker']}"),
                f"ranker-{c['ranker']}" if c["selector"] == "ranker" else c["selector"],
            )
            for c in curves
            if c["policy"] == policy
        ]
        drawn.append(line_chart(f"Best of k over {policy}", series, y_label="solved, %", **axes))
    return drawn


def _calibration_charts(metrics: Metrics) -> list[Markup]:
    """A reliability diagram a policy, with every ranker that scored it."""
    drawn = []
    for policy in dict.fromkeys(r["policy"] for r in metrics["ranker"]):
        series = [
            Series(
                f"ranker {r['iteration']}",
                [b["probability"] for b in r["reliability"]],
                [b["frequency"] for b in r["reliability"]],
                f"ranker-{r['iteration']}",
                notes=[f"{b['count']:,} candidates" for b in r["reliability"]],
            )
            for r in metrics["ranker"]
            if r["policy"] == policy
        ]
        drawn.append(
            line_chart(
                f"Reliability over {policy}",
                series,
                x_label="probability",
                y_label="share correct",
                diagonal=True,
            )
        )
    return drawn


_LEARNING = {"sft": "SFT", "sft-longer": "Longer SFT", "rft": "RFT"}


def _learning_charts(run_dir: Path) -> list[Markup]:
    """Loss by epoch of every supervised stage."""
    drawn = []
    for stage, name in _LEARNING.items():
        for iteration, history in _by_iteration(run_dir, stage, "history.json").items():
            epochs = [row["epoch"] for row in history]
            series = [Series("training", epochs, [row["loss"] for row in history], "training")]
            if any("validation_loss" in row for row in history):
                held_out = [row.get("validation_loss") for row in history]
                series.append(Series("held out", epochs, held_out, "validation"))
            title = f"{name} {iteration}" if iteration else name
            drawn.append(line_chart(title, series, x_label="epoch", y_label="loss, nats a token"))
    return drawn


def _ppo(run_dir: Path, metrics: Metrics) -> list[dict[str, Any]]:
    """Charts of every PPO stage: the ranker's score beside the true pass rate, and the KL."""
    summaries = {row["iteration"]: row for row in metrics.get("ppo", [])}
    return [
        {
            "iteration": iteration,
            "summary": summaries.get(iteration),
            "charts": [
                _round_chart(history, "score", "Ranker's score", "mean raw score"),
                _round_chart(history, "pass", "True pass rate", "development problems solved, %"),
                _round_chart(history, "kl", "KL to the starting policy", "nats a completion"),
            ],
        }
        for iteration, history in _by_iteration(run_dir, "ppo", "history.json").items()
    ]


def _round_chart(history: Sequence[Mapping[str, Any]], field: str, title: str, y_label: str) -> Markup:
    """One column of a PPO stage's history by round; nothing when it was never measured."""
    values = [row.get(field) for row in history]
    if all(v is None for v in values):
        return Markup("")
    series = [Series(title, [row["round"] for row in history], values, field)]
    return line_chart(title, series, x_label="round", y_label=y_label, percent=field == "pass")
