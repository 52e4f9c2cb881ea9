"""Candidates as others publish them, with their problems in the same file.

MultiPL-E's completions and results (a document a problem), rows of MultiPL-E problems with a completion,
CodeT's pools, and PolyHumanEval's programs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import Field

from rewardranker.errors import UserError
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.execution.verdict import Status
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.loaders import HumanEval, MultiPLE
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, validate

_UPSTREAM = {"OK": "passed", "SyntaxError": "syntax_error", "Timeout": "timeout"}
"""MultiPL-E's words; its others are failures."""
_WORDS = {
    **_UPSTREAM,
    **dict.fromkeys(("Exception", "AssertionError", "ReferenceError", "fail"), "failed"),
    "pass": "passed",
    "timed out": "timeout",
    **{status: status for status in ("", *get_args(Status))},
}
"""What files call a verdict, and what we call it."""
MULTIPL_E_TIMEOUT_S = 15.0
"""Seconds that MultiPL-E's evaluator gives a program."""


class Published(NamedTuple):
    """A problem with candidates."""

    problem: Problem
    """Without tests it can't be executed: its candidates have labels."""
    candidates: list[ExistingCandidate]
    timeout_s: float | None = None
    """What a program gets upstream, where that is known."""


class _Completions(Record):
    """MultiPL-E's completions (one problem a document), or the results that its evaluator writes."""

    name: str = ""
    language: str
    prompt: str
    tests: str
    stop_tokens: list[str] = Field(default_factory=list)
    completions: list[str] | None = None
    results: list[dict[str, Any]] | None = None
    temperature: float | None = None


class _Completion(Record):
    """A MultiPL-E problem with one completion and its label."""

    name: str
    language: str
    prompt: str
    tests: str
    completion: str
    status: str = ""


class _HumanEvalPool(Record):
    """A HumanEval problem with many completions and their labels, as CodeT published them."""

    task_id: str
    prompt: str
    prompt_with_examples: str | None = None
    entry_point: str
    test: str
    completions: list[str]
    status: list[str] = Field(default_factory=list)
    labels: list[bool] = Field(default_factory=list)
    temperature: float | None = None
    model: str = ""


class _Origins(Record):
    code: str
    status: str
    origins: list[str] = Field(default_factory=list)


class _LabelledPrograms(Record):
    """A problem with programs that have labels and no tests, as PolyHumanEval published them."""

    task_id: str
    language: str
    prompt: str
    candidates: list[_Origins]


def is_multipl_e(document: dict[str, Any]) -> bool:
    """Whether it is one of MultiPL-E's completions or results."""
    return bool({"completions", "results"} & document.keys()) and "task_id" not in document


def multipl_e_document(document: dict[str, Any], path: Path) -> Published:
    """One of MultiPL-E's completions or results.

    Raises:
        UserError: a field is missing or no such thing.
    """
    read = validate(_Completions, document, str(path))
    problem = _multipl_e(
        str(path),
        name=read.name or path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".results"),
        language=read.language,
        prompt=read.prompt,
        tests=read.tests,
        stop_tokens=read.stop_tokens,
    )
    texts: Sequence[tuple[str, bool, str]]
    if read.completions is not None:
        texts = [(problem.truncate(text), False, "") for text in read.completions]
    else:
        texts = [_result(r, problem, str(path)) for r in read.results or []]
    candidates = [
        ExistingCandidate(
            problem.id, i, text, whole, label, policy=path.parent.name, temperature=read.temperature
        )
        for i, (text, whole, label) in enumerate(texts)
    ]
    return Published(problem, candidates, MULTIPL_E_TIMEOUT_S)


