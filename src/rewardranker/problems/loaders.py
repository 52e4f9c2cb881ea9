"""Problems from files: the public formats as they are published, and a plain one of one's own.

What a file is follows from the fields of its first row. Every format may come as JSON lines, as one JSON
list or as Parquet, and the first two may be gzipped.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, field_validator, model_validator

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.problems.contests import APPS, CodeContests, LiveCodeBench, statement
from rewardranker.problems.examples import prompt_examples
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem, Split
from rewardranker.problems.public import is_public, public_rows
from rewardranker.problems.row_tests import read_row_tests
from rewardranker.problems.rows import ProblemRow, read_rows, validate

HUMANEVAL_STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a function body ends (Chen et al. 2021, arXiv 2107.03374, section 2.2)."""
MBPP_STOP = ("\nassert", '\n"""', "\nprint", "\nif", "\n```")
"""Where a module of functions ends: bigcode-evaluation-harness's list without "\\nclass", which would cut
right programs."""


_NUMPY = """\
class np:
    ndarray = ()
    float32 = float64 = float

    class testing:
        @staticmethod
        def assert_allclose(out, exp, rtol=1e-07, atol=0):
            if isinstance(exp, (list, tuple)):
                assert len(out) == len(exp), (out, exp)
                for one, other in zip(out, exp):
                    np.testing.assert_allclose(one, other, rtol, atol)
            else:
                both_nan = out != out and exp != exp
                assert out == exp or both_nan or abs(out - exp) <= atol + rtol * abs(exp), (out, exp)

    @staticmethod
    def allclose(out, exp, rtol=1e-05, atol=1e-08):
        try:
            np.testing.assert_allclose(out, exp, rtol, atol)
        except AssertionError:
            return False
        return True
"""


