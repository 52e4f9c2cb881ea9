"""From evaluated candidates and ranker scores to the numbers of `metrics.json`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.metrics import Floats
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem


@dataclass(frozen=True, slots=True)
class Policy:
    """A generator that was evaluated."""

    name: str
    """As in `EvaluatedCandidate.policy`."""
    system: Literal["sft", "sft-longer", "aligned"]
    iteration: int
    """0 for the SFT policies, i for the one aligned with ranker i."""


@dataclass(frozen=True, slots=True)
class System:
    """A policy and how one of its candidates is selected: what a user would run."""

    policy: str
    selector: str
    """greedy, sample (one draw at the main temperature), cool (one at the lower), logprob, majority, ranker
    or oracle."""
    ranker: int | None = None
    """Iteration of the ranker; for selector "ranker" only."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One policy's outcomes on P problems."""

    correct: selectors.Bools
    """[P, n] at the main temperature."""
    lengths: Floats
    """[P, n] tokens."""
    scores: dict[int, tuple[Floats, Floats]]
    """Raw score and probability, each [P, n], of every ranker that scored this policy."""
    curves: dict[System, Floats]
    """[P, n] best-of-k of logprob, majority and each ranker, and pass@k (oracle)."""
    single: dict[System, Floats]
    """[P] greedy, sample and cool."""
    unjudged: int
    """Candidates at the main temperature without a verdict; they count as wrong."""


def _by_problem(
    problems: Sequence[Problem], candidates: Sequence[EvaluatedCandidate], what: str
) -> list[list[EvaluatedCandidate]]:
    """[P][n] candidates by problem and index; every problem must have the same number."""
    rows: dict[str, list[EvaluatedCandidate]] = {p.id: [] for p in problems}
    for candidate in sorted(candidates, key=lambda c: c.index):
        rows[candidate.problem_id].append(candidate)
    n = max(map(len, rows.values()))
    for problem_id, row in rows.items():
        if [c.index for c in row] != list(range(n)):
            raise ValueError(f"{what}: problem {problem_id} has {len(row)} of {n} candidates")
    return list(rows.values())


def _measure(
    problems: Sequence[Problem],
    policy: str,
    candidates: Sequence[EvaluatedCandidate],
    scores: Mapping[int, Mapping[tuple[str, int], ScoredCandidate]],
    *,
    temperature: float,
    cool_temperature: float,
    seed: int,
) -> _Measured:
    def rows(at: float) -> list[list[EvaluatedCandidate]]:
        chosen = [c for c in candidates if c.temperature == at]
        return _by_problem(problems, chosen, f"{policy} at temperature {at}") if chosen else []

    sampled = rows(temperature)
    if not sampled:
        raise ValueError(f"{policy}: no candidates at temperature {temperature}")
    correct = np.array([[c.passed for c in row] for row in sampled])
    single = {System(policy, "sample"): correct.mean(1)}
    for selector, at in (("greedy", 0.0), ("cool", cool_temperature)):
        if at != temperature and (drawn := rows(at)):
            single[System(policy, selector)] = np.array([[c.passed for c in row] for row in drawn]).mean(1)

    likelihood = np.array([[c.mean_logprob for c in row] for row in sampled])
    curves = {System(policy, "logprob"): selectors.by_score(likelihood, correct)}
    behaviour = [[c.behaviour for c in row] for row in sampled]
    if any(b for row in behaviour for b in row):
        curves[System(policy, "majority")] = selectors.majority(behaviour, correct, seed)
    arrays = {}
    for ranker in sorted(scores):
        try:
            said = [[scores[ranker][c.problem_id, c.index] for c in row] for row in sampled]
        except KeyError as e:
            raise ValueError(f"{policy}: ranker {ranker} has no score for candidate {e.args[0]}") from e
        raw, probability = (
            np.array([[getattr(s, f) for s in row] for row in said]) for f in ("raw", "probability")
        )
        arrays[ranker] = (raw, probability)
        curves[System(policy, "ranker", ranker)] = selectors.by_score(raw, correct)
    curves[System(policy, "oracle")] = selectors.oracle(correct)
    lengths = np.array([[float(c.n_tokens) for c in row] for row in sampled])
    unjudged = sum(not c.judged for row in sampled for c in row)
    return _Measured(correct, lengths, arrays, curves, single, unjudged)


def _number(x: float) -> float | None:
    """A JSON number: six decimals (so that a sum's order doesn't show), null for NaN."""
    return None if math.isnan(x) else round(float(x), 6)


