"""HumanEval's and EvalPlus' samples: {"task_id", "completion" or "solution"}; results as human-eval's.

Sources: openai/human-eval `evaluation.py`, `execution.py`; evalplus/evalplus `data/utils.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import model_validator

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import Line, RowsJob
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.files import read_text
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, validate


class _Sample(Record):
    task_id: str
    completion: str | None = None
    """Follows the problem's prompt."""
    solution: str | None = None
    """Stands for prompt and completion; EvalPlus prefers it where both are given."""
    whole: bool | None = None
    """The completion stands for the prompt too: so `sample` and `rank` mark what does not continue it."""

    @model_validator(mode="before")
    @classmethod
    def _ours(cls, row: dict[str, Any]) -> dict[str, Any]:
        """Rows of `sample` for problems with tests beside the program, which hold no program."""
        named = {"task_id": row.get("problem_id"), "completion": row.get("text")}
        return {**{k: v for k, v in named.items() if v is not None}, **row}

    @model_validator(mode="after")
    def _complete(self) -> "_Sample":
        if self.completion is None and self.solution is None:
            raise ValueError("completion (or solution): field required")
        return self

    def program(self, problem: Problem) -> Program:
        """What human-eval runs: the completion is taken as it is, not cut at stop tokens."""
        if self.solution is None:
            return Program.of(problem, self.completion or "", whole=self.whole is True)
        return Program.of(problem, self.solution, whole=True)


def sample_rows(lines: Sequence[Line], out: Path, problems_file: Path) -> RowsJob:
    """The job of running the rows of `lines` with the tests of their problems.

    A verdict adds human-eval's `result` and `passed`, and its own fields. A row that can't be run is kept
    out and told of in the job's `faults`.

    Raises:
        UserError: the file of problems can't be read.
    """
    by_id = {p.id: p for p in load_problems(problems_file)}
    rows, faults = [], []
    for where, row in lines:
        if isinstance(row, str):
            faults.append(f"{where}: {row}")
            continue
        try:
            sample = validate(_Sample, row, where)
            rows.append((row, sample.program(_problem(by_id, sample.task_id, where, problems_file))))
        except UserError as e:
            faults.append(str(e))
    return RowsJob(rows, faults, out, _fields)


def read_solutions(folder: Path, problems_file: Path) -> list[Line]:
    """EvalPlus' folder {task id, with _ for /}/{number}.py as the lines of a file of samples."""
    ids = [p.id for p in load_problems(problems_file)]
    by_folder = {i.replace("MBPP/", "Mbpp/").replace("/", "_"): i for i in ids}  # EvalPlus' spelling
    by_folder |= {i.replace("/", "_"): i for i in ids}
    lines: list[Line] = []
    for path in sorted(folder.glob("*/*.py"), key=_number):
        task_id = by_folder.get(path.parent.name, path.parent.name)
        try:
            lines.append((str(path), {"task_id": task_id, "solution": read_text(path)}))
        except UserError as e:
            lines.append((str(path), str(e).removeprefix(f"{path}: ")))
    return lines


def _number(path: Path) -> tuple[str, int, str]:
    """Sorts 10.py after 9.py."""
    return path.parent.name, int(path.stem) if path.stem.isdecimal() else -1, path.name


def _problem(by_id: Mapping[str, Problem], task_id: str, where: str, problems_file: Path) -> Problem:
    problem = by_id.get(task_id) or by_id.get(task_id.replace("Mbpp/", "MBPP/"))  # EvalPlus' spelling
    if problem is None:
        raise UserError(f"{where}: task_id: problem {task_id!r} is not in {problems_file}")
    return problem


def _fields(verdict: Verdict) -> dict[str, Any]:
    """Human-eval counts only what ran to its end, so `passed` is the strict verdict.

    A program that could not be run has no `passed`: no count may take it for a failure.
    """
    status = verdict.strict_status
    words = {"passed": "passed", "timeout": "timed out"}
    if status in ("unavailable", "error"):
        result, passed = f"{status}: {verdict.reason}", None
    else:
        result, passed = words.get(status, f"failed: {verdict.reason}"), verdict.passed
    return {"result": result, "passed": passed, **asdict(verdict)}
