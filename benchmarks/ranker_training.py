"""Training a ranker on all pairs of right and wrong programs: `train_reward` beside TRL's RewardTrainer.

    python benchmarks/ranker_training.py [-o FOLDER] [--rounds N] [--width N] [--layers N]

Both train the same scalar ranker from the same weights, with the same steps of AdamW, on four right and four
wrong completions a problem: 16 pairs. `train_reward` is given the completions, RewardTrainer all pairs, in
the order in which `train_reward` meets the problems, so that each of its steps holds the same pairs. The
rounds of the two, each in a process of its own, alternate. RewardTrainer first tries numbers of pairs
computed together and both kinds of attention, and keeps the fastest; it is given tokens, so that it need not
tokenise, and no checkpointing of activations, which is its default. Its pairs of one step are sorted by
length. It is also run with the matrix kernels that we choose ("same kernels"), to tell what the kernels give.

Counted is the time from the first batch to the last step; calibration, which RewardTrainer doesn't have, is
left out, and `train_reward` as a whole is given beside it. The limit is the tokens of all pairs, prompt and
completion, over the tokens that differ: one prompt and eight completions a problem.

- drawn: prompts of 150 to 250 tokens, completions of 100 to 200.
- DebugBench: prompts and completions as long as those of DebugBench under a tokenizer trained on them.
"""

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peers.serve import clock
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.models.tokens import Tokens, encode_completions, encode_prompts
from rewardranker.problems.debugbench import read_debugbench
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Reward
from rewardranker.training.losses import bradley_terry_group
from rewardranker.training.reward import train_reward
from side_by_side import (
    PEERS,
    VOCABULARY,
    Worker,
    alternate,
    best,
    characters,
    characters_tokenizer,
    describe,
    make_model,
    parse,
    parser,
    spread,
    started,
    trl,
    write,
)

DEBUGBENCH = Path(__file__).parents[1] / ".." / "shared" / "data" / "pairs" / "debugbench.tar.gz"
TRL = "1.16.0"
SIDE = 4
"""Right programs of a problem, and wrong ones."""
STEP = 2
"""Problems a step."""
CONFIG = Reward(
    head="scalar",
    epochs=1,
    groups_per_batch=STEP,
    max_per_side=SIDE,
    learning_rate=1e-3,
    warmup=0.0,
    weight_decay=0.01,
    validation=0.0,
    max_grad_norm=1.0,
)
Lengths = tuple[int, list[int]]
"""Tokens of a prompt (bos left out) and of its eight completions (eos left out)."""


def drawn(count: int) -> list[Lengths]:
    rng = random.Random(0)
    return [(rng.randint(150, 250), [rng.randint(100, 200) for _ in range(2 * SIDE)]) for _ in range(count)]


def debugbench(count: int) -> list[Lengths]:
    """Of Python problems; those with fewer than eight programs have some lengths twice."""
    groups = read_debugbench(DEBUGBENCH, "python")
    texts = [text for g in groups for text in (g.prompt, *g.chosen, *g.rejected)]
    tokenizer = train_tokenizer(texts, VOCABULARY)
    rng = random.Random(0)
    found = []
    for group in rng.sample(groups, count):
        programs = [len(ids) for ids in tokenizer([*group.chosen, *group.rejected])["input_ids"]]
        found.append((len(tokenizer(group.prompt)["input_ids"]), (programs * 2 * SIDE)[: 2 * SIDE]))
    return found


def make_groups(lengths: Sequence[Lengths]) -> list[PreferenceGroup]:
    rng = random.Random(1)
    groups = []
    for number, (prompt, completions) in enumerate(lengths):
        texts = [characters(rng, length) for length in completions]
        sources = ("random",) * SIDE
        groups.append(
            PreferenceGroup(
                problem_id=str(number),
                prompt=characters(rng, prompt),
                chosen=tuple(texts[:SIDE]),
                rejected=tuple(texts[SIDE:]),
                chosen_sources=sources,
                rejected_sources=sources,
                source="random",
            )
        )
    return groups


