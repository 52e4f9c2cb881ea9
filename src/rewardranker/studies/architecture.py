"""Does it carry over to another family of models?

Generator and ranker are decoders of the same width, depth and number of heads, trained from scratch on
the same problems, with everything else of the recipe as it is: Llama (RMSNorm, a gated feed-forward
layer after attention) and GPT-NeoX (LayerNorm and biases, a plain feed-forward layer beside attention,
rotary positions on a quarter of each head). What is asked is whether the steps bring in one family what
they bring in the other.
"""

from collections.abc import Callable
from pathlib import Path

from rewardranker.models.generator import Generator
from rewardranker.recipe import Recipe
from rewardranker.run import Stage
from rewardranker.studies.iterations import ranker_of
from rewardranker.studies.seed import Measured, Seed, learning_curve
from rewardranker.studies.study import Arm, Study

FAMILIES = {"Llama": "llama", "GPT-NeoX": "gpt_neox"}


def step(family: str, policy: int, ranker: int) -> Callable[[Seed], Measured]:
    """Policy `policy` (0: SFT) with ranker `ranker`, of a family."""

    def measure(seed: Seed) -> Measured:
        seed.decoder("other families")
        other = seed.changed(generator={"decoder": {"family": family}})
        generator = other.rft() if policy else other.sft()
        tested = other.tested(generator, "aligned-1" if policy else "sft")
        found = other.measured(tested, ranker_of(other, ranker, aligned=True))
        if ranker > 1:
            del found.solved["greedy"]  # that of ranker 1's arm
        elif not policy:
            found.curves = learning_curve(generator)
        found.numbers["million parameters"] = _parameters(generator)
        return found

    return measure


def _parameters(stage: Stage) -> float:
    model = Generator.from_pretrained(Path(stage.path / "model")).model
    return float(model.num_parameters()) / 1e6


def study(_: Recipe) -> Study:
    """Three steps of the cycle a family; each step against the one before it, and family against family."""
    steps = {"SFT": (0, 1), "RFT": (1, 1), "RFT, ranker 2": (1, 2)}
    arms = []
    for family, key in FAMILIES.items():
        before: tuple[str, ...] = ()
        for name, (policy, ranker) in steps.items():
            other = (f"Llama: {name}",) if family != "Llama" else ()
            arms.append(Arm(f"{family}: {name}", step(key, policy, ranker), before + other))
            before = (f"{family}: {name}",)
    return Study(
        __doc__ or "",
        tuple(arms),
        claims=("greedy", "ranker"),
        within=(("ranker", "logprob"),),
    )
