"""`Problem`: what to solve and how it is judged."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Split = Literal["reference", "pool", "development", "test", ""]
"""reference: has a reference program, SFT learns from it. pool: tests only, the loop samples it.
development: choices are made on it. test: claims are made on it, nothing else. "": not assigned."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A programming problem with the tests that judge it.

    A program is `prompt + completion + "\\n" + tests`, run in `language`; it solves the problem when it
    runs to its end without an error. Where there are `tests_beside`, it is `prompt + completion`, and is
    judged from outside: by what it prints, or by what its function returns.
    """

    id: str
    """Unique among the problems of a run."""
    language: str
    """Canonical name as in `rewardranker doctor`: "python", "cpp", ..."""
    prompt: str
    """The program's beginning, as the generator sees it."""
    tests: str
    """The program's end."""
    stop_tokens: tuple[str, ...] = ()
    """A completion is cut before the earliest of these."""
    entry_point: str = ""
    """Name of the function asked for; empty when there is none."""
    visible_tests: str = ""
    """Tests that the problem statement itself shows, runnable like `tests`."""
    tests_beside: str = ""
    """In place of `tests`: the fields that `rewardranker.problems.row_tests` reads, as a JSON object."""
    visible_tests_beside: str = ""
    """In place of `visible_tests`, likewise."""
    output_probe: str = ""
    """Code that prints what the candidate returns on some inputs, without expected values: run in place of
    `tests`, it lets candidates be grouped by behaviour (selector "majority"). Empty: not available."""
    reference: str | None = None
    """A completion that is right, where one is known."""
    split: Split = ""
    evaluation_only: bool = False
    """The data's licence forbids training on it (MultiPL-E); the split is then "test"."""

    @property
    def has_tests(self) -> bool:
        """Whether anything judges its programs."""
        return bool(self.tests or self.tests_beside)

    @property
    def task(self) -> str:
        """See `task_of`."""
        return task_of(self.id, self.language)

    def by_visible_tests(self) -> "Problem":
        """The same problem, judged by its visible tests."""
        return replace(self, tests=self.visible_tests, tests_beside=self.visible_tests_beside)

    def program(self, completion: str) -> str:
        """The whole program that judges `completion`."""
        return f"{self.prompt}{completion}\n{self.tests}"

    def probe(self, completion: str) -> str:
        """The whole program that prints what `completion` returns."""
        return f"{self.prompt}{completion}\n{self.output_probe}"

    def truncate(self, completion: str) -> str:
        """See `truncated`."""
        return truncated(completion, self.stop_tokens)


def truncated(completion: str, stop_tokens: Iterable[str]) -> str:
    """`completion` up to the earliest stop token (MultiPL-E's rule: searched in the completion only)."""
    cuts = [i for token in stop_tokens if (i := completion.find(token)) >= 0]
    return completion[: min(cuts)] if cuts else completion


def task_of(problem_id: str, language: str) -> str:
    """What the problems of one task in several languages share: the id without the language at its ends.

    Their outcomes go together, so intervals draw them together (`rewardranker.evaluation.metrics`).

    Example:
        >>> task_of("cpp/HumanEval_0", "cpp"), task_of("micro/test/7/cpp", "cpp")
        ('HumanEval_0', 'micro/test/7')
    """
    return problem_id.removeprefix(f"{language}/").removesuffix(f"/{language}")
