"""Verdicts of the sandbox against labels that others gave to real programs.

Samples of language models with their labels, references that must pass, and results of other evaluators; with
the tests inside the program and, where they have the form for it, judged from outside. A label and a verdict
agree when both are the same status; every difference has its cause, or stands there as unexplained. Programs
that time out against their label are run again alone.

usage: python benchmarks/pools.py [--data ../shared/data] [--only SET ...] [--timeout 10] [--memory 512]
                                  [--workers 2] [-o docs/results/pools.json]
With --only, the other sets stay as they are in OUT. Exit code 1 when a difference is unexplained.
"""

import argparse
import base64
import gzip
import io
import json
import re
import sys
import tempfile
import textwrap
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.execution.formats.programs import program_rows
from rewardranker.execution.formats.recognise import open_job
from rewardranker.execution.pool import Program, execute
from rewardranker.execution.verdict import Verdict
from rewardranker.files import read_jsonl, write_json, write_text
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.row_tests import _StringUnpickler


@dataclass(frozen=True)
class Labelled:
    """A program and the statuses that its label admits."""

    id: str
    label: str
    program: Program
    compatible: bool = False
    """The label is by MultiPL-E's rule: `status` counts, not `strict_status`."""

    def status(self, verdict: Verdict) -> str:
        return verdict.status if self.compatible else verdict.strict_status

    def agrees(self, verdict: Verdict) -> bool:
        return self.status(verdict) in self.label.split(" or ")


CAUSES = {
    r"timeout -> failed: (MemoryError|.*NoMemoryError|.*OutOfMemoryException|.* more than \d+ MB)": "It "
    "never ends and takes ever more memory. Where memory was not limited it met the label's time limit; here "
    "the memory limit comes first. Not a pass either way.",
    r"'return' outside function": "A program for stdin that returns at the top level, which to Python is a "
    "syntax error. APPS' grader indents such a program and makes it the body of a function, and its human "
    "solutions were cut so that some rely on it. Not imitated: a function's body is another program, with "
    "local variables where `global` means to find global ones.",
}
"""Causes of differences that were looked into, by a pattern of "id: label -> status: reason"."""

_CODET = {"failed_assert": "failed", "failed_exception": "failed"}
_APPS = {True: "passed", False: "failed", -1: "failed or timeout", -2: "syntax_error or failed"}
"""CodeRL's labels: -1 raised or took too long; -2 did not compile, or raised before there was a function."""
_UPSTREAM = {"OK": "passed", "SyntaxError": "syntax_error", "Timeout": "timeout"}


def codegen(data: Path) -> Iterator[tuple[Problem, str, str, str]]:
    """Problem, completion, id and label of CodeGen-16B's samples (CodeT), 100 a problem."""
    with gzip.open(data / "pools" / "codet_codegen16B_humaneval_even.jsonl.gz", "rt") as f:
        for row in map(json.loads, f):
            tests = f"{row['test']}\ncheck({row['entry_point']})\n"
            problem = Problem(
                row["task_id"], "python", row["prompt"], tests, entry_point=row["entry_point"], split="test"
            )
            for i, (completion, status) in enumerate(zip(row["completions"], row["status"], strict=True)):
                yield problem, completion, f"{row['task_id']}#{i}", _CODET.get(status, status)


def codegen_inside(data: Path) -> Iterator[Labelled]:
    for problem, completion, name, label in codegen(data):
        yield Labelled(name, label, Program.of(problem, completion))


def codegen_outside(data: Path) -> Iterator[Labelled | None]:
    for problem, completion, name, label in codegen(data):
        yield outside(problem, completion, name, label)


def outside(problem: Problem, completion: str, name: str, label: str) -> Labelled | None:
    try:
        return Labelled(name, label, Program.of(problem, completion, "outside"))
    except UserError:
        return None


def gpt(data: Path, language: str) -> Iterator[Labelled]:
    for _, row in read_jsonl(data / "pools" / "multipl-e-gpt" / f"{language}.jsonl"):
        source = f"{row['prompt']}{row['completion']}\n{row['tests']}"
        yield Labelled(row["id"], row["status"], Program(row["language"], source))


def references(file: Path) -> Iterator[Labelled | None]:
    for problem in load_problems(file):
        yield outside(problem, problem.reference or "", problem.id, "passed")


def apps(data: Path, what: str) -> Iterator[Labelled]:
    for folder in sorted((data / "formats" / "apps" / "train").iterdir()):
        document = json.loads((folder / "input_output.json").read_text())
        for i, sample in enumerate(json.loads((folder / f"{what}.json").read_text())):
            code, label = (sample, True) if isinstance(sample, str) else (sample["code"], sample["result"])
            yield from as_row(f"{folder.name}#{i}", _APPS[label], {"program": code, "input_output": document})


