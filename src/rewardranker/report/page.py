"""The viewer of a run or an evaluation: a page with tables and charts, beside it the data of its problems."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from rewardranker.errors import UserError
from rewardranker.files import read_text, write_text
from rewardranker.report import charts, measures, plots
from rewardranker.report.attempts import CANDIDATES, PROBLEMS, RunAttempts, is_evaluation, read_attempts
from rewardranker.report.bundle import remove_other_bundles, shown_policies, visible, write_bundle
from rewardranker.report.charts import interval_strip
from rewardranker.report.comparison import Comparison, compare
from rewardranker.report.evaluation import evaluation_parts
from rewardranker.report.runfiles import by_iteration, read_json
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
    "compare": "Two runs",
}
"""Part of the page (its template's name) -> what readers call it, in the order of the keys 1, 2, ..."""


def report_folder(run_dir: Path, other: Path | None = None) -> Path:
    """Where the viewer of a run lies; beside it those that compare the run with another."""
    return run_dir / ("report" if other is None else f"report-with-{other.resolve().name}")


def write_report(run_dir: Path, neighbours: Sequence[Metrics] = (), *, other: Path | None = None) -> Path:
    """Write the viewer of a run or an evaluation to `report_folder`; returns the path of its index.html.

    It opens from disk and needs no network. Of a run it needs recipe.toml, environment.json, metrics.json and
    cost.json; every other part is left out, with a line saying so, when its file is not there. What
    candidates wrote is untrusted: it is escaped or set as text, and the page's Content-Security-Policy runs
    the page's own script and what that loads, nothing else.

    Args:
        run_dir: a finished run, or a folder that `rewardranker evaluate` wrote.
        neighbours: metrics.json of other runs to show beside this one, each with a field "command" that
            says how to get it.
        other: a run or an evaluation of the same problems, or some of them, to compare this one with.

    Raises:
        UserError: a file that it needs is missing or damaged, or there is nothing to compare.
    """
    metrics = read_json(run_dir / "metrics.json")
    run = read_attempts(run_dir, metrics.get("temperature"))
    if is_evaluation(run_dir):
        parts = evaluation_parts(run_dir.resolve().name, metrics)
    else:
        parts = _run_parts(run_dir, metrics, run, neighbours)
    comparison = _comparison(run_dir, run, other) if other is not None else None
    folder = report_folder(run_dir, other)
    bundle = write_bundle(folder, run.problems, shown_policies(run, comparison), comparison) if run else None
    html = (
        _templates()
        .get_template("page.html")
        .render(
            bundle=bundle,
            css=_template_text("viewer.css"),
            js=_template_text("viewer.js"),
            calibration_charts=plots.calibration_charts(run),
            comparison=comparison,
            same_systems=_same_systems(comparison) if comparison else [],
            hacking=_hacking(run) if run else None,
            **parts,
        )
    )
    path = folder / "index.html"
    write_text(path, html)
    remove_other_bundles(folder, bundle)
    return path


def _run_parts(
    run_dir: Path, metrics: Metrics, run: RunAttempts | None, neighbours: Sequence[Metrics]
) -> dict[str, Any]:
    """What the templates show of a run alone."""
    environment = read_json(run_dir / "environment.json")
    n = max(row["n"] for row in metrics["rows"])
    return {
        "kind": "run",
        "views": VIEWS,
        "name": metrics["recipe"],
        "facts": f"Seed {metrics['seed']} · {metrics['wall_s'] / 60:.1f} minutes · "
        f"{environment['processor']}, {environment['cores']} cores · n = {n} candidates a problem",
        "metrics": metrics,
        "headline": headline(metrics),
        "recipe": read_text(run_dir / "recipe.toml"),
        "environment": environment,
        "cost": read_json(run_dir / "cost.json"),
        "tables": _tables(metrics),
        "differences": _differences(metrics),
        "rankers": _ranker_table(metrics),
        "curve_charts": plots.curve_charts(metrics),
        "learning_charts": plots.learning_charts(run_dir),
        "ppo": plots.ppo_stages(run_dir, metrics),
        "iteration_charts": plots.iteration_charts(run_dir, metrics, run),
        "kl": {row["iteration"]: row["kl"] for row in metrics.get("ppo", [])},
        "mined": by_iteration(run_dir, "mine", "summary.json"),
        "neighbours": [
            {"metrics": n, "tables": _tables(n), "differences": _differences(n)} for n in neighbours
        ],
    }


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


def _hacking(run: RunAttempts) -> dict[str, Any] | None:
    """What the newest ranker is wrong about, over the last policy that it scored; None without a ranker.

    One that states no probabilities makes no claims, and is sure of nothing.
    """
    claims: list[dict[str, Any]] = []
    for number, (policy, attempts) in enumerate(run.policies.items()):
        ranker = max((a.newest or 0 for a in attempts.values()), default=0)
        if ranker:
            scored = measures.ranked(attempts, ranker)
            claim: dict[str, Any] = {"policy": policy, "number": number, "ranker": ranker, "stated": None}
            if all(a.calibrated(ranker) for a in scored):
                claim["stated"], claim["true"] = measures.stated_and_true(scored, ranker)
            claims.append(claim)
    if not claims:
        return None
    last = claims[-1]
    attempts = run.policies[last["policy"]]
    numbers = {p.id: i for i, p in enumerate(run.problems)}
    return {
        "claims": claims,
        "last": last,
        "length_chart": plots.length_chart(attempts, last["ranker"]),
        "failures": [
            (numbers[f.problem_id], f)
            for f in (measures.sure_failures(attempts, last["ranker"]) if last["stated"] else [])
        ],
    }


def _comparison(run_dir: Path, run: RunAttempts | None, other: Path) -> Comparison:
    second = read_attempts(other, read_json(other / "metrics.json").get("temperature"))
    for path, attempts in ((run_dir, run), (other, second)):
        if attempts is None:
            raise UserError(
                f"{path}: no candidates ({PROBLEMS} or {CANDIDATES} is absent), nothing to compare"
            )
    assert run is not None and second is not None
    names = [path.resolve().name for path in (run_dir, other)]
    if names[0] == names[1]:
        names = [f"{path.resolve().parent.name}/{path.resolve().name}" for path in (run_dir, other)]
    return compare(names[0], run, names[1], second)


def _same_systems(comparison: Comparison) -> list[dict[str, Any]]:
    """The systems that both runs have, with their strips, all on one axis."""
    pairs = {x: comparison.pairs[x, x] for x in comparison.systems_a if x in comparison.systems_b}
    bounds = [v for pair in pairs.values() for v in pair.difference.ci95]
    span = (min([-0.01, *bounds]), max([0.01, *bounds]))
    return [
        {
            "name": x,
            "a": float(comparison.systems_a[x].mean()),
            "b": float(comparison.systems_b[x].mean()),
            "pair": pair,
            "strip": interval_strip(d.ci95[0], d.difference, d.ci95[1], span=span),
        }
        for x, pair in pairs.items()
        for d in [pair.difference]
    ]
