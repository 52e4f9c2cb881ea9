"""Stage C: the SFT policy is aligned with the ranker: by PPO, rejection-sampling fine-tuning, or both."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import all_problems, training_problems
from rewardranker.stages.sampling import candidates_of, sample_and_execute
from rewardranker.stages.sft import fine_tune
from rewardranker.training.ppo import train_ppo
from rewardranker.training.rft import rft_examples
from rewardranker.training.sft import fitting


def align_stages(
    run: Run, recipe: Recipe, i: int, sft: Stage, ranker: Stage, problems: Stage, sampled: Sequence[Stage]
) -> Stage:
    """From the SFT policy to policy `i`, as the recipe's `align` says; the last stage of that."""
    if recipe.align == "ppo":
        return ppo_stage(run, recipe, i, sft, ranker, problems)
    policy = rft_stage(run, recipe, i, sft, problems, sampled)
    return ppo_stage(run, recipe, i, policy, ranker, problems) if recipe.align == "rft+ppo" else policy


def rft_stage(
    run: Run, recipe: Recipe, i: int, sft: Stage, problems: Stage, sampled: Sequence[Stage]
) -> Stage:
    """Rejection-sampling fine-tuning: SFT on references and on the candidates that passed."""
    settings, seed = recipe.rft, seed_for(recipe.seed, f"rft-{i}")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        known = all_problems(problems)
        drawn = rft_examples(known, candidates_of(sampled), settings.max_per_problem, seed)
        generator = Generator.from_pretrained(
            sft.path / "model", dtype=weights_dtype(recipe.compute, trained=True)
        )
        examples = fitting(generator, drawn, "RFT")  # what fills the context has no room for its end
        counts = {"examples": len(examples), "left_out_too_long": len(drawn) - len(examples)}
        write_json(folder / "summary.json", counts)
        fine_tune(generator, examples, settings, recipe.compute, seed, known, folder, cost, checkpoint)

    config = [settings.model_dump(), recipe.compute.model_dump(), seed]
    return run.stage(f"{i}-rft", work, config=config, inputs=[sft, problems, *sampled])


def ppo_stage(run: Run, recipe: Recipe, i: int, start: Stage, ranker: Stage, problems: Stage) -> Stage:
    """Proximal policy optimisation against ranker `i`, with a KL penalty to the policy it starts from."""
    settings, seed = recipe.ppo, seed_for(recipe.seed, f"ppo-{i}")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        development = [p for p in all_problems(problems) if p.split == "development"]
        checked = development[: settings.check_problems]
        policy = Generator.from_pretrained(
            start.path / "model", dtype=weights_dtype(recipe.compute, trained=True)
        )

        def pass_rate(current: Generator) -> float:
            name = f"ppo-{i}"
            found = sample_and_execute(
                recipe, current, name, checked, n=settings.samples, seed=seed, cost=cost
            )
            return sum(c.passed for c in found) / len(found)

        history = train_ppo(
            policy,
            RewardRanker.from_pretrained(
                ranker.path / "model", dtype=weights_dtype(recipe.compute, trained=True)
            ),
            training_problems(problems),
            settings,
            seed=seed,
            max_new_tokens=recipe.sampling.max_new_tokens,
            pass_rate=pass_rate if checked else None,
            checkpoint=checkpoint,
            compute=recipe.compute,
        )
        cost.tokens += sum(int(row.get("tokens", 0)) for row in history)
        policy.save(folder / "model")
        write_json(folder / "history.json", history)

    config = [settings.model_dump(), recipe.compute.model_dump(), recipe.sampling.max_new_tokens, seed]
    return run.stage(f"{i}-ppo", work, config=config, inputs=[start, ranker, problems])


def ppo_summaries(aligned: Sequence[Stage]) -> list[dict[str, Any]]:
    """From where to where each PPO went; of other alignments nothing."""
    summaries = []
    for i, stage in enumerate(aligned, 1):
        if not stage.name.endswith("-ppo"):
            continue
        history = json.loads((stage.path / "history.json").read_text())
        passes = [row["pass"] for row in history if row.get("pass") is not None]
        scores = [row["score"] for row in history if row["score"] is not None]
        summaries.append(
            {
                "iteration": i,
                "kl": history[-1]["kl"],
                "score_before": scores[0] if scores else None,
                "score_after": scores[-1] if scores else None,
                "pass_before": passes[0] if passes else None,
                "pass_after": passes[-1] if passes else None,
            }
        )
    return summaries
