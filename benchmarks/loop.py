"""Does the loop earn its keep? Variants of mining and their controls, over several seeds.

For every seed one run directory: the recipe as it is with the longer-SFT control, then each variant of mining
with matched numbers of groups (stages that variants share are computed once), and the control "fresh" also
with everything that its samples offer. Measured on the test problems,
over the samples of the first aligned policy: ranker 2 of each variant against ranker 1, against ranker 2
retrained with as many extra samples of the SFT policy ("fresh"), against greedy and against log-prob.
Differences are paired by problem; intervals are 95 % bootstrap intervals over problems, those of all seeds
together where the seeds are pooled.

usage: python benchmarks/loop.py [--recipe micro] [--seeds 2 3 4] [--dir runs/loop] [--longer-sft-epochs 85]
                                 [-o docs/results/loop.json]
It goes on where it was stopped.
"""

import argparse
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does

from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.metrics import Floats
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.files import write_json
from rewardranker.loop import Loop
from rewardranker.problems.problem import Problem
from rewardranker.recipe import load_recipe
from rewardranker.tables import read_table

VARIANTS = ("selftraining", "hardnegatives", "random", "fresh")


def drawn_warm(order: Sequence[str], drawn: Iterable[EvaluatedCandidate]) -> list[EvaluatedCandidate]:
    """A policy's candidates at temperature 1, by problem in this order, then by index."""
    place = {problem_id: i for i, problem_id in enumerate(order)}
    warm = (c for c in drawn if c.temperature == 1.0)
    return sorted(warm, key=lambda c: (place[c.problem_id], c.index))


def arrays(directory: Path, policy: str) -> dict[str, Floats]:
    """[problems] of one policy: greedy, sample, log-prob, oracle and every ranker's best of n."""
    order = [p.id for p in read_table(directory / "problems/problems.parquet", Problem) if p.split == "test"]
    drawn = [
        c
        for c in read_table(directory / "evaluate/candidates.parquet", EvaluatedCandidate)
        if c.policy == policy
    ]
    warm = drawn_warm(order, drawn)
    correct = np.array([c.passed for c in warm]).reshape(len(order), -1)
    logprob = np.array([c.mean_logprob for c in warm]).reshape(correct.shape)
    answers = {c.problem_id: float(c.passed) for c in drawn if c.temperature == 0.0}
    greedy = np.array([answers[problem_id] for problem_id in order])
    found: dict[str, Floats] = {
        "greedy": greedy,
        "sample": correct.mean(1),
        "log-prob": selectors.by_score(logprob, correct)[:, -1],
        "oracle": correct.any(1).astype(float),
    }
    raw: dict[int, dict[tuple[str, int], float]] = {}
    for s in read_table(directory / "evaluate/scores.parquet", ScoredCandidate):
        if s.policy == policy:
            raw.setdefault(s.ranker, {})[s.problem_id, s.index] = s.raw
    for ranker, said in raw.items():
        scores = np.array([said[c.problem_id, c.index] for c in warm]).reshape(correct.shape)
        found[f"ranker {ranker}"] = selectors.by_score(scores, correct)[:, -1]
        counts = metrics.pair_counts(scores, correct)
        found[f"auc {ranker}"] = np.array([counts.auc])
    return found


def run_seed(recipe: str, seed: int, directory: Path, longer: int) -> dict[str, Any]:
    """All variants of one seed; per-problem results."""
    result: dict[str, Any] = {}
    plain = load_recipe(recipe, (f"seed={seed}", f"evaluation.longer_sft_epochs={longer}"))
    whole = Loop(plain, directory).execute()
    result["metrics"] = whole
    for policy in ("sft", "sft-longer", "aligned-1", "aligned-2"):
        result[policy] = arrays(directory, policy)
    for variant in VARIANTS:
        settings = (f"seed={seed}", f"variant={variant}", "mining.match=true")
        Loop(load_recipe(recipe, settings), directory).execute()
        result[variant] = arrays(directory, "aligned-1")
    unmatched = load_recipe(recipe, (f"seed={seed}", "variant=fresh"))
    Loop(unmatched, directory).execute()
    result["fresh, unmatched"] = arrays(directory, "aligned-1")
    Loop(plain, directory).execute()  # leave the directory as the plain recipe makes it
    return result


def difference(pairs: list[tuple[Floats, Floats]]) -> dict[str, Any]:
    """Paired difference pooled over seeds, and each seed's own."""

    def one(a: Floats, b: Floats) -> dict[str, Any]:
        found = metrics.paired_difference(a, b, metrics.bootstrap_weights(len(a), 4000, 0))
        return {"points": round(100 * found.difference, 2), "ci95": [round(100 * x, 2) for x in found.ci95]}

    pooled = one(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]))
    return {**pooled, "seeds": [one(a, b) for a, b in pairs]}


