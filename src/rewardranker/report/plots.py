"""The viewer's charts: from metrics.json, from what the stages left, and from the candidates."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rewardranker.files import read_text
from rewardranker.report import measures
from rewardranker.report.attempts import Attempts, RunAttempts
from rewardranker.report.charts import Series, line_chart
from rewardranker.report.measures import Estimate
from rewardranker.report.runfiles import by_iteration
from rewardranker.report.table import Metrics, languages

_SELECTOR_NAMES = {"oracle": "pass@k", "logprob": "log-prob", "majority": "majority"}


def _series(curve: Mapping[str, Any], name: str, style: str) -> Series:
    return Series(name, curve["k"], curve["value"], style, band=curve["ci95"])


def curve_charts(metrics: Metrics) -> list[Markup]:
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


def iteration_charts(run_dir: Path, metrics: Metrics, run: RunAttempts | None) -> list[Markup]:
    """What each iteration brought: solved problems and gap closed; of several, mined programs and KL too."""
    iterations = {row["policy"]: row["iteration"] for row in metrics["rows"] if row["system"] != "sft-longer"}
    drawn = [_solved_by_iteration(metrics)]
    gaps = _gaps_by_iteration(iterations, run)
    if gaps:
        drawn.append(
            line_chart(
                "Gap closed",
                gaps,
                x_label="iteration of the policy",
                y_label="0: a random pick, 1: a perfect one",
            )
        )
    mined = by_iteration(run_dir, "mine", "summary.json")
    kinds = {"hard negative": "bad", "new positive": "good"}
    series = [
        Series(kind, list(mined), [counts.get(kind) for counts in mined.values()], style)
        for kind, style in kinds.items()
        if any(kind in counts for counts in mined.values())
    ]
    if series and len(mined) > 1:
        drawn.append(line_chart("Mined for the next ranker", series, x_label="iteration", y_label="programs"))
    ppo = metrics.get("ppo", [])
    if len(ppo) > 1:
        kl = Series("KL", [row["iteration"] for row in ppo], [row["kl"] for row in ppo], "kl")
        title = "KL to the policy that PPO began with"
        drawn.append(line_chart(title, [kl], x_label="iteration", y_label="nats a completion, at its end"))
    return drawn


def _solved_by_iteration(metrics: Metrics) -> Markup:
    language = languages(metrics)[0]
    series = []
    for selector, name, style in (
        ("greedy", "greedy", "policy-0"),
        ("ranker", "best of n, newest ranker", "ranker-1"),
        ("oracle", "pass@n", "oracle"),
    ):
        newest = {
            row["iteration"]: row  # the last ranker of each policy wins
            for row in metrics["rows"]
            if row["selector"] == selector and row["system"] != "sft-longer" and row["language"] == language
        }
        rows = [newest[i] for i in sorted(newest)]
        if rows:
            series.append(
                Series(name, sorted(newest), [r["value"] for r in rows], style, [r["ci95"] for r in rows])
            )
    return line_chart(
        "Solved by iteration",
        series,
        x_label="iteration of the policy",
        y_label="problems solved, %",
        percent=True,
    )


def _gaps_by_iteration(iterations: Mapping[str, int], run: RunAttempts | None) -> list[Series]:
    """The gap that each ranker closes over each policy."""
    found: dict[int, dict[int, Estimate]] = {}
    for policy, attempts in run.policies.items() if run else ():
        for ranker in _rankers(attempts.values()) if policy in iterations else ():
            gap = measures.gap_closed(measures.ranked(attempts, ranker), ranker)
            if gap is not None:
                found.setdefault(ranker, {})[iterations[policy]] = gap
    return [
        _estimates(f"ranker {ranker}", list(gaps), list(gaps.values()), f"ranker-{ranker}")
        for ranker, gaps in sorted(found.items())
    ]


def _rankers(attempts: Iterable[Attempts]) -> list[int]:
    return sorted({ranker for a in attempts for ranker in a.scores})


def _estimates(
    name: str, x: Sequence[float], estimates: Sequence[Estimate], style: str, notes: Sequence[str] = ()
) -> Series:
    return Series(name, x, [e.value for e in estimates], style, [(e.low, e.high) for e in estimates], notes)


def calibration_charts(run: RunAttempts | None) -> list[Markup]:
    """A reliability diagram a policy, with every ranker that scored it."""
    drawn = []
    for policy, attempts in run.policies.items() if run else ():
        series = []
        for ranker in _rankers(a for a in attempts.values() if all(map(a.calibrated, a.scores))):
            bins = measures.reliability(measures.ranked(attempts, ranker), ranker)
            notes = [f"{b.count:,} candidates" for b in bins]
            series.append(
                _estimates(
                    f"ranker {ranker}",
                    [b.probability for b in bins],
                    [b.correct for b in bins],
                    f"ranker-{ranker}",
                    notes,
                )
            )
        if series:
            drawn.append(
                line_chart(
                    f"Reliability over {policy}",
                    series,
                    x_label="stated probability",
                    y_label="share correct",
                    diagonal=True,
                )
            )
    return drawn


def length_chart(attempts: Mapping[str, Attempts], ranker: int) -> Markup:
    """What the ranker pays for length: score against length among programs of one problem and verdict."""
    tokens = any(c.n_tokens for a in attempts.values() for c in a.sampled)
    series = []
    for passed, name, style in ((True, "programs that pass", "good"), (False, "programs that fail", "bad")):
        bins = measures.score_by_length(measures.ranked(attempts, ranker), ranker, passed=passed)
        if bins:
            notes = [f"{b.count:,} candidates" for b in bins]
            series.append(_estimates(name, [b.length for b in bins], [b.score for b in bins], style, notes))
    return (
        line_chart(
            f"Score of ranker {ranker} against length",
            series,
            x_label=f"{'tokens' if tokens else 'characters'}, less the mean",
            y_label="raw score, less the mean",
        )
        if series
        else Markup("")
    )


_LEARNING = {"sft": "SFT", "sft-longer": "Longer SFT", "rft": "RFT"}


def learning_charts(run_dir: Path) -> list[Markup]:
    """Loss by epoch of every supervised stage."""
    drawn = []
    for stage, name in _LEARNING.items():
        for iteration, history in by_iteration(run_dir, stage, "history.json").items():
            epochs = [row["epoch"] for row in history]
            series = [Series("training", epochs, [row["loss"] for row in history], "training")]
            if any("validation_loss" in row for row in history):
                held_out = [row.get("validation_loss") for row in history]
                series.append(Series("held out", epochs, held_out, "validation"))
            title = f"{name} {iteration}" if iteration else name
            drawn.append(line_chart(title, series, x_label="epoch", y_label="loss, nats a token"))
    return drawn


def ppo_stages(run_dir: Path, metrics: Metrics) -> list[dict[str, Any]]:
    """Charts of every PPO stage: the ranker's score beside the true pass rate, and the KL."""
    summaries = {row["iteration"]: row for row in metrics.get("ppo", [])}
    checked = tomllib.loads(read_text(run_dir / "recipe.toml")).get("ppo", {}).get("check_problems", 0)
    stages = []
    for iteration, history in by_iteration(run_dir, "ppo", "history.json").items():
        charts = [
            _round_chart(history, "score", "Ranker's score", "mean raw score"),
            _round_chart(history, "pass", "True pass rate", "development problems solved, %", checked),
            _score_against_pass(history, checked),
            _round_chart(history, "kl", "KL to the starting policy", "nats a completion"),
        ]
        stages.append({"iteration": iteration, "summary": summaries.get(iteration), "charts": charts})
    return stages


