"""From an arm's outcomes with every seed to estimates, differences, costs, and what they say in words."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from rewardranker.evaluation.metrics import Floats, bootstrap_weights
from rewardranker.studies.study import MEASURES, Arm, Result, Results, Study

RESAMPLES = 2000
_COSTS = ("cpu_s", "wall_s", "tokens", "executions")
_MEASURING = ("test-", "score")
"""Stages of evaluation: every arm pays the same for them, and their cost is none of the arm's."""
_WORDS = {
    "greedy": "greedy answers",
    "sample": "single samples",
    "logprob": "the pick by log-prob",
    "ranker": "the ranker's pick",
    "oracle": "pass@n",
    "answer": "answers",
}

Json = dict[str, Any]


def summarise(study: Study, results: Results) -> Json:
    """All that a page shows, JSON-able; of seeds with every arm, or while there is none of the fullest seed.

    Returns:
        seeds: those that count; problems: test problems a seed; incomplete, failed: what is missing; arms:
        solved (value, ci95, seeds, problems), numbers, curves, cost (of all that the arm needs but
        evaluation, and `extra`, of what the arm that it is compared with doesn't need), mean over seeds;
        differences: points, ci95, seeds; findings: sentences, what is best and what differs first;
        cost: of the whole study, what arms share counted once; processors: on which it was measured.
    """
    names = [arm.name for arm in study.arms]
    never = {arm for _, arm in results.failed} - {arm for _, arm in results.found}  # with this recipe
    complete = [s for s in results.seeds if all((s, n) in results.found for n in names if n not in never)]
    fullest = max(results.seeds, key=lambda s: sum((s, n) in results.found for n in names))
    counted = complete or [fullest]
    by_arm = {
        name: {s: results.found[s, name] for s in counted if (s, name) in results.found} for name in names
    }
    known = [arm for arm in study.arms if by_arm[arm.name]]
    differences = _differences(study, known, by_arm)
    used = [result for found in by_arm.values() for result in found.values()]
    stages = {(r.seed, stage["key"]): stage for r in used for stage in r.stages}
    return {
        "question": study.question,
        "about": study.about,
        "seeds": counted if used else [],
        "problems": max((len(v) for r in used for v in r.solved.values()), default=0),
        "incomplete": {
            str(s): [name for name in names if (s, name) not in results.found]
            for s in results.seeds
            if s not in complete
        },
        "failed": [{"seed": s, "arm": arm, "reason": reason} for (s, arm), reason in results.failed.items()],
        "arms": [_arm(arm, by_arm) for arm in known],
        "differences": differences,
        "findings": [
            *(sentence for measure in study.claims if (sentence := _best(measure, by_arm))),
            *(_sentence(d) for d in sorted(differences, key=_unclear)),
        ],
        "cost": {name: sum(stage[name] for stage in stages.values()) for name in _COSTS},
        "processors": sorted({r.processor for r in used}),
    }


def pooled(by_seed: Sequence[Floats]) -> Json:
    """Mean over seeds of means over problems, with a 95 % interval.

    The bootstrap draws seeds, then each drawn seed's problems: what training leaves to chance counts as well
    as which problems were asked. A single seed's interval is over its problems alone.
    """
    means = np.stack([_weights(len(v), i) @ v for i, v in enumerate(by_seed)])  # [S, resamples]
    size = (RESAMPLES, len(means))
    rng = np.random.default_rng(0)
    drawn = (
        means[0]
        if len(means) == 1
        else means[rng.integers(len(means), size=size), rng.integers(RESAMPLES, size=size)].mean(1)
    )
    each = [float(v.mean()) for v in by_seed]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "value": round(float(np.mean(each)), 6),
        "ci95": [round(float(low), 6), round(float(high), 6)],
        "seeds": [round(x, 6) for x in each],
        "problems": sum(map(len, by_seed)),
    }


@cache
def _weights(problems: int, seed: int) -> Floats:
    return bootstrap_weights(problems, RESAMPLES, seed)