class Own(ProblemRow):
    """A problem in this project's own words; the fields are `Problem`'s."""

    id: str
    prompt: str
    tests: str | list[dict[str, Any]]
    language: str = "python"
    stop_tokens: list[str] = Field(default_factory=list)
    entry_point: str = ""
    visible_tests: str | list[dict[str, Any]] = ""
    time_limit_s: float | None = None
    memory_limit_mb: int | None = None
    tests_beside: str = ""
    visible_tests_beside: str = ""
    output_probe: str = ""
    reference: str | None = None
    split: Split = ""
    evaluation_only: bool = False

    @field_validator("id")
    @classmethod
    def _id(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        return canonical_language(value)

    @field_validator("tests", "visible_tests", mode="before")
    @classmethod
    def _tests(cls, value: Any) -> Any:
        if not isinstance(value, (str, list)):
            raise ValueError("needs a program's end (a string) or a list of tests")
        return value

    @field_validator("stop_tokens")
    @classmethod
    def _stop_tokens(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("an empty stop token would cut every completion to nothing; remove it")
        return value

    @field_validator("split", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if value not in get_args(Split):
            raise ValueError(
                f"{value!r} is none of {', '.join(filter(None, get_args(Split)))}; or leave it out"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Own":
        if self.evaluation_only and self.split != "test":
            raise ValueError('evaluation_only needs split "test"')
        for tests in (self.tests, self.visible_tests):
            if isinstance(tests, list):
                read_row_tests(self._beside(tests))
        if isinstance(self.tests, str) and (self.time_limit_s or self.memory_limit_mb):
            raise ValueError("time_limit_s and memory_limit_mb are for tests in a list")
        for token in self.stop_tokens:
            if self.reference is not None and token in self.reference:
                raise ValueError(
                    f"stop_tokens: {token!r} occurs in reference and would cut it; remove that token"
                )
        return self

    def _beside(self, tests: list[dict[str, Any]]) -> dict[str, Any]:
        limits = {"time_limit_s": self.time_limit_s, "memory_limit_mb": self.memory_limit_mb}
        return {"tests": tests, "entry_point": self.entry_point, **limits}

    def problem(self) -> Problem:
        """The same as a `Problem`; tests in a list stand beside the program."""
        given = self.model_dump(exclude={"time_limit_s", "memory_limit_mb"})
        for name in ("tests", "visible_tests"):
            if isinstance(given[name], list):
                given[f"{name}_beside"] = json.dumps(self._beside(given[name]))
                given[name] = ""
        return Problem(**{**given, "stop_tokens": tuple(self.stop_tokens)})


class HumanEval(ProblemRow):
    """A row of openai/human-eval, or of evalplus/humanevalplus."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def problem(self) -> Problem:
        """Program = prompt + completion + test + check(entry_point), as upstream runs it."""
        call = f"check({self.entry_point})"
        called = self.test.rstrip().endswith(f"\n{call}")
        return Problem(
            id=self.task_id,
            language="python",
            prompt=self.prompt,
            tests=_without_numpy(self.test if called else f"{self.test}\n{call}\n"),
            stop_tokens=HUMANEVAL_STOP,
            entry_point=self.entry_point,
            visible_tests=prompt_examples(self.prompt, self.entry_point),
            reference=self.canonical_solution,
            split="test",
        )


class MBPP(ProblemRow):
    """A row of google-research/mbpp: `mbpp.jsonl` (text) or `sanitized-mbpp.json` (prompt).

    Or of evalplus/mbppplus: the sanitized one's and `test`, a program's end.
    """

    task_id: int
    text: str | None = None
    prompt: str | None = None
    code: str
    test_list: list[str]
    test_setup_code: str = ""
    test_imports: list[str] = Field(default_factory=list)
    challenge_test_list: list[str] = Field(default_factory=list)
    source_file: str = ""
    test: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "MBPP":
        if self.text is None and self.prompt is None:
            raise ValueError("text (or, in the sanitized file, prompt): field required")
        if not self.test_list:
            raise ValueError("test_list: needs at least one test")
        return self

    def problem(self) -> Problem:
        """The prompt is a module docstring with the task and its first test, whose name and shape it fixes.

        `challenge_test_list` (11 problems) is left out, as in the field's evaluations.
        """
        tests = [_newlines(t) for t in self.test_list]
        setup = "\n".join(filter(None, [*self.test_imports, _newlines(self.test_setup_code)]))
        code = _newlines(self.code)
        task = self.text if self.text is not None else self.prompt or ""
        return Problem(
            id=f"MBPP/{self.task_id}",
            language="python",
            prompt=statement(f"{_newlines(task).strip()}\n{tests[0]}"),
            tests=_lines(setup, _without_numpy(self.test)) if self.test else _lines(setup, *tests),
            stop_tokens=MBPP_STOP,
            entry_point=_called(tests[0], code),
            visible_tests=_lines(setup, tests[0]),
            reference=code,
            split="test" if self.test else _mbpp_split(self.task_id),
        )


class MultiPLE(ProblemRow):
    """A row of nuprl/MultiPL-E. Its licence forbids training on it, hence `evaluation_only`."""

    name: str
    language: str
    prompt: str
    tests: str
    stop_tokens: list[str]
    doctests: str = ""
    original: str = ""
    prompt_terminology: str = ""

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        return canonical_language(value)

    def problem(self) -> Problem:
        """The name recurs in every language, so the id is <language>/<name>."""
        return Problem(
            id=f"{self.language}/{self.name}",
            language=self.language,
            prompt=self.prompt,
            tests=self.tests,
            stop_tokens=tuple(self.stop_tokens),
            visible_tests=prompt_examples(self.prompt) if self.language == "python" else "",
            split="test",
            evaluation_only=True,
        )


def load_problems(*paths: Path | str) -> list[Problem]:
    """Read problems from one or more files; what each file is follows from its fields.

    Formats: HumanEval, MBPP (full and sanitized), EvalPlus' of both, MultiPL-E, CodeContests, APPS,
    LiveCodeBench, JSONL of one's own, and the Parquet tables of a run directory; see docs/how-to/problems.md.
    Published splits are kept: MBPP's train and few-shot problems are "reference", its validation
    "development"; HumanEval, EvalPlus', MultiPL-E, LiveCodeBench and what is loaded by name are "test".
    Problems without tests are left out, and counted on stderr.

    Args:
        paths: files, or names of public data sets (`rewardranker.problems.public`) where no such file exists.

    Raises:
        UserError: a file can't be read, a row isn't as its format says, or an id occurs twice; the message
            names file, line and field.

    Example:
        >>> import json, pathlib, tempfile
        >>> row = {"id": "add", "prompt": "def add(a, b):\\n", "tests": "assert add(1, 2) == 3\\n"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "own.jsonl"
        ...     _ = path.write_text(json.dumps(row))
        ...     load_problems(path)[0].program("    return a + b")
        'def add(a, b):\\n    return a + b\\nassert add(1, 2) == 3\\n'
    """
    problems: dict[str, Problem] = {}
    origin: dict[str, str] = {}
    for path in map(Path, paths):
        row_format: type[ProblemRow] | None = None
        left_out = 0
        public = is_public(str(path)) and not path.exists()
        for where, row in public_rows(str(path)) if public else read_rows(path):
            row_format = row_format or _format(row, where)
            try:
                problem = validate(row_format, row, where).problem()
            except UserError as e:
                if not public:
                    raise
                progress.console.print(f"{e}: left out", markup=False)  # its user can't mend it
                continue
            if problem is None:
                left_out += 1
                continue
            if public:  # the published test split, which rows of CodeContests and APPS don't tell
                problem = replace(problem, split=problem.split or "test")
            if problem.id in problems:
                raise UserError(
                    f"{where}: id {problem.id!r} already stands at {origin[problem.id]}; "
                    "ids must be unique among all files, remove or rename one"
                )
            problems[problem.id], origin[problem.id] = problem, where
        if row_format is None:
            raise UserError(f"{path}: no problems in it")
        if left_out:
            progress.console.print(
                f"{path}: {left_out} problems have no tests and are left out", markup=False
            )
    return list(problems.values())


def _format(row: dict[str, Any], where: str) -> type[ProblemRow]:
    fields = row.keys()
    if "buggy_solution" in fields:
        raise UserError(
            f"{where}: HumanEvalPack is not read; convert its rows to id, language, prompt, tests"
        )
    if {"completions", "completion"} & fields:
        raise UserError(f"{where}: these are completions, not problems; to run them: rewardranker execute")
    if {"entry_point", "test"} <= fields:
        return HumanEval
    if "test_list" in fields:
        return MBPP
    if {"base_input", "plus_input"} & fields:
        raise UserError(
            f"{where}: EvalPlus' own file, whose results its own code computes; give its tables with tests: "
            "humaneval+ or mbpp+, or a file of evalplus/humanevalplus or evalplus/mbppplus"
        )
    contests: tuple[tuple[set[str], type[ProblemRow]], ...] = (
        ({"name", "description", "public_tests"}, CodeContests),
        ({"question", "input_output"}, APPS),
        ({"question_content", "public_test_cases"}, LiveCodeBench),
    )
    for needed, contest in contests:
        if needed <= fields:
            return contest
    if {"name", "tests"} <= fields:
        return MultiPLE
    if len({"id", "prompt", "tests"} & fields) >= 2:
        return Own
    raise UserError(
        f"{where}: not a known format of problems (its fields: {', '.join(row)}). Known: "
        "HumanEval (task_id, prompt, entry_point, canonical_solution, test), "
        "MBPP (task_id, text, code, test_list), "
        "MultiPL-E (name, language, prompt, tests, stop_tokens), "
        "CodeContests (name, description, public_tests), APPS (question, input_output), "
        "LiveCodeBench (question_content, public_test_cases), "
        "your own (id, prompt, tests)"
    )


def _without_numpy(tests: str) -> str:
    """EvalPlus' tests with what they use of numpy, which the sandbox lacks."""
    return re.sub(r"^import numpy as np$", _NUMPY, tests, flags=re.MULTILINE)


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(*parts: str) -> str:
    return "".join(part + "\n" for part in parts if part)


def _mbpp_split(task_id: int) -> Split:
    """Austin et al. 2021, arXiv 2108.07732: 1-10 few-shot, 11-510 test, 511-600 validation, 601-974 train."""
    if 11 <= task_id <= 510:
        return "test"
    return "development" if 511 <= task_id <= 600 else "reference"


def _called(test: str, code: str) -> str:
    """The first top-level function of `code` that `test` calls; empty when there is none."""
    defined = set(re.findall(r"^def (\w+)", code, re.MULTILINE))
    return next((name for name in re.findall(r"(\w+)\s*\(", test) if name in defined), "")
