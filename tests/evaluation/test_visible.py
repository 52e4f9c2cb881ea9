import pytest

from rewardranker.evaluation.visible import output_probe
from rewardranker.execution.pool import Program, execute
from rewardranker.problems.problem import Problem

VISIBLE = "import math\nassert (f(1)) == 2\nassert f(math.floor(2.5)) == 3\nassert not f(0)\n"


def test_the_probe_knows_no_expected_value_and_keeps_what_comes_before():
    probe = output_probe(Problem("p", "python", "", "", visible_tests=VISIBLE))
    assert probe.startswith("import math\n")
    assert "== 2" not in probe and "== 3" not in probe


def test_a_probe_of_the_problems_own_is_taken_and_other_languages_have_none():
    own = Problem("p", "python", "", "", visible_tests=VISIBLE, output_probe="print(f(7))")
    assert output_probe(own) == "print(f(7))"
    assert output_probe(Problem("p", "php", "", "", visible_tests="f(1);")) == ""
    assert output_probe(Problem("p", "python", "", "")) == ""
    assert output_probe(Problem("p", "python", "", "", visible_tests="f(1)")) == ""


def test_the_side_that_is_computed_is_probed():
    for test in ("f(1) == 2", "2 == f(1)", "[2] == [f(1)]"):
        probe = output_probe(Problem("p", "python", "", "", visible_tests=f"assert {test}\n"))
        assert "f(1)" in probe and "2]," not in probe and "lambda: 2" not in probe


def test_visible_tests_that_are_no_python_have_no_probe():
    assert output_probe(Problem("p", "python", "", "", visible_tests=">>> f(1)\n2")) == ""


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        ("return x + 1", "2\n3\nFalse\n"),
        ("return [1, 2][x]", "2\nIndexError\nFalse\n"),
        ("raise KeyError", ""),
    ],
)
def test_what_candidates_return(isolation, body, printed):
    problem = Problem("p", "python", "", "", visible_tests=VISIBLE)
    source = f"def f(x):\n    {body}\n{output_probe(problem)}"
    (verdict,) = execute([Program("python", source)], workers=1)
    assert verdict.passed
    assert verdict.stdout == printed