def code_contests(data: Path) -> Iterator[Labelled]:
    """Programs that know the answers, and programs that know all but the last one."""
    for _, row in read_jsonl(data / "formats" / "sandboxfusion" / "code_eval_code_contests.jsonl"):
        cases = row["test"] if isinstance(row["test"], list) else json.loads(row["test"])
        given = [case["input"]["stdin"] for case in cases]
        answers = [case["output"]["stdout"] for case in cases]
        for label, known in (("passed", answers), ("failed", [*answers[:-1], answers[-1] + " 1"])):
            book = dict(zip(given, known, strict=True))
            source = f"import sys\nprint({book!r}[sys.stdin.buffer.read().decode()], end='')\n"
            tests = {"public_tests": {"input": given, "output": answers}}
            yield from as_row(f"{row['id']} ({label})", label, {"program": source, **tests})


_SOLUTIONS = {  # to the three problems, each with a wrong one
    "1873_A": (
        "for _ in range(int(input())):\n    s = input().strip()\n"
        "    print('YES' if sum(a != b for a, b in zip(s, 'abc')) <= 2 else 'NO')\n",
        "for _ in range(int(input())):\n    print('YES' if input()[0] != 'b' else 'NO')\n",
    ),
    "2727": (
        "class Solution:\n    def countSeniors(self, details: List[str]) -> int:\n"
        "        return sum(int(d[11:13]) > 60 for d in details)\n",
        "class Solution:\n    def countSeniors(self, details: List[str]) -> int:\n"
        "        return sum(int(d[11:13]) >= 60 for d in details)\n",
    ),
    "abc301_a": (
        "n, s = int(input()), input()\nt = s.count('T')\n"
        "print('T' if 2 * t > n or 2 * t == n and s[-1] == 'A' else 'A')\n",
        "n, s = int(input()), input()\nprint('T' if 2 * s.count('T') >= n else 'A')\n",
    ),
}


def live_code_bench(data: Path) -> Iterator[Labelled]:
    for _, row in read_jsonl(data / "formats" / "sandboxfusion" / "code_eval_live_code_bench_v1.jsonl"):
        packed = io.BytesIO(zlib.decompress(base64.b64decode(row["test"])))
        document = json.loads(_StringUnpickler(packed).load()["input_output"])
        kind = "functional" if document["fn_name"] else "stdin"
        cases = [
            {"input": i, "output": o, "testtype": kind}
            for i, o in zip(document["inputs"], document["outputs"], strict=True)
        ]
        tests = {"public_test_cases": json.dumps(cases), "metadata": {"func_name": document["fn_name"]}}
        name = json.loads(row["labels"])["task_id"]
        for label, source in zip(("passed", "failed"), _SOLUTIONS[name.partition("/")[2]], strict=True):
            yield from as_row(f"{name} ({label})", label, {"program": source, **tests})


def as_row(name: str, label: str, row: dict[str, Any]) -> Iterator[Labelled]:
    """What `rewardranker execute` makes of a row with tests beside its program."""
    job = program_rows([(name, {"id": name, "language": "python", **row})], Path("-"))
    if job.faults:
        sys.exit(job.faults[0])
    yield Labelled(name, label, job.programs[0])


def upstream(data: Path) -> Iterator[Labelled]:
    """MultiPL-E's completions, with the statuses that its own evaluator wrote."""
    folder = data / "formats" / "multipl-e"
    for file in sorted((folder / "results").glob("*.results.json")):
        name = file.name.removesuffix(".results.json")
        with tempfile.TemporaryDirectory() as empty:
            programs = open_job(folder / "completions" / f"{name}.json", out=Path(empty)).programs
        results = json.loads(file.read_text())["results"]
        for i, (result, program) in enumerate(zip(results, programs, strict=True)):
            label = _UPSTREAM.get(result["status"], "failed")
            yield Labelled(f"{name}#{i}", label, program, compatible=True)


def sets(data: Path) -> dict[str, Callable[[], Iterator[Labelled | None]]]:
    """None: a program whose tests are not of the form that can be judged from outside."""
    formats = data / "formats"
    return {
        "CodeGen-16B on HumanEval": lambda: codegen_inside(data),
        "CodeGen-16B on HumanEval, from outside": lambda: codegen_outside(data),
        **{
            f"GPT on MultiPL-E {language}": lambda language=language: gpt(data, language)  # type: ignore[misc]
            for language in ("cpp", "cs", "java", "js", "php", "sh", "ts")
        },
        "references of HumanEval, from outside": lambda: references(
            formats / "humaneval" / "HumanEval.jsonl.gz"
        ),
        "references of MBPP, from outside": lambda: references(formats / "mbpp" / "mbpp.jsonl"),
        "references of sanitized MBPP, from outside": lambda: references(
            formats / "mbpp" / "sanitized-mbpp.json"
        ),
        "CodeRL on APPS": lambda: apps(data, "gen_solutions"),
        "human solutions of APPS": lambda: apps(data, "solutions"),
        "answers to CodeContests": lambda: code_contests(data),
        "solutions to LiveCodeBench": lambda: live_code_bench(data),
        "MultiPL-E's own evaluator": lambda: upstream(data),
    }


