"""Does the loop keep improving past two iterations, or degrade?

In each iteration a policy samples the training problems (half of the recipe's mining.n candidates each),
failures that the ranker takes for right and new passing programs join its groups, and it is retrained on
all of them. In the loop the policy is aligned anew by RFT on all samples so far, and the ranker starts
from it; beside it the same is done with the SFT policy sampling every time, and nothing else changed. Each
ranker is measured over the samples of policy 1 and of the SFT policy, which stay the same, the loop's also
over its own policy's.
"""

from collections.abc import Callable

from rewardranker.recipe import Recipe
from rewardranker.run import Stage
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Point, Study

_AXIS = "iteration"


def _sampled(seed: Seed, i: int, *, aligned: bool) -> list[Stage]:
    """What policies 1 to `i` - 1 of the loop sample, or the SFT policy in as many iterations."""
    n, sampled = max(1, seed.recipe.mining.n // 2), list[Stage]()
    for k in range(1, i):
        if aligned:
            sampled.append(seed.sample(f"{k}-sample", seed.rft(k, sampled), f"aligned-{k}", n))
        else:
            sampled.append(seed.sample(f"{k}-sample-sft", seed.sft(), "sft", n))
    return sampled


def policy_of(seed: Seed, i: int) -> Stage:
    """Policy `i` of the loop: by RFT on the samples of all policies before, which takes no ranker."""
    return seed.rft(i, _sampled(seed, i, aligned=True))


def ranker_of(seed: Seed, i: int, *, aligned: bool) -> Stage:
    """Ranker `i` of the loop, or of a loop in which the SFT policy samples."""
    sampled = _sampled(seed, i, aligned=aligned)
    ranker, mined = seed.ranker(), list[Stage]()
    for k, new in enumerate(sampled, 1):
        mined.append(seed.mine(k, ranker, [seed.sampled(), *sampled[: k - 1]], new))
        ranker = seed.ranker(k + 1, start=seed.rft(k, sampled[: k - 1]), mined=mined)
    return ranker


def over(policy: str, i: int, *, aligned: bool) -> Callable[[Seed], Measured]:
    """Ranker `i` over the samples of the SFT policy, of policy 1, or ("own") of policy i."""

    def measure(seed: Seed) -> Measured:
        ranker = ranker_of(seed, i, aligned=aligned)
        if policy == "own":
            return seed.measured(seed.tested(policy_of(seed, i), f"aligned-{i}"), ranker)
        with seed.uncounted():  # a yardstick
            tested = (
                seed.tested(seed.sft(), "sft") if policy == "sft" else seed.tested(seed.rft(), "aligned-1")
            )
        return seed.measured(tested, ranker)

    return measure


def study(recipe: Recipe) -> Study:
    """All iterations over policy 1, the 1st, 2nd, 4th, ... over others.

    These against half as many, and the loop against as many iterations of the SFT policy's samples.
    """
    doubled = [2**k for k in range(recipe.iterations.bit_length()) if 2**k <= recipe.iterations]
    every = list(range(1, recipe.iterations + 1))
    lines = (
        ("loop, over its own policy", "own", True, doubled),
        ("SFT samples, over policy 1", "policy 1", False, every),
        ("loop, over policy 1", "policy 1", True, every),
        ("SFT samples, over the SFT policy", "sft", False, doubled),
        ("loop, over the SFT policy", "sft", True, doubled),
    )

    def against(line: str, policy: str, aligned: bool, i: int) -> tuple[str, ...]:
        if i not in doubled[1:]:
            return ()
        half = f"{line}: {i // 2}"
        if aligned and policy != "own":
            return half, f"{line.replace('loop', 'SFT samples')}: {i}"
        return (half,)

    return Study(
        __doc__ or "",
        tuple(
            Arm(
                f"{line}: {i}",
                over(policy, i, aligned=aligned),
                against(line, policy, aligned, i),
                (Point(_AXIS, i, line),),
            )
            for line, policy, aligned, measured in lines
            for i in measured
        ),
        claims=("ranker",),
    )
