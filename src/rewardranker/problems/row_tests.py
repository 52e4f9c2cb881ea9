"""Tests that stand in a row beside its program, in the forms of the data sets that have such.

One's own rows: `tests`, a list of {"input", "output"} for programs that read stdin, or of {"arguments",
"result"} with an `entry_point` for functions; `time_limit_s`, `memory_limit_mb`.
CodeContests: `public_tests`, `private_tests`, `generated_tests`, `time_limit`, `memory_limit_bytes`.
APPS and TACO: `input_output`. LiveCodeBench: `public_test_cases`, `private_test_cases`, `metadata`.
"""

import base64
import io
import json
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rewardranker.problems.tests import CallTests, StdinTests

CODE_CONTESTS = ("public_tests", "private_tests", "generated_tests")
_LIVE_CODE_BENCH = ("public_test_cases", "private_test_cases")
_MAX_UNPACKED_BYTES = 1 << 30
_APPS_IMPORTS = (
    "import sys, time, itertools, collections, math, fractions, random, heapq; "
    "from itertools import accumulate, product, permutations, combinations; "
    "from collections import Counter, OrderedDict, deque, defaultdict, ChainMap; "
    "from functools import lru_cache; "
    "from math import sqrt, sin, cos, tan, ceil, fabs, floor, gcd, exp, log, log2; "
    "from typing import List, Tuple; from heapq import *\n"
)
"""Without its numpy, which the sandbox lacks."""
_LIVE_CODE_BENCH_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
_LIVE_CODE_BENCH_IMPORTS = (
    "".join(f"from {name} import *; " for name in (*_LIVE_CODE_BENCH_MODULES, "builtins", "typing"))
    + f"import {', '.join(_LIVE_CODE_BENCH_MODULES)}; sys.setrecursionlimit(50000)\n"
)
_TROUBLE = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    *(zlib.error, pickle.UnpicklingError, EOFError),
)


class NoTestsError(ValueError):
    """Where the row's tests should stand is not one."""


class RowTests(NamedTuple):
    """The tests of a row and what comes with them; None: the row says nothing of it."""

    tests: StdinTests | CallTests | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None
    prologue: str = ""
    """What the data set's own grader puts before a Python program: one line of imports.

    LeetCode's solutions, half of these data sets, annotate with `List` and import nothing.
    """


def read_row_tests(row: Mapping[str, Any]) -> RowTests:
    """The tests that `row` holds.

    Raises:
        NoTestsError: it has a place for them, and there are none.
        ValueError: they can't be read; the message says why.

    Example:
        >>> read_row_tests({"tests": [{"input": "1 2", "output": "3"}], "time_limit_s": 2}).timeout_s
        2.0
    """
    return _read(row, CallTests.of)


def has_tests(row: Mapping[str, Any]) -> bool:
    """Whether `row` holds tests; they are read, but neither encoded nor kept, for some take megabytes.

    Raises:
        ValueError: they can't be read; the message says why.
    """
    try:
        return _read(row, _not_encoded).tests is not None
    except NoTestsError:
        return False


def _not_encoded(entry_point: str, calls: Sequence[tuple[Sequence[Any], Any]], **_: bool) -> CallTests:
    """In place of `CallTests.of`, which takes five times as long as JSON's reader."""
    given = [list(arguments) for arguments, _ in calls]
    return CallTests(entry_point, ("",) * len(given), ("",) * len(given))


def _read(row: Mapping[str, Any], calls_of: Callable[..., CallTests]) -> RowTests:
    try:
        if isinstance(row.get("tests"), list):
            return _own(row, calls_of)
        if any(field in row for field in CODE_CONTESTS):
            return _code_contests(row)
        if row.get("input_output"):
            return RowTests(_apps(row["input_output"], calls_of), prologue=_APPS_IMPORTS)
        if any(field in row for field in _LIVE_CODE_BENCH):
            return RowTests(_live_code_bench(row, calls_of), prologue=_LIVE_CODE_BENCH_IMPORTS)
    except NoTestsError:
        raise
    except _TROUBLE as e:
        raise ValueError(f"the row's tests can't be read ({type(e).__name__}: {e})") from e
    return RowTests()


