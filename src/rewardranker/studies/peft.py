"""Can full retraining be replaced by low-rank adapters (LoRA)?

The SFT policy is trained in full; then the ranker (over the SFT policy's samples) or the policy (by RFT) is
trained from it, all weights or adapters on all linear layers, whose products are scaled by 2. Adapters
usually want a higher rate: five times the full training's, and once the same. Memory is the peak of a process
of its own that trains on 64 problems, beyond what it held before; stored is what training changed.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rewardranker import mining
from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.lora import prepared
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Recipe, changed
from rewardranker.run import Checkpoint, Cost
from rewardranker.stages.alignment import rft_stage
from rewardranker.stages.problems import references
from rewardranker.stages.reward import reward_stage
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Study
from rewardranker.tables import read_table
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
    inputs = seed.sft(), seed.problems(), seed.sampled()

    def work(folder: Path, _: Cost, __: Checkpoint) -> None:
        asked = json.dumps([recipe.model_dump(mode="json"), what, *(str(s.path) for s in inputs)])
        code = "from rewardranker.studies.peft import train_a_few; train_a_few()"
        done = subprocess.run(
            [sys.executable, "-c", code], input=asked, stdout=subprocess.PIPE, text=True, check=True
        )
        write_json(folder / "memory.json", json.loads(done.stdout))

    config = [what, recipe.compute.model_dump(), recipe.reward.model_dump(), recipe.rft.model_dump()]
    with seed.uncounted():
        stage = seed.run.stage("memory", work, config=config, inputs=inputs)
    found: dict[str, float] = json.loads((stage.path / "memory.json").read_text())
    return found


def train_a_few() -> None:
    """The main function of a process of its own, whose peak is that of this training; reads stdin, prints."""
    settings, what, sft, problems, sampled = json.loads(sys.stdin.read())
    recipe = Recipe.model_validate(settings)
    generator = Generator.from_pretrained(Path(sft) / "model")
    known = read_table(Path(problems) / "problems.parquet", Problem)
    candidates = read_table(Path(sampled) / "candidates.parquet", ExecutedCandidate)
    groups = mining.initial_groups(known, candidates)[:_FEW]
    with prepared(generator.model, recipe.compute):
        weights = sum(p.numel() for p in generator.model.parameters() if p.requires_grad)
    before = _resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    if what == "ranker":
        train_reward(generator, groups, recipe.reward, seed=1, compute=recipe.compute)
    else:
        train_sft(
            generator, references(known, "reference")[:_FEW], recipe.rft, seed=1, compute=recipe.compute
        )
    found = {"memory, MB": _resident_mb("VmHWM") - before, "stored, kB": weights * 4 / 1000}
    sys.stdout.write(json.dumps(found))


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