class Watched:
    """What a run of `train_reward` did: when its steps were, on which prompts, with which losses."""

    def __init__(self) -> None:
        self.times: list[float] = []
        """Of each forward; those of the calibration follow those of the steps."""
        self.prompts: list[list[Tokens]] = []
        self.losses: list[float] = []

    def step(self, prompts: Sequence[Tokens], scores: Tensor) -> None:
        self.prompts.append([list(p) for p in prompts])
        groups = scores.detach().view(len(prompts), 2 * SIDE)
        self.losses.append(
            float(torch.stack([bradley_terry_group(g[:SIDE], g[SIDE:]) for g in groups]).mean())
        )

    @property
    def seconds(self) -> float:
        return self.times[len(self.losses)] - self.times[0]


@contextmanager
def watched() -> Iterator[Watched]:
    seen, forward = Watched(), RewardRanker.forward

    def watch(
        ranker: RewardRanker, prompts: Sequence[Tokens], completions: Sequence[Tokens], owners: Sequence[int]
    ) -> Tensor:
        seen.times.append(clock())
        scores = forward(ranker, prompts, completions, owners)
        if torch.is_grad_enabled():
            seen.step(prompts, scores)
        return scores

    RewardRanker.forward = watch  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        RewardRanker.forward = forward  # type: ignore[method-assign]


def pairs_in_order(
    ranker: RewardRanker, groups: Sequence[PreferenceGroup], steps: Sequence[Sequence[Tokens]]
) -> list[tuple[Tokens, Tokens]]:
    """All pairs as tokens; `steps`: the prompts of each step of `train_reward`."""
    prompts = encode_prompts(ranker.tokenizer, [g.prompt for g in groups])
    by_prompt = {tuple(ids): group for ids, group in zip(prompts, groups, strict=True)}
    found = []
    for step in steps:
        pairs = []
        for prompt in step:
            group = by_prompt[tuple(prompt)]
            chosen = encode_completions(ranker.tokenizer, group.chosen)
            rejected = encode_completions(ranker.tokenizer, group.rejected)
            pairs += [([*prompt, *a], [*prompt, *b]) for a, b in product(chosen, rejected)]
        found += sorted(pairs, key=lambda pair: max(map(len, pair)))
    return found


