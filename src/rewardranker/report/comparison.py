"""Two runs on the same problems: paired intervals, McNemar's test, and the problems that flipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewardranker.errors import UserError
from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.metrics import Floats, PairedDifference
from rewardranker.report.attempts import Attempts, RunAttempts

RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """A system of A and one of B."""

    difference: PairedDifference
    """A minus B."""
    only_a: int
    """Problems that only A solves (`metrics.flips`)."""
    only_b: int
    p_value: float
    """McNemar's, as `rewardranker compare` tells it (`metrics.mcnemar_of_tasks`)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run A and a run B, every system of one against every system of the other."""

    name_a: str
    name_b: str
    b: RunAttempts
    """The second run, on the common problems alone."""
    common: tuple[str, ...]
    """Ids of the problems with the same name, prompt and tests in both."""
    left_out: int
    """Problems of either run that the other lacks, or has with another prompt or tests."""
    systems_a: Mapping[str, Floats]
    """Name -> [P] share of the common problems' answers that is correct, for example of "sft greedy"."""
    systems_b: Mapping[str, Floats]
    pairs: Mapping[tuple[str, str], Pair]
    """Of every (system of A, system of B)."""


def compare(name_a: str, a: RunAttempts, name_b: str, b: RunAttempts) -> Comparison:
    """Compare two runs on the problems that they have in common.

    Raises:
        UserError: there is no such problem.
    """
    there = {p.id: (p.prompt, p.tests) for p in b.problems}
    common = tuple(p.id for p in a.problems if there.get(p.id) == (p.prompt, p.tests))
    if not common:
        raise UserError(
            f"{name_a} and {name_b} have no evaluation problem in common (same name, prompt and tests); "
            "compare runs evaluated on the same problems, such as one recipe and seed with another setting"
        )
    systems_a, systems_b = _systems(a, common), _systems(b, common)
    for name, systems in ((name_a, systems_a), (name_b, systems_b)):
        if not systems:
            raise UserError(f"{name}: no policy has candidates of all {len(common)} common problems")
    kept = set(common)
    tasks = [p.task for p in a.problems if p.id in kept]
    weights = metrics.clustered_weights(tasks, RESAMPLES, _SEED)

    def pair(x: Floats, y: Floats) -> Pair:
        flipped = metrics.flips(x, y)
        return Pair(
            metrics.paired_difference(x, y, weights),
            int((flipped > 0).sum()),
            int((flipped < 0).sum()),
            metrics.mcnemar_of_tasks(flipped, tasks),
        )

    return Comparison(
        name_a,
        name_b,
        RunAttempts(
            tuple(p for p in b.problems if p.id in kept),
            {policy: {i: x for i, x in found.items() if i in kept} for policy, found in b.policies.items()},
        ),
        common,
        len(a.problems) + len(b.problems) - 2 * len(common),
        systems_a,
        systems_b,
        {(x, y): pair(systems_a[x], systems_b[y]) for x in systems_a for y in systems_b},
    )


def _systems(run: RunAttempts, problems: Sequence[str]) -> dict[str, Floats]:
    """Every policy under every selector that all `problems` have, named as by `table.system_name`.

    Of an evaluation its selectors, as `rewardranker compare` has them.
    """
    if run.outcomes:
        return {name: np.array([of[i] for i in problems]) for name, of in run.outcomes.items()}
    found: dict[str, Floats] = {}
    for policy, by_problem in run.policies.items():
        if any(i not in by_problem for i in problems):
            continue
        attempts = [by_problem[i] for i in problems]
        greedy = [a.greedy.passed for a in attempts if a.greedy is not None]
        if len(greedy) == len(attempts):
            found[f"{policy} greedy"] = np.array(greedy, dtype=float)
        found[f"{policy} one sample"] = np.array([_correct(a).mean() for a in attempts])
        found[f"{policy} by log-prob"] = _selected(attempts, None)
        for ranker in sorted(set.intersection(*(set(a.scores) for a in attempts))):
            found[f"{policy} with ranker {ranker}"] = _selected(attempts, ranker)
        found[f"{policy} with an oracle"] = np.array([float(_correct(a).any()) for a in attempts])
    return found


def _correct(attempts: Attempts) -> selectors.Bools:
    return np.array([c.passed for c in attempts.sampled])


def _selected(attempts: Sequence[Attempts], ranker: int | None) -> Floats:
    """Expected correctness of the pick out of all candidates; equal values are a uniform draw."""
    picks = []
    for a in attempts:
        values = np.array(a.values(ranker))
        picks.append(float(_correct(a)[values == values.max()].mean()))
    return np.array(picks)


def comparison_data(comparison: Comparison, numbers: Mapping[str, int]) -> dict[str, Any]:
    """What the page chooses from: systems with their values, and each pair's difference in percentage points,
    its interval, flips and p-value.

    It starts with the newest ranker over the last policy of both runs.

    Args:
        comparison: of two runs.
        numbers: problem id -> its place in the index.
    """

    def systems(found: Mapping[str, Floats]) -> list[dict[str, Any]]:
        return [
            {"name": name, "values": [round(float(v), 4) for v in values]} for name, values in found.items()
        ]

    def row(pair: Pair) -> list[float]:
        shares = (pair.difference.difference, *pair.difference.ci95)
        return [*(round(100 * x, 4) for x in shares), pair.only_a, pair.only_b, float(f"{pair.p_value:.3g}")]

    def start(found: Mapping[str, Floats]) -> int:
        ranked = [i for i, name in enumerate(found) if " with ranker " in name or name == "ranker"]
        return ranked[-1] if ranked else 0

    return {
        "start": [start(comparison.systems_a), start(comparison.systems_b)],
        "problems": [numbers[i] for i in comparison.common],
        "a": systems(comparison.systems_a),
        "b": systems(comparison.systems_b),
        "pairs": [[row(comparison.pairs[x, y]) for y in comparison.systems_b] for x in comparison.systems_a],
    }
