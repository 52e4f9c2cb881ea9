"""Stage D, second half: the ranker scores the new candidates; hard negatives and new positives are kept."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rewardranker import mining
from rewardranker.evaluation.best_of_n import score_all
from rewardranker.files import write_json
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import training_problems
from rewardranker.stages.sampling import candidates_of
from rewardranker.tables import write_table


def mine_stage(
    run: Run, recipe: Recipe, i: int, ranker: Stage, problems: Stage, earlier: Sequence[Stage], new: Stage
) -> Stage:
    """Ranker `i` scores what stage `new` sampled; what is hard or newly right becomes preference groups."""
    settings, variant = recipe.mining, recipe.variant
    seed = seed_for(recipe.seed, f"mine-{i}")

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        training, candidates = training_problems(problems), candidates_of([new])
        prompts = {p.id: p.prompt for p in training}
        model = RewardRanker.from_pretrained(
            ranker.path / "model", dtype=weights_dtype(recipe.compute, trained=False)
        )
        scores = score_all(model, [(prompts[c.problem_id], c.text) for c in candidates], "score")[0]
        cost.tokens += sum(c.n_tokens for c in candidates)
        groups, mined = mining.mine(
            training,
            candidates_of(earlier),
            candidates,
            scores.tolist(),
            settings,
            variant=variant,
            source=f"{variant}-{i}",
            seed=seed,
        )
        write_table(folder / "groups.parquet", PreferenceGroup, groups)
        write_table(folder / "mined.parquet", mining.MinedProgram, mined)
        counts = Counter(m.kind for m in mined)
        passed = sum(c.passed for c in candidates)
        write_json(
            folder / "summary.json",
            {"sampled": len(candidates), "passed": passed, "groups": len(groups), **counts},
        )

    config = [settings.model_dump(), variant, seed]
    return run.stage(f"{i}-mine", work, config=config, inputs=[ranker, problems, *earlier, new])
