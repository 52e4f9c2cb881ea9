"""From what was observed of a program to its verdict."""

import re
import signal

from rewardranker.execution.languages.language import Language
from rewardranker.execution.sandbox.request import (
    FILES,
    FINISHED,
    MEMORY,
    NO_LIMIT,
    NOT_STARTED,
    PROCESSES,
    SPOILED,
    TIME,
)
from rewardranker.execution.slot import Outcome
from rewardranker.execution.verdict import Status, Verdict

_KEPT_CHARACTERS = 2048
_REASON_CHARACTERS = 200


def judge(
    language: Language,
    outcome: Outcome,
    timeout_s: float,
    memory_mb: int,
    *,
    from_outside: bool = False,
) -> Verdict:
    """The verdict on a program of `language` that ran under these limits.

    For one that is judged by what it prints, `from_outside`, exit code 0 is enough, and words in its output
    mean nothing.
    """
    stdout, stderr = (_text(b) for b in (outcome.stdout, outcome.stderr))
    if from_outside and outcome.returncode == 0 and outcome.limit == NO_LIMIT:
        status: Status = "passed"
        strict_status = status
    else:
        status = _compatible_status(language, outcome, stdout + stderr)
        strict_status = _strict_status(language, outcome, status)
    reason = ""
    if strict_status != "passed":
        reason = _reason(language, outcome, stdout, stderr, timeout_s, memory_mb)
    return Verdict(
        status=status,
        strict_status=strict_status,
        reason=reason,
        phase="build" if outcome.steps == NOT_STARTED else "run",
        exit_code=None if outcome.limit == TIME else outcome.returncode,
        stdout=stdout,
        stderr=stderr,
        wall_s=outcome.wall_s,
        cpu_s=outcome.cpu_s,
    )


def not_run(status: Status, reason: str) -> Verdict:
    """The verdict on a program that no sandbox ran."""
    return Verdict(
        status=status,
        strict_status=status,
        reason=reason,
        phase="build",
        exit_code=None,
        stdout="",
        stderr="",
        wall_s=0.0,
        cpu_s=0.0,
    )


def _compatible_status(language: Language, outcome: Outcome, output: str) -> Status:
    """MultiPL-E's rule: timeout, exit code, a word in the output (`eval_python.py` and its neighbours)."""
    if outcome.limit == TIME:
        return "timeout"
    if any(mark in output for mark in language.failure_marks) and outcome.steps != NOT_STARTED:
        return "failed"
    if outcome.returncode == 0 and not (language.stderr_is_failure and outcome.stderr):
        return "passed"
    if language.build:
        return "syntax_error" if outcome.steps == NOT_STARTED else "failed"
    mark = language.syntax_error_mark
    return "syntax_error" if mark and mark in output else "failed"


def _strict_status(language: Language, outcome: Outcome, status: Status) -> Status:
    if outcome.limit == TIME:
        return "timeout"
    if outcome.steps == NOT_STARTED and outcome.returncode > 0:
        return "syntax_error"
    if language.run and status == "syntax_error":  # an interpreter that we start tells by its message only
        return "syntax_error"
    ended = outcome.returncode == 0 and outcome.steps == FINISHED and outcome.limit == NO_LIMIT
    return "passed" if ended and status == "passed" else "failed"


def _reason(
    language: Language, outcome: Outcome, stdout: str, stderr: str, timeout_s: float, memory_mb: int
) -> str:
    exceeded = {
        TIME: f"no end after {timeout_s:g} s",
        MEMORY: f"its processes together took more than {memory_mb} MB",
        PROCESSES: "it had too many processes and threads",
        FILES: "its files took too much room",
    }
    if outcome.limit in exceeded:
        return exceeded[outcome.limit]
    if outcome.returncode == 0:
        return "a failed assertion" if outcome.steps in (SPOILED, FINISHED) else "exit 0 before the end"
    if outcome.returncode < 0:
        how = f"killed by {_signal_name(-outcome.returncode)}"
        return (language.error_line and _error_line(language, stdout, stderr, memory_mb)) or how
    return _error_line(language, stdout, stderr, memory_mb) or f"exit code {outcome.returncode}"


def _error_line(language: Language, stdout: str, stderr: str, memory_mb: int) -> str:
    """The line of a program's or compiler's output that says what is wrong, as far as it can be told."""
    if language.error_line:
        found = re.search(rf"^({language.error_line})$", stderr or stdout, re.M)
        return found[0].strip()[:_REASON_CHARACTERS] if found else ""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines or len(stderr) == _KEPT_CHARACTERS:  # the last line may be cut off
        return ""
    if lines[-1].startswith("MemoryError"):
        return f"MemoryError (limit {memory_mb} MB)"
    return lines[-1][:_REASON_CHARACTERS]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _text(output: bytes) -> str:
    return output.decode(errors="replace")[:_KEPT_CHARACTERS]
