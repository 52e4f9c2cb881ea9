"""A warm slot against a fresh interpreter for each program, side by side in alternating rounds.

    python benchmarks/sandbox.py [-o OUT.json] [--programs N] [--rounds N]

The other way is `python -I -S -c PROGRAM` as a subprocess: what most harnesses do, and it isolates nothing.
Both run the same tiny programs, one at a time, and all must pass. CPU is that of every process involved: this
one, the fork server, the programs.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rewardranker.execution.pool import Pool, Program
from rewardranker.files import write_json

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of those it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(x) for x in fields[11:15]) / _TICKS_PER_S


def fork_server(pool: Pool) -> int:
    (slot,) = pool._slots
    guard = slot._process.pid
    return int(Path(f"/proc/{guard}/task/{guard}/children").read_text())


def tiny_programs(n: int, round_number: int) -> list[str]:
    return [
        f"def f(x):\n    return x + {i}\nassert f({round_number}) == {round_number + i}\n" for i in range(n)
    ]


def measure(run: Callable[[list[str]], None], programs: list[str], pids: list[int]) -> dict[str, float]:
    cpu, start = sum(map(cpu_s, pids)), time.perf_counter()
    run(programs)
    wall = time.perf_counter() - start
    return {
        "programs_per_s": len(programs) / wall,
        "cpu_ms_per_program": (sum(map(cpu_s, pids)) - cpu) / len(programs) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--programs", type=int, default=300, help="programs of a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    with Pool(workers=1) as pool:

        def in_slot(sources: list[str]) -> None:
            verdicts = [v for _, v in pool.run([Program("python", s) for s in sources])]
            assert all(v.passed for v in verdicts)

        def in_fresh_interpreters(sources: list[str]) -> None:
            for source in sources:
                subprocess.run([sys.executable, "-I", "-S", "-c", source], check=True)

        ways = {"slot": in_slot, "fresh interpreter": in_fresh_interpreters}
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for number in range(arguments.rounds):
            programs = tiny_programs(arguments.programs, number)
            for name, run in ways.items():
                rounds[name].append(measure(run, programs, [os.getpid(), fork_server(pool)]))

    median = {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for name, results in rounds.items()
    }
    ratio = median["fresh interpreter"]["cpu_ms_per_program"] / median["slot"]["cpu_ms_per_program"]
    for name, figures in median.items():
        rate, cpu_ms = figures.values()
        print(f"{name:18} {rate:6.0f} programs/s {cpu_ms:7.2f} CPU ms each")
    size = f"medians of {arguments.rounds} rounds of {arguments.programs} programs"
    print(f"a slot takes {ratio:.1f} times less CPU ({size})")
    if arguments.out:
        machine = {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        }
        report = {"machine": machine, "median": median, "cpu_ratio": ratio, "rounds": rounds}
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
