"""Does PPO raise the policy it starts from? Beside RFT, and after it.

For every seed one run directory of the recipe `micro-ppo` with 16,000 problems in its pool: PPO against a
ranker of their samples, rejection-sampling fine-tuning on the same samples in its place, and both in
turn. SFT, samples and their execution are computed once for all. Differences are paired by problem;
intervals are 95 % bootstrap intervals over problems, those of all seeds together where the seeds are
pooled.

usage: python benchmarks/alignment.py [--seeds 2 3 4] [--dir runs/alignment] [-o docs/results/alignment.json]
It goes on where it was stopped.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does

from loop import arrays, difference, shown
from rewardranker.files import write_json, write_text
from rewardranker.loop import Loop
from rewardranker.recipe import load_recipe

PROBLEMS = ("iterations=1", "problems.micro.pool=16000")
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # settings of the recipe, stages that this way of aligning takes beyond SFT and its executed samples
    "RFT": (('align="rft"',), ("1-rft",)),
    "PPO": ((), ("1-reward", "1-ppo")),
    "RFT, then PPO": (
        ('align="rft+ppo"', "ppo.iterations=40", "ppo.learning_rate=1e-4"),
        ("1-reward", "1-rft", "1-ppo"),
    ),
}
START = {"RFT, then PPO": "RFT"}
"""What a way starts from; the others from the SFT policy."""


def run_seed(seed: int, directory: Path) -> dict[str, Any]:
    """Every way with one seed: what it solves, its learning curve, its cost."""
    result: dict[str, Any] = {}
    for way, (settings, stages) in WAYS.items():
        Loop(load_recipe("micro-ppo", (f"seed={seed}", *PROBLEMS, *settings)), directory).execute()
        costs = {row["stage"]: row for row in json.loads((directory / "cost.json").read_text())["stages"]}
        history = directory / "1-ppo/history.json"
        result[way] = {
            "aligned": arrays(directory, "aligned-1"),
            "sft": arrays(directory, "sft"),
            "cpu_s": {stage: round(costs[stage]["cpu_s"]) for stage in stages},
            "run_cpu_s": round(sum(row["cpu_s"] for row in costs.values())),
            "curve": json.loads(history.read_text()) if "1-ppo" in stages else [],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--dir", type=Path, default=Path("runs/alignment"))
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/alignment.json"))
    a = parser.parse_args()
    seeds = [run_seed(seed, a.dir / f"seed-{seed}") for seed in a.seeds]
    command = f"python benchmarks/alignment.py --seeds {' '.join(map(str, a.seeds))}"
    report = summary(seeds)
    write_json(a.out, {"command": command, "seeds": a.seeds, **report})
    write_text(a.out.with_suffix(".md"), page(command, a.seeds, report))
    print(a.out.with_suffix(".md").read_text())


def summary(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    gains: dict[str, Any] = {}
    for way in WAYS:
        start = [s[START[way]]["aligned"] if way in START else s[way]["sft"] for s in seeds]
        aligned = [s[way]["aligned"] for s in seeds]
        gains[way] = {
            selector: difference([(a[selector], b[selector]) for a, b in zip(aligned, start, strict=True)])
            for selector in ("sample", "greedy", "log-prob", "ranker 1", "oracle")
        }
    levels: dict[str, Any] = {"SFT": _levels([s["PPO"]["sft"] for s in seeds])}
    levels |= {way: _levels([s[way]["aligned"] for s in seeds]) for way in WAYS}
    ranker = {
        "auc": [round(float(s["PPO"]["sft"]["auc 1"][0]), 3) for s in seeds],
        "over_logprob": difference(
            [(s["PPO"]["sft"]["ranker 1"], s["PPO"]["sft"]["log-prob"]) for s in seeds]
        ),
    }
    return {
        "levels": levels,
        "gains": gains,
        "PPO over RFT, greedy": difference(
            [(s["PPO"]["aligned"]["greedy"], s["RFT"]["aligned"]["greedy"]) for s in seeds]
        ),
        "ranker": ranker,
        "cpu_s": {way: [s[way]["cpu_s"] for s in seeds] for way in WAYS},
        "run_cpu_s": {way: [s[way]["run_cpu_s"] for s in seeds] for way in WAYS},
        "curves": {way: [s[way]["curve"] for s in seeds] for way in WAYS if seeds[0][way]["curve"]},
    }


def _levels(policies: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {
        selector: [round(100 * float(p[selector].mean()), 1) for p in policies]
        for selector in ("sample", "greedy", "log-prob", "ranker 1", "oracle")
    }


NAMES = {
    "sample": "T = 1",
    "greedy": "greedy",
    "log-prob": "log-prob",
    "ranker 1": "ranker",
    "oracle": "pass@10",
}


def page(command: str, seeds: list[int], report: dict[str, Any]) -> str:
    lines = [
        "# Does PPO raise the policy it starts from?",
        "",
        f"Made by `{command}`. {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}",
        "",
        "## Gains over the policy it starts from, points of the test problems solved",
        "",
        "Pooled over the seeds, with the 95 % interval over problems. RFT, then PPO starts from RFT's",
        "policy, the others from the SFT's. Ranker: best of 10 by the ranker that this run trained.",
        "",
        "| way | " + " | ".join(NAMES.values()) + " |",
        "| --- |" + " --- |" * len(NAMES),
    ]
    for way, gains in report["gains"].items():
        lines.append(f"| {way} | " + " | ".join(shown(gains[s]) for s in NAMES) + " |")
    over = report["PPO over RFT, greedy"]
    lines += [
        "",
        f"PPO over RFT, greedy: {shown(over)}.",
        "",
        "## Levels, percent, a figure for each seed",
        "",
    ]
    lines += ["| policy | " + " | ".join(NAMES.values()) + " |", "| --- |" + " --- |" * len(NAMES)]
    for policy, levels in report["levels"].items():
        lines.append(
            f"| {policy} | " + " | ".join(", ".join(f"{v:.1f}" for v in levels[s]) for s in NAMES) + " |"
        )
    lines += [
        "",
        "## Greedy's gain, each seed",
        "",
        "| way | " + " | ".join(f"seed {s}" for s in seeds) + " |",
    ]
    lines += ["| --- |" + " --- |" * len(seeds)]
    for way, gains in report["gains"].items():
        lines.append(f"| {way} | " + " | ".join(map(shown, gains["greedy"]["seeds"])) + " |")
    lines += [
        "",
        "## The ranker, on the SFT policy's samples of the test problems",
        "",
        f"Best of 10 over log-prob, points: {shown(report['ranker']['over_logprob'])}, each seed "
        f"{', '.join(map(shown, report['ranker']['over_logprob']['seeds']))}; AUC "
        f"{', '.join(map(str, report['ranker']['auc']))}.",
    ]
    lines += [
        "",
        "## Cost, CPU seconds",
        "",
        "Of the stages beyond SFT and its executed samples, and of the whole run, SFT and tests included.",
        "",
        "| way | stages, each seed | whole run, each seed |",
        "| --- | --- | --- |",
    ]
    for way in WAYS:
        stages = "; ".join(
            " + ".join(f"{name} {s}" for name, s in cost.items()) for cost in report["cpu_s"][way]
        )
        lines.append(f"| {way} | {stages} | {', '.join(map(str, report['run_cpu_s'][way]))} |")
    lines += [
        "",
        "## Learning curves",
        "",
        "Rounds: the ranker's mean score of what the policy samples / the share of 64 development problems'",
        "samples that pass, in percent / KL to the policy it starts from, nats a completion.",
        "",
    ]
    for way, curves in report["curves"].items():
        for seed, curve in zip(seeds, curves, strict=True):
            rows = [row for row in curve if row["pass"] is not None]
            points = ", ".join(
                f"{row['round']}: {row['score']:.2f} / {100 * row['pass']:.0f} / {row['kl']:.1f}"
                for row in rows
            )
            lines.append(f"- {way}, seed {seed}: {points}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
