"""What aligns a generator best at equal compute: longer SFT, RFT, PPO, or RFT and then PPO?

All ways start from the SFT policy. What each spends beyond it stands in the table of costs, sampling,
execution and the ranker that PPO needs included; the settings are chosen so that they come to about the
same (the second half of RFT's epochs, or PPO's rounds, makes room for the other in RFT + PPO). Without a
ranker: greedy answers, single samples, log-prob. With one: best of n by ranker 1, which learnt from the
SFT policy's samples.
"""

from collections.abc import Callable

from rewardranker.errors import UserError
from rewardranker.recipe import Recipe
from rewardranker.run import Stage
from rewardranker.stages.sft import sft_longer_stage
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study

RFT_EPOCHS = 2
"""Times the recipe's, where RFT has all the compute."""


def longer_sft(seed: Seed) -> Stage:
    """More epochs on the references alone.

    Raises:
        UserError: the recipe says nothing of them.
    """
    if not seed.recipe.evaluation.longer_sft_epochs:
        raise UserError("longer SFT needs evaluation.longer_sft_epochs above 0")
    return sft_longer_stage(seed.run, seed.recipe, seed.sft(), seed.problems())


def rft(seed: Seed) -> Stage:
    """RFT with all the compute."""
    return seed.changed(rft={"epochs": RFT_EPOCHS * seed.recipe.rft.epochs}).rft()


def ppo(seed: Seed) -> Stage:
    """PPO with all the compute."""
    return seed.ppo()


def rft_and_ppo(seed: Seed) -> Stage:
    """Half of each."""
    half = seed.changed(ppo={"iterations": max(1, seed.recipe.ppo.iterations // 2)})
    return half.ppo(start=half.rft())


def aligned(way: Callable[[Seed], Stage], name: str) -> Callable[[Seed], Measured]:
    """The policy that a way leads to, without and with ranker 1."""

    def measure(seed: Seed) -> Measured:
        tested = seed.tested(way(seed), name)
        with seed.uncounted():  # only PPO needs it to come about
            ranker = seed.ranker()
        return seed.measured(tested, ranker)

    return measure


def study(_: Recipe) -> Study:
    """An arm a way."""
    start, longer = "SFT", "longer SFT"
    return Study(
        __doc__ or "",
        (
            Arm(start, aligned(Seed.sft, "sft")),
            Arm(longer, aligned(longer_sft, "sft-longer"), (start,)),
            Arm("RFT", aligned(rft, "aligned-1"), (start, longer)),
            Arm("PPO", aligned(ppo, "aligned-1"), (start, longer, "RFT")),
            Arm("RFT + PPO", aligned(rft_and_ppo, "aligned-1"), (start, longer, "RFT")),
        ),
        claims=("greedy", "ranker"),
        within=(("ranker", "greedy"),),
    )
