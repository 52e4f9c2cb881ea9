"""What the viewer shows of an evaluation: selectors by language, best of k, how they order candidates."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from rewardranker.evaluation.language_table import (
    LANGUAGES,
    NAMES,
    most_candidates,
    rows_with_a_choice,
    up_to_as_many,
)
from rewardranker.evaluation.selection import AVERAGE
from rewardranker.report.charts import Series, line_chart
from rewardranker.report.table import Cell, Metrics

VIEWS = {
    "summary": "Summary",
    "problems": "Problems",
    "candidates": "Best of k",
    "calibration": "Calibration",
    "hacking": "Reward hacking",
    "compare": "Two runs",
}
"""As `page.VIEWS`; an evaluation has no iterations, its candidates come once."""
_STYLES = {
    "sample": "policy-0",
    "logprob": "logprob",
    "same text": "ranker-1",
    "majority": "majority",
    "visible": "policy-2",
    "visible+majority": "policy-3",
    "ranker": "ranker-2",
    "staged": "ranker-3",
    "oracle": "oracle",
}
"""Of the style sheet."""


def evaluation_parts(name: str, metrics: Metrics) -> dict[str, Any]:
    """What the templates show of an evaluation alone.

    Args:
        name: of its folder.
        metrics: its metrics.json.
    """
    languages = [*([AVERAGE] if len(metrics["languages"]) > 1 else []), *metrics["languages"]]
    source = metrics.get("candidates_file") or metrics.get("upstream") or metrics.get("generator")
    model = f", {metrics['model']}" if metrics.get("model") else ""
    return {
        "kind": "evaluation",
        "views": VIEWS,
        "name": name,
        "facts": f"{metrics['problems']:,} problems, {metrics['candidates']:,} candidates of {source}{model}",
        "metrics": metrics,
        "headline": _headline(metrics, languages[0]),
        "languages": [(_title(x), _problems(metrics, x)) for x in languages],
        "rows": _rows(metrics, languages),
        "pass_at_k": [
            (k, [_cell(metrics["pass_at_k"], language, k=k) for language in languages])
            for k in dict.fromkeys(
                row["k"] for row in metrics["pass_at_k"] if 1 < row["k"] < most_candidates(metrics)
            )
        ],
        "names": NAMES,
        "curve_charts": [curve_chart(metrics, x) for x in languages]
        if len(metrics["curves"][0]["k"]) > 1
        else [],
        "ppo": None,
    }


def _title(language: str) -> str:
    return "mean over languages" if language == AVERAGE else LANGUAGES.get(language, language)


def _problems(found: Metrics, language: str) -> int:
    problems: int = next(row["problems"] for row in found["rows"] if row["language"] == language)
    return problems


def _cell(rows: Sequence[Metrics], language: str, **wanted: Any) -> Cell:
    row = next(
        r for r in rows if r["language"] == language and all(r[field] == x for field, x in wanted.items())
    )
    return Cell(row["value"], *row["ci95"])


def _rows(found: Metrics, languages: Sequence[str]) -> list[dict[str, Any]]:
    """A selector a row, a language a column; how many candidates it chose from. Of one there is no choice."""
    ns = {row["selector"]: row["n"] for row in rows_with_a_choice(found)}
    return [
        {
            "selector": selector,
            "n": f"{up_to_as_many(found)}{n}" if n > 1 else "1",
            "cells": [_cell(found["rows"], language, selector=selector) for language in languages],
        }
        for selector, n in ns.items()
    ]


def _headline(found: Metrics, language: str) -> str:
    """The last selector that a user could have, beside one sample and a perfect pick."""
    cells = {row["selector"]: row for row in found["rows"] if row["language"] == language}
    where = ", the mean over languages," if language == AVERAGE else ""
    sample = f"{100 * cells['sample']['value']:.1f}\u00a0%"
    n = cells["oracle"]["n"]
    if n == 1:
        return f"One sample solves {sample}{where} of {found['problems']:,} problems."
    best = [s for s in cells if s not in ("oracle", "greedy")][-1]
    n = f"{up_to_as_many(found)}{n}"
    perfect = f"a perfect pick out of {n} would solve {100 * cells['oracle']['value']:.1f}\u00a0%."
    if best == "sample":
        return f"One sample solves {sample}{where} of {found['problems']:,} problems; {perfect}"
    picked = f"Best of {n} by “{NAMES.get(best, best)}”: {100 * cells[best]['value']:.1f}\u00a0%"
    return f"{picked}{where} of {found['problems']:,} problems solved. One sample solves {sample}; {perfect}"


def curve_chart(found: Metrics, language: str, title: str = "") -> Markup:
    """Best of k of every selector, with bands.

    Args:
        found: what `compare_selectors` summarised.
        language: one of its languages, or the average over them.
        title: in place of the language.
    """
    curves = [c for c in found["curves"] if c["language"] == language]
    series = [
        Series(_NAMES_OF_CURVES.get(s, s), c["k"], c["value"], _STYLES[s], c["ci95"])
        for c in curves
        for s in [c["selector"]]
    ]
    title = title or _title(language)
    return line_chart(
        f"Best of k: {title}", series, x_label="candidates k", y_label="problems solved, %", percent=True
    )


_NAMES_OF_CURVES = {"oracle": "pass@k", "logprob": "log-prob", "visible": "visible tests"}
