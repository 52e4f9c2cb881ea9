"""Stage E: best of N on problems that nothing was trained or chosen on, beside every cheap neighbour."""

from collections.abc import Sequence
from pathlib import Path

from rewardranker.evaluation.policy import evaluated_candidates, scored_candidates
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.summary import Policy, summarise
from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import test_problems
from rewardranker.tables import read_table, write_table


def test_stage(run: Run, recipe: Recipe, policy: Policy, stage: Stage, problems: Stage) -> Stage:
    """First half: a policy samples the test problems, everything is executed."""
    settings, seed = recipe.evaluation, seed_for(recipe.seed, f"test-{policy.name}")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        candidates = evaluated_candidates(
            Generator.from_pretrained(
                stage.path / "model", dtype=weights_dtype(recipe.compute, trained=False)
            ),
            policy.name,
            test_problems(problems),
            evaluation=settings,
            sampling=recipe.sampling,
            execution=recipe.execution,
            seed=seed,
            checkpoint=checkpoint,
        )
        cost.tokens += sum(c.n_tokens for c in candidates)
        cost.executions += len(candidates) + sum(bool(c.behaviour) for c in candidates)
        write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)

    drawn = settings.model_dump(exclude={"bootstrap", "longer_sft_epochs"})
    config = [drawn, recipe.sampling.model_dump(exclude={"n"}), recipe.execution.decisive(), seed]
    return run.stage(f"test-{policy.name}", work, config=config, inputs=[problems, stage])


def evaluate_stage(
    run: Run,
    recipe: Recipe,
    problems: Stage,
    tested: Sequence[tuple[Policy, Stage]],
    rankers: Sequence[Stage],
) -> Stage:
    """Second half: every ranker scores, every selector selects."""
    settings = recipe.evaluation
    variant = recipe.variant if recipe.iterations > 1 else None

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        test = test_problems(problems)
        candidates = [
            c for _, s in tested for c in read_table(s.path / "candidates.parquet", EvaluatedCandidate)
        ]
        ranked = {policy.name for policy, _ in tested if policy.system != "sft-longer"}
        scored = [c for c in candidates if c.temperature == settings.temperature and c.policy in ranked]
        scores: list[ScoredCandidate] = []
        for i, stage in enumerate(rankers, 1):
            judge = RewardRanker.from_pretrained(
                stage.path / "model", dtype=weights_dtype(recipe.compute, trained=False)
            )
            scores += scored_candidates(judge, i, test, scored)
            cost.tokens += sum(c.n_tokens for c in scored)
        write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)
        write_table(folder / "scores.parquet", ScoredCandidate, scores)
        metrics = summarise(
            test,
            candidates,
            scores,
            policies=[policy for policy, _ in tested],
            variant=variant,
            align=recipe.align,
            temperature=settings.temperature,
            cool_temperature=settings.cool_temperature,
            bootstrap=settings.bootstrap,
            seed=seed_for(recipe.seed, "bootstrap"),
        )
        write_json(folder / "metrics.json", metrics)

    config = [settings.model_dump(), recipe.seed, variant, recipe.align]
    inputs = [problems, *(stage for _, stage in tested), *rankers]
    return run.stage("evaluate", work, config=config, inputs=inputs)
