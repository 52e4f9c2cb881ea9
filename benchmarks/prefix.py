"""Completions that share prompts, in one forward: how fast each way is, what is chosen, and how it grows.

    python benchmarks/prefix.py [-o FOLDER] [--rounds N]

Random weights and tokens; the ways alternate within a round, and the fastest round of each counts.

- Ways: log-probabilities with gradients (forward and backward), for shapes from those of the micro recipe to
  200 tokens of prompt and 150 of completion. "limit" is what leaving out everything that is computed twice or
  for padding would give: naive tokens over P + sum of R.
- Growth: the chosen way's time, and the memory that the forward keeps for the backward, against the size of
  the group, the length of completions and the width of the model, one at a time; with the exponent of the
  best power law.
"""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rewardranker.files import write_json, write_text
from rewardranker.models import prefix
from rewardranker.models.checkpoints import prefer_fast_kernels
from rewardranker.models.prefix import WAYS, cheapest, completion_logprobs
from rewardranker.models.tokens import Tokens

VOCABULARY = 1024
SHAPES = [  # width, layers, prompts, tokens of a prompt, completions of a prompt, tokens of a completion
    (128, 3, 16, 45, 4, 25),
    (128, 3, 16, 45, 8, 25),
    (128, 3, 4, 200, 8, 150),
    (256, 4, 1, 200, 2, 150),
    (256, 4, 1, 200, 8, 150),
    (256, 4, 1, 200, 16, 150),
    (256, 4, 4, 200, 8, 40),
    (256, 4, 4, 30, 8, 150),
    (256, 4, 1, 600, 8, 40),
    (768, 4, 1, 200, 8, 150),
]
Batch = tuple[list[Tokens], list[Tokens], list[int]]


def make_model(width: int, layers: int) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 64),
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    prefer_fast_kernels(model)
    return model


def make_batch(prompts: int, prompt: int, completions: int, completion: int) -> Batch:
    """Lengths vary by half to both sides."""
    rng = random.Random(0)

    def tokens(mean: int) -> Tokens:
        return [rng.randrange(VOCABULARY) for _ in range(rng.randint(mean // 2, mean + mean // 2))]

    owners = [p for p in range(prompts) for _ in range(completions)]
    return [tokens(prompt) for _ in range(prompts)], [tokens(completion) for _ in owners], owners


def seconds(model: PreTrainedModel, batch: Batch, way: prefix.Way | None) -> float:
    chosen: Callable[..., prefix.Way] = prefix.cheapest
    if way is not None:
        prefix.cheapest = lambda *_: way
    try:
        start = time.perf_counter()
        completion_logprobs(model, *batch)[0].sum().backward()
        return time.perf_counter() - start
    finally:
        prefix.cheapest = chosen
        model.zero_grad()


def kept_mb(model: PreTrainedModel, batch: Batch) -> float:
    """What the forward keeps for the backward, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_logprobs(model, *batch)
    return sum(kept.values()) / 2**20


def compare(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for width, layers, *shape in SHAPES:
        model, batch = make_model(width, layers), make_batch(*shape)
        times = {way: min(seconds(model, batch, way) for _ in range(rounds)) for way in WAYS}
        for _ in range(rounds):  # alternating, so that a busy moment hits all
            for way in WAYS:
                times[way] = min(times[way], seconds(model, batch, way))
        prompts, completions, owners = batch
        shortened = [row[:-1] for row in completions]
        way = cheapest(model.base_model, prompts, shortened, owners)
        naive = sum(len(prompts[o]) + len(c) for o, c in zip(owners, completions, strict=True))
        rows.append(
            {
                "width": width,
                "shape": shape,
                "seconds": times,
                "chosen": way,
                "fastest": min(times, key=lambda w: times[w]),
                "times": times["naive"] / times[way],
                "limit": naive / (sum(map(len, prompts)) + sum(map(len, completions))),
                "lost": times[way] / min(times.values()) - 1,
            }
        )
        print(row(rows[-1]), flush=True)
    return rows


def growth(rounds: int) -> list[dict[str, Any]]:
    usual = {"width": 256, "group": 8, "length": 100}
    found = []
    for name, values in (
        ("group", [2, 4, 8, 16, 32]),
        ("length", [25, 50, 100, 200, 400]),
        ("width", [128, 256, 512]),
    ):
        times, memory = [], []
        for value in values:
            setting = usual | {name: value}
            model = make_model(setting["width"], 4)
            batch = make_batch(1, 100, setting["group"], setting["length"])
            times.append(min(seconds(model, batch, None) for _ in range(2 + rounds)))
            memory.append(kept_mb(model, batch))
        logs = np.log(values)
        found.append(
            {
                "against": name,
                "values": values,
                "seconds": times,
                "kept_mb": memory,
                "seconds_exponent": float(np.polyfit(logs, np.log(times), 1)[0]),
                "kept_mb_exponent": float(np.polyfit(logs, np.log(memory), 1)[0]),
            }
        )
    return found


def row(r: dict[str, Any]) -> str:
    prompts, prompt, completions, completion = r["shape"]
    s = r["seconds"]
    return (
        f"| {r['width']} | {prompts} x {prompt} | {completions} x {completion} | {s['naive'] * 1e3:.0f} | "
        f"{s['cached'] * 1e3:.0f} | {s['tree'] * 1e3:.0f} | {r['chosen']} | {r['times']:.2f} | "
        f"{r['limit']:.2f} | {100 * r['lost']:.0f} % |"
    )


def page(report: dict[str, Any], command: str) -> str:
    lines = [
        "# Completions that share prompts",
        "",
        f"`{command}`: {report['threads']} threads; forward and backward, milliseconds, the fastest round.",
        "",
        "| width | prompts x tokens | completions x tokens | naive | cached | tree | chosen | times naive "
        "| limit | slower than the fastest |",
        "|" + " --- |" * 10,
        *map(row, report["ways"]),
        "",
        "## Growth",
        "",
        "The chosen way, one prompt of 100 tokens; 8 completions of 100 tokens, width 256, unless varied.",
        "",
        "| against | values | seconds | exponent | MB kept for the backward | exponent |",
        "|" + " --- |" * 6,
    ]
    for g in report["growth"]:
        lines.append(
            f"| {g['against']} | {', '.join(map(str, g['values']))} | "
            f"{', '.join(f'{x:.3f}' for x in g['seconds'])} | {g['seconds_exponent']:.2f} | "
            f"{', '.join(f'{x:.0f}' for x in g['kept_mb'])} | {g['kept_mb_exponent']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="folder for prefix.md and prefix.json")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    report = {"threads": torch.get_num_threads(), "ways": compare(arguments.rounds)}
    report["growth"] = growth(arguments.rounds)
    text = page(report, f"python benchmarks/prefix.py --rounds {arguments.rounds}")
    print(text)
    if arguments.out:
        write_json(arguments.out / "prefix.json", report)
        write_text(arguments.out / "prefix.md", text)


if __name__ == "__main__":
    main()
