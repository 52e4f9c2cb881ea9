# ruff: noqa: E501 - tables of programs
"""Asserts become calls, or it is said why they don't."""

import pytest

from rewardranker.problems.plain_data import decode
from rewardranker.problems.tests import CallTests, StdinTests, calls_of_asserts

FORMS = {
    "mbpp": "assert f(1, [2]) == (3,)\nassert f(-1, []) == None",
    "humaneval": "def check(candidate):\n    assert candidate(1, [2]) == (3,)\n    assert candidate(-1, []) == None\n\ncheck(f)",
    "multipl-e": "def check(candidate):\n    assert candidate(1, [2]) == (3,)\n    assert candidate(-1, []) == None\n\n"
    "def test_check():\n    check(f)\n\ntest_check()\n",
    "alias": "def test():\n    candidate = f\n    assert candidate(1, [2]) == (3,)\n    assert f(-1, []) == None\n"
    "if __name__ == '__main__':\n    test()",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_asserts_become_calls(form):
    tests = calls_of_asserts(FORMS[form], "f")
    assert tests.entry_point == "f"
    assert [decode(line) for line in tests.arguments] == [[1, [2]], [-1, []]]
    assert [decode(line) for line in tests.results] == [(3,), None]
    assert len(tests) == 2


OTHER = {
    "": "there is no assert",
    "x = 1": "line 1",
    "assert f(1) == 2\nassert f(2)": "line 2",
    "assert g(1) == 2": "line 1",
    "assert f(x) == 2": "line 1",
    "assert f(1) == g(2)": "line 1",
    "assert f(1, y=2) == 2": "line 1",
    "assert abs(f(1) - 2) < 1": "line 1",
    "assert f(1) != 2": "line 1",
    "for x in 1, 2:\n    assert f(1) == 2": "line 1",
    "def check(candidate):\n    x = 2 + 3\n    assert candidate(1) == x": "line 2",
}


@pytest.mark.parametrize("tests", OTHER)
def test_other_tests_are_refused(tests):
    with pytest.raises(ValueError, match=OTHER[tests]):
        calls_of_asserts(tests, "f")


def test_every_test_has_both_ends():
    with pytest.raises(ValueError, match="1 inputs and 2 outputs"):
        StdinTests(("a",), ("b", "c"))
    with pytest.raises(ValueError, match="0 calls"):
        CallTests("f", (), ())
    with pytest.raises(TypeError, match="no plain data"):
        CallTests.of("f", [((print,), 1)])
