"""The method, stages A to E in the order of the paper (arXiv 2504.09643, section 3).

A. `sft`: the generator learns from reference programs. Its samples are executed (`sampling`).
B. `reward`: the ranker learns from right and wrong programs of the same problem (Bradley-Terry).
C. `alignment`: the SFT policy is aligned with the ranker (PPO, rejection-sampling fine-tuning, or both).
D. `mining`: the aligned policy samples again, everything is executed; hard negatives and new positives join
   the preference groups; B and C are repeated, C from the SFT policy.
E. `evaluation`: best of N on problems that nothing was trained or chosen on, beside every cheap neighbour.

The names are those of files in `rewardranker.stages`. Each stage reads the artifacts of earlier stages and
writes its own folder in the run directory (`run.py`).
"""

import json
from pathlib import Path
from typing import Any

import torch

from rewardranker.evaluation.summary import Policy
from rewardranker.files import atomic_path, write_json
from rewardranker.models.checkpoints import default_device
from rewardranker.recipe import Recipe, to_toml
from rewardranker.run import Run, Stage, environment
from rewardranker.stages.alignment import align_stages, ppo_summaries
from rewardranker.stages.evaluation import evaluate_stage, test_stage
from rewardranker.stages.mining import mine_stage
from rewardranker.stages.problems import problems_stage
from rewardranker.stages.reward import reward_stage
from rewardranker.stages.sampling import sample_again_stage, sample_stage
from rewardranker.stages.sft import sft_longer_stage, sft_stage


class Loop:
    """A run of the loop in its directory; `execute` is the whole of it, and goes on where it stopped."""

    def __init__(self, recipe: Recipe, directory: Path) -> None:
        self.recipe = recipe
        self.run = Run(directory)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        with atomic_path(directory / "recipe.toml") as path:
            path.write_text(to_toml(recipe))
        gpu = torch.cuda.get_device_name() if default_device().type == "cuda" else None
        write_json(directory / "environment.json", {**environment(recipe), "gpu": gpu})

    def execute(self) -> dict[str, Any]:
        """Run every stage that isn't done; return what metrics.json holds."""
        run, recipe = self.run, self.recipe
        problems = problems_stage(run, recipe)
        sft = sft_stage(run, recipe, problems)
        n = recipe.sampling.n
        sampled = [sample_stage(run, recipe, "0-sample", sft, "sft", n=n, problems=problems)]
        rankers: list[Stage] = []
        aligned: list[Stage] = []
        mined: list[Stage] = []
        for i in range(1, recipe.iterations + 1):
            start = aligned[-1] if aligned and recipe.reward.start == "aligned" else sft
            rankers.append(reward_stage(run, recipe, i, start, problems, sampled[0], mined))
            aligned.append(align_stages(run, recipe, i, sft, rankers[-1], problems, sampled))
            if i < recipe.iterations:
                new = sample_again_stage(run, recipe, i, sft, aligned[-1], problems)
                mined.append(mine_stage(run, recipe, i, rankers[-1], problems, sampled, new))
                sampled.append(new)
        policies = [(Policy("sft", "sft", 0), sft)]
        if recipe.evaluation.longer_sft_epochs:
            longer = sft_longer_stage(run, recipe, sft, problems)
            policies.append((Policy("sft-longer", "sft-longer", 0), longer))
        policies += [(Policy(f"aligned-{i}", "aligned", i), stage) for i, stage in enumerate(aligned, 1)]
        tested = [(policy, test_stage(run, recipe, policy, stage, problems)) for policy, stage in policies]
        evaluated = evaluate_stage(run, recipe, problems, tested, rankers)
        return self._write_metrics(evaluated, aligned)

    def _write_metrics(self, evaluated: Stage, aligned: list[Stage]) -> dict[str, Any]:
        total = self.run.write_cost()
        metrics: dict[str, Any] = {
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "wall_s": round(total.wall_s, 1),
            **json.loads((evaluated.path / "metrics.json").read_text()),
            "ppo": ppo_summaries(aligned),
        }
        write_json(self.run.directory / "metrics.json", metrics)
        return metrics
