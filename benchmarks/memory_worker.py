"""Training stages, each in a process of its own, so that its memory can be told; see `memory.py`.

Processes are forked from one that has imported everything and computed nothing. A request: `recipe`, a file;
`settings`, assignments on top; `stage`; `ranker`, the folder of PPO's ranker. The answer: the peak of the
process after its models were loaded, over what it had before and as it is, and the CPU seconds since then.
"""

import json
import os
import random
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from peers.serve import forget_peak, memory_mb, serve
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import load_recipe
from rewardranker.training.ppo import train_ppo
from rewardranker.training.reward import train_reward
from rewardranker.training.sft import train_sft
from side_by_side import characters


def measure(*, recipe: str, settings: list[str], stage: str, ranker: str, threads: int) -> dict[str, Any]:
    before = memory_mb("VmRSS")
    torch.set_num_threads(threads)
    found = load_recipe(recipe, tuple(settings))
    problems = [p for p in load_problems(*found.problems.files) if p.split == "reference"]
    generator = Generator.from_pretrained(Path(found.generator.checkpoint))
    teacher = RewardRanker.from_pretrained(Path(ranker)) if stage == "ppo" else None
    forget_peak()
    start = time.process_time()
    if stage == "sft":
        examples = [(p.prompt, p.reference or "") for p in problems]
        train_sft(generator, examples, found.sft, seed=1, compute=found.compute)
    elif stage == "reward":
        rng, side = random.Random(1), found.reward.max_per_side
        length = len(problems[0].reference or "")
        groups = [
            PreferenceGroup(
                problem_id=p.id,
                prompt=p.prompt,
                chosen=tuple(characters(rng, length) for _ in range(side)),
                rejected=tuple(characters(rng, length) for _ in range(side)),
                chosen_sources=("random",) * side,
                rejected_sources=("random",) * side,
                source="random",
            )
            for p in problems
        ]
        train_reward(generator, groups, found.reward, seed=1, compute=found.compute)
    else:
        assert teacher is not None
        train_ppo(
            generator,
            teacher,
            problems,
            found.ppo,
            seed=1,
            max_new_tokens=found.sampling.max_new_tokens,
            compute=found.compute,
        )
    return {
        "peak_mb": memory_mb("VmHWM") - before,
        "process_mb": memory_mb("VmHWM"),
        "cpu_s": time.process_time() - start,
    }


def forked(**request: Any) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, json.dumps(measure(**request)).encode())
        except Exception:
            traceback.print_exc()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    assert text, f"{request}: it failed, see above"
    found: dict[str, Any] = json.loads(text)
    return found


if __name__ == "__main__":
    serve(forked)
