"""Which part of self-training works: random failures, hard negatives, new positives, or just more samples?

Policy 1 is aligned by RFT and samples the training problems again. Ranker 2 starts from policy 1; it
learns from the groups that ranker 1 learnt from, and from what one way of mining adds to them: as many
groups in every arm. It picks among policy 1's samples of the test problems. Hard negatives are failures
that ranker 1 puts among its best four; fresh SFT samples are new ones of the SFT policy, with failures
drawn at random.
"""

from collections.abc import Callable
from random import Random

from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Recipe
from rewardranker.run import Cost, Stage, seed_for
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study
from rewardranker.tables import read_table

KINDS = {
    "random failures": "random",
    "hard negatives": "hardnegatives",
    "half hard, half random": "mix",
    "hard negatives + new positives": "selftraining",
    "fresh SFT samples": "fresh",
}
"""Name of the arm -> variant of mining."""


def mined(seed: Seed, variant: str) -> Stage:
    """What a variant of mining adds."""
    varied = seed.changed(variant=variant)
    if variant == "fresh":
        new = seed.sample("1-sample-sft", seed.sft(), "sft", seed.recipe.mining.n)
    else:
        new = seed.sample("1-sample", seed.rft(), "aligned-1", seed.recipe.mining.n)
    return varied.mine(1, seed.ranker(), [seed.sampled()], new)


def matched(seed: Seed, variant: str) -> Stage:
    """What a variant adds, no more groups than the poorest variant does, drawn at random."""
    with seed.uncounted():
        size = min(len(_groups(mined(seed, kind))) for kind in KINDS.values())
    own, draw = mined(seed, variant), seed_for(seed.recipe.seed, "matched")

    def make(_: Cost) -> list[PreferenceGroup]:
        groups = _groups(own)
        return [groups[i] for i in sorted(Random(draw).sample(range(len(groups)), size))]

    return seed.groups("1-matched", make, [size, draw], [own])


def _groups(stage: Stage) -> list[PreferenceGroup]:
    return read_table(stage.path / "groups.parquet", PreferenceGroup)


def retrained(variant: str | None) -> Callable[[Seed], Measured]:
    """Ranker 2, of the initial groups and what a variant adds, over policy 1's samples."""

    def measure(seed: Seed) -> Measured:
        policy = seed.rft()
        added = [matched(seed, variant)] if variant else []
        ranker = seed.ranker(2, start=policy, mined=added)
        found = seed.measured(seed.tested(policy, "aligned-1"), ranker)
        groups = [g for stage in added for g in _groups(stage)]
        found.numbers["groups added"] = len(groups)
        most = seed.recipe.reward.max_per_side
        pairs = (min(len(g.chosen), most) * min(len(g.rejected), most) for g in groups)
        found.numbers["pairs added, an epoch"] = sum(pairs)
        return found

    return measure


def study(_: Recipe) -> Study:
    """An arm a variant."""
    nothing, random, *others = "nothing added", *KINDS
    return Study(
        __doc__ or "",
        (
            Arm(nothing, retrained(None)),
            Arm(random, retrained(KINDS[random]), (nothing,)),
            *(Arm(name, retrained(KINDS[name]), (nothing, random)) for name in others),
        ),
        claims=("ranker",),
        within=(("ranker", "greedy"),),
    )
