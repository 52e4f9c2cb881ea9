"""The paper's scalar head at micro size, and how many programs each head needs.

For every seed one run of the recipe `micro-scalar`; then rankers of every head are trained on the SFT
policy's samples for the first problems of the run's pool, and choose among its samples of the test
problems, which no ranker has seen. "scalar, mean first" is the scalar head of the last token that begins
on the mean over tokens (`reward.mean_epochs`), as the recipe has it; "scalar" and "scalar-mean" train as
many epochs. Differences to log-prob are paired by problem; intervals are 95 % bootstrap intervals over
problems, those of all seeds together where the seeds are pooled.

usage: python benchmarks/heads.py [--seeds 2 3 4] [--problems 2000 4000 8000 16000] [--jobs 2]
                                  [--dir runs/heads] [-o docs/results/heads.json]
It goes on where it was stopped.
"""

import argparse
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does

import numpy as np
import torch

from loop import arrays, difference, drawn_warm, shown
from rewardranker import mining
from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.files import write_json, write_text
from rewardranker.loop import Loop
from rewardranker.models.generator import Generator
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Reward, load_recipe
from rewardranker.tables import read_table
from rewardranker.training.reward import train_reward

LIKELIHOOD, SCALAR = load_recipe("micro").reward, load_recipe("micro-scalar").reward
HEADS: dict[str, Reward] = {
    "likelihood": LIKELIHOOD,
    "scalar": SCALAR.model_copy(update={"mean_epochs": 0}),
    "scalar, mean first": SCALAR,
    "scalar-mean": SCALAR.model_copy(update={"head": "scalar-mean", "mean_epochs": 0}),
}


def run_recipe(directory: Path, seed: int) -> dict[str, Any]:
    """The recipe itself: what its ranker and its policy are worth, and what the run took."""
    torch.set_num_threads(1)
    run = directory / f"seed-{seed}"
    Loop(load_recipe("micro-scalar", (f"seed={seed}",)), run).execute()
    sft, aligned = arrays(run, "sft"), arrays(run, "aligned-1")
    stages = json.loads((run / "cost.json").read_text())["stages"]
    return {
        "cpu_s": round(sum(row["cpu_s"] for row in stages)),
        "stages_cpu_s": {row["stage"]: round(row["cpu_s"]) for row in stages},
        "auc": float(sft["auc 1"][0]),
        "sft": {name: sft[name] for name in ("greedy", "log-prob", "ranker 1", "oracle")},
        "aligned": {"greedy": aligned["greedy"], "ranker 1": aligned["ranker 1"]},
    }


