import gzip
import json
from pathlib import Path

import pytest

from rewardranker.execution.pool import execute
from rewardranker.execution.program import Program
from rewardranker.problems.examples import prompt_examples
from rewardranker.problems.loaders import load_problems

DATA = Path(__file__).parents[3] / "shared" / "data"


def prompt(*lines: str, signature: str = "f(x)") -> str:
    statement = "".join(f"    {line}\n" for line in lines)
    return f'def {signature}:\n    """Do it.\n{statement}    """\n'


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("f(1) == 2", "2"),
        ("* f(1) => 'a'", "'a'"),
        ("f(1)==>True", "True"),
        ("f(1) => false", "False"),
        ("f(1) -> [1, 2]", "[1, 2]"),
        ("f(1) ➞ None", "None"),
        ("f(1) = 2.50", "2.5"),
        ("f(1) returns 'a, b'.", "'a, b'"),
        ("f(1) should return {'a': 1}.", "{'a': 1}"),
        ('f(1)   # returns "a"', "'a'"),
        ("f(1) returns [1, 5] # for 1 and 5", "[1, 5]"),
        (">>> f(1) == (1, 2)", "(1, 2)"),
        ("For x = 1 the output should be 3.", "3"),
        ("For x = 1, the result should be ('a',True)", "('a', True)"),
        ("Input: x = 1\n    Output: 6", "6"),
        ("Input: 1\n    Output: 6", "6"),
        (">>> f(1)\n    6", "6"),
    ],
)
def test_forms(line, result):
    assert prompt_examples(prompt(line)) == f"assert (f(1)) == {result}\n"
    assert prompt_examples("g = 1\n" + prompt(line), "f") == f"assert (f(1)) == {result}\n"


@pytest.mark.parametrize(
    "line",
    [
        "f(1) is even",
        "f(n) == 2",
        "f(1) == f(2)",
        "f(1) => 2 + 1",
        "f(1) == ('a')",  # a tuple, as HumanEval/148 means it
        "my_f(1) == 2",
        "x.f(1) == 2",
        "f(a) => True",
        "f(1 == 2",
        "f({{1}}) == 2",
        "f(1) == {{1, 2}, {3}}",
        f"f(1) == {'-' * 99999}1",
        "For x = {[]: 1} the output should be 3",
        "For x = 1) + (2 the output should be 3",
        ">>> f(1)\n    {{1}}",
        "For y = 1 the output should be 3",
        "For x = 1, which is odd, the output should be 3",
        "Input: 1, 2\n    Output: 6",
        ">>> f(1)\n    <object>",
    ],
)
def test_what_is_no_example(line):
    assert prompt_examples(prompt(line)) == ""


def test_a_form_with_an_example_that_can_not_be_read_is_passed_over():
    assert prompt_examples(prompt("f(0) = 1", "f(n) = n * f(n - 1)", "f(3) == 6")) == "assert (f(3)) == 6\n"
    assert prompt_examples(prompt(">>> f(0) == 1", ">>> f(3) 6")) == ""
    assert (
        prompt_examples(prompt("For x = 1 the output should be 3", "For x = 2 the output should be odd"))
        == ""
    )


def test_arguments_over_lines_and_by_name():
    shown = prompt("f([", "  [1, ')'],", "], 2) == 3", signature="f(x: list[int], y=1)")
    assert prompt_examples(shown) == "assert (f([[1, ')']], 2)) == 3\n"
    shown = prompt("Input: y = 2, x = [1]", "Output: 3", signature="f(x: list[int], y: int = 1) -> int")
    assert prompt_examples(shown) == "assert (f([1], 2)) == 3\n"


def test_of_several_functions_the_one_asked_for():
    shown = f"def g(x):\n    return x\n\n\n{prompt('g(1) == 1', 'f(1) == 2')}"
    assert prompt_examples(shown) == "assert (f(1)) == 2\n"
    assert prompt_examples("no function: f(1) == 2") == ""


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent: it is not part of the project")
def test_human_eval_own_solutions_pass_its_examples(isolation):
    problems = load_problems(DATA / "formats" / "humaneval" / "HumanEval.jsonl.gz")
    shown = [p for p in problems if p.visible_tests]
    assert len(shown) == 146
    with gzip.open(DATA / "pools" / "codet_codegen16B_humaneval_even.jsonl.gz", "rt") as lines:
        pool = {json.loads(line)["task_id"] for line in lines}
    assert (len(pool), sum(p.id in pool for p in shown)) == (82, 73)
    programs = [Program(p.language, f"{p.prompt}{p.reference}\n{p.visible_tests}") for p in shown]
    verdicts = execute(programs, timeout_s=30, workers=2)
    failed = [p.id for p, v in zip(shown, verdicts, strict=True) if not v.passed]
    assert failed == ["HumanEval/47"]  # a doctest that is wrong upstream
