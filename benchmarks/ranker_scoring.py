"""Scoring the candidates of a problem: `RewardRanker.score` beside a padded batch of plain transformers.

    python benchmarks/ranker_scoring.py [-o FOLDER] [--rounds N] [--width N] [--layers N] [--problems N]

Both score ten candidates a problem (prompts of 150 to 250 tokens, completions of 100 to 200) with the same
scalar ranker, which transformers loads as AutoModelForSequenceClassification from what `RewardRanker.save`
wrote. Both are given texts. The rounds of the two, each in a process of its own, alternate. transformers
sorts texts by length, and first tries numbers of texts computed together and both kinds of attention, and
keeps the fastest. It is also run with the matrix kernels that we choose ("same kernels").

The limit is the tokens of all prompts with completions over the tokens that differ: P + sum of R a problem.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from peers.serve import clock
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from side_by_side import (
    PEERS,
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
    write,
)

CANDIDATES = 10


def compare(worker: Worker, ranker: RewardRanker, problems: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(0)
    prompts = [characters(rng, rng.randint(150, 250)) for _ in range(problems)]
    prompts = [prompt for prompt in prompts for _ in range(CANDIDATES)]
    completions = [characters(rng, rng.randint(100, 200)) for _ in prompts]
    scores = ranker.score(prompts, completions)
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranker.save(folder / "ranker")
        texts = [f"<bos>{p}{c} <eos>" for p, c in zip(prompts, completions, strict=True)]
        (folder / "texts.json").write_text(json.dumps(texts))

        def peer(setting: dict[str, Any], onednn: bool = False) -> float:
            answers.append(
                worker.ask(
                    model=str(folder / "ranker"), texts=str(folder / "texts.json"), onednn=onednn, **setting
                )
            )
            return len(prompts) / float(answers[-1]["seconds"])

        def ours() -> float:
            start = clock()
            ranker.score(prompts, completions)
            return len(prompts) / (clock() - start)

        setting = best("batch", (1, 4, 10, 32), peer)
        answers.clear()
        found = alternate(rounds, ours=ours, peer=lambda: peer(setting), same=lambda: peer(setting, True))
    difference = max(float(np.abs(scores - a["scores"]).max()) for a in answers)
    assert difference < 1e-4 * float(scores.std() + 1), difference
    prompt = sum(len(p.split()) + 1 for p in prompts[::CANDIDATES])
    completion = sum(len(c.split()) + 1 for c in completions)
    return {
        **found,
        "setting": setting,
        "times_same_kernels": found["ours"] / found["same"],
        "limit": (CANDIDATES * prompt + completion) / (prompt + completion),
        "tokens": {"needed": prompt + completion, "peer": answers[0]["padded_tokens"]},
        "largest_difference": difference,
        "scores_std": float(scores.std()),
    }


def page(report: dict[str, Any]) -> list[str]:
    f = report["found"]
    return [
        "# Scoring candidates",
        "",
        f"`{report['command']}`. {report['problems']} problems with {CANDIDATES} candidates, a Llama of "
        f"width {report['width']} with {report['layers']} layers. Candidates a second, medians of "
        f"{report['rounds']} alternating rounds (in brackets the lowest and highest ratio of a round). "
        "limit: the tokens of all prompts with completions over those that differ, P + sum of R. "
        "same kernels: transformers with the matrix kernels that `RewardRanker` takes.",
        "",
        "| RewardRanker.score | AutoModelForSequenceClassification | its setting | times | limit | reached "
        "| same kernels, times |",
        "|" + " --- |" * 7,
        f"| {f['ours']:.1f} | {f['peer']:.1f} | {describe(f['setting'])} | {spread(f)} | {f['limit']:.2f} | "
        f"{100 * f['times'] / f['limit']:.0f} % | {f['times_same_kernels']:.2f} |",
        "",
        f"Scores differ by at most {f['largest_difference']:.1e}; their standard deviation is "
        f"{f['scores_std']:.2f}.",
    ]


def main() -> None:
    arguments = parser(__doc__, "ranker_scoring")
    arguments.add_argument("--problems", type=int, default=10)
    a, report = parse(arguments)
    tokenizer = characters_tokenizer()
    generator = Generator(make_model(tokenizer, a.width, a.layers), tokenizer)
    ranker = RewardRanker.from_generator(generator, "scalar", seed=0)
    with started(sys.executable, PEERS / "sequence_classifier.py") as worker:
        report["found"] = f = compare(worker, ranker, a.problems, a.rounds)
    print(
        f"{CANDIDATES} candidates a problem: {f['ours']:.1f} /s against {f['peer']:.1f} of transformers "
        f"({describe(f['setting'])}): {spread(f)} times; limit {f['limit']:.2f}, "
        f"{100 * f['times'] / f['limit']:.0f} % of it; with the same kernels {f['times_same_kernels']:.2f} "
        f"times; scores differ by at most {f['largest_difference']:.1e}"
    )
    write(a.out, "ranker_scoring", report, page(report))


if __name__ == "__main__":
    main()
