"""How many programs does a ranker's head need? AUC and best of 10 against the number of problems sampled.

Rankers of every head are trained on the SFT policy's samples for the first problems of a run's pool, and
choose among the samples of its test problems, which no ranker has seen. "scalar, mean first" is the scalar
head of the last token that begins on the mean over tokens (`reward.mean_epochs`). Differences to log-prob are
paired by problem; intervals are 95 % bootstrap intervals over problems.

usage: python benchmarks/heads.py RUN... [--problems 3000 6000 12000 24000] [-o docs/results/heads.json]

RUN is a run directory of `rewardranker run micro-scalar` (or of a recipe with as many problems in its pool).
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does

import numpy as np
import torch

from loop import difference, shown
from rewardranker import mining
from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.metrics import Floats
from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.files import write_json, write_text
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Reward, load_recipe
from rewardranker.tables import read_table
from rewardranker.training.reward import train_reward


def settings() -> dict[str, Reward]:
    """Each head with the settings it does well with."""
    likelihood, scalar = load_recipe("micro").reward, load_recipe("micro-scalar").reward
    return {
        "likelihood": likelihood,
        "scalar": scalar.model_copy(update={"mean_epochs": 0}),
        "scalar, mean first": scalar,
        "scalar-mean": scalar.model_copy(update={"head": "scalar-mean", "mean_epochs": 0}),
    }


class Samples:
    """What a run has sampled from its SFT policy."""

    def __init__(self, run: Path) -> None:
        problems = read_table(run / "problems/problems.parquet", Problem)
        self.pool = [p for p in problems if p.split == "pool"]
        self.candidates = read_table(run / "0-sample/candidates.parquet", ExecutedCandidate)
        self.generator = run / "0-sft/model"
        prompts = {p.id: p.prompt for p in problems if p.split == "test"}
        drawn = read_table(run / "test-sft/candidates.parquet", EvaluatedCandidate)
        warm = sorted((c for c in drawn if c.temperature == 1.0), key=lambda c: (c.problem_id, c.index))
        n = 1 + max(c.index for c in warm)
        self.prompts, self.texts = [prompts[c.problem_id] for c in warm], [c.text for c in warm]
        self.correct = np.array([c.passed for c in warm]).reshape(-1, n)
        logprob = np.array([c.mean_logprob for c in warm]).reshape(-1, n)
        self.logprob: Floats = selectors.by_score(logprob, self.correct)[:, -1]

    def measure(self, config: Reward, problems: int) -> dict[str, Any]:
        """A ranker trained on the samples of the first `problems` of the pool."""
        some = self.pool[:problems]
        ids = {p.id for p in some}
        candidates = [c for c in self.candidates if c.problem_id in ids]
        groups = mining.initial_groups(some, candidates)
        start = time.process_time()
        ranker, _ = train_reward(Generator.from_pretrained(self.generator), groups, config, seed=1)
        spent = time.process_time() - start
        return {
            "candidates": len(candidates),
            "groups": len(groups),
            "cpu_s": round(spent, 1),
            **self.test(ranker),
        }

    def test(self, ranker: RewardRanker) -> dict[str, Any]:
        scores = ranker.score(self.prompts, self.texts).reshape(self.correct.shape)
        return {
            "auc": metrics.pair_counts(scores, self.correct).auc,
            "best": selectors.by_score(scores, self.correct)[:, -1],
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--problems", type=int, nargs="+", default=[3000, 6000, 12000, 24000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/heads.json"))
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    runs = [Samples(run) for run in a.runs]
    rows = []
    for problems in a.problems:
        for head, config in settings().items():
            found = [run.measure(config, problems) for run in runs]
            over = difference([(f.pop("best"), run.logprob) for f, run in zip(found, runs, strict=True)])
            best = [
                100 * run.logprob.mean() + seed["points"]
                for run, seed in zip(runs, over["seeds"], strict=True)
            ]
            rows.append(
                {"problems": problems, "head": head, "runs": found, "best": best, "over_logprob": over}
            )
            print(rows[-1], flush=True)
    names = " ".join(map(str, a.runs))
    sizes = " ".join(map(str, a.problems))
    command = f"python benchmarks/heads.py {names} --problems {sizes} --threads {a.threads}"
    base = [100 * float(run.logprob.mean()) for run in runs]
    oracle = [100 * float(run.correct.any(1).mean()) for run in runs]
    write_json(a.out, {"command": command, "logprob": base, "oracle": oracle, "rows": rows})
    write_text(a.out.with_suffix(".md"), page(command, base, oracle, rows))
    print(a.out.with_suffix(".md").read_text())


def page(command: str, base: list[float], oracle: list[float], rows: list[dict[str, Any]]) -> str:
    def each(values: list[float], digits: int) -> str:
        return ", ".join(f"{v:.{digits}f}" for v in values)

    lines = [
        "# How many programs does a ranker's head need?",
        "",
        f"Made by `{command}`. Best of 10 in percent of the test problems, a figure for each run; log-prob",
        f"solves {each(base, 1)}, the oracle {each(oracle, 1)}. AUC: over pairs of a right and a wrong",
        "program of a test problem. CPU seconds are those of the ranker's training.",
        "",
        "| problems | candidates | groups | head | AUC | best of 10 | over log-prob, points | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found = row["runs"]
        lines.append(
            f"| {row['problems']:,} | {found[0]['candidates']:,} | {found[0]['groups']:,} | {row['head']} | "
            f"{each([f['auc'] for f in found], 3)} | {each(row['best'], 1)} | {shown(row['over_logprob'])} | "
            f"{each([f['cpu_s'] for f in found], 0)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
