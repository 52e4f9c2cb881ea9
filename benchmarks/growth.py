"""How time and memory of the ranker grow with the group, the length of completions and the model.

    python benchmarks/growth.py [-o FOLDER] [--rounds N] [--cpu]

One problem with a prompt of 100 tokens; random weights and texts. One of three is varied at a time; the
others stay at 8 completions, 100 tokens a completion and width 256, four layers. The exponent is that of the
best power law, fitted to logarithms; for models it is of the parameters, without the input embeddings.

- training: the Bradley-Terry loss of all pairs of right and wrong completions (half are right), forward and
  backward, of a ranker with the likelihood head.
- scoring: `RewardRanker.score` of the group, which computes at most 2,048 tokens together.

The time is that of the fastest round. Memory is the peak of the process over what it had when weights and
gradients were in place: what a step keeps and computes with.
"""

import argparse
import ctypes
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peers.serve import clock, forget_peak, memory_mb
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import encode_completions, encode_prompts
from rewardranker.training.losses import bradley_terry_group
from side_by_side import characters, characters_tokenizer, make_model, parse, write

PROMPT, LAYERS = 100, 4
USUAL = {"group": 8, "length": 100, "width": 256}
VALUES = {"group": [2, 4, 8, 16, 32], "length": [25, 50, 100, 200, 400], "width": [128, 256, 512, 1024]}
LIBC = ctypes.CDLL(None)


def works(group: int, length: int, width: int) -> tuple[dict[str, Callable[[], Any]], int]:
    """Training and scoring of one setting, and the parameters that each token goes through."""
    tokenizer = characters_tokenizer()
    model = make_model(tokenizer, width, LAYERS)
    ranker = RewardRanker(model, tokenizer, "likelihood")
    rng = random.Random(0)
    prompt = characters(rng, PROMPT)
    completions = [characters(rng, rng.randint(length // 2, length + length // 2)) for _ in range(group)]
    prompt_ids, ids = encode_prompts(tokenizer, [prompt]), encode_completions(tokenizer, completions)

    def train() -> None:
        scores = ranker.forward(prompt_ids, ids, [0] * group)
        bradley_terry_group(*scores.split([group // 2, group // 2])).backward()
        model.zero_grad(set_to_none=False)

    def score() -> None:
        ranker.score([prompt] * group, completions)

    parameters = model.num_parameters() - model.get_input_embeddings().weight.numel()
    return {"training": train, "scoring": score}, parameters


def seconds(work: Callable[[], Any]) -> float:
    start = clock()
    work()
    return clock() - start


def peak_mb(work: Callable[[], Any]) -> float:
    LIBC.malloc_trim(0)
    forget_peak()
    before = memory_mb("VmRSS")
    work()
    return memory_mb("VmHWM") - before


def growth(name: str, rounds: int) -> list[dict[str, Any]]:
    made = [works(**USUAL | {name: value}) for value in VALUES[name]]
    against = [parameters for _, parameters in made] if name == "width" else VALUES[name]
    logs = np.log(against)
    found = []
    for what in ("training", "scoring"):
        times, memory = [], []
        for all_works, _ in made:
            work = all_works[what]
            work()  # kernels are compiled, gradients put in place
            times.append(min(seconds(work) for _ in range(rounds)))
            memory.append(min(peak_mb(work) for _ in range(rounds)))
        found.append(
            {
                "what": what,
                "against": name,
                "values": VALUES[name],
                "fitted_to": against,
                "seconds": times,
                "peak_mb": memory,
                "seconds_exponent": float(np.polyfit(logs, np.log(times), 1)[0]),
                "peak_mb_exponent": float(np.polyfit(logs, np.log(memory), 1)[0]),
            }
        )
        print(row(found[-1]), flush=True)
    return found


def row(g: dict[str, Any]) -> str:
    values = ", ".join(map(str, g["values"]))
    if g["against"] == "width":
        values += f" ({', '.join(f'{n / 1e6:.1f}' for n in g['fitted_to'])} M parameters)"
    return (
        f"| {g['what']} | {g['against']} | {values} | {', '.join(f'{x:.3f}' for x in g['seconds'])} | "
        f"{g['seconds_exponent']:.2f} | {', '.join(f'{x:.0f}' for x in g['peak_mb'])} | "
        f"{g['peak_mb_exponent']:.2f} |"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("-o", "--out", type=Path, help="folder for growth.md and growth.json")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--cpu", action="store_true", help="measure CPU seconds: for a busy machine")
    a, report = parse(arguments)
    report["growth"] = [found for name in VALUES for found in growth(name, a.rounds)]
    lines = [
        "# How the ranker's time and memory grow",
        "",
        f"`{report['command']}`. A prompt of {PROMPT} tokens; {USUAL['group']} completions of "
        f"{USUAL['length']} tokens, width {USUAL['width']}, {LAYERS} layers, unless varied; the fastest of "
        f"{a.rounds} rounds. Memory: the peak beyond weights, gradients and the rest of the process. "
        "Exponents of the best power law, for models of their parameters without input embeddings.",
        "",
        "| work | against | values | seconds | exponent | MB | exponent |",
        "|" + " --- |" * 7,
        *map(row, report["growth"]),
    ]
    write(a.out, "growth", report, lines)


if __name__ == "__main__":
    main()