def _numbers(xs: Sequence[float]) -> list[float | None]:
    return [_number(x) for x in xs]


def _comparisons(
    policies: Sequence[Policy], rankers: Mapping[str, list[int]]
) -> list[tuple[System, System, bool]]:
    """(a, b, decisive) for every difference a - b to report; the decisive ones first.

    Decisive: what decides whether the loop earned its keep, against what the same compute buys without it.
    """
    sft = next((p.name for p in policies if p.system == "sft"), None)
    longer = next((p.name for p in policies if p.system == "sft-longer"), None)
    aligned = sorted((p for p in policies if p.system == "aligned"), key=lambda p: p.iteration)
    last = aligned[-1].name if aligned else sft

    def ranked(policy: str | None, ranker: int | None = None) -> System | None:
        scored = rankers.get(policy or "", [])
        if policy is None or not scored or (ranker is not None and ranker not in scored):
            return None
        return System(policy, "ranker", scored[-1] if ranker is None else ranker)

    def by(policy: str | None, selector: str) -> System | None:
        return System(policy, selector) if policy is not None else None

    final = ranked(last)
    decisive = [
        (final, by(longer, "greedy")),
        (final, by(sft, "greedy")),
        (final, by(last, "greedy")),
        (final, by(last, "logprob")),
        (final, ranked(last, 1)),
        (by(last, "greedy"), by(sft, "greedy")),
        (by(last, "greedy"), by(longer, "greedy")),
        (ranked(sft, 1), by(sft, "logprob")),
    ]
    others: list[tuple[System | None, System | None]] = [
        (final, by(longer, "sample")),
        (final, by(longer, "logprob")),
        (final, ranked(sft)),
        (final, ranked(aligned[0].name if aligned else None)),
    ]
    for policy in policies:
        scored = rankers.get(policy.name, [])
        for j in scored:
            others += [
                (ranked(policy.name, j), by(policy.name, s)) for s in ("logprob", "majority", "greedy")
            ]
            others += [(ranked(policy.name, j), ranked(policy.name, i)) for i in scored if i < j]
        if policy.system == "aligned":
            others.append((by(policy.name, "greedy"), by(sft, "greedy")))
    found: dict[tuple[System, System], bool] = {}
    for pairs, is_decisive in ((decisive, True), (others, False)):
        for a, b in pairs:
            if a is not None and b is not None and a != b:
                found.setdefault((a, b), is_decisive)
    return [(a, b, is_decisive) for (a, b), is_decisive in found.items()]


