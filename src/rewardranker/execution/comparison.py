"""What a program printed or returned against what was expected, in our process."""

from typing import Any

from rewardranker.problems import plain_data
from rewardranker.problems.tests import CallTests, StdinTests

_SHOWN = 40


def wrong_output(tests: StdinTests, index: int, output: bytes) -> str:
    """How what was printed in test `index` differs from what should be; empty if it does not.

    Compared are the tokens that white space separates, as contests do.
    """
    expected = tests.outputs[index].split()
    printed = output.decode(errors="replace").split()
    for i, (want, got) in enumerate(zip(expected, printed, strict=False)):
        if want.lower() != got.lower() and not _is_near(want, got, tests.tolerance):
            return f"token {i + 1} is {_shown(got)}, expected {_shown(want)}"
    if len(expected) != len(printed):
        return f"{len(printed)} tokens, expected {len(expected)}"
    return ""


def wrong_call(tests: CallTests, returned: bytes) -> tuple[int, str] | None:
    """The first call that did not return what it should, and how; None if all did."""
    lines = returned.splitlines()
    for i, line in enumerate(tests.results):
        if i == len(lines):
            return i, "no result"
        expected = plain_data.decode(line)
        try:
            result = plain_data.decode(lines[i])
        except ValueError:
            return i, f"returned what can't be read, expected {_shown(expected)}"
        if tests.tuples_are_lists:
            expected, result = _without_tuples(expected), _without_tuples(result)
        items = expected if tests.ones_are_items and isinstance(expected, list) and len(expected) == 1 else []
        if result != expected and result not in items:
            return i, f"returned {_shown(result)}, expected {_shown(expected)}"
    return None


def _is_near(want: str, got: str, tolerance: float) -> bool:
    """Whether both are numbers, one of them a decimal fraction, and near each other."""
    if not set(want + got) & set(".eE"):
        return False
    try:
        a, b = float(want), float(got)
    except ValueError:
        return False
    return abs(a - b) <= tolerance * max(1.0, abs(a))


def _without_tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_tuples(v) for v in value]
    if isinstance(value, dict):
        return {k: _without_tuples(v) for k, v in value.items()}
    return value


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
