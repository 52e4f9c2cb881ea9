"""Candidates as rows: what `sample` writes, `execute` runs, `rank` and `mine` read; JSON lines or Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.problems.candidate import Candidate, ExecutedCandidate, FinishReason
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, read_rows, validate


class _Executed(Record):
    """The fields of an `ExecutedCandidate`; what execution doesn't need may be missing."""

    problem_id: str
    text: str
    strict_status: str
    status: str = ""
    reason: str = ""
    index: int = 0
    logprob_sum: float = 0.0
    n_tokens: int = 0
    finish_reason: FinishReason = "eos"
    policy: str = ""


def completion_rows(
    problems: Sequence[Problem], candidates: Sequence[Candidate], whole: Sequence[bool] = ()
) -> list[dict[str, Any]]:
    """Rows {"id", "language", "program", ...the candidate's fields}, which `rewardranker execute` can run.

    A log-probability that isn't known (NaN) has no field. Nor has a program whose tests stand beside it,
    which can be megabytes: those rows are run with the problems' file.

    Args:
        problems: of the candidates.
        candidates: in the order of the rows.
        whole: whether the text of each stands for its problem's prompt too; empty: none does.
    """
    by_id = {p.id: p for p in problems}

    def program(c: Candidate, alone: bool) -> dict[str, Any]:
        problem = by_id[c.problem_id]
        source = f"{c.text}\n{problem.tests}" if alone else problem.program(c.text)
        return ({} if problem.tests_beside else {"program": source}) | ({"whole": True} if alone else {})

    return [
        {
            "id": f"{c.problem_id}#{c.index}",
            "language": by_id[c.problem_id].language,
            **program(c, alone),
            **{k: v for k, v in asdict(c).items() if k != "logprob_sum" or not isnan(c.logprob_sum)},
        }
        for c, alone in zip(candidates, whole or [False] * len(candidates), strict=True)
    ]


def read_completions(path: Path, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Rows with at least "problem_id" and "text" (or HumanEval's and EvalPlus' names of these).

    Raises:
        UserError: a row lacks a field or names a problem that isn't among `problems`; names file and line.
    """
    return [row for _, row in candidate_rows(path, problems)]


def read_executed(path: Path, problems: Sequence[Problem]) -> list[ExecutedCandidate]:
    """Candidates of `path` with their verdicts: rows of `sample` that went through `execute`.

    Whole programs, which don't continue their prompts, are left out and counted on stderr.

    Raises:
        UserError: as `read_completions`, or a row carries no verdict or a field of the wrong kind.
    """
    executed = []
    left_out = 0
    for where, row in candidate_rows(path, problems):
        if row.get("whole"):
            left_out += 1
            continue
        if "strict_status" not in row:
            raise UserError(f"{where}: no verdict; run it first: rewardranker execute {path} -o OUT")
        # A table has a column for what some of its rows lack.
        found = validate(_Executed, {k: v for k, v in row.items() if v is not None}, where)
        known = {"status": found.status or found.strict_status, "policy": found.policy or path.stem}
        executed.append(ExecutedCandidate(**{**found.model_dump(), **known}))
    say_left_out(path, left_out)
    return executed


def say_left_out(path: Path, whole_programs: int) -> None:
    """Say on stderr how many rows of `path` can't be used as completions, if any."""
    if whole_programs:
        progress.console.print(
            f"{path}: {whole_programs} programs that don't continue their prompts are left out", markup=False
        )


def candidate_rows(path: Path, problems: Sequence[Problem]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, row) of each row, with "problem_id" and "text" whatever they were called.

    Whole programs that begin with their prompts become completions of these; the others say "whole".

    Raises:
        UserError: as `read_completions`.
    """
    prompts = {p.id: p.prompt for p in problems}
    empty = True
    for where, found in read_rows(path):
        empty = False
        row = {**found}
        if row.get("solution") is not None:  # EvalPlus prefers it where both are given
            row |= {"text": row["solution"], "whole": True}
        problem_id, text = row.get("problem_id", row.get("task_id")), row.get("text", row.get("completion"))
        if not isinstance(problem_id, str) or not isinstance(text, str):
            raise UserError(
                f'{where}: needs "problem_id" and "text" (or "task_id" and "completion" or "solution")'
            )
        if problem_id not in prompts:
            raise UserError(f"{where}: problem {problem_id!r} is not in the problems file")
        if row.get("whole") and text.startswith(prompts[problem_id]):
            row["whole"], text = False, text.removeprefix(prompts[problem_id])
        yield where, {**row, "problem_id": problem_id, "text": text}
    if empty:
        raise UserError(f"{path}: no rows")
