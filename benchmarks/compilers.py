"""A warm compiler against one that is started for each program, on the same programs in alternation.

    python benchmarks/compilers.py PROGRAMS.jsonl [-o OUT.json] [--programs N] [--languages LANGUAGE ...]

PROGRAMS.jsonl (or .jsonl.gz; several files may be given) holds `language` and `program`, as `rewardranker
execute` takes them. Each program is compiled by the cold command and by the warm compiler (C++: with what
`build_options` adds), both in sandboxes. CPU is that of every process and thread of a compilation. What the
first program costs a warm compiler, whose machine code has yet to be made, is in its mean; what it takes to
start, and to be prepared once for all, is told apart.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from pathlib import Path

from rewardranker.execution.compilers.compiler import Compiler
from rewardranker.execution.compilers.prebuilt import fill_in, prepare
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.sandbox.request import Request
from rewardranker.execution.slot import Slot
from rewardranker.files import read_jsonl, write_json


def encoded_files(language: Language, source: str) -> dict[str, bytes]:
    return {name: text.encode() for name, text in language.files(source, "").items()}


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Cold:
    """Builds in a slot."""

    def __init__(self) -> None:
        self._slot = Slot()
        self._slot.wait_until_ready()

    def build(self, language: Language, source: str, options: tuple[str, ...] = ()) -> tuple[float, float]:
        """CPU and wall seconds."""
        files = encoded_files(language, source)
        request = Request(
            command=[*language.build, *fill_in(options, language)],
            files=[(name, len(content)) for name, content in files.items()],
            input_bytes=0,
            timeout_s=60.0,
            memory_mb=2048,
            environment=dict(language.environment),
            reserves_memory=True,
        )
        start = time.perf_counter()
        self._slot.send(request, b"".join(files.values()))
        outcome = self._slot.receive()
        return outcome.cpu_s, time.perf_counter() - start

    def close(self) -> None:
        self._slot.close()


class Warm:
    """A compiler that stays, and how much CPU it took before the first program."""

    def __init__(self, language: Language) -> None:
        start = time.perf_counter()
        self._compiler = Compiler(language)
        self._compiler.wait_until_ready()
        self.start_wall_s = time.perf_counter() - start
        self.start_cpu_s = 0.0
        self._before, self._compiled = children_cpu_s(), 0.0

    def build(self, language: Language, source: str, options: tuple[str, ...] = ()) -> tuple[float, float]:
        start = time.perf_counter()
        self._compiler.send(encoded_files(language, source))
        built = self._compiler.receive()
        self._compiled += built.cpu_s
        return built.cpu_s, time.perf_counter() - start

    def close(self) -> None:
        self._compiler.close()
        self.start_cpu_s = children_cpu_s() - self._before - self._compiled


def summary(times: list[tuple[float, float]]) -> dict[str, float]:
    cpu, wall = zip(*times, strict=True)
    return {
        "cpu_ms_mean": statistics.mean(cpu) * 1e3,
        "cpu_ms_median": statistics.median(cpu) * 1e3,
        "cpu_ms_last_quarter": statistics.mean(cpu[-max(1, len(cpu) // 4) :]) * 1e3,
        "wall_ms_mean": statistics.mean(wall) * 1e3,
    }


def measure(language: Language, sources: list[str]) -> dict[str, object]:
    before, start = children_cpu_s(), time.perf_counter()
    prepare(language)
    report: dict[str, object] = {
        "programs": len(sources),
        "prepare_cpu_s": children_cpu_s() - before,
        "prepare_wall_s": time.perf_counter() - start,
    }
    cold = Cold()
    warm = Warm(language) if language.warm else None
    ways: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for source in sources:
        ways["cold"].append(cold.build(language, source))
        ways["warm"].append((warm or cold).build(language, source, language.build_options(source)))
    if warm is not None:
        warm.close()
        report |= {"start_cpu_s": warm.start_cpu_s, "start_wall_s": warm.start_wall_s}
    cold.close()
    return report | {way: summary(times) for way, times in ways.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="PROGRAMS.jsonl")
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--programs", type=int, default=100, help="programs of a language, evenly spread")
    parser.add_argument("--languages", nargs="*", default=[x.name for x in LANGUAGES if x.prebuilt])
    arguments = parser.parse_args()

    sources: dict[str, list[str]] = {name: [] for name in arguments.languages}
    for file in arguments.files:
        for _, row in read_jsonl(file):
            language = find_language(row["language"])
            if language and language.name in sources:
                sources[language.name].append(row["program"])
    reports = {}
    for name, programs in sources.items():
        language = find_language(name)
        if not programs or language is None:
            continue
        step = max(1, len(programs) // arguments.programs)
        reports[name] = report = measure(language, programs[::step][: arguments.programs])
        print(f"{name}: {report['programs']} programs; prepared in {report['prepare_wall_s']:.1f} s", end="")
        if "start_cpu_s" in report:
            print(f"; started in {report['start_cpu_s']:.2f} CPU s, {report['start_wall_s']:.2f} s", end="")
        print()
        for way in ("cold", "warm"):
            figures = report[way]
            assert isinstance(figures, dict)
            print(f"  {way}: " + ", ".join(f"{key} {value:.1f}" for key, value in figures.items()))
    if arguments.out:
        machine = {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()}
        write_json(arguments.out, {"machine": machine, "languages": reports})


if __name__ == "__main__":
    main()
