"""Sampling candidates: `Generator.rollouts` beside transformers' `generate`.

    python benchmarks/sampling.py [-o FOLDER] [--rounds N] [--width N] [--layers N] [--problems N]

Both draw ten samples a prompt (75 to 125 tokens) from the same model at temperature 1, without top-k and
top-p, and decode them to text. The rounds of the two, each in a process of its own, alternate. `generate`
draws a prompt's samples by `num_return_sequences`, from prompts sorted by length; it first tries numbers of
prompts decoded together and both kinds of attention, and keeps the fastest. Counted are sampled tokens, the
end included, and nothing after it. That both decode the same is checked on greedy completions.

The limit is what goes through the model in `generate`, where every sample reads its prompt and goes on until
the longest of its batch has ended, over what needs to: each prompt once, and each sample to its end. On a CPU
a prompt's tokens, computed together, cost less than sampled ones; the limit counts them alike.

- equal: no sample ends before it has the most tokens.
- mixed: a sample ends with the same probability at every token, after 40 % of the most tokens on average.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers.serve import clock
from rewardranker.models.generator import Generator
from rewardranker.problems.problem import Problem
from side_by_side import (
    PEERS,
    Worker,
    alternate,
    best,
    characters,
    describe,
    make_generator,
    parse,
    parser,
    spread,
    started,
    write,
)

SAMPLES = 10


def compare(worker: Worker, generator: Generator, problems: int, tokens: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(0)
    texts = [characters(rng, rng.randint(75, 125)) for _ in range(problems)]
    asked = [Problem(id=str(i), language="python", prompt=p, tests="") for i, p in enumerate(texts)]
    lengths: dict[str, list[list[list[int]]]] = {"ours": [], "peer": []}

    def rollouts(n: int, temperature: float, seed: int) -> list[list[list[int]]]:
        found: list[list[list[int]]] = [[] for _ in asked]
        for batch in generator.rollouts(
            asked, n=n, temperature=temperature, max_new_tokens=tokens, seed=seed, batch_size=512
        ):
            for rollout in batch:
                found[rollout.problem].append(rollout.ids)
        return found

    def ours() -> float:
        start = clock()
        ids = rollouts(SAMPLES, 1.0, seed=len(lengths["ours"]))
        seconds = clock() - start
        lengths["ours"].append([[len(row) for row in rows] for rows in ids])
        return sum(map(sum, lengths["ours"][-1])) / seconds

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator.save(folder / "model")
        (folder / "prompts.json").write_text(json.dumps(texts))
        both = {"model": str(folder / "model"), "prompts": str(folder / "prompts.json"), "tokens": tokens}

        def peer(setting: dict[str, Any]) -> float:
            sampling = {"n": SAMPLES, "temperature": 1.0, "keep": False}
            answer = worker.ask(**both, **sampling, **setting)
            lengths["peer"].append(answer["lengths"])
            return sum(map(sum, answer["lengths"])) / float(answer["seconds"])

        setting = best("batch", sorted({problems, max(1, problems // 4), 1}), peer)
        greedy = worker.ask(**both, **setting, n=1, temperature=0.0, keep=True)["ids"]
        agree = sum(a == b for a, b in zip(greedy, rollouts(1, 0.0, 0), strict=True)) / problems
        assert agree > 0.8, agree  # a draw between two tokens may go either way
        ours()
        lengths = {"ours": [], "peer": []}
        found = alternate(rounds, ours=ours, peer=lambda: peer(setting))
    prompt_lengths = sorted(len(text.split()) + 1 for text in texts)
    mean = {side: [sum(map(sum, rows)) / problems / SAMPLES for rows in lengths[side]] for side in lengths}
    length = sum(mean["ours"]) / rounds
    order = sorted(range(problems), key=lambda i: len(texts[i].split()))
    computed = needed = 0
    for rows in lengths["peer"]:
        for first in range(0, problems, setting["batch"]):
            some = order[first : first + setting["batch"]]
            longest = max(max(rows[i]) for i in some)
            computed += len(some) * SAMPLES * (max(len(texts[i].split()) + 1 for i in some) + longest)
        needed += sum(prompt_lengths) + sum(map(sum, rows))
    return {
        **found,
        "setting": setting,
        "length": length,
        "mean_lengths": mean,
        "limit": computed / needed,
        "greedy_agree": agree,
    }


def line(name: str, f: dict[str, Any]) -> str:
    return (
        f"{name}: {f['ours']:.0f} tokens/s against {f['peer']:.0f} of transformers "
        f"({describe(f['setting'])}): {spread(f)} times; limit {f['limit']:.1f}; "
        f"{100 * f['greedy_agree']:.0f} % of greedy completions agree"
    )


def page(report: dict[str, Any]) -> list[str]:
    lines = [
        "# Sampling",
        "",
        f"`{report['command']}`. {SAMPLES} samples of each of {report['problems']} prompts, at most "
        f"{report['tokens']} tokens, temperature 1, a Llama of width {report['width']} with "
        f"{report['layers']} layers. Sampled tokens a second, medians of {report['rounds']} alternating "
        "rounds (in brackets the lowest and highest ratio of a round). limit: tokens that go through the "
        "model in `generate` over those that need to.",
        "",
        "| lengths | mean | Generator.rollouts | generate | its setting | times | limit "
        "| greedy completions that agree |",
        "|" + " --- |" * 8,
    ]
    for name, f in report["shapes"].items():
        lines.append(
            f"| {name} | {f['length']:.0f} | {f['ours']:.0f} | {f['peer']:.0f} | {describe(f['setting'])} | "
            f"{spread(f)} | {f['limit']:.2f} | "
            f"{100 * f['greedy_agree']:.0f} % |"
        )
    return lines


def main() -> None:
    arguments = parser(__doc__, "sampling")
    arguments.add_argument("--problems", type=int, default=16)
    arguments.add_argument("--tokens", type=int, default=96, help="most of a sample")
    a, report = parse(arguments)
    report["shapes"] = {}
    with started(sys.executable, PEERS / "generate.py") as worker:
        for name, mean in (("equal", float("inf")), ("mixed", 0.5 * a.tokens)):
            generator = make_generator(a.width, a.layers, mean)
            report["shapes"][name] = compare(worker, generator, a.problems, a.tokens, a.rounds)
            print(line(name, report["shapes"][name]), flush=True)
    write(a.out, "sampling", report, page(report))


if __name__ == "__main__":
    main()
