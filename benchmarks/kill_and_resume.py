"""A run that is killed again and again ends like one that never was.

Runs a recipe once undisturbed, then once more with SIGKILL at random moments spread over the time that the
first took (through every stage, and what comes before and after), started anew each time. Compares
metrics.json without its times, the list of artifacts, and every Parquet table; looks for sandbox processes
that outlive the one that was killed.

usage: python benchmarks/kill_and_resume.py [--recipe tiny] [--kills 10] [--seed 1] [--set KEY=VALUE ...]
                                            [--dir runs/kill_and_resume] [-o OUT.json]
Exit code 1 when anything differs or survives.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq

from rewardranker.files import write_json

_POLL_S = 0.01
_LAST_WORDS_S = 5.0
"""What a sandbox may need to end after the process that started it."""


def start(recipe: str, directory: Path, assignments: list[str]) -> subprocess.Popen[bytes]:
    code = "from rewardranker.cli import main; main()"
    command = [sys.executable, "-c", code, "run", recipe, "--dir", str(directory)]
    command += [word for assignment in assignments for word in ("--set", assignment)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, err = process.communicate()
    if process.returncode:
        sys.exit(f"the run failed with exit code {process.returncode}:\n{err.decode()}")


def moments(directory: Path, took_s: float, kills: int, rng: Random) -> list[tuple[list[str], float]]:
    """(stages done by then, seconds after the last of them): one moment in each `kills`-th of the run.

    The time before the first stage and after the last, imports and the report, counts as well.
    """
    stages = json.loads((directory / "cost.json").read_text())["stages"]
    outside = max(took_s - sum(s["wall_s"] for s in stages), 0.0)
    durations = [outside / 2 + stages[0]["wall_s"], *(s["wall_s"] for s in stages[1:]), outside / 2]
    names = [s["stage"] for s in stages]
    found = []
    for k in range(kills):
        left = (k + rng.random()) / kills * sum(durations)
        done = 0
        while left > durations[done]:
            left -= durations[done]
            done += 1
        found.append((names[:done], left))
    return found


def kill_at(process: subprocess.Popen[bytes], directory: Path, done: list[str], after_s: float) -> bool:
    """Kill the process `after_s` after the stages `done` are; False if it ended before."""
    while not all((directory / name).is_dir() for name in done):
        if process.poll() is not None:
            return False
        time.sleep(_POLL_S)
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    return False


def survivors(pid: int) -> list[int]:
    """Sandbox processes of `pid` that live on after the grace time; their command line names their parent."""
    mark = f"server.main({pid},".encode()
    deadline = time.monotonic() + _LAST_WORDS_S
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def artifacts(directory: Path) -> list[str]:
    files = [str(p.relative_to(directory)) for p in directory.rglob("*")]
    return sorted(f for f in files if f != ".lock")


def tables(directory: Path) -> dict[str, Any]:
    return {
        str(p.relative_to(directory)): pq.ParquetFile(p).read() for p in sorted(directory.rglob("*.parquet"))
    }


def results(directory: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((directory / "metrics.json").read_text())
    del metrics["wall_s"]
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--dir", type=Path, default=Path("runs/kill_and_resume"))
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()

    whole, killed = options.dir / "whole", options.dir / "killed"
    for directory in (whole, killed):
        shutil.rmtree(directory, ignore_errors=True)
    began = time.monotonic()
    finish(start(options.recipe, whole, options.assignments))
    took_s = time.monotonic() - began
    print(f"undisturbed: {took_s:.0f} s", flush=True)

    kills, left_over = [], []
    for done, after_s in moments(whole, took_s, options.kills, Random(options.seed)):
        process = start(options.recipe, killed, options.assignments)
        hit = kill_at(process, killed, done, after_s)
        if not hit:
            finish(process)
        left_over += survivors(process.pid)
        where = f"{after_s:.2f} s after {done[-1]}" if done else f"{after_s:.2f} s after the start"
        kills.append({"at": where, "killed": hit})
        print(f"  {'killed' if hit else 'was done before'} {where}", flush=True)
    finish(start(options.recipe, killed, options.assignments))

    expected, found = tables(whole), tables(killed)
    verdict = {
        "recipe": options.recipe,
        "undisturbed_s": round(took_s, 1),
        "cores": os.cpu_count(),
        "kills": kills,
        "metrics_equal": results(whole) == results(killed),
        "artifacts": len(artifacts(whole)),
        "artifacts_equal": artifacts(whole) == artifacts(killed),
        "rows": {name: table.num_rows for name, table in expected.items()},
        "rows_equal": {n: t.num_rows for n, t in expected.items()}
        == {n: t.num_rows for n, t in found.items()},
        "tables_equal": expected.keys() == found.keys()
        and all(t.equals(found[n]) for n, t in expected.items()),
        "surviving_processes": left_over,
    }
    hits = sum(k["killed"] for k in kills)
    print(f"killed {hits} times; surviving sandbox processes: {len(left_over)}")
    print(f"metrics equal: {verdict['metrics_equal']}; {verdict['artifacts']} artifacts equal: ", end="")
    print(
        f"{verdict['artifacts_equal']}; {len(expected)} tables of {sum(verdict['rows'].values())} rows ",
        end="",
    )
    print(f"with equal row counts: {verdict['rows_equal']}, equal contents: {verdict['tables_equal']}")
    if options.out:
        write_json(options.out, verdict)
    good = all(verdict[f"{what}_equal"] for what in ("metrics", "artifacts", "rows", "tables"))
    sys.exit(0 if good and not left_over else 1)


if __name__ == "__main__":
    main()
