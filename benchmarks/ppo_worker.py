"""`train_ppo` in a process of its own, so that its memory can be told from the rest; see `peers/serve.py`.

A request: `policy` and `ranker`, folders; `prompts`, a JSON file with texts; `response`, most tokens of a
completion; `config`, the recipe's [ppo]. The answer: when each round's rollouts were evaluated, the history,
and the process's peak memory over what it had before the first model was loaded.
"""

import json
from pathlib import Path
from typing import Any

import torch

from peers.serve import clock, memory_mb, serve
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.problem import Problem
from rewardranker.recipe import PPO
from rewardranker.training.ppo import train_ppo

BASELINE_MB = memory_mb("VmRSS")


def train(
    *, policy: str, ranker: str, prompts: str, response: int, config: dict[str, Any], threads: int
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    texts = json.loads(Path(prompts).read_text())
    problems = [Problem(id=str(i), language="python", prompt=p, tests="") for i, p in enumerate(texts)]
    times: list[float] = []

    def pass_rate(_: Generator) -> float:
        times.append(clock())
        return 0.0

    history = train_ppo(
        Generator.from_pretrained(Path(policy)),
        RewardRanker.from_pretrained(Path(ranker)),
        problems,
        PPO(**config),
        seed=0,
        max_new_tokens=response,
        pass_rate=pass_rate,
    )
    return {"times": times, "history": history, "peak_mb": memory_mb("VmHWM") - BASELINE_MB}


if __name__ == "__main__":
    serve(train)