def compare(worker: Worker, ranker: RewardRanker, lengths: Sequence[Lengths], rounds: int) -> dict[str, Any]:
    groups = make_groups(lengths)
    count = len(groups) * SIDE**2
    whole: list[float] = []

    def train() -> Watched:
        with watched() as seen:
            start = clock()
            train_reward(ranker, groups, CONFIG, seed=0)
            whole.append(count / (clock() - start))
        return seen

    first = train()
    whole.clear()
    steps, in_step = len(groups) // STEP, STEP * SIDE**2
    assert len(first.losses) == steps, (len(first.losses), steps)
    pairs = pairs_in_order(ranker, groups, first.prompts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranker.save(folder / "ranker")
        (folder / "pairs.json").write_text(json.dumps(pairs))
        (folder / "few.json").write_text(json.dumps(pairs[:in_step]))

        def peer(setting: dict[str, Any], file: str = "pairs.json", onednn: bool = False) -> dict[str, Any]:
            return worker.ask(
                model=str(folder / "ranker"),
                pairs=str(folder / file),
                step=in_step,
                rate=CONFIG.learning_rate,
                decay=CONFIG.weight_decay,
                onednn=onednn,
                **setting,
            )

        def tried(setting: dict[str, Any]) -> float:
            return in_step / float(peer(setting, "few.json")["seconds"])

        setting = best("batch", (16, 8, 4, 2), tried)
        answers: list[dict[str, Any]] = []

        def theirs() -> float:
            answers.append(peer(setting))
            return count / float(answers[-1]["seconds"])

        def ours() -> float:
            seen = train()
            assert seen.losses == first.losses
            return count / seen.seconds

        found = alternate(rounds, ours=ours, peer=theirs)
        same = count / float(peer(setting, onednn=True)["seconds"])
    losses = answers[0]["losses"]
    difference = max(abs(a - b) for a, b in zip(first.losses, losses, strict=True))
    assert difference < 1e-4, (first.losses, losses)
    needed = sum(len(g) for g in (p for step in first.prompts for p in step))
    needed += sum(n + 1 for _, completions in lengths for n in completions)
    return {
        **found,
        "whole": sorted(whole)[len(whole) // 2],
        "setting": setting,
        "peer_same_kernels": same,
        "times_same_kernels": found["ours"] / same,
        "pairs": count,
        "steps": steps,
        "limit": sum(len(ids) for pair in pairs for ids in pair) / needed,
        "tokens": {"needed": needed, "peer": answers[0]["padded_tokens"]},
        "losses": {"ours": first.losses, "peer": losses},
        "largest_difference": difference,
    }


def line(name: str, found: dict[str, Any]) -> str:
    return (
        f"{name}: {found['ours']:.1f} pairs/s against {found['peer']:.1f} of TRL {TRL} "
        f"({describe(found['setting'])}): {spread(found)} times; limit {found['limit']:.1f}, "
        f"{100 * found['times'] / found['limit']:.0f} % of it; with the same kernels "
        f"{found['times_same_kernels']:.2f} times; losses differ by at most "
        f"{found['largest_difference']:.1e} in {found['steps']} steps"
    )


def page(report: dict[str, Any]) -> list[str]:
    lines = [
        "# Training a ranker",
        "",
        f"`{report['command']}`. {SIDE} x {SIDE} pairs a problem, {STEP} problems a step, a Llama of width "
        f"{report['width']} with {report['layers']} layers. Pairs a second, medians of {report['rounds']} "
        "alternating rounds (in brackets the lowest and highest ratio of a round). limit: the tokens of all "
        "pairs over those that differ. same kernels: TRL with the matrix kernels that `train_reward` takes. "
        "whole: `train_reward` with tokenising, copying the weights and calibration.",
        "",
        f"| lengths | train_reward | TRL {TRL} | its setting | times | limit | reached "
        "| same kernels, times | whole |",
        "|" + " --- |" * 9,
    ]
    for name, f in report["shapes"].items():
        lines.append(
            f"| {name} | {f['ours']:.1f} | {f['peer']:.1f} | {describe(f['setting'])} | {spread(f)} | "
            f"{f['limit']:.1f} | {100 * f['times'] / f['limit']:.0f} % | {f['times_same_kernels']:.2f} | "
            f"{f['whole']:.1f} |"
        )
    lines += ["", "Mean pair loss of each step, from the same weights:", ""]
    for name, f in report["shapes"].items():
        lines += [
            f"| {name} | {' | '.join(str(i + 1) for i in range(f['steps']))} |",
            "|" + " --- |" * (f["steps"] + 1),
            *(
                f"| {side} | {' | '.join(f'{x:.6f}' for x in f['losses'][key])} |"
                for side, key in (("train_reward", "ours"), (f"TRL {TRL}", "peer"))
            ),
            "",
            f"Largest difference: {f['largest_difference']:.1e}.",
            "",
        ]
    return lines[:-1]


def main() -> None:
    arguments = parser(__doc__, "ranker_training")
    arguments.add_argument("--problems", type=int, default=8)
    a, report = parse(arguments)
    shapes = {"drawn": drawn(a.problems)}
    if DEBUGBENCH.exists():
        shapes["DebugBench"] = debugbench(a.problems)
    else:
        print(f"{DEBUGBENCH} is absent: its lengths are left out")
    tokenizer = characters_tokenizer()
    generator = Generator(make_model(tokenizer, a.width, a.layers), tokenizer)
    ranker = RewardRanker.from_generator(generator, "scalar", seed=0)
    report["shapes"] = {}
    with started(trl(TRL), PEERS / "reward_trainer.py") as worker:
        for name, lengths in shapes.items():
            report["shapes"][name] = compare(worker, ranker, lengths, a.rounds)
            print(line(name, report["shapes"][name]), flush=True)
    write(a.out, "ranker_training", report, page(report))


if __name__ == "__main__":
    main()
