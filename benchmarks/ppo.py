"""Proximal policy optimisation: `train_ppo` beside PPOTrainer of TRL 1.12, the last release that has it.

    python benchmarks/ppo.py [-o FOLDER] [--rounds N] [--updates N] [--width N] [--layers N]

Both train the same policy with the same ranker as reward model and start of the critic: as many rollouts a
round (4 of each of 8 prompts of 75 to 125 tokens), the same longest response, two epochs of two minibatches,
temperature 1, the same KL weight, clipping, gamma and lambda. PPOTrainer draws one rollout a prompt and is
given each prompt four times. Each runs in a process of its own, in alternating rounds of `--updates` updates.
What is counted begins when the first update (PPOTrainer) or the first rollouts (`train_ppo`) are done, and
holds as many rollouts as updates on both sides. PPOTrainer first tries numbers of rollouts computed together
and both kinds of attention, and keeps the fastest. It is also run with the matrix kernels that we choose
("same kernels").

Memory is the peak of the process over what it had before the first model was loaded. The limit is the tokens
of all rollouts, padded to the longest response, over those that differ: eight prompts, and the responses. It
leaves out what PPOTrainer does besides: logits of every token of the prompts, and those of `generate`, kept.

- equal: no response ends before it has the most tokens.
- mixed: a response ends with the same probability at every token, after 40 % of the most tokens on average.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import encode_completions, encode_prompts
from side_by_side import (
    PEERS,
    alternate,
    best,
    characters,
    describe,
    make_generator,
    parse,
    parser,
    spread,
    started,
    trl,
    write,
)

TRL = "1.12.0"
PROMPTS, SAMPLES, MINIBATCHES, EPOCHS, RATE = 8, 4, 2, 2, 1e-5
ROLLOUTS = PROMPTS * SAMPLES
CONFIG: dict[str, Any] = {
    "prompts": PROMPTS,
    "samples": SAMPLES,
    "advantage": "gae",
    "epochs": EPOCHS,
    "minibatch": ROLLOUTS // MINIBATCHES,
    "learning_rate": RATE,
    "critic_learning_rate": RATE,
    "value_weight": 0.5,
    "kl": 0.05,
    "max_kl": 1e9,
    "check_every": 1,
}


def rate(times: list[float]) -> float:
    """Rollouts a second, a round of them between two `times`."""
    return ROLLOUTS * (len(times) - 1) / (times[-1] - times[0])


def compare(generator: Generator, response: int, updates: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(0)
    prompts = [characters(rng, rng.randint(75, 125)) for _ in range(PROMPTS)]
    ranker = RewardRanker.from_generator(generator, "scalar", seed=0)
    checked = [(prompt, characters(rng, rng.randint(1, response))) for prompt in prompts]
    prompt_ids = encode_prompts(ranker.tokenizer, prompts)
    ids = encode_completions(ranker.tokenizer, [completion for _, completion in checked])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator.save(folder / "policy")
        ranker.save(folder / "ranker")
        (folder / "texts.json").write_text(json.dumps(prompts))
        (folder / "ids.json").write_text(json.dumps(prompt_ids * SAMPLES))
        (folder / "checked.json").write_text(json.dumps(list(zip(prompt_ids, ids, strict=True))))
        both = {"policy": str(folder / "policy"), "ranker": str(folder / "ranker"), "response": response}
        theirs = {
            **both,
            "prompts": str(folder / "ids.json"),
            "checked": str(folder / "checked.json"),
            "batch": ROLLOUTS,
            "minibatches": MINIBATCHES,
            "epochs": EPOCHS,
            "rate": RATE,
        }
        python = trl(TRL)
        with started(python, PEERS / "ppo_trainer.py") as worker:

            def tried(setting: dict[str, Any], onednn: bool = False) -> float:
                return rate(worker.ask(**theirs, **setting, updates=1, onednn=onednn)["times"])

            setting = best("rollout_batch", (ROLLOUTS, ROLLOUTS // 4), tried)
            same = tried(setting, onednn=True)
        answers: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
        with (
            started(sys.executable, Path(__file__).parent / "ppo_worker.py") as our_worker,
            started(python, PEERS / "ppo_trainer.py") as worker,
        ):

            def ours() -> float:
                config = {**CONFIG, "iterations": updates}
                answers["ours"].append(
                    our_worker.ask(**both, prompts=str(folder / "texts.json"), config=config)
                )
                return rate(answers["ours"][-1]["times"])

            def peer() -> float:
                answers["peer"].append(worker.ask(**theirs, **setting, updates=updates + 1, onednn=False))
                return rate(answers["peer"][-1]["times"][1:])

            found = alternate(rounds, ours=ours, peer=peer)
    ours_first, peer_first = answers["ours"][0]["history"][0], answers["peer"][0]["first"]
    scores = ranker.score(prompts, [completion for _, completion in checked])
    difference = max(abs(a - b) for a, b in zip(scores, answers["peer"][0]["scores"], strict=True))
    assert difference < 1e-4, difference
    assert abs(ours_first["kl"]) < 1e-4, ours_first
    assert abs(peer_first["objective/kl"]) < 1e-2, peer_first
    memory = {side: answers[side][-1]["peak_mb"] for side in answers}
    prompt = sum(map(len, prompt_ids)) / PROMPTS
    rows = [row["length"] for answer in answers["ours"] for row in answer["history"]]
    length = sum(rows) / len(rows)
    return {
        **found,
        "setting": setting,
        "peer_same_kernels": same,
        "times_same_kernels": found["ours"] / same,
        "memory_mb": memory,
        "memory_share": memory["ours"] / memory["peer"],
        "length": length,
        "limit": (prompt + response) / (prompt / SAMPLES + length),
        "largest_difference": difference,
        "first_round": {"ours": ours_first, "peer": peer_first},
    }


def line(name: str, f: dict[str, Any]) -> str:
    return (
        f"{name}: {f['ours']:.2f} rollouts/s against {f['peer']:.2f} of TRL {TRL} "
        f"({describe(f['setting'])}): {spread(f)} times; limit {f['limit']:.1f}, "
        f"{100 * f['times'] / f['limit']:.0f} % of it; with the same kernels "
        f"{f['times_same_kernels']:.2f} times; memory {f['memory_mb']['ours']:.0f} against "
        f"{f['memory_mb']['peer']:.0f} MB, {f['memory_share']:.2f} of it; scores differ by at most "
        f"{f['largest_difference']:.1e}"
    )


def page(report: dict[str, Any]) -> list[str]:
    lines = [
        "# Proximal policy optimisation",
        "",
        f"`{report['command']}`. {SAMPLES} rollouts of each of {PROMPTS} prompts a round, at most "
        f"{report['response']} tokens of response, {EPOCHS} epochs of {MINIBATCHES} minibatches, a Llama of "
        f"width {report['width']} with {report['layers']} layers as policy and ranker. Rollouts a second, "
        f"sampled, scored and trained on, medians of {report['rounds']} alternating rounds (in brackets the "
        "lowest and highest ratio of a round). limit: the tokens of all rollouts, padded to the longest "
        "response, over those that differ. same kernels: TRL with the matrix kernels that `train_ppo` takes. "
        "Memory: the process's peak over what it had before a model was loaded.",
        "",
        f"| responses | mean length | train_ppo | TRL {TRL} | its setting | times | limit | reached "
        "| same kernels, times | MB | TRL's MB | share |",
        "|" + " --- |" * 12,
    ]
    for name, f in report["shapes"].items():
        lines.append(
            f"| {name} | {f['length']:.0f} | {f['ours']:.2f} | {f['peer']:.2f} | {describe(f['setting'])} | "
            f"{spread(f)} | {f['limit']:.1f} | {100 * f['times'] / f['limit']:.0f} % | "
            f"{f['times_same_kernels']:.2f} | {f['memory_mb']['ours']:.0f} | {f['memory_mb']['peer']:.0f} | "
            f"{f['memory_share']:.2f} |"
        )
    worst = max(f["largest_difference"] for f in report["shapes"].values())
    return [*lines, "", f"The rankers' scores of the same completions differ by at most {worst:.1e}."]


def main() -> None:
    arguments = parser(__doc__, "ppo")
    arguments.set_defaults(rounds=2)
    arguments.add_argument("--updates", type=int, default=1, help="that are counted, in each round")
    arguments.add_argument("--response", type=int, default=64, help="most tokens")
    a, report = parse(arguments)
    report["shapes"] = {}
    for name, mean in (("equal", float("inf")), ("mixed", 0.5 * a.response)):
        generator = make_generator(a.width, a.layers, mean)
        report["shapes"][name] = compare(generator, a.response, a.updates, a.rounds)
        print(line(name, report["shapes"][name]), flush=True)
    write(a.out, "ppo", report, page(report))


if __name__ == "__main__":
    main()