def measure(directory: Path, work: tuple[int, int, str]) -> dict[str, Any]:
    """A ranker trained on the samples of the first problems of a run's pool."""
    seed, problems, head = work
    run = directory / f"seed-{seed}"
    done = run / "heads" / f"{head}-{problems}.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    torch.set_num_threads(1)
    known = read_table(run / "problems/problems.parquet", Problem)
    some = {p.id: p for p in [p for p in known if p.split == "pool"][:problems]}
    executed = read_table(run / "0-sample/candidates.parquet", ExecutedCandidate)
    candidates = [c for c in executed if c.problem_id in some]
    groups = mining.initial_groups(list(some.values()), candidates)
    start = time.process_time()
    ranker, _ = train_reward(Generator.from_pretrained(run / "0-sft/model"), groups, HEADS[head], seed=1)
    spent = time.process_time() - start

    prompts = {p.id: p.prompt for p in known if p.split == "test"}
    warm = drawn_warm(list(prompts), read_table(run / "test-sft/candidates.parquet", EvaluatedCandidate))
    correct = np.array([c.passed for c in warm]).reshape(len(prompts), -1)
    raw = ranker.score([prompts[c.problem_id] for c in warm], [c.text for c in warm]).reshape(correct.shape)
    found = {
        "candidates": len(candidates),
        "groups": len(groups),
        "cpu_s": round(spent, 1),
        "auc": metrics.pair_counts(raw, correct).auc,
        "best": selectors.by_score(raw, correct)[:, -1].tolist(),
    }
    done.parent.mkdir(exist_ok=True)
    write_json(done, found)
    print(f"seed {seed}, {problems} problems, {head}: AUC {found['auc']:.3f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--problems", type=int, nargs="+", default=[2000, 4000, 8000, 16000])
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--dir", type=Path, default=Path("runs/heads"))
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/heads.json"))
    a = parser.parse_args()
    work = [(seed, problems, head) for problems in a.problems for head in HEADS for seed in a.seeds]
    with ProcessPoolExecutor(a.jobs, multiprocessing.get_context("spawn")) as pool:
        runs = list(pool.map(partial(run_recipe, a.dir), a.seeds))
        found = dict(zip(work, pool.map(partial(measure, a.dir), work), strict=True))
    rows = []
    for problems in a.problems:
        for head in HEADS:
            each = [found[seed, problems, head] for seed in a.seeds]
            pairs = [(np.array(f["best"]), run["sft"]["log-prob"]) for f, run in zip(each, runs, strict=True)]
            best = [round(100 * float(mine.mean()), 1) for mine, _ in pairs]
            kept = [{name: f[name] for name in ("candidates", "groups", "cpu_s", "auc")} for f in each]
            row = {"problems": problems, "head": head, "runs": kept, "best": best}
            rows.append({**row, "over_logprob": difference(pairs)})
    command = f"python benchmarks/heads.py --seeds {' '.join(map(str, a.seeds))}"
    command += f" --problems {' '.join(map(str, a.problems))}"
    recipe = [summary(run) for run in runs]
    over = difference([(run["sft"]["ranker 1"], run["sft"]["log-prob"]) for run in runs])
    gain = difference([(run["aligned"]["greedy"], run["sft"]["greedy"]) for run in runs])
    pooled = {"ranker over log-prob": over, "PPO over SFT, greedy": gain}
    write_json(a.out, {"command": command, "seeds": a.seeds, "recipe": recipe, **pooled, "rows": rows})
    write_text(a.out.with_suffix(".md"), page(command, a.seeds, recipe, pooled, rows))
    print(a.out.with_suffix(".md").read_text())


def summary(run: dict[str, Any]) -> dict[str, Any]:
    """A run of the recipe in percent."""
    solved = {
        f"{policy}: {selector}": round(100 * float(values.mean()), 1)
        for policy in ("sft", "aligned")
        for selector, values in run[policy].items()
    }
    return {"auc": run["auc"], "cpu_s": run["cpu_s"], "stages_cpu_s": run["stages_cpu_s"], **solved}


def page(
    command: str,
    seeds: list[int],
    recipe: list[dict[str, Any]],
    pooled: dict[str, dict[str, Any]],
    rows: list[dict[str, Any]],
) -> str:
    def each(values: list[float], digits: int) -> str:
        return ", ".join(f"{v:.{digits}f}" for v in values)

    names = [name for name in recipe[0] if ": " in name]
    lines = [
        "# The paper's scalar head at micro size, and how many programs each head needs",
        "",
        f"Made by `{command}`. Percent of the test problems; AUC over pairs of a right and a wrong",
        "program of a test problem, both the SFT policy's samples. CPU seconds are of the whole run.",
        "",
        "## `rewardranker run micro-scalar`",
        "",
        "| seed | AUC | " + " | ".join(names) + " | CPU s |",
        "| --- | --- |" + " --- |" * (len(names) + 1),
    ]
    for seed, row in zip(seeds, recipe, strict=True):
        figures = " | ".join(f"{row[name]:.1f}" for name in names)
        lines.append(f"| {seed} | {row['auc']:.3f} | {figures} | {row['cpu_s']:,} |")
    lines += ["", "| difference in points | pooled | each seed |", "| --- | --- | --- |"]
    for name, found in pooled.items():
        lines.append(f"| {name} | {shown(found)} | {', '.join(map(shown, found['seeds']))} |")
    lines += [
        "",
        "## Scaling curves",
        "",
        "Best of 10 over log-prob in points; CPU seconds of the ranker's training.",
        "",
        "| problems | candidates | groups | head | AUC | best of 10 | over log-prob | each seed | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found = row["runs"]
        lines.append(
            f"| {row['problems']:,} | {found[0]['candidates']:,} | {found[0]['groups']:,} | {row['head']} | "
            f"{each([f['auc'] for f in found], 3)} | {each(row['best'], 1)} | {shown(row['over_logprob'])} | "
            f"{', '.join(map(shown, row['over_logprob']['seeds']))} | "
            f"{each([f['cpu_s'] for f in found], 0)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
