"""Tests that are judged from outside: the candidate's process sees inputs, never what is expected."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewardranker.problems import plain_data


@dataclass(frozen=True, slots=True)
class StdinTests:
    """Inputs for a program that reads stdin, each in a run of its own, and what it must print.

    Outputs are compared as CodeContests does: token by token (what white space separates), whatever the case
    of letters; where one of two numbers is a decimal fraction, they may differ by `tolerance` (absolute, or
    relative to the expected one).
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not self.inputs or len(self.inputs) != len(self.outputs):
            raise ValueError(f"{len(self.inputs)} inputs and {len(self.outputs)} outputs; one of each a test")

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class CallTests:
    """Calls of a Python function, and what each must return.

    The candidate's process is given the arguments and returns plain data; what is expected never enters it,
    so there is nothing to read, patch or jump over.
    """

    entry_point: str
    """Name of the function, or of a method of the class `Solution` (as on LeetCode)."""
    arguments: tuple[str, ...]
    """The list of arguments of each call, as `plain_data.encode` writes it."""
    results: tuple[str, ...]
    """What it must return, likewise."""
    tuples_are_lists: bool = False
    """What is expected came from JSON, which knows no tuples."""
    ones_are_items: bool = False
    """An expected list of one item stands for that item too: APPS writes most results so."""

    def __post_init__(self) -> None:
        if not self.arguments or len(self.arguments) != len(self.results):
            raise ValueError(
                f"{len(self.arguments)} calls and {len(self.results)} results; one of each a test"
            )

    def __len__(self) -> int:
        return len(self.arguments)

    @classmethod
    def of(
        cls,
        entry_point: str,
        calls: Sequence[tuple[Sequence[Any], Any]],
        *,
        tuples_are_lists: bool = False,
        ones_are_items: bool = False,
    ) -> "CallTests":
        """Tests from pairs of arguments and result.

        Raises:
            TypeError: something in them is not plain data.

        Example:
            >>> CallTests.of("add", [((1, 2), 3)]).arguments
            ('[1, 2]',)
        """
        return cls(
            entry_point,
            tuple(plain_data.encode(list(arguments)) for arguments, _ in calls),
            tuple(plain_data.encode(result) for _, result in calls),
            tuples_are_lists,
            ones_are_items,
        )


def calls_of_asserts(tests: str, entry_point: str) -> CallTests:
    """The calls that Python tests of a simple form make: any number of `assert f(<literals>) == <literal>`.

    Most of the tests of MBPP, HumanEval and MultiPL-E, and all micro problems', are of this form. Functions
    around the asserts and their calls are passed over; in them, `candidate` is `entry_point`.

    Raises:
        ValueError: a statement is of another form, so these tests can't be judged from outside.

    Example:
        >>> calls_of_asserts("assert f(1, [2]) == (3,)", "f").results
        ('{"tuple": [3]}',)
    """
    calls: list[tuple[list[Any], Any]] = []
    checks: set[str] = set()
    for statement in ast.parse(tests).body:
        if isinstance(statement, ast.FunctionDef):
            checks.add(statement.name)
            body = [s for s in statement.body if not _says_nothing(s, checks)]
            calls += (_call(s, {entry_point, "candidate"}) for s in body)
        elif not _says_nothing(statement, checks):
            calls.append(_call(statement, {entry_point}))
    if not calls:
        raise ValueError("there is no assert")
    return CallTests.of(entry_point, calls)


def _call(statement: ast.stmt, names: set[str]) -> tuple[list[Any], Any]:
    match statement:
        case ast.Assert(
            test=ast.Compare(
                left=ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]),
                ops=[ast.Eq()],
                comparators=[result],
            )
        ) if name in names:
            try:
                return [ast.literal_eval(a) for a in arguments], ast.literal_eval(result)
            except ValueError as e:
                raise ValueError(f"line {statement.lineno} of the tests: {e}") from e
    raise ValueError(f"line {statement.lineno} of the tests is no `assert {min(names)}(...) == ...`")


def _says_nothing(statement: ast.stmt, checks: set[str]) -> bool:
    """`candidate = f`, `METADATA = {}`, `assert True`; `check(f)`, also under `if __name__ == "__main__"`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id="candidate")], value=ast.Name()):
            return True
        case ast.Assign(targets=[ast.Name(id="METADATA")]) | ast.Assert(test=ast.Constant(value=True)):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name in checks
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), body=body, orelse=[]):
            return all(_says_nothing(s, checks) for s in body)
    return False
