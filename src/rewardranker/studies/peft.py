"""Can full retraining be replaced by low-rank adapters (LoRA)?

The SFT policy is trained in full; then the ranker (over the SFT policy's samples) or the policy (by RFT) is
trained from it, all weights or adapters on all linear layers, whose products are scaled by 2. Adapters
usually want a higher rate: five times the full training's, and once the same. Memory is the peak of a process
of its own that trains on 64 problems, beyond what it held before; stored is what training changed.
"""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

from rewardranker import mining
from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.lora import prepared
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Recipe, changed
from rewardranker.run import Checkpoint, Cost
from rewardranker.stages.alignment import rft_stage
from rewardranker.stages.problems import all_problems, references, training_problems
from rewardranker.stages.reward import reward_stage
from rewardranker.stages.sampling import candidates_of
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study
from rewardranker.training.reward import train_reward
from rewardranker.training.sft import train_sft

What = Literal["ranker", "policy"]
_FEW = 64


def trained(what: What, rank: int = 0, rate: float = 1.0) -> Callable[[Seed], Measured]:
    """The ranker or the policy; adapters of `rank` (0: all weights) at `rate` times the recipe's rate."""

    def measure(seed: Seed) -> Measured:
        run, problems, sft, sampled = seed.run, seed.problems(), seed.sft(), seed.sampled()
        recipe = changed(
            seed.recipe,
            compute={"lora_rank": rank, "lora_alpha": 2 * rank} if rank else {},
            reward={"learning_rate": rate * seed.recipe.reward.learning_rate},
            rft={"learning_rate": rate * seed.recipe.rft.learning_rate},
        )
        if what == "ranker":
            stage = reward_stage(run, recipe, 1, sft, problems, sampled, [])
            found = seed.measured(seed.tested(sft, "sft"), stage)
            found = Measured({"ranker": found.solved["ranker"]}, found.numbers)
        else:
            stage = rft_stage(run, recipe, 1, sft, problems, [sampled])
            found = seed.measured(seed.tested(stage, "aligned-1"))
        found.numbers["training, CPU s"] = stage.cost.cpu_s
        found.numbers |= _memory(seed, recipe, what)
        return found

    return measure


def _memory(seed: Seed, recipe: Recipe, what: What) -> dict[str, float]:
    """Peak memory and stored bytes."""
    sft, problems, sampled = seed.sft(), seed.problems(), seed.sampled()

    def work(folder: Path, _: Cost, __: Checkpoint) -> None:
        groups = mining.initial_groups(training_problems(problems), candidates_of([sampled]))[:_FEW]
        examples = references(all_problems(problems), "reference")[:_FEW]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            task = pool.submit(_train_a_few, recipe, what, sft.path / "model", groups, examples)
            write_json(folder / "memory.json", task.result())

    config = [what, recipe.compute.model_dump(), recipe.reward.model_dump(), recipe.rft.model_dump()]
    with seed.uncounted():
        stage = seed.run.stage("memory", work, config=config, inputs=[sft, problems, sampled])
    found: dict[str, float] = json.loads((stage.path / "memory.json").read_text())
    return found


def _train_a_few(
    recipe: Recipe,
    what: What,
    model: Path,
    groups: list[PreferenceGroup],
    examples: list[tuple[str, str]],
) -> dict[str, float]:
    """In a process of its own, whose peak is that of this training."""
    generator = Generator.from_pretrained(model)
    with prepared(generator.model, recipe.compute):
        weights = sum(p.numel() for p in generator.model.parameters() if p.requires_grad)
    before = _resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    if what == "ranker":
        train_reward(generator, groups, recipe.reward, seed=1, compute=recipe.compute)
    else:
        train_sft(generator, examples, recipe.rft, seed=1, compute=recipe.compute)
    return {"memory, MB": _resident_mb("VmHWM") - before, "stored, kB": weights * 4 / 1000}


def _resident_mb(field: str) -> float:
    """A line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def study(_: Recipe) -> Study:
    """Adapters of two ranks, and of two rates, against all weights."""
    adapters = (("LoRA 4", 4, 5.0), ("LoRA 16", 16, 5.0), ("LoRA 16 at the full rate", 16, 1.0))
    whats: tuple[What, ...] = ("ranker", "policy")
    return Study(
        __doc__ or "",
        tuple(
            Arm(f"{what}: {name}", trained(what, rank, rate), (f"{what}: full",) if rank else ())
            for what in whats
            for name, rank, rate in (("full", 0, 1.0), *adapters)
        ),
        claims=("greedy", "ranker"),
    )
