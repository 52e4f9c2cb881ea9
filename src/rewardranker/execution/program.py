"""`Program`: a source to run and the language to run it in."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rewardranker.errors import UserError
from rewardranker.problems.problem import Problem
from rewardranker.problems.row_tests import RowTests, read_row_tests
from rewardranker.problems.tests import CallTests, StdinTests, calls_of_asserts


@dataclass(frozen=True, slots=True)
class Program:
    """One whole program; identical programs are run once and share their verdict."""

    language: str
    """Name or alias as in `rewardranker doctor`: "python", "py", ..."""
    source: str
    tests: StdinTests | CallTests | None = None
    """Tests that are judged from outside; None: the source holds its own."""
    timeout_s: float | None = None
    """Seconds that it (or each of its runs on stdin) may take; None: as the pool says."""
    memory_mb: int | None = None
    """None: as the pool says."""

    @classmethod
    def of(
        cls,
        problem: Problem,
        completion: str,
        judge: Literal["inside", "outside"] = "inside",
        *,
        whole: bool = False,
    ) -> "Program":
        """The program that judges `completion`: with the tests in it, or with its calls judged from outside.

        Args:
            problem: with the tests. Those beside the program are judged from outside in any case.
            completion: what follows the problem's prompt.
            judge: where tests in the program are judged.
            whole: `completion` stands for the prompt too.

        Raises:
            UserError: these tests can't be judged from outside, or not be read.

        Example:
            >>> problem = Problem("p", "python", "def f(x):\n", "assert f(1) == 2", entry_point="f")
            >>> Program.of(problem, "    return x + 1", "outside").tests.results
            ('2',)
        """
        source = completion if whole else problem.prompt + completion
        if problem.tests_beside:
            try:
                found = _beside(problem.tests_beside)
            except ValueError as e:
                raise UserError(f"problem {problem.id}: {e}") from e
            prologue = found.prologue if problem.language == "python" else ""
            return cls(problem.language, prologue + source, found.tests, found.timeout_s, found.memory_mb)
        if judge == "inside":
            return cls(problem.language, f"{source}\n{problem.tests}")
        if problem.language != "python":
            raise UserError(
                f"problem {problem.id}: only Python can be judged from outside; set judge = inside"
            )
        try:
            tests = _calls(problem.tests, problem.entry_point)
        except (ValueError, SyntaxError) as e:
            raise UserError(
                f"problem {problem.id} can't be judged from outside: {e}; set judge = inside"
            ) from e
        return cls(problem.language, source, tests)


@lru_cache(maxsize=16)  # candidates of a problem follow one another, and some of these tests take megabytes
def _beside(tests: str) -> RowTests:
    return read_row_tests(json.loads(tests))


@lru_cache(maxsize=4096)
def _calls(tests: str, entry_point: str) -> CallTests:
    return calls_of_asserts(tests, entry_point)
