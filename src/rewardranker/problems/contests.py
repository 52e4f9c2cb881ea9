"""Problems whose programs read stdin or are called from outside: CodeContests, APPS, LiveCodeBench.

The prompt is a docstring with the statement, and what the program must begin with where the data set says so.
"""

import json
from abc import abstractmethod
from typing import Any, Self

from pydantic import ConfigDict, Field, Json, field_validator, model_validator

from rewardranker.problems.problem import Problem
from rewardranker.problems.row_tests import CODE_CONTESTS, has_tests
from rewardranker.problems.rows import ProblemRow

_STOP = ("\n```",)
"""A whole program may hold anything else."""
_PYTHON3 = 3
"""Of CodeContests' languages."""


class _Contest(ProblemRow):
    """A row with more fields than are needed."""

    model_config = ConfigDict(extra="ignore")
    _has_tests: bool = False

    @abstractmethod
    def _beside(self) -> dict[str, Any]:
        """What `Problem.tests_beside` says."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Tests that can't be read are told of here, with their line, and not after everything is sampled."""
        self._has_tests = has_tests(self._beside())
        return self


class CodeContests(_Contest):
    """A row of deepmind/code_contests."""

    name: str
    description: str
    public_tests: dict[str, list[str]] = Field(default_factory=dict)
    private_tests: dict[str, list[str]] = Field(default_factory=dict)
    generated_tests: dict[str, list[str]] = Field(default_factory=dict)
    time_limit: dict[str, int] | None = None
    memory_limit_bytes: int | None = None
    solutions: dict[str, list[Any]] = Field(default_factory=dict)

    def _beside(self, *parts: str) -> dict[str, Any]:
        """Of public, private and generated tests, as in the paper's figures, or of some of these."""
        named = {name: getattr(self, name) for name in parts or CODE_CONTESTS}
        tests = {name: part for name, part in named.items() if any(part.values())}
        limits = {"time_limit": self.time_limit, "memory_limit_bytes": self.memory_limit_bytes}
        return {**tests, **limits} if tests else {}

    def problem(self) -> Problem | None:
        """A program that reads stdin."""
        if not self._has_tests:
            return None
        visible = self._beside("public_tests")
        known = zip(self.solutions.get("language", []), self.solutions.get("solution", []), strict=False)
        return Problem(
            id=f"CodeContests/{self.name}",
            language="python",
            prompt=statement(self.description),
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps(self._beside()),
            visible_tests_beside=json.dumps(visible) if visible else "",
            reference=next((text for language, text in known if language == _PYTHON3), None),
        )


class APPS(_Contest):
    """A row of codeparrot/apps."""

    problem_id: int
    question: str
    input_output: str = ""
    solutions: Json[list[str]] = Field(default_factory=list)
    starter_code: str = ""

    @model_validator(mode="before")
    @classmethod
    def _id(cls, row: dict[str, Any]) -> dict[str, Any]:
        """The JSON lines say `id` where the published tables say `problem_id`."""
        return {"problem_id": row.get("id"), **row}

    @field_validator("solutions", mode="before")
    @classmethod
    def _solutions(cls, value: Any) -> Any:
        return "[]" if value == "" else value

    def _beside(self) -> dict[str, Any]:
        return {"input_output": self.input_output}

    def problem(self) -> Problem | None:
        """A program that reads stdin, or where there is starter code, goes on from it."""
        if not self._has_tests:
            return None
        return Problem(
            id=f"APPS/{self.problem_id}",
            language="python",
            prompt=statement(self.question) + self.starter_code,
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps(self._beside()),
            # Its solutions are whole programs, and don't continue the starter code.
            reference=self.solutions[0] if self.solutions and not self.starter_code else None,
        )


class LiveCodeBench(_Contest):
    """A row of livecodebench/code_generation_lite."""

    question_id: str
    question_content: str
    public_test_cases: str
    private_test_cases: str = ""
    metadata: str = "{}"
    starter_code: str = ""

    def _public(self) -> dict[str, Any]:
        return {"public_test_cases": self.public_test_cases, "metadata": self.metadata}

    def _beside(self) -> dict[str, Any]:
        return {**self._public(), "private_test_cases": self.private_test_cases}

    def problem(self) -> Problem | None:
        """A program that reads stdin, or where there is starter code, a class that goes on from it."""
        if not self._has_tests:
            return None
        return Problem(
            id=f"LiveCodeBench/{self.question_id}",
            language="python",
            prompt=statement(self.question_content) + self.starter_code,
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps(self._beside()),
            visible_tests_beside=json.dumps(self._public()) if has_tests(self._public()) else "",
            split="test",
        )


def statement(text: str) -> str:
    """A module's docstring with `text`."""
    escaped = text.replace("\r\n", "\n").strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\n{escaped}\n"""\n'
