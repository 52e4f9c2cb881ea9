"""`Verdict`: what execution said of a program."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "syntax_error", "timeout", "unavailable", "error"]
"""unavailable: the toolchain is not on this machine. error: the sandbox failed on it again and again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one program, judged twice.

    `status` is what MultiPL-E's evaluator would say from exit code and output. `strict_status` also asks
    that the program ran to its end: exit code 0 before the tests have run is not a pass. Training and
    evaluation use `strict_status`. For tests that are judged from outside both are the same.
    """

    status: Status
    strict_status: Status
    reason: str
    """One line for people: "AssertionError", "exit 0 before the end", ... Empty when passed."""
    phase: Literal["build", "run"]
    exit_code: int | None
    """Negative: the signal that ended it. None: it was killed at a limit, or did not start."""
    stdout: str
    """At most 2,048 characters."""
    stderr: str
    """At most 2,048 characters."""
    wall_s: float
    """Of the run; of several runs, together."""
    cpu_s: float
    """Likewise, and of the build."""
    failed_test: int | None = None
    """Of tests that are judged from outside: the first that failed, from 0."""
    isolation: str = ""
    """What kept the program in: "namespaces", or what the user chose instead. Empty: it was not run."""

    @property
    def passed(self) -> bool:
        """Right by the strict rule."""
        return self.strict_status == "passed"