def _band(rates: Sequence[float], checked: int) -> list[tuple[float, float]]:
    """95 % intervals of pass rates over `checked` problems; none when that is unknown.

    As if every problem were solved always or never: samples of one problem agree at most so much, and the
    interval is at least as wide as it should be.
    """
    found = [measures.wilson(rate, checked) for rate in rates] if checked else []
    return [(e.low, e.high) for e in found]


def _round_chart(
    history: Sequence[Mapping[str, Any]], field: str, title: str, y_label: str, checked: int = 0
) -> Markup:
    """One column of a PPO stage's history by round; nothing when it was never measured."""
    rows = [row for row in history if row.get(field) is not None]
    if not rows:
        return Markup("")
    values = [row[field] for row in rows]
    series = [Series(title, [row["round"] for row in rows], values, field, _band(values, checked))]
    return line_chart(title, series, x_label="round", y_label=y_label, percent=field == "pass")


def _score_against_pass(history: Sequence[Mapping[str, Any]], checked: int) -> Markup:
    """The path of the rounds: to the right the ranker is pleased, upwards programs pass."""
    rows = [row for row in history if row.get("pass") is not None and row.get("score") is not None]
    if len(rows) < 2:
        return Markup("")
    passes = [row["pass"] for row in rows]
    notes = [f"round {row['round']}" for row in rows]
    scores = [row["score"] for row in rows]
    bars = [Series("rounds", scores, passes, "path", _band(passes, checked), notes)]
    return line_chart(
        "Score against true pass rate",
        bars,
        x_label="mean raw score",
        y_label="development problems solved, %",
        percent=True,
        path=True,
    )