def summarise(
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
    scores: Sequence[ScoredCandidate],
    *,
    policies: Sequence[Policy],
    variant: str | None,
    align: str | None,
    temperature: float,
    cool_temperature: float,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Measure every policy under every selector, on the same problems.

    Args:
        problems: the evaluation problems; candidates of other problems are an error.
        candidates: of every policy, for every problem: n at `temperature`; where wanted one greedy
            (temperature 0) and some at `cool_temperature`.
        scores: of the candidates at `temperature`; a ranker scores all of a policy's candidates or none.
        policies: in the order they are to be reported.
        variant: what mining added (recipe), given on rows that come after mining.
        align: how policies were aligned (recipe), given on rows of aligned policies.
        bootstrap: resamples of the problems for the 95 % intervals; one task in several languages is drawn
            as one.
        seed: of the resamples, and of `selectors.majority`.

    Returns:
        Parts of `metrics.json`, without NaN:

        - temperature, cool_temperature, problems: what was measured.
        - rows: a value a policy, selector and language ("all" beside them when there are several).
        - curves: pass@k and best-of-k for every k, all languages together.
        - paired: differences between two systems on the same problems; `_comparisons` says which.
        - ranker: discrimination within problems and calibration, a ranker and policy.
        - groups: how many problems have no, some, only correct candidates, a policy.

    Raises:
        ValueError: a problem, candidate or score is missing or unknown; the message names it.
    """
    if not problems:
        raise ValueError("no problems to evaluate on")
    unknown = {c.problem_id for c in candidates} - {p.id for p in problems}
    if unknown:
        raise ValueError(f"candidates of unknown problems: {', '.join(sorted(unknown)[:5])}")
    scored: dict[str, dict[int, dict[tuple[str, int], ScoredCandidate]]] = {}
    for s in scores:
        scored.setdefault(s.policy, {}).setdefault(s.ranker, {})[s.problem_id, s.index] = s
    measured = {
        policy.name: _measure(
            problems,
            policy.name,
            [c for c in candidates if c.policy == policy.name],
            scored.get(policy.name, {}),
            temperature=temperature,
            cool_temperature=cool_temperature,
            seed=seed,
        )
        for policy in policies
    }
    values: dict[System, Floats] = {}  # [P]; what a user of the system gets
    for m in measured.values():
        values |= m.single | {system: curve[:, -1] for system, curve in m.curves.items()}

    everywhere = np.arange(len(problems))
    languages = sorted({p.language for p in problems})
    parts = {
        language: np.array([i for i, p in enumerate(problems) if p.language == language])
        for language in languages
    }
    if len(parts) > 1:
        parts["all"] = everywhere
    weights = {
        language: metrics.clustered_weights([problems[i].task for i in part], bootstrap, seed)
        for language, part in parts.items()
    }
    all_weights = weights[languages[0] if len(languages) == 1 else "all"]

    by_name = {p.name: p for p in policies}

    def row(system: System, language: str) -> dict[str, Any]:
        policy, value = by_name[system.policy], values[system][parts[language]]
        single = system in measured[system.policy].single
        after_mining = max(policy.iteration, system.ranker or 0) > 1
        return {
            "policy": policy.name,
            "system": policy.system,
            "iteration": policy.iteration,
            "selector": "sample" if system.selector == "cool" else system.selector,
            "ranker": system.ranker,
            "variant": variant if after_mining else None,
            "align": align if policy.system == "aligned" else None,
            "language": language,
            "temperature": {"greedy": 0.0, "cool": cool_temperature}.get(system.selector, temperature),
            "n": 1 if single else measured[system.policy].correct.shape[1],
            "value": _number(value.mean()),
            "ci95": _numbers(metrics.interval(value, weights[language])),
            "problems": len(value),
        }

    def curve(system: System, points: Floats) -> dict[str, Any]:
        return asdict(system) | {
            "k": list(range(1, points.shape[1] + 1)),
            "value": _numbers(points.mean(0)),
            "ci95": [_numbers(metrics.interval(column, all_weights)) for column in points.T],
        }

    def paired(a: System, b: System, decisive: bool) -> dict[str, Any]:
        d = metrics.paired_difference(values[a], values[b], all_weights)
        return {
            "a": asdict(a),
            "b": asdict(b),
            "decisive": decisive,
            "difference": _number(d.difference),
            "standard_error": _number(d.standard_error),
            "ci95": _numbers(d.ci95),
            "better": d.better,
            "worse": d.worse,
            "problems": d.problems,
        }

    def ranker(policy: str, iteration: int) -> dict[str, Any]:
        m = measured[policy]
        raw, probability = m.scores[iteration]
        pairs = metrics.pair_counts(raw, m.correct)
        bins = [] if np.isnan(probability).any() else metrics.reliability(probability, m.correct)
        picked = m.curves[System(policy, "ranker", iteration)][:, -1]
        reachable = m.curves[System(policy, "oracle")][:, -1]
        return {
            "iteration": iteration,
            "policy": policy,
            "auc": _number(pairs.auc),
            "pairwise_accuracy": _number(pairs.pairwise_accuracy),
            "gap_closed": _number(metrics.gap_closed(m.correct.mean(), picked.mean(), reachable.mean())),
            "ece": _number(metrics.ece(bins)),
            "brier": _number(metrics.brier(probability, m.correct)),
            "length_correlation": _number(metrics.within_problem_correlation(raw, m.lengths)),
            "problems_both_labels": pairs.problems,
            "reliability": [{k: _number(v) for k, v in asdict(b).items()} | {"count": b.count} for b in bins],
        }

    def groups(policy: str) -> dict[str, Any]:
        m = measured[policy]
        none, every = int((~m.correct).all(1).sum()), int(m.correct.all(1).sum())
        some = len(problems) - none - every
        return {"policy": policy, "none": none, "some": some, "all": every, "unjudged": m.unjudged}

    rankers = {name: sorted(m.scores) for name, m in measured.items()}
    return {
        "temperature": temperature,
        "cool_temperature": cool_temperature,
        "problems": len(problems),
        "rows": [row(system, language) for language in parts for system in values],
        "curves": [curve(system, points) for m in measured.values() for system, points in m.curves.items()],
        "paired": [
            paired(a, b, decisive)
            for a, b, decisive in _comparisons(policies, rankers)
            if a in values and b in values
        ],
        "ranker": [ranker(name, iteration) for name, found in rankers.items() for iteration in found],
        "groups": [groups(p.name) for p in policies],
    }
