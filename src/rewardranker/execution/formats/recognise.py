"""`open_job`: which format a file or folder is in follows from what is in it."""

import json
import sys
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import STANDARD_STREAM, Job, parse_lines
from rewardranker.execution.formats.multipl_e import CompletionsJob
from rewardranker.execution.formats.programs import program_rows
from rewardranker.execution.formats.samples import read_solutions, sample_rows
from rewardranker.files import read_text

_RESULTS = (".results.json", ".results.json.gz")


def open_job(path: Path, *, out: Path | None = None, problems: Path | None = None) -> Job:
    """The programs of a file or folder, and the place of their results.

    Programs: JSONL rows with id, language, program; they need `out`, a file or "-" for stdout.
    Samples: JSONL rows with task_id and completion (HumanEval) or solution (EvalPlus), or EvalPlus' folder of
    solutions; they need `problems`, and `out` is `<path>_results.jsonl` unless given.
    MultiPL-E's completions: one file, or a folder in which they are looked for at any depth; `out` is a
    folder, and without one results are put beside each file.

    JSONL is read from stdin where `path` is "-".

    Raises:
        UserError: nothing to run is found, or `out` or `problems` don't go with it. Rows and files that
            can't be run are told of in the job's `faults` instead.
    """
    if path != STANDARD_STREAM and path.is_dir():
        return _open_folder(path, out, problems)
    text = _read(path)
    if _is_completions(path, text):
        if path == STANDARD_STREAM:
            raise UserError("stdin: MultiPL-E's completions are read from files and folders; name one")
        _refuse_problems(path, problems)
        return CompletionsJob({path: _results_folder(path.parent, out) / _results_name(path)})
    lines = parse_lines(text, str(path))
    rows: list[dict[str, Any]] = [row for _, row in lines if isinstance(row, dict)]
    if lines and not rows:
        where, why = lines[0]
        raise UserError(f"{where}: {why}; expected JSON lines, each an object with id, language and program")
    if rows and {"task_id", "problem_id"} & rows[0].keys() and "program" not in rows[0]:
        if not any({"completion", "solution", "text"} & row.keys() for row in rows):
            raise UserError(
                f"{path}: its rows have a task_id, but neither completion nor solution: these are problems, "
                "not programs; `rewardranker sample` writes programs for problems"
            )
        return sample_rows(lines, _results_file(path, out), _needed_problems(path, problems))
    _refuse_problems(path, problems)
    if out is None:
        raise UserError(f"{path}: say where to write the verdicts: -o OUT.jsonl (- for stdout)")
    return program_rows(lines, out)


def _open_folder(path: Path, out: Path | None, problems: Path | None) -> Job:
    files = sorted(
        p
        for pattern in ("*.json", "*.json.gz")
        for p in path.rglob(pattern)
        if p.is_file() and not p.name.endswith(_RESULTS)
    )
    if files:
        _refuse_problems(path, problems)
        folder = _results_folder(path, out)
        return CompletionsJob({p: folder / p.relative_to(path).parent / _results_name(p) for p in files})
    if any(path.glob("*/*.py")):
        place, problems = _results_file(path, out), _needed_problems(path, problems)
        return sample_rows(read_solutions(path, problems), place, problems)
    raise UserError(
        f"{path}: nothing to run in this folder: neither MultiPL-E's completions (*.json, *.json.gz) "
        "nor EvalPlus' solutions (*/*.py)"
    )


def _read(path: Path) -> str:
    if path != STANDARD_STREAM:
        return read_text(path)
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as e:
        raise UserError(f"stdin: not UTF-8 text ({e})") from e


def _is_completions(path: Path, text: str) -> bool:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # What is named as one document and starts as no row does is a broken document, not broken rows.
        is_json = path.name.removesuffix(".gz").endswith(".json")
        lines = parse_lines(text, "")
        return is_json and not (lines and isinstance(lines[0][1], dict))
    return isinstance(document, dict) and "completions" in document


def _results_name(path: Path) -> str:
    suffix = ".gz" if path.suffix == ".gz" else ""
    return path.name.removesuffix(".gz").removesuffix(".json") + ".results.json" + suffix


def _results_folder(beside: Path, out: Path | None) -> Path:
    if out == STANDARD_STREAM or (out and not out.is_dir() and out.suffix in (".json", ".jsonl", ".gz")):
        raise UserError(f"{out}: results of MultiPL-E's completions are files; give -o the name of a folder")
    return out or beside


def _results_file(path: Path, out: Path | None) -> Path:
    if out is None and path == STANDARD_STREAM:
        raise UserError("stdin: say where to write the results: -o OUT.jsonl (- for stdout)")
    return out or path.with_name(f"{path.absolute().name}_results.jsonl")


def _needed_problems(path: Path, problems: Path | None) -> Path:
    if problems is None:
        raise UserError(
            f"{path}: these are samples of HumanEval or EvalPlus; name the file of their problems: "
            "--problems HumanEval.jsonl.gz"
        )
    return problems


def _refuse_problems(path: Path, problems: Path | None) -> None:
    if problems is not None:
        raise UserError(
            f"{path}: --problems {problems} is for samples (rows with task_id and completion or solution), "
            "and these are none; leave it out"
        )