def measure(found: list[Labelled | None], options: argparse.Namespace) -> dict[str, Any]:
    rows = [row for row in found if row is not None]
    limits = {"timeout_s": options.timeout, "memory_mb": options.memory}
    start = time.monotonic()
    verdicts = execute([row.program for row in rows], workers=options.workers, **limits)
    again = [
        i for i, (row, v) in enumerate(zip(rows, verdicts, strict=True))
        if row.status(v) == "timeout" and not row.agrees(v)
    ]  # fmt: skip
    for i, verdict in zip(
        again, execute([rows[i].program for i in again], workers=1, **limits) if again else [], strict=True
    ):
        verdicts[i] = verdict
    judged = list(zip(rows, verdicts, strict=True))
    run = [(row, v) for row, v in judged if v.status not in ("unavailable", "error")]
    return {
        "programs": len(rows),
        "without_form": len(found) - len(rows),
        "not_run": Counter(v.reason for _, v in judged if v.status in ("unavailable", "error")),
        "passed": sum(row.status(v) == "passed" for row, v in run),
        "same_passes": sum(("passed" in row.label) == (row.status(v) == "passed") for row, v in run),
        "same_status": sum(row.agrees(v) for row, v in run),
        "run_again": len(again),
        "wall_s": round(time.monotonic() - start),
        "differences": [difference(row, v) for row, v in run if not row.agrees(v)],
    }


def difference(row: Labelled, verdict: Verdict) -> dict[str, str]:
    status = row.status(verdict)
    line = f"{row.id}: {row.label} -> {status}: {verdict.reason}"
    cause = next((cause for pattern, cause in CAUSES.items() if re.search(pattern, line)), "unexplained")
    return {"id": row.id, "label": row.label, "status": status, "reason": verdict.reason, "cause": cause}


def page(command: str, report: dict[str, Any]) -> str:
    lines = [
        "# Verdicts on real programs",
        "",
        *textwrap.wrap(f"Made by `{command}`. {(__doc__ or '').split(chr(10) * 2)[1]}", 118),
        "",
        "| set | programs | without the form | not run | passed | pass or not as labelled "
        "| status as labelled | differing |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in report.items():
        kinds = Counter(f"{d['label']} -> {d['status']}" for d in r["differences"])
        run = r["programs"] - sum(r["not_run"].values())
        cells = (
            *(
                name,
                r["programs"],
                r["without_form"] or "-",
                sum(r["not_run"].values()) or "-",
                r["passed"],
            ),
            *(f"{r['same_passes']} of {run}", f"{r['same_status']} of {run}"),
            ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "-",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    reasons = {f"- Not run in {name}: {why}." for name, r in report.items() for why in r["not_run"]}
    lines += ["", "Without the form: the tests are not only `assert f(<literals>) == <literal>`."]
    lines += [line for why in sorted(reasons) for line in textwrap.wrap(why, 118, subsequent_indent="  ")]
    causes: dict[str, list[str]] = {}
    for name, r in report.items():
        for d in r["differences"]:
            causes.setdefault(f"{name}: {d['cause']}", []).append(d["id"])
    lines += ["", "## Every difference and its cause", ""]
    for cause, ids in causes.items():
        lines += textwrap.wrap(f"- {cause}", 118, subsequent_indent="  ")
        lines += textwrap.wrap(f"{', '.join(ids)}", 118, initial_indent="  ", subsequent_indent="  ")
    if not causes:
        lines.append("There is none.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", metavar="SET", help="names as in the table, or parts of them")
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--memory", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/pools.json"))
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"{options.data} is absent: these programs are not part of the project; name it: --data")

    known = json.loads(options.out.read_text())["sets"] if options.only and options.out.exists() else {}
    command = f"python benchmarks/pools.py --timeout {options.timeout:g} --memory {options.memory}"
    for name, rows in sets(options.data).items():
        if options.only and not any(part in name for part in options.only):
            continue
        known[name] = result = measure(list(rows()), options)
        print(f"{name}: {result['same_status']} of {result['programs']} as labelled", flush=True)
        for d in result["differences"]:
            print(f"  {d['id']}: {d['label']} -> {d['status']}: {d['reason']}", flush=True)
        ordered = {name: known[name] for name in sets(options.data) if name in known}
        write_json(options.out, {"command": command, "sets": ordered})
        write_text(options.out.with_suffix(".md"), page(command, ordered))
    differences = [d for result in known.values() for d in result["differences"]]
    sys.exit(any(d["cause"] == "unexplained" for d in differences))


if __name__ == "__main__":
    main()