def _arm(arm: Arm, by_arm: dict[str, dict[int, Result]]) -> Json:
    found = list(by_arm[arm.name].values())
    names = dict.fromkeys(name for r in found for name in r.numbers)
    numbers = {name: [r.numbers[name] for r in found if name in r.numbers] for name in names}
    other = by_arm.get(arm.against[0], {}) if arm.against else {}
    paired = [(r, other[r.seed]) for r in found if r.seed in other]
    return {
        "name": arm.name,
        "solved": {
            m: pooled([r.solved[m] for r in found]) for m in MEASURES if all(m in r.solved for r in found)
        },
        "numbers": {
            name: {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
            for name, values in numbers.items()
        },
        "curves": {
            name: np.mean(list(zip(*(r.curves[name] for r in found), strict=False)), axis=1).tolist()
            for name in found[0].curves
        },
        "cost": _mean_cost([(r, set()) for r in found]),
        "extra": _mean_cost([(r, {s["key"] for s in base.stages}) for r, base in paired]),
    }


def _mean_cost(results: Sequence[tuple[Result, set[str]]]) -> Json | None:
    """Of a result's stages but those of evaluation and the given ones; mean over results."""
    if not results:
        return None
    rows = [
        [s for s in r.stages if s["key"] not in without and not s["stage"].startswith(_MEASURING)]
        for r, without in results
    ]
    return {name: float(np.mean([sum(s[name] for s in row) for row in rows])) for name in _COSTS}


def _differences(study: Study, arms: Sequence[Arm], by_arm: dict[str, dict[int, Result]]) -> list[Json]:
    pairs = [
        ((arm.name, measure), (against, measure))
        for arm in arms
        for against in arm.against
        for measure in study.claims
    ]
    pairs += [((arm.name, a), (arm.name, b)) for arm in arms for a, b in study.within]
    found = []
    for (arm, measure), (against, other) in pairs:
        a, b = by_arm[arm], by_arm.get(against, {})
        both = [
            (a[s].solved[measure], b[s].solved[other])
            for s in a
            if s in b and measure in a[s].solved and other in b[s].solved
        ]
        if both:
            names = {"arm": arm, "measure": measure, "against": against, "against_measure": other}
            found.append({**names, **pooled([x - y for x, y in both])})
    return found


def _unclear(d: Json) -> bool:
    low, high = d["ci95"]
    return bool(low <= 0 <= high)


def points(share: float) -> str:
    """A difference in percentage points, with its sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text


def between(ci95: Sequence[float]) -> str:
    """An interval in percentage points."""
    return f"{points(ci95[0])} to {points(ci95[1])}"


def _best(measure: str, by_arm: dict[str, dict[int, Result]]) -> str | None:
    """Which arm solves most by a measure, and the next; levels alone, for the pair was picked by its lead."""
    with_it = {
        arm: found
        for arm, found in by_arm.items()
        if found and all(measure in r.solved for r in found.values())
    }
    seeds = sorted(set.intersection(*map(set, with_it.values()))) if len(with_it) > 1 else []
    if not seeds:
        return None
    level = {
        arm: round(float(np.mean([found[seed].solved[measure].mean() for seed in seeds])), 6)
        for arm, found in with_it.items()
    }
    first, second = sorted(level, key=level.__getitem__, reverse=True)[:2]
    return (
        f"Most was solved by {_WORDS[measure]} of “{first}”, {100 * level[first]:.1f} %; "
        f"the next is “{second}”, {100 * level[second]:.1f} %."
    )


def _sentence(d: Json) -> str:
    """The difference in words, by rule."""
    low, high = d["ci95"]
    interval = between(d["ci95"])
    measure, arm = _WORDS[d["measure"]], f"“{d['arm']}”"
    within = d["arm"] == d["against"]
    if _unclear(d):
        compared = f"between {measure} and {_WORDS[d['against_measure']]}" if within else f"in {measure}"
        over = f"With {arm}" if within else f"{arm} against “{d['against']}”"
        # Where no problem differs at all, 3 / n bounds how many could (95 %, the rule of three).
        largest = max(abs(low), abs(high), 3 / d["problems"])
        return (
            f"{over}: no difference {compared} could be measured ({points(d['value'])} points, {interval}); "
            f"an effect above {100 * largest:.1f} points is excluded."
        )
    size = f"{abs(100 * d['value']):.1f} points"
    seeds = sum(x > 0 if low > 0 else x < 0 for x in d["seeds"])
    sure = f"({interval}; {seeds} of {len(d['seeds'])} seeds)"
    if within:
        way = "above" if low > 0 else "below"
        return f"With {arm}, {measure} came {size} {way} {_WORDS[d['against_measure']]} {sure}."
    way = "raised" if low > 0 else "lowered"
    return f"{arm} {way} {measure} by {size} over “{d['against']}” {sure}."
