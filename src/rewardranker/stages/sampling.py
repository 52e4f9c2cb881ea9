"""A policy's candidates for the training problems, executed: what rankers and policies learn from."""

from collections.abc import Sequence
from pathlib import Path

from rewardranker.evaluation.policy import executed_candidates
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import training_problems
from rewardranker.tables import read_table, write_table


def sample_stage(
    run: Run, recipe: Recipe, name: str, policy: Stage, policy_name: str, *, n: int, problems: Stage
) -> Stage:
    """`n` candidates of `policy` for each training problem."""
    seed = seed_for(recipe.seed, name)

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        candidates = sample_and_execute(
            recipe,
            Generator.from_pretrained(
                policy.path / "model", dtype=weights_dtype(recipe.compute, trained=False)
            ),
            policy_name,
            training_problems(problems),
            n=n,
            seed=seed,
            cost=cost,
            checkpoint=checkpoint,
        )
        write_table(folder / "candidates.parquet", ExecutedCandidate, candidates)

    sampling = recipe.sampling.model_copy(update={"n": n})
    config = [sampling.model_dump(), recipe.execution.decisive(), seed]
    return run.stage(name, work, config=config, inputs=[problems, policy])


def sample_again_stage(
    run: Run, recipe: Recipe, i: int, sft: Stage, aligned: Stage, problems: Stage
) -> Stage:
    """Stage D, first half: policy `i` samples (in the variant "fresh" the SFT policy, as a control)."""
    n = recipe.mining.n
    if recipe.variant == "fresh":
        return sample_stage(run, recipe, f"{i}-sample-sft", sft, "sft", n=n, problems=problems)
    return sample_stage(run, recipe, f"{i}-sample", aligned, f"aligned-{i}", n=n, problems=problems)


def sample_and_execute(
    recipe: Recipe,
    generator: Generator,
    name: str,
    problems: Sequence[Problem],
    *,
    n: int,
    seed: int,
    cost: Cost,
    checkpoint: Checkpoint | None = None,
) -> list[ExecutedCandidate]:
    """`n` candidates a problem, executed, and counted into `cost`."""
    candidates = executed_candidates(
        generator,
        name,
        problems,
        n=n,
        sampling=recipe.sampling,
        execution=recipe.execution,
        seed=seed,
        checkpoint=checkpoint,
    )
    cost.tokens += sum(c.n_tokens for c in candidates)
    cost.executions += len(candidates)
    return candidates


def candidates_of(stages: Sequence[Stage]) -> list[ExecutedCandidate]:
    """What the sampling stages wrote."""
    return [c for s in stages for c in read_table(s.path / "candidates.parquet", ExecutedCandidate)]
