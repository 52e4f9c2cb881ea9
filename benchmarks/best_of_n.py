"""Selectors on real model outputs: CodeGen-16B on HumanEval, and 26 models' PHP and JavaScript programs.

Best of N = 1 to 100 (26) by what can be had without knowing the answer, with 95 % bootstrap intervals over
problems, beside the oracle; with a ranker (a folder of this project's or of any scalar reward model, or a
server's URL) also by its scores, alone and after the cheap checks ("staged"). CodeGen-16B's samples are
executed on the visible tests of their prompts and, with `--run all`, on the hidden ones too; `--run visible`
takes the pool's labels for those, which are what the sandbox says of all 8,200 (docs/results/pools.md).

usage: python benchmarks/best_of_n.py [--data ../shared/data] [--run all] [--ranker FOLDER] [--pool NAME ...]
                                      [--timeout 10] [--workers 2] [-o docs/results/selectors.json]
Beside OUT stand a page of tables (.md) and one of curves (.html).
"""

import argparse
import shlex
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from rewardranker.evaluation.benchmark import scored
from rewardranker.evaluation.existing import Existing, read_existing
from rewardranker.evaluation.judging import judge_candidates
from rewardranker.evaluation.selection import compare_selectors
from rewardranker.execution.cache import VerdictCache
from rewardranker.files import write_json, write_text
from rewardranker.models.load import load_ranker
from rewardranker.recipe import Execution
from rewardranker.report.evaluation import curve_chart

POOLS = {
    "CodeGen-16B, Python, T = 0.8": "codet_codegen16B_humaneval_even.jsonl.gz",
    "26 models, PHP": "polyhumaneval_php.jsonl.gz",
    "26 models, JavaScript": "polyhumaneval_javascript.jsonl.gz",
}
SHOWN = (1, 2, 3, 5, 10, 20, 26, 50, 100)
RESAMPLES = 2000


def measure(given: Existing, options: argparse.Namespace) -> dict[str, Any]:
    """What all problems come to, and those that show tests."""
    limits = Execution(timeout_s=options.timeout, workers=options.workers)
    with closing(VerdictCache()) as cache:
        judged = judge_candidates(given.problems, given.candidates, limits, cache=cache, runs=options.run)
    parts = {"problems": given.problems}
    if shown := [p for p in given.problems if p.visible_tests]:
        parts["problems that show tests"] = shown
    found = {}
    for name, problems in parts.items():
        ids = {p.id for p in problems}
        own = [c for c in judged if c.given.problem_id in ids]
        found[name] = compare_selectors(problems, own, resamples=RESAMPLES).summary
    return found


def page(command: str, pools: dict[str, dict[str, Any]], drawn: str) -> str:
    lines = [
        "# Selectors on real model outputs",
        "",
        *textwrap.wrap(
            f"Made by `{command}`. Percent of problems solved by the choice among N candidates, the mean "
            "over all sets of N (majorities of more than 12: over 256 random sets), ± half the 95 % "
            "bootstrap interval over problems. [What each selector picks](../how-to/evaluate.md). The "
            f"ranker, if there is one, is what the command names. As curves: [{drawn}]({drawn}), a page to "
            "open from disk.",
            118,
            break_on_hyphens=False,  # in the middle of a link
        ),
    ]
    for pool, parts in pools.items():
        for part, summary in parts.items():
            lines += [
                "",
                f"## {pool}: {summary['problems']} {part}, {summary['candidates']:,} candidates",
                "",
            ]
            last = summary["curves"][0]["k"][-1]
            ks = [k for k in SHOWN if k <= last]
            lines += [
                "| selector | " + " | ".join(f"N = {k}" for k in ks) + " |",
                "| --- " * (len(ks) + 1) + "|",
            ]
            for curve in summary["curves"]:
                cells = []
                for k in ks:
                    low, high = curve["ci95"][k - 1]
                    cells.append(f"{100 * curve['value'][k - 1]:.1f} ± {50 * (high - low):.1f}")
                lines.append(f"| {curve['selector']} | " + " | ".join(cells) + " |")
            groups = summary["groups"]
            lines += [
                "",
                f"Problems with no right candidate: {groups['none']}, with some: {groups['some']}, "
                f"with only right ones: {groups['all']}."
                + (f" {summary['visible']} show tests." if part == "problems" else ""),
            ]
            if labels := summary["labels"]:
                lines.append(
                    f"Verdicts agree with the labels on {labels['agree']:,} of {labels['compared']:,}."
                )
            gaps = [
                f"{r['selector']} {100 * r['gap_closed']['value']:.0f} %"
                for r in summary["ranking"]
                if r["gap_closed"]["value"] is not None
            ]
            if gaps:
                lines.append(f"Of the way from sample to oracle at N = {last}: {', '.join(gaps)}.")
    return "\n".join(lines) + "\n"


def curves(command: str, pools: dict[str, dict[str, Any]]) -> str:
    """A page that opens from disk: a chart for each table."""
    css = (resources.files("rewardranker.report") / "templates" / "viewer.css").read_text(encoding="utf-8")
    charts = [
        curve_chart(_thinned(summary), summary["languages"][0], f"{pool}, {summary['problems']} {part}")
        for pool, parts in pools.items()
        for part, summary in parts.items()
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Selectors on real model outputs</title><style>{css}</style></head>\n"
        "<body><h1>Selectors on real model outputs</h1>\n"
        f"<p>Percent of problems solved by the choice among k candidates; bands are 95 % bootstrap intervals "
        f"over problems. Made by <code>{escape(command)}</code>.</p>\n"
        f'<div class="charts">{"".join(charts)}</div></body></html>\n'
    )


def _thinned(summary: dict[str, Any]) -> dict[str, Any]:
    """Every fifth point beyond 20: a line of a hundred looks the same."""

    def some(curve: dict[str, Any]) -> dict[str, Any]:
        kept = [i for i, k in enumerate(curve["k"]) if k <= 20 or k % 5 == 0 or k == curve["k"][-1]]
        return curve | {field: [curve[field][i] for i in kept] for field in ("k", "value", "ci95")}

    return summary | {"curves": [some(curve) for curve in summary["curves"]]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--run", choices=["all", "visible"], default="all")
    parser.add_argument("--ranker", help="a folder or a URL")
    parser.add_argument("--pool", nargs="+", metavar="NAME", help="parts of the names in the table")
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/selectors.json"))
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"{options.data} is absent: these programs are not part of the project; name it: --data")
    command = shlex.join(["python", "benchmarks/best_of_n.py", *sys.argv[1:]])
    ranker = load_ranker(options.ranker) if options.ranker else None
    pools = {}
    for name, file in POOLS.items():
        if options.pool and not any(part in name for part in options.pool):
            continue
        given = read_existing(options.data / "pools" / file)
        if ranker is not None:
            given = replace(given, candidates=scored(given, ranker))
        pools[name] = measure(given, options)
    write_json(options.out, {"command": command, "pools": pools})
    drawn = options.out.with_suffix(".html")
    write_text(options.out.with_suffix(".md"), page(command, pools, drawn.name))
    write_text(drawn, curves(command, pools))


if __name__ == "__main__":
    main()
