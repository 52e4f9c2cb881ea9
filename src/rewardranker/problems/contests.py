"""Problems whose programs read stdin or are called from outside: CodeContests, APPS, LiveCodeBench.

The prompt is a docstring with the statement, and what the program must begin with where the data set says so.
"""

import json
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import ProblemRow

_STOP = ("\n```",)
"""A whole program may hold anything else."""
_PYTHON3 = 3
"""Of CodeContests' languages."""


class _Contest(ProblemRow):
    """A row with more fields than are needed."""

    model_config = ConfigDict(extra="ignore")


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

    def problem(self) -> Problem | None:
        """Judged by public, private and generated tests, as in the paper's figures."""
        limits = {"time_limit": self.time_limit, "memory_limit_bytes": self.memory_limit_bytes}
        tests = {
            name: found
            for name in ("public_tests", "private_tests", "generated_tests")
            if (found := getattr(self, name)).get("input")
        }
        if not tests:
            return None
        known = zip(self.solutions.get("language", []), self.solutions.get("solution", []), strict=False)
        return Problem(
            id=f"CodeContests/{self.name}",
            language="python",
            prompt=statement(self.description),
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps({**tests, **limits}),
            visible_tests_beside=json.dumps({"public_tests": self.public_tests, **limits})
            if "public_tests" in tests
            else "",
            reference=next((text for language, text in known if language == _PYTHON3), None),
        )


class APPS(_Contest):
    """A row of codeparrot/apps."""

    problem_id: int
    question: str
    input_output: str = ""
    solutions: str = ""
    starter_code: str = ""

    @model_validator(mode="before")
    @classmethod
    def _id(cls, row: dict[str, Any]) -> dict[str, Any]:
        """The JSON lines say `id` where the published tables say `problem_id`."""
        return {"problem_id": row.get("id"), **row}

    def problem(self) -> Problem | None:
        """A program that reads stdin, or where there is starter code, goes on from it."""
        if not self.input_output:
            return None
        solutions = json.loads(self.solutions) if self.solutions else []
        return Problem(
            id=f"APPS/{self.problem_id}",
            language="python",
            prompt=statement(self.question) + self.starter_code,
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps({"input_output": self.input_output}),
            # Its solutions are whole programs, and don't continue the starter code.
            reference=solutions[0] if solutions and not self.starter_code else None,
        )


class LiveCodeBench(_Contest):
    """A row of livecodebench/code_generation_lite."""

    question_id: str
    question_content: str
    public_test_cases: str
    private_test_cases: str = ""
    metadata: str = "{}"
    starter_code: str = ""

    def problem(self) -> Problem:
        """A program that reads stdin, or where there is starter code, a class that goes on from it."""
        public = {"public_test_cases": self.public_test_cases, "metadata": self.metadata}
        return Problem(
            id=f"LiveCodeBench/{self.question_id}",
            language="python",
            prompt=statement(self.question_content) + self.starter_code,
            tests="",
            stop_tokens=_STOP,
            tests_beside=json.dumps({**public, "private_test_cases": self.private_test_cases}),
            visible_tests_beside=json.dumps(public),
            split="test",
        )


def statement(text: str) -> str:
    """A module's docstring with `text`."""
    escaped = text.replace("\r\n", "\n").strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\n{escaped}\n"""\n'
