"""MultiPL-E's completions (one JSON document a problem) and the results that its evaluator writes.

Source: nuprl/MultiPL-E `evaluation/src/main.py`, `containerized_eval.py`, `safe_subprocess`.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import Job
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.files import read_text, write_text
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, parse_json, validate

_INTERPRETED = "haskell"
"""Upstream interprets it, and does not tell a program that does not compile from one that fails."""
_STATUS = {"passed": "OK", "failed": "Exception", "syntax_error": "SyntaxError", "timeout": "Timeout"}
_NODE_FAILURES = (("ERR_ASSERTION", "AssertionError"), ("ReferenceError", "ReferenceError"))
_NAMED_FAILURES = {
    "javascript": _NODE_FAILURES,
    "typescript": _NODE_FAILURES,
    "ocaml": (("Assert_failure", "AssertionError"),),
}
"""A word in stderr that makes an Exception something more precise, as upstream's evaluators have it."""


class _Completions(Record):
    """What is needed of a completions file; its other fields go into the results as they are."""

    language: str
    prompt: str
    tests: str
    completions: list[str]
    stop_tokens: list[str] = Field(default_factory=list)

    @field_validator("stop_tokens")
    @classmethod
    def _stop_tokens(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty stop token would cut every completion to nothing; remove it")
        return value

    def sources(self) -> list[str]:
        """The programs: completions are cut at the earliest stop token, as upstream's generators do."""
        problem = Problem(
            id="",
            language=self.language,
            prompt=self.prompt,
            tests=self.tests,
            stop_tokens=tuple(self.stop_tokens),
        )
        return [problem.program(problem.truncate(completion)) for completion in self.completions]


@dataclass(slots=True)
class _File:
    """One completions file on its way to its results."""

    path: Path
    out: Path
    language: str
    problem: dict[str, Any]
    results: list[dict[str, Any] | None]
    n_left: int
    trouble: str = ""


class CompletionsJob(Job):
    """Runs what completions files lack results for; a file's results are written when its last ones come.

    A completion whose program already stands at its place in the results file is not run again. Files that
    can't be run, whose language is unavailable, or where the sandbox failed are told of in `faults`, and
    no results are written for them: upstream has no word for a program that was not run.

    Args:
        places: the results file of each completions file.
    """

    timeout_s = 15.0  # upstream's

    def __init__(self, places: Mapping[Path, Path]) -> None:
        super().__init__()
        self._origin: list[tuple[_File, int]] = []
        for path, out in places.items():
            try:
                self._add(path, out)
            except UserError as e:
                self.faults.append(str(e))

    def record(self, index: int, verdict: Verdict) -> None:
        """Take the verdict; write the results file if it was the last that was missing."""
        file, i = self._origin[index]
        if verdict.status in _STATUS:
            file.results[i] = _result(file.language, self.programs[index].source, verdict)
        else:
            file.trouble = f"{verdict.status}: {verdict.reason}"
        file.n_left -= 1
        if file.n_left:
            return
        if file.trouble:
            self.faults.append(f"{file.path}: {file.trouble}; no results are written")
        else:
            write_text(file.out, json.dumps({**file.problem, "results": file.results}, indent=2))

    def finish(self) -> None:
        """Nothing is left to write."""

    def _add(self, path: Path, out: Path) -> None:
        document = _read_document(path)
        read = validate(_Completions, document, str(path))
        sources = read.sources()
        earlier = _earlier_results(out, path, len(sources)) if out.exists() else []
        results = [
            earlier[i] if i < len(earlier) and earlier[i]["program"] == source else None
            for i, source in enumerate(sources)
        ]
        missing = [i for i, result in enumerate(results) if result is None]
        if not missing:  # upstream writes no results for no completions either
            self.n_done_before += 1
            return
        try:
            language = canonical_language(read.language)
        except ValueError:
            language = read.language  # its verdicts will be "unavailable"
        problem = {name: value for name, value in document.items() if name != "completions"}
        file = _File(path, out, language, problem, results, len(missing))
        self.outputs.append(out)
        self._origin += [(file, i) for i in missing]
        self.programs += [Program(language, sources[i]) for i in missing]


def _result(language: str, source: str, verdict: Verdict) -> dict[str, Any]:
    """One item of `results`, with upstream's fields in upstream's order."""
    status = _STATUS[verdict.status]
    if status == "SyntaxError" and language == _INTERPRETED:
        status = "Exception"
    if verdict.status == "failed":
        named = (name for word, name in _NAMED_FAILURES.get(language, ()) if word in verdict.stderr)
        status = next(named, status)
    return {
        "program": source,
        "timestamp": int(time.time()),
        "stdout": verdict.stdout,
        "stderr": verdict.stderr,
        "exit_code": -1 if verdict.exit_code is None else verdict.exit_code,
        "status": status,
    }


def _earlier_results(out: Path, path: Path, n: int) -> list[dict[str, Any]]:
    results = _read_document(out).get("results")
    if not isinstance(results, list) or not all(
        isinstance(r, dict) and isinstance(r.get("program"), str) and isinstance(r.get("status"), str)
        for r in results
    ):
        raise UserError(f"{out}: not a file of MultiPL-E results; move it away to run {path}")
    if len(results) > n:
        raise UserError(
            f"{out}: has results of {len(results)} completions, more than the {n} of {path}; "
            "move it away to run them"
        )
    return results


def _read_document(path: Path) -> dict[str, Any]:
    document = parse_json(read_text(path), str(path))
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document