def _own(row: Mapping[str, Any], calls_of: Callable[..., CallTests]) -> RowTests:
    tests: StdinTests | CallTests
    if entry_point := row.get("entry_point"):
        calls = [(test["arguments"], test["result"]) for test in row["tests"]]
        tests = calls_of(entry_point, calls, tuples_are_lists=True)
    else:
        tests = _stdin_tests(
            [test["input"] for test in row["tests"]], [test["output"] for test in row["tests"]]
        )
    timeout_s, memory_mb = row.get("time_limit_s"), row.get("memory_limit_mb")
    return RowTests(tests, None if timeout_s is None else float(timeout_s), memory_mb and int(memory_mb))


def _code_contests(row: Mapping[str, Any]) -> RowTests:
    parts = [row[field] for field in CODE_CONTESTS if row.get(field)]
    cases = [case for p in parts for case in zip(p["input"], p["output"], strict=True)]
    tests = _stdin_tests([given for given, _ in cases], [want for _, want in cases])
    limit = row.get("time_limit")
    timeout_s = limit["seconds"] + limit.get("nanos", 0) / 1e9 if limit else None
    return RowTests(tests, timeout_s, (row.get("memory_limit_bytes") or 0) >> 20 or None)


def _apps(value: str | Mapping[str, Any], calls_of: Callable[..., CallTests]) -> StdinTests | CallTests:
    document = json.loads(value, parse_int=_integer) if isinstance(value, str) else value
    if not document or not (document["inputs"] or document["outputs"]):
        raise NoTestsError("the row has no tests")
    inputs, outputs = document["inputs"], document["outputs"]
    if document.get("fn_name"):
        calls = list(zip(inputs, outputs, strict=True))
        return calls_of(document["fn_name"], calls, tuples_are_lists=True, ones_are_items=True)
    return _stdin_tests(inputs, outputs)


def _integer(digits: str) -> int:
    """Of any length: Python reads 4,300 digits at once."""
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    value = 0
    for start in range(0, len(digits), 4000):
        part = digits[start : start + 4000]
        value = value * 10 ** len(part) + int(part)
    return sign * value


def _live_code_bench(row: Mapping[str, Any], calls_of: Callable[..., CallTests]) -> StdinTests | CallTests:
    cases = [case for field in _LIVE_CODE_BENCH if row.get(field) for case in _unpacked(row[field])]
    if not cases:
        raise NoTestsError("the row has no tests")
    if cases[0].get("testtype") == "functional":
        metadata = row["metadata"]
        name = (json.loads(metadata) if isinstance(metadata, str) else metadata)["func_name"]
        calls = [
            ([json.loads(line) for line in case["input"].splitlines()], json.loads(case["output"]))
            for case in cases
        ]
        return calls_of(name, calls, tuples_are_lists=True)
    return _stdin_tests([case["input"] for case in cases], [case["output"] for case in cases])


def _unpacked(value: Any) -> Any:
    """JSON, or JSON as LiveCodeBench packs its private tests: a pickled string, compressed, in base 64."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        packed = zlib.decompressobj().decompress(base64.b64decode(value), _MAX_UNPACKED_BYTES)
        return json.loads(_StringUnpickler(io.BytesIO(packed)).load())


class _StringUnpickler(pickle.Unpickler):
    """Reads plain data and nothing that would import or call something."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in what should be a string")


def _stdin_tests(inputs: Sequence[Any], outputs: Sequence[Any]) -> StdinTests:
    """APPS has some inputs and outputs as lists of lines."""
    return StdinTests(tuple(map(_text, inputs)), tuple(map(_text, outputs)))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {type(value).__name__}")
    return value
