"""Does it help to train the ranker on another family of tasks first, or on mutated references?

The ranker starts from the SFT policy, learns from one kind of pairs first, and then from the SFT
policy's samples as without that, of all training problems and of an eighth of them; it picks among the
SFT policy's samples of the test problems. The other family are tasks on strings and integers. Wrong
programs of either kind are references with a small change whose failure execution confirms; there are as
many problems of both. The control learns from the samples alone, twice as long, which costs less than to
learn from something else first: the table of costs says how much.
"""

from collections.abc import Callable
from random import Random
from typing import Literal

from rewardranker.evaluation.judging import verdicts
from rewardranker.execution.program import Program
from rewardranker.problems.preference import KnownPrograms, PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Recipe, changed
from rewardranker.run import Cost, Stage, seed_for
from rewardranker.stages.problems import all_problems, training_problems
from rewardranker.stages.reward import reward_stage
from rewardranker.studies.other_tasks import changed_programs, other_problems
from rewardranker.studies.scaling import part_of_samples
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study

First = Literal["nothing", "other", "mutated", "longer"]
_WRONG = 3
"""Changed programs tried a problem."""


def warmed(first: First, share: float) -> Callable[[Seed], Measured]:
    """A ranker that learns from something else first, then from the samples of a share of the problems."""

    def measure(seed: Seed) -> Measured:
        run, recipe, problems = seed.run, seed.recipe, seed.problems()
        start = tested_policy = seed.sft()
        if first in ("other", "mutated"):
            start = reward_stage(run, recipe, 0, start, problems, None, [pairs(seed, first)])
        if first == "longer":
            recipe = changed(recipe, reward={"epochs": 2 * recipe.reward.epochs})
        part = part_of_samples(seed, recipe.sampling.n, share)
        ranker = reward_stage(run, recipe, 1, start, problems, part, [])
        found = seed.measured(seed.tested(tested_policy, "sft"), ranker)
        return Measured({"ranker": found.solved["ranker"]}, found.numbers)

    return measure


def pairs(seed: Seed, kind: First) -> Stage:
    """References against changed programs that fail."""
    draw = seed_for(seed.recipe.seed, "warm")

    def make(cost: Cost) -> list[PreferenceGroup]:
        most = len(training_problems(seed.problems()))
        known = [p for p in all_problems(seed.problems()) if p.split == "reference"][:most]
        problems = other_problems(len(known), draw) if kind == "other" else known
        return _judged(seed, problems, draw, cost)

    return seed.groups(f"0-pairs-{kind}", make, [draw, seed.recipe.execution.decisive()], [seed.problems()])


def _judged(seed: Seed, problems: list[Problem], draw: int, cost: Cost) -> list[PreferenceGroup]:
    rng = Random(draw)
    tried = [
        (p, text)
        for p in problems
        if p.reference is not None
        for text in (p.reference, *changed_programs(p.reference, rng, _WRONG))
    ]
    execution = seed.recipe.execution
    found = verdicts(
        [Program.of(p, text, execution.judge) for p, text in tried], execution, "changed programs"
    )
    cost.executions += len(tried)
    known = {p.id: (p, KnownPrograms()) for p in problems}
    for (p, text), verdict in zip(tried, found, strict=True):
        if text == p.reference or not verdict.passed:  # what passes is the same program, or fools the tests
            known[p.id][1].add(text, verdict.strict_status, "changed")
    return [
        programs.group(p.id, p.prompt, "changed")
        for p, programs in known.values()
        if programs.passed and programs.failed
    ]


def study(_: Recipe) -> Study:
    """Every way with all problems and with few."""
    ways: tuple[tuple[str, First], ...] = (
        ("nothing first", "nothing"),
        ("other tasks first", "other"),
        ("mutated references first", "mutated"),
        ("twice the epochs", "longer"),
    )
    nothing, longer = ways[0][0], ways[-1][0]
    against: dict[First, tuple[str, ...]] = {
        "nothing": (),
        "other": (nothing, longer),
        "mutated": (nothing, longer),
        "longer": (nothing,),
    }
    shares = (("all problems", 1.0), ("an eighth of the problems", 0.125))
    return Study(
        __doc__ or "",
        tuple(
            Arm(
                f"{name}, {data}",
                warmed(first, share),
                tuple(f"{other}, {data}" for other in against[first]),
            )
            for data, share in shares
            for name, first in ways
        ),
        claims=("ranker",),
    )
