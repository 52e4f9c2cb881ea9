"""How much depends on learning rates, clip range, KL coefficient and the hard-negative threshold?

One setting differs at a time from the recipe's, by the factor in the arm's name. PPO starts from the SFT
policy and learns from ranker 1. The ranker's learning rate is varied for ranker 1, over the SFT policy's
samples. The threshold says which failures count as hard negatives when policy 1, aligned by RFT, is
mined: the recipe's, the best-scored candidate of a problem alone, or all that score at least what a
passing one does; the ranker retrained on them, together with new positives, picks among policy 1's
samples.
"""

import json
from collections.abc import Callable
from typing import Any

from rewardranker.recipe import Recipe
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Point, Study


def ppo(**settings: float) -> Callable[[Seed], Measured]:
    """PPO with other settings."""

    def measure(seed: Seed) -> Measured:
        policy = seed.changed(ppo=settings).ppo()
        found = seed.measured(seed.tested(policy, "aligned-1"), seed.ranker())
        history = json.loads((policy.path / "history.json").read_text())
        found.numbers["KL to the SFT policy, nats"] = history[-1]["kl"]
        found.numbers["rounds"] = history[-1]["round"]
        return found

    return measure


def ranker(**settings: float) -> Callable[[Seed], Measured]:
    """Ranker 1 with other settings, over the SFT policy's samples."""

    def measure(seed: Seed) -> Measured:
        found = seed.measured(seed.tested(seed.sft(), "sft"), seed.changed(reward=settings).ranker())
        return _of_the_ranker(found)

    return measure


def mined(**settings: Any) -> Callable[[Seed], Measured]:
    """Ranker 2 of what another threshold mines, over policy 1's samples."""

    def measure(seed: Seed) -> Measured:
        policy = seed.rft()
        new = seed.sample("1-sample", policy, "aligned-1", seed.recipe.mining.n)
        groups = seed.changed(mining=settings).mine(1, seed.ranker(), [seed.sampled()], new)
        second = seed.ranker(2, start=policy, mined=[groups])
        return _of_the_ranker(seed.measured(seed.tested(policy, "aligned-1"), second))

    return measure


def _of_the_ranker(found: Measured) -> Measured:
    """Without what the ranker has no part in, which is the same in all arms."""
    return Measured({"ranker": found.solved["ranker"]}, found.numbers)


def study(recipe: Recipe) -> Study:
    """Arms a factor below and above the recipe's settings."""
    plain = recipe.ppo
    factors: tuple[tuple[str, str, float, tuple[float, ...]], ...] = (
        ("PPO learning rate", "learning_rate", plain.learning_rate, (1 / 3, 3)),
        ("PPO clip range", "clip", plain.clip, (0.5, 2)),
        ("PPO KL coefficient", "kl", plain.kl, (0, 4)),
    )
    of_ppo, of_ranker, of_mining = "PPO", "ranker", "threshold: the recipe's"
    axis, rate = "setting, times the recipe's", recipe.reward.learning_rate
    return Study(
        __doc__ or "",
        (
            Arm(of_ppo, ppo(), (), tuple(Point(axis, 1, name) for name, *_ in factors)),
            *(
                Arm(f"{name} times {x:.2g}", ppo(**{key: x * value}), (of_ppo,), (Point(axis, x, name),))
                for name, key, value, found in factors
                for x in found
            ),
            Arm(of_ranker, ranker(), (), (Point(axis, 1, "ranker's learning rate"),)),
            *(
                Arm(
                    f"ranker's learning rate times {x:.2g}",
                    ranker(learning_rate=x * rate),
                    (of_ranker,),
                    (Point(axis, x, "ranker's learning rate"),),
                )
                for x in (1 / 3, 3)
            ),
            Arm(of_mining, mined()),
            Arm("threshold: the best-scored alone", mined(threshold="rank", top=1), (of_mining,)),
            Arm("threshold: what scores like a pass", mined(threshold="passing"), (of_mining,)),
        ),
        claims=("greedy", "ranker"),
    )
