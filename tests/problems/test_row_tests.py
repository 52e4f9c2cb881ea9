"""Each data set's form of tests, on records as published."""

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest

from rewardranker.problems.row_tests import RowTests, read_row_tests
from rewardranker.problems.tests import CallTests, StdinTests

FORMATS = Path(__file__).parents[2] / ".." / "shared" / "data" / "formats"
needs_formats = pytest.mark.skipif(
    not FORMATS.exists(), reason=f"{FORMATS} is absent: the records are not part of the project"
)


def test_own_rows():
    tests = [{"input": "1 2\n", "output": "3"}, {"input": "", "output": "0"}]
    assert read_row_tests({"tests": tests, "time_limit_s": 2, "memory_limit_mb": 64}) == RowTests(
        StdinTests(("1 2\n", ""), ("3", "0")), 2.0, 64
    )
    calls = [{"arguments": [1, [2]], "result": [3]}]
    assert read_row_tests({"tests": calls, "entry_point": "f"}) == RowTests(
        CallTests("f", ("[1, [2]]",), ("[3]",), tuples_are_lists=True)
    )


def test_rows_whose_tests_are_in_the_program():
    assert read_row_tests({"program": "x", "tests": "assert f(1) == 2", "input_output": ""}) == RowTests()


def test_code_contests():
    row = {
        "public_tests": {"input": ["1"], "output": ["a"]},
        "private_tests": {"input": [], "output": []},
        "generated_tests": {"input": ["2", "3"], "output": ["b", "c"]},
        "time_limit": {"seconds": 1, "nanos": 500_000_000},
        "memory_limit_bytes": 256 << 20,
    }
    assert read_row_tests(row) == RowTests(StdinTests(("1", "2", "3"), ("a", "b", "c")), 1.5, 256)
    assert read_row_tests({**row, "time_limit": None, "memory_limit_bytes": 0})[1:3] == (None, None)


@needs_formats
def test_apps():
    kinds = {}
    for problem in (FORMATS / "apps" / "train").iterdir():
        document = json.loads((problem / "input_output.json").read_text())
        tests = read_row_tests({"input_output": document}).tests
        assert tests == read_row_tests({"input_output": json.dumps(document)}).tests
        assert tests is not None
        assert len(tests) == len(document["inputs"])
        kinds[problem.name] = type(tests)
    assert kinds["2404"] is kinds["4184"] is CallTests
    assert kinds["0001"] is StdinTests


CASES = [{"input": "1\n[2]", "output": "[1, 2]", "testtype": "functional"}]


def test_live_code_bench():
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(CASES)))).decode()
    row = {
        "public_test_cases": json.dumps(CASES),
        "private_test_cases": packed,
        "metadata": '{"func_name": "f"}',
    }
    assert read_row_tests(row).tests == CallTests(
        "f", ("[1, [2]]",) * 2, ("[1, 2]",) * 2, tuples_are_lists=True
    )
    stdin = json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}])
    assert read_row_tests({"public_test_cases": stdin, "private_test_cases": "[]"}).tests == StdinTests(
        ("1",), ("2",)
    )


class Shell:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    "row",
    [
        {"tests": [{"input": "1"}]},
        {"tests": []},
        {"tests": [{"input": 1, "output": 2}]},
        {"tests": [{"input": "1", "output": "2"}], "time_limit_s": "soon"},
        {"input_output": "{"},
        {"input_output": {"inputs": ["a"], "outputs": []}},
        {"input_output": {"inputs": [], "outputs": ["a"]}},
        {"input_output": "[" * 9999},
        {"tests": [{"input": "1", "output": "2"}], "memory_limit_mb": float("inf")},
        {"public_tests": {"input": ["1"]}},
        {
            "public_tests": {"input": ["1"], "output": []},
            "private_tests": {"input": [], "output": ["1"]},
        },
        {"private_test_cases": "!"},
        {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Shell()))).decode()},
        {"public_test_cases": json.dumps(CASES)},
    ],
    ids=lambda row: str(row)[:99],
)
def test_what_can_not_be_read(row, capsys):
    with pytest.raises(ValueError, match="the row's tests can't be read"):
        read_row_tests(row)
    assert capsys.readouterr().out == ""
