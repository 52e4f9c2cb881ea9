"""Token by token, with tolerance where there is a fraction; calls by value and type."""

import pytest

from rewardranker.execution.comparison import wrong_call, wrong_output
from rewardranker.problems.plain_data import encode
from rewardranker.problems.tests import CallTests, StdinTests

OUTPUTS = {  # expected, printed, what is said
    "same": ("1 2\n", b"1 2\n", ""),
    "white space": ("1 2\n3\n", b"\n 1\t2   3", ""),
    "letters' case": ("YES no", b"Yes NO", ""),
    "fraction": ("0.33333", b"0.3333333333", ""),
    "whole number written as fraction": ("3", b"3.0", ""),
    "large fraction": ("1e9", b"1000000001", ""),
    "nothing": ("", b" \n", ""),
    "bytes that are no text": ("a", b"\xff", "token 1 is \ufffd, expected a"),
    "wrong": ("1 2", b"1 3", "token 2 is 3, expected 2"),
    "whole numbers are exact": ("1000000001", b"1000000002", "token 1 is 1000000002, expected 1000000001"),
    "too far": ("0.5", b"0.6", "token 1 is 0.6, expected 0.5"),
    "fraction and word": ("0.5", b"half", "token 1 is half, expected 0.5"),
    "not a number": ("0.5", b"nan", "token 1 is nan, expected 0.5"),
    "too few": ("1 2", b"1", "1 tokens, expected 2"),
    "too many": ("1 2", b"1 2 3", "3 tokens, expected 2"),
    "infinite": ("1.5", b"1e999", "token 1 is 1e999, expected 1.5"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs(case):
    expected, printed, said = OUTPUTS[case]
    assert wrong_output(StdinTests(("",), (expected,)), 0, printed) == said


def calls(*results, **options):
    return CallTests.of("f", [((), result) for result in results], **options)


def returned(*results):
    return "".join(f"{encode(result)}\n" for result in results).encode()


def test_calls():
    assert wrong_call(calls(1, (2, 3)), returned(1, (2, 3))) is None
    assert wrong_call(calls(1, (2, 3)), returned(1, [2, 3])) == (1, "returned [2, 3], expected (2, 3)")
    assert wrong_call(calls(1, 2), returned(1)) == (1, "no result")
    assert wrong_call(calls(1, 2), b"1\n{\n") == (1, "returned what can't be read, expected 2")
    assert wrong_call(calls([[1]], tuples_are_lists=True), returned(((1,),))) is None
    assert wrong_call(calls([True], ones_are_items=True), returned(True)) is None
    assert wrong_call(calls([True]), returned(True)) == (0, "returned True, expected [True]")
    assert wrong_call(calls(10**5000), returned(3)) == (0, "returned 3, expected a int")
    assert wrong_call(calls("x" * 99), returned(3)) == (0, f"returned 3, expected {'x' * 40}...")
