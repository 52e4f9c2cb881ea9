"""A run directory as the loop leaves it, with made-up candidates whose statistics look like a real run's."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.summary import Policy, summarise
from rewardranker.files import write_json
from rewardranker.problems.problem import Problem
from rewardranker.tables import write_table

N = 10
POLICIES = {"sft": 0.0, "sft-longer": 0.35, "aligned-1": 0.7, "aligned-2": 0.9}
HOSTILE = (
    "</pre></script><script>document.title='hacked'</script>"
    "<img src=x onerror=\"document.title='hacked'\"><svg onload=\"document.title='hacked'\">"
    "\u202e# evil\x00\x1b[31m"
)
LONG_LINE = "x" * 1_000_000
_STEPS = ("keep the even values", "square each value", "drop values of at most 4", "sort in descending order")
_LINES = (
    "    xs = [x for x in xs if x % 2 == 0]\n",
    "    xs = [x * x for x in xs]\n",
    "    xs = [x for x in xs if x > 4]\n",
    "    xs = sorted(xs, reverse=True)\n",
)
_SLIPS = (
    "    xs = [x for x in xs if x % 2 == 1]\n",
    "    xs = [x for x in xs if x >= 4]\n",
    "    xs = sorted(xs)\n",
)


def _problem(i: int, rng: np.random.Generator) -> Problem:
    steps = rng.choice(4, size=3)
    prompt = "def solve(xs):\n    # " + ", then ".join(_STEPS[s] for s in steps) + ", and return the sum\n"
    reference = "".join(_LINES[s] for s in steps) + "    return sum(xs)\n"
    return Problem(
        id=f"micro/test/{i}",
        language="python",
        prompt=prompt,
        tests="assert solve([]) == 0\nassert solve([1, 2, 3, 9]) == 85\n",
        output_probe="print(solve([1, 2, 3]))",
        reference=reference,
        split="test",
    )


def _candidate(
    problem: Problem, policy: str, temperature: float, index: int, passed: bool, rng: np.random.Generator
) -> EvaluatedCandidate:
    lines = (problem.reference or "").splitlines(keepends=True)
    if not passed:
        lines[rng.integers(3)] = str(rng.choice(_SLIPS))
    status = "passed" if passed else "failed"
    n_tokens = len(lines) * 2 + int(rng.integers(3))
    return EvaluatedCandidate(
        problem_id=problem.id,
        policy=policy,
        temperature=temperature,
        index=index,
        text="".join(lines),
        logprob_sum=float(-n_tokens * (0.35 - 0.06 * passed + 0.12 * rng.normal())),
        n_tokens=n_tokens,
        finish_reason="eos",
        status=status,
        strict_status=status,
        reason="" if passed else "AssertionError",
        stderr=""
        if passed
        else 'Traceback (most recent call last):\n  File "p.py", line 8\nAssertionError\n',
        behaviour="14" if passed else str(rng.integers(5)),
    )


def make_run(
    folder: Path, *, problems: int = 200, seed: int = 3, draws: int = 0, hostile: bool = False
) -> Path:
    """Write a whole run to `folder`; with `hostile`, problems and candidates carry HTML and scripts.

    Runs of one `seed` have the same problems, and with other `draws` other candidates.
    """
    rng = np.random.default_rng(seed)
    tasks = [_problem(i, rng) for i in range(problems)]
    skill = rng.normal(0.2, 2.2, problems)
    if draws:
        rng = np.random.default_rng([seed, draws])
    candidates: list[EvaluatedCandidate] = []
    scores: list[ScoredCandidate] = []
    for policy, shift in POLICIES.items():
        for task, ability in zip(tasks, skill, strict=True):
            rate = 1 / (1 + math.exp(-(ability + shift)))
            for temperature, n, gain in ((1.0, N, 0.0), (0.5, N, 0.6), (0.0, 1, 0.8)):
                chance = 1 / (1 + math.exp(-(ability + shift + gain)))
                drawn = [
                    _candidate(task, policy, temperature, i, bool(rng.random() < chance), rng)
                    for i in range(n)
                ]
                candidates += drawn
                for ranker in (1, 2) if temperature == 1.0 and policy != "sft-longer" else ():
                    for c in drawn:
                        sharp = 0.45 if ranker == 1 else 0.7
                        raw = (
                            sharp * (2 * c.passed - 1) + math.log(rate / (1 - rate)) / 2 + float(rng.normal())
                        )
                        p = 1 / (1 + math.exp(-raw))
                        scores.append(ScoredCandidate(policy, task.id, c.index, ranker, raw, p))
    if hostile:
        tasks = [replace(t, prompt=t.prompt + HOSTILE, tests=t.tests + HOSTILE) for t in tasks]
        candidates = [replace(c, text=c.text + HOSTILE, reason=HOSTILE, stderr=HOSTILE) for c in candidates]
        candidates = [
            replace(c, text=LONG_LINE + c.text) if c.index == 0 and c.problem_id == tasks[0].id else c
            for c in candidates
        ]
    write_table(folder / "problems" / "problems.parquet", Problem, tasks)
    write_table(folder / "evaluate" / "candidates.parquet", EvaluatedCandidate, candidates)
    write_table(folder / "evaluate" / "scores.parquet", ScoredCandidate, scores)
    iterations = Counter({"aligned-1": 1, "aligned-2": 2})
    summary = summarise(
        tasks,
        candidates,
        scores,
        policies=[Policy(p, "aligned" if p[0] == "a" else p, iterations[p]) for p in POLICIES],  # type: ignore[arg-type]
        variant="selftraining",
        align="ppo",
        temperature=1.0,
        cool_temperature=0.5,
        bootstrap=500,
        seed=seed,
    )
    _write_stages(folder, rng)
    ppo = [
        {
            "iteration": i,
            "kl": 2.1,
            "score_before": 0.1,
            "score_after": 1.4,
            "pass_before": 0.55,
            "pass_after": 0.52,
        }
        for i in (1, 2)
    ]
    head = {"recipe": "micro", "seed": seed, "wall_s": 412.3}
    write_json(folder / "metrics.json", {**head, **summary, "ppo": ppo})
    return folder


def _write_stages(folder: Path, rng: np.random.Generator) -> None:
    """What the training stages leave, and recipe, environment and cost."""
    (folder / "recipe.toml").write_text(
        'name = "micro"\nseed = 3\n\n[sft]\nepochs = 40\n\n[ppo]\ncheck_problems = 64\n'
    )
    environment = {"python": "3.11.9", "processor": "AMD EPYC", "cores": 2, "packages": {"torch": "2.13.0"}}
    write_json(folder / "environment.json", environment)
    for stage, epochs in (("0-sft", 40), ("0-sft-longer", 20), ("1-rft", 4)):
        history = [
            {
                "epoch": e,
                "loss": 0.3 + 2.4 * math.exp(-e / 6),
                "validation_loss": 0.42 + 2.2 * math.exp(-e / 5) + 0.002 * e,
            }
            for e in range(1, epochs + 1)
        ]
        write_json(folder / stage / "history.json", history)
    for i in (1, 2):
        rows = [
            {
                "round": r,
                "score": 1.5 * (1 - math.exp(-r / 15)) + float(rng.normal(0, 0.06)),
                "kl": 2.2 * (1 - math.exp(-r / 20)),
                "pass": 0.55 + 0.05 * math.sin(r / 12) - r * 0.0015 if r % 10 == 0 else None,
                "entropy": 1.2 - r * 0.01,
                "clip_fraction": 0.1,
            }
            for r in range(41)
        ]
        write_json(folder / f"{i}-ppo" / "history.json", rows)
    counts = {"sampled": 24000, "passed": 14210, "groups": 3021, "hard negative": 5120, "new positive": 2210}
    write_json(folder / "1-mine" / "summary.json", counts)
    stages = ("problems", "0-sft", "0-sample", "1-reward", "1-ppo", "1-mine", "2-reward", "2-ppo", "evaluate")
    rows = [
        {
            "stage": s,
            "wall_s": 20.0 + 9 * i,
            "cpu_s": 35.5 + 16 * i,
            "tokens": 120000 * i,
            "executions": 8000 * (i % 3),
        }
        for i, s in enumerate(stages)
    ]
    total = {name: sum(r[name] for r in rows) for name in ("wall_s", "cpu_s", "tokens", "executions")}
    write_json(folder / "cost.json", {"stages": rows, "total": total})