def row_reader(fields: Sequence[str]) -> Callable[[dict[str, Any], str], Published] | None:
    """What reads a row with these fields, given where it stands for messages; None: nothing here does."""
    readers: list[tuple[set[str], Callable[[dict[str, Any], str], Published]]] = [
        ({"task_id", "test", "completions"}, _human_eval_pool),
        ({"task_id", "language", "candidates"}, _labelled_programs),
        ({"name", "tests", "completion"}, _multipl_e_row),
    ]
    return next((reader for needed, reader in readers if needed.issubset(fields)), None)


def _result(result: dict[str, Any], problem: Problem, where: str) -> tuple[str, bool, str]:
    """Text, whether that is all without the tests, and label of one item of a results file."""
    program, status = result.get("program"), result.get("status")
    if not isinstance(program, str) or not isinstance(status, str):
        raise UserError(f'{where}: results: each needs a "program" and a "status"')
    # Upstream's pass_k.py counts OK with exit code 0.
    passed = status == "OK" and result.get("exit_code", 0) == 0
    label = "passed" if passed else _UPSTREAM.get(status, "failed") if status != "OK" else "failed"
    text = program.removesuffix(f"\n{problem.tests}")
    if text.startswith(problem.prompt):
        return text[len(problem.prompt) :], False, label
    return text, True, label


def _multipl_e_row(row: dict[str, Any], where: str) -> Published:
    read = validate(_Completion, row, where)
    problem = _multipl_e(
        where,
        name=read.name,
        language=read.language,
        prompt=read.prompt,
        tests=read.tests,
        stop_tokens=[],
    )
    candidate = ExistingCandidate(problem.id, 0, read.completion, label=status_label(read.status, where))
    return Published(problem, [candidate], MULTIPL_E_TIMEOUT_S)


def _multipl_e(where: str, **fields: Any) -> Problem:
    return validate(MultiPLE, fields, where).problem()


def _human_eval_pool(row: dict[str, Any], where: str) -> Published:
    read = validate(_HumanEvalPool, row, where)
    labels = [status_label(s, where) for s in read.status] or [
        "passed" if right else "failed" for right in read.labels
    ]
    if labels and len(labels) != len(read.completions):
        raise UserError(f"{where}: {len(labels)} labels for {len(read.completions)} completions")

    def problem(prompt: str) -> Problem:
        return HumanEval(
            task_id=read.task_id,
            prompt=prompt,
            entry_point=read.entry_point,
            canonical_solution="",
            test=read.test,
        ).problem()

    # The models were shown the prompt without its examples; a user who wrote it has them.
    visible = problem(read.prompt_with_examples or read.prompt).visible_tests
    shown = replace(problem(read.prompt), visible_tests=visible, reference=None)
    candidates = [
        ExistingCandidate(
            read.task_id,
            i,
            text,
            label=labels[i] if labels else "",
            policy=read.model,
            temperature=read.temperature,
        )
        for i, text in enumerate(read.completions)
    ]
    return Published(shown, candidates)


def _labelled_programs(row: dict[str, Any], where: str) -> Published:
    read = validate(_LabelledPrograms, row, where)
    try:
        language = canonical_language(read.language)
    except ValueError as e:
        raise UserError(f"{where}: language: {e}") from e
    problem = Problem(f"{language}/{read.task_id}", language, read.prompt, tests="", split="test")
    drawn = [c for c in read.candidates for _ in range(len(c.origins) or 1)]
    return Published(
        problem,
        [
            ExistingCandidate(problem.id, i, c.code, whole=True, label=status_label(c.status, where))
            for i, c in enumerate(drawn)
        ],
    )


def status_label(status: str, where: str) -> str:
    """A verdict in our words.

    CodeT's and PolyHumanEval's failed_assert and failed_exception, HumanEval's "failed: ..." are failures.

    Raises:
        UserError: it is none that is known; taken for a failure it would count against the candidate.
    """
    label = "failed" if status.startswith("failed") else _WORDS.get(status)
    if label is None:
        raise UserError(f"{where}: unknown status {status!r}; write one of {', '.join(get_args(Status))}")
    return label
