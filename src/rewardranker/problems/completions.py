"""Candidates as JSON lines: what `sample` writes, `execute` runs, `rank` and `mine` read."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.files import read_jsonl
from rewardranker.problems.candidate import Candidate, ExecutedCandidate
from rewardranker.problems.problem import Problem


def completion_rows(problems: Sequence[Problem], candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Rows {"id", "language", "program", ...the candidate's fields}, which `rewardranker execute` can run."""
    by_id = {p.id: p for p in problems}
    return [
        {
            "id": f"{c.problem_id}#{c.index}",
            "language": by_id[c.problem_id].language,
            "program": by_id[c.problem_id].program(c.text),
            **asdict(c),
        }
        for c in candidates
    ]


def read_completions(path: Path, problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Rows with at least "problem_id" and "text" (or HumanEval's "task_id" and "completion").

    Raises:
        UserError: a row lacks a field or names a problem that isn't among `problems`; names file and line.
    """
    ids = {p.id for p in problems}
    rows = []
    for number, row in read_jsonl(path):
        problem_id, text = row.get("problem_id", row.get("task_id")), row.get("text", row.get("completion"))
        if not isinstance(problem_id, str) or not isinstance(text, str):
            raise UserError(f'{path}:{number}: needs "problem_id" and "text" (or "task_id" and "completion")')
        if problem_id not in ids:
            raise UserError(f"{path}:{number}: problem {problem_id!r} is not in the problems file")
        rows.append({**row, "problem_id": problem_id, "text": text})
    if not rows:
        raise UserError(f"{path}: no rows")
    return rows


def read_executed(path: Path, problems: Sequence[Problem]) -> list[ExecutedCandidate]:
    """Candidates of `path` with their verdicts: rows of `sample` that went through `execute`.

    Raises:
        UserError: as `read_completions`, or the rows carry no verdict.
    """
    names = [f.name for f in fields(ExecutedCandidate)]
    unknown = {
        "index": 0,
        "logprob_sum": 0.0,
        "n_tokens": 0,
        "finish_reason": "eos",
        "policy": path.stem,
        "reason": "",
    }
    executed = []
    for number, row in enumerate(read_completions(path, problems), 1):
        if "strict_status" not in row:
            raise UserError(
                f"{path}: candidate {number} has no verdict; run it first: rewardranker execute {path} -o OUT"
            )
        row.setdefault("status", row["strict_status"])
        executed.append(ExecutedCandidate(**{name: row.get(name, unknown.get(name)) for name in names}))
    return executed
