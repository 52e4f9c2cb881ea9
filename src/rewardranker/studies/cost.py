"""What does the cycle cost, step by step, and what does each step bring?

The steps of two iterations in their order, as a user would stop after any of them: the policy's greedy
answer, or the ranker's pick out of its samples. Costs are those of everything up to that step, from
nothing; beyond the step that it builds on they are the step's own. What an answer takes is beside it:
programs and tokens sampled a problem, and the size of the models that have to be kept.
"""

from collections.abc import Callable
from pathlib import Path

from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.recipe import Recipe
from rewardranker.run import Stage
from rewardranker.studies.iterations import policy_of, ranker_of
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study
from rewardranker.tables import read_table


def step(policy: int, ranker: int | None) -> Callable[[Seed], Measured]:
    """Policy `policy` (0: SFT) and, for picking, ranker `ranker`."""

    def measure(seed: Seed) -> Measured:
        generator = policy_of(seed, policy) if policy else seed.sft()
        tested = seed.tested(generator, f"aligned-{policy}" if policy else "sft")
        judge = ranker_of(seed, ranker, aligned=True) if ranker else None
        found = seed.measured(tested, judge)
        answer = "greedy" if judge is None else "ranker"
        return Measured({"answer": found.solved[answer]}, _answer(seed, tested, generator, judge))

    return measure


def _answer(seed: Seed, tested: Stage, generator: Stage, judge: Stage | None) -> dict[str, float]:
    """What an answer takes."""
    temperature = seed.recipe.evaluation.temperature if judge else 0.0
    drawn = [
        c.n_tokens
        for c in read_table(tested.path / "candidates.parquet", EvaluatedCandidate)
        if c.temperature == temperature
    ]
    programs = seed.recipe.evaluation.n if judge else 1
    models = [generator, *([judge] if judge else [])]
    return {
        "programs a problem": programs,
        "tokens a problem": programs * sum(drawn) / len(drawn),
        "models, MB": sum(_size(stage.path / "model") for stage in models) / 1e6,
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def study(_: Recipe) -> Study:
    """Each step against those that it builds on."""
    return Study(
        __doc__ or "",
        (
            Arm("SFT", step(0, None)),
            Arm("SFT + ranker 1", step(0, 1), ("SFT",)),
            Arm("RFT 1", step(1, None), ("SFT",)),
            Arm("RFT 1 + ranker 1", step(1, 1), ("RFT 1", "SFT + ranker 1")),
            Arm("RFT 1 + ranker 2", step(1, 2), ("RFT 1 + ranker 1",)),
            Arm("RFT 2", step(2, None), ("RFT 1",)),
            Arm("RFT 2 + ranker 2", step(2, 2), ("RFT 2", "RFT 1 + ranker 2")),
        ),
        claims=("answer",),
    )