def shown(found: dict[str, Any]) -> str:
    """A difference with its interval."""
    return f"{found['points']:+.1f} [{found['ci95'][0]:+.1f}, {found['ci95'][1]:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="micro")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--dir", type=Path, default=Path("runs/loop"))
    parser.add_argument("--longer-sft-epochs", type=int, default=85)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/loop.json"))
    a = parser.parse_args()
    seeds = [run_seed(a.recipe, s, a.dir / f"seed-{s}", a.longer_sft_epochs) for s in a.seeds]

    def compare(x: tuple[str, str], y: tuple[str, str]) -> dict[str, Any]:
        return difference([(s[x[0]][x[1]], s[y[0]][y[1]]) for s in seeds])

    final = ("aligned-2", "ranker 2")
    claims = {
        "SFT samples: ranker 1 over log-prob": compare(("sft", "ranker 1"), ("sft", "log-prob")),
        "SFT samples: ranker 1 over greedy": compare(("sft", "ranker 1"), ("sft", "greedy")),
        "SFT samples: ranker 2 over log-prob": compare(("sft", "ranker 2"), ("sft", "log-prob")),
        "SFT samples: ranker 2 over greedy": compare(("sft", "ranker 2"), ("sft", "greedy")),
        "final system over longer SFT, greedy": compare(final, ("sft-longer", "greedy")),
        "final system over aligned policy 2, greedy": compare(final, ("aligned-2", "greedy")),
        "final system over aligned policy 2, log-prob": compare(final, ("aligned-2", "log-prob")),
        "aligned policy 1: ranker 2 (whole) over greedy": compare(
            ("aligned-1", "ranker 2"), ("aligned-1", "greedy")
        ),
        "aligned policy 1: ranker 2 (whole) over log-prob": compare(
            ("aligned-1", "ranker 2"), ("aligned-1", "log-prob")
        ),
        "aligned policy 1: ranker 2 (whole) over ranker 1": compare(
            ("aligned-1", "ranker 2"), ("aligned-1", "ranker 1")
        ),
    }
    claims["aligned policy 1: ranker 2 (whole) over the control (as many fresh SFT samples)"] = compare(
        ("aligned-1", "ranker 2"), ("fresh, unmatched", "ranker 2")
    )
    for variant in VARIANTS:
        for baseline in ("ranker 1", "greedy", "log-prob"):
            name = f"aligned policy 1, matched: ranker 2 ({variant}) over {baseline}"
            claims[name] = compare((variant, "ranker 2"), (variant, baseline))
    for variant in VARIANTS[:3]:
        name = f"aligned policy 1, matched: ranker 2 ({variant}) over the control (fresh SFT samples)"
        claims[name] = compare((variant, "ranker 2"), ("fresh", "ranker 2"))

    levels = {}
    for policy in ("sft", "sft-longer", "aligned-1", "aligned-2", *VARIANTS, "fresh, unmatched"):
        shown = f"{policy} samples"
        if policy in VARIANTS:
            shown = f"aligned-1 samples, matched {policy}"
        elif policy == "fresh, unmatched":
            shown = f"aligned-1 samples, {policy}"
        for selector in seeds[0][policy]:
            values = [100 * float(s[policy][selector].mean()) for s in seeds]
            levels[f"{shown}: {selector}"] = [round(v, 1) for v in values]
    cost = [s["metrics"]["wall_s"] for s in seeds]
    write_json(a.out, {"command": command(a), "levels": levels, "claims": claims, "wall_s": cost})
    a.out.with_suffix(".md").write_text(page(a, levels, claims))
    print(a.out.with_suffix(".md").read_text())


def command(a: argparse.Namespace) -> str:
    seeds = " ".join(map(str, a.seeds))
    longer = a.longer_sft_epochs
    return f"python benchmarks/loop.py --recipe {a.recipe} --seeds {seeds} --longer-sft-epochs {longer}"


def page(a: argparse.Namespace, levels: dict[str, list[float]], claims: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Does the loop earn its keep?",
        "",
        *textwrap.wrap(f"Made by `{command(a)}`. {(__doc__ or '').split(chr(10) * 2)[1]}", 118),
        "",
        "## Differences, points of the test problems solved",
        "",
        "| claim | pooled | 95 % interval | each seed |",
        "| --- | --- | --- | --- |",
    ]
    for name, c in claims.items():
        each = ", ".join(map(shown, c["seeds"]))
        lines.append(f"| {name} | {c['points']:+.2f} | {c['ci95'][0]:+.2f} to {c['ci95'][1]:+.2f} | {each} |")
    lines += ["", "## Levels, percent (auc: area under the curve within problems)", ""]
    lines += [
        "| what | " + " | ".join(f"seed {s}" for s in a.seeds) + " |",
        "| --- |" + " --- |" * len(a.seeds),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{v:.1f}" for v in values) + " |" for name, values in levels.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
