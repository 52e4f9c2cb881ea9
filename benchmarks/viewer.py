"""How quick the viewer is with many candidates: made, opened, filtered, searched, read, in headless Chromium.

An evaluation of synthetic problems with distinct programs of some ten lines, scored, none executed. Seconds
are medians of three, of a person's waiting: from the click until the page has drawn what it asks for. A page
of another size beside it shows what grows.

usage: python benchmarks/viewer.py [--problems 100 1000] [--n 100] [-o docs/results/viewer.json]
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests" / "report"))

from browser import Tab, browser

from rewardranker.evaluation.benchmark import measure_existing
from rewardranker.evaluation.existing import Existing
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.files import write_json, write_text
from rewardranker.problems.problem import Problem
from rewardranker.recipe import load_recipe
from rewardranker.report.page import write_report

_LINE = "    total = (total * {a} + len(values) + {b}) % {c}  # step {i} of this candidate\n"


def synthetic(problems: int, n: int) -> Existing:
    """Problems with `n` candidates each, a third right, and a ranker that tells some of them apart."""
    rng = np.random.default_rng(0)
    tasks = [
        Problem(
            f"synthetic/{p}",
            "python",
            f"def solve_{p}(values):\n"
            + '    """Combine the values as the examples of this problem show."""\n',
            f"assert solve_{p}([1, 2]) == 3\n" * 4,
            split="test",
        )
        for p in range(problems)
    ]
    candidates = []
    for task in tasks:
        for i in range(n):
            a, b, c = rng.integers(1, 10_000, 3)
            passed = bool(rng.random() < 1 / 3)
            raw = float(passed + rng.normal())
            candidates.append(
                ExistingCandidate(
                    task.id,
                    i,
                    "".join(_LINE.format(a=a, b=b, c=c, i=line) for line in range(rng.integers(4, 16))),
                    label="passed" if passed else "failed",
                    logprob_sum=float(rng.normal(-30, 5)),
                    n_tokens=60,
                    score=raw,
                    probability=float(1 / (1 + np.exp(-raw))),
                )
            )
    return Existing(tasks, candidates)


def median_seconds(action: Callable[[], None]) -> float:
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        action()
        seconds.append(time.monotonic() - start)
    return round(statistics.median(seconds), 2)


def measure(problems: int, n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory, browser(Path(directory) / "profile") as tab:
        folder = Path(directory) / "evaluation"
        config = load_recipe("tiny", ("evaluation.bootstrap=100",))
        measure_existing(synthetic(problems, n), folder, config, name="synthetic", source={}, runs="nothing")
        start = time.monotonic()
        page = write_report(folder)
        made = round(time.monotonic() - start, 1)
        files = [path for path in page.parent.rglob("*") if path.is_file()]
        return {
            "problems": problems,
            "candidates": problems * n,
            "written, s": made,
            "whole, MB": round(sum(f.stat().st_size for f in files) / 1e6, 1),
            "page and list, MB": round(
                sum(f.stat().st_size for f in files if "chunk-" not in f.name) / 1e6, 2
            ),
            **waits(tab, page.as_uri(), problems),
        }


def waits(tab: Tab, page: str, problems: int) -> dict[str, float]:
    def search() -> None:
        tab.js("document.getElementById('q').select()")
        tab.type(f"solve_{next(words)}")
        assert tab.texts("#problem-rows tr")

    def read() -> None:
        tab.open(f"{page}#problems?filter=wrong-solvable")
        start = time.monotonic()
        tab.click("#problem-rows a")
        assert tab.text("#problem .diff")
        read_s.append(time.monotonic() - start)

    read_s: list[float] = []
    words = itertools.count(problems // 2)
    filters, sorts = itertools.cycle(["wrong-solvable", "right"]), itertools.cycle(["hard", "easy"])
    found = {
        "open summary, s": median_seconds(lambda: tab.open(f"{page}#summary")),
        "open list, s": median_seconds(lambda: tab.open(f"{page}#problems")),
        "filter, s": median_seconds(lambda: tab.choose("filter", next(filters))),
        "sort, s": median_seconds(lambda: tab.choose("sort", next(sorts))),
    }
    tab.choose("filter", "all")
    found["search, s"] = median_seconds(search)
    median_seconds(read)
    found["open a problem, s"] = round(statistics.median(read_s), 2)
    found["next problem, s"] = median_seconds(lambda: tab.press("n"))
    return found


def page(command: str, load: float, rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    return "\n".join(
        [
            "# How quick the viewer is",
            "",
            *textwrap.wrap(
                f"Made by `{command}`, on {os.cpu_count()} cores at a load average of {load:.1f} (idle cores "
                f"are quicker). {(__doc__ or '').split(chr(10) * 2)[1]}",
                118,
            ),
            "",
            f"| {' | '.join(names)} |",
            "| ---: " * len(names) + "|",
            *(f"| {' | '.join(f'{row[name]:,}' for name in names)} |" for row in rows),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--n", type=int, default=100, help="candidates a problem")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/viewer.json"))
    options = parser.parse_args()
    rows = [measure(problems, options.n) for problems in options.problems]
    command = f"python benchmarks/viewer.py --problems {' '.join(map(str, options.problems))} --n {options.n}"
    load = os.getloadavg()[0]
    write_json(options.out, {"command": command, "load_average": load, "sizes": rows})
    write_text(options.out.with_suffix(".md"), page(command, load, rows))
    print(options.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
