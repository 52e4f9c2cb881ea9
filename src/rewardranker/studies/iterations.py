"""Does the loop keep improving past two iterations, or degrade?

In each iteration a policy samples the training problems, failures that the ranker takes for right and
new passing programs join its groups, and it is retrained on all of them. In the loop the policy is
aligned anew by RFT on all samples so far, and the ranker starts from it; beside it the same is done on
the SFT policy's samples alone. Each ranker is measured over the samples of policy 1 and of the SFT
policy, which stay the same, the loop's also over its own policy's.
"""

from collections.abc import Callable

from rewardranker.recipe import Recipe
from rewardranker.run import Stage
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Point, Study

_AXIS = "iteration"


def ranker_of(seed: Seed, i: int, *, aligned: bool) -> tuple[Stage, list[Stage]]:
    """Ranker `i` of the loop, or of the SFT policy's samples alone; and the samples mined for it."""
    ranker, sampled, mined = seed.ranker(), list[Stage](), list[Stage]()
    for k in range(1, i):
        policy = seed.rft(k, sampled) if aligned else seed.sft()
        name = f"{k}-sample" if aligned else f"{k}-sample-sft"
        new = seed.sample(name, policy, f"aligned-{k}" if aligned else "sft", seed.recipe.mining.n)
        mined.append(seed.mine(k, ranker, [seed.sampled(), *sampled], new))
        sampled.append(new)
        ranker = seed.ranker(k + 1, start=policy, mined=mined)
    return ranker, sampled


def over(policy: str, i: int, *, aligned: bool) -> Callable[[Seed], Measured]:
    """Ranker `i` over the samples of the SFT policy, of policy 1, or ("own") of policy i."""

    def measure(seed: Seed) -> Measured:
        ranker, sampled = ranker_of(seed, i, aligned=aligned)
        if policy == "own":
            return seed.measured(seed.tested(seed.rft(i, sampled), f"aligned-{i}"), ranker)
        with seed.uncounted():  # a yardstick
            tested = (
                seed.tested(seed.sft(), "sft") if policy == "sft" else seed.tested(seed.rft(), "aligned-1")
            )
        return seed.measured(tested, ranker)

    return measure


def study(recipe: Recipe) -> Study:
    """All iterations over policy 1, the 1st, 2nd, 4th, ... over others; these against half as many."""
    doubled = [2**k for k in range(recipe.iterations.bit_length()) if 2**k <= recipe.iterations]
    every = list(range(1, recipe.iterations + 1))
    lines = (
        ("loop, over its own policy", "own", True, doubled),
        ("loop, over policy 1", "policy 1", True, every),
        ("SFT samples, over policy 1", "policy 1", False, every),
        ("loop, over the SFT policy", "sft", True, doubled),
        ("SFT samples, over the SFT policy", "sft", False, doubled),
    )
    return Study(
        __doc__ or "",
        tuple(
            Arm(
                f"{line}: {i}",
                over(policy, i, aligned=aligned),
                (f"{line}: {i // 2}",) if i in doubled[1:] else (),
                (Point(_AXIS, i, line),),
            )
            for line, policy, aligned, measured in lines
            for i in measured
        ),
        claims=("ranker",),
    )
