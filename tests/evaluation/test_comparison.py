import numpy as np
import pytest

from rewardranker.errors import UserError
from rewardranker.evaluation.comparison import compare_outcomes, read_outcomes
from rewardranker.evaluation.metrics import mcnemar
from rewardranker.evaluation.selection import Outcome
from rewardranker.tables import write_table


def outcomes(values, language="python", selector="ranker"):
    ids = [f"{language}/p{i}" for i in range(len(values))]
    return {i: Outcome(i, language, selector, 10, v) for i, v in zip(ids, values, strict=True)}


def test_difference_flips_and_p_value():
    a = outcomes([1.0, 1.0, 1.0, 0.0, 0.8, 0.5, 1.0, 0.0])
    b = outcomes([0.0, 0.0, 1.0, 1.0, 0.2, 0.4, 0.0, 0.0])
    found = compare_outcomes(a, b)
    assert found.difference == pytest.approx(found.a - found.b) == pytest.approx(2.7 / 8)
    assert [f.problem_id for f in found.only_a] == ["python/p0", "python/p1", "python/p6", "python/p4"]
    assert [(f.problem_id, f.a, f.b) for f in found.only_b] == [("python/p3", 0.0, 1.0)]
    assert found.p_value == mcnemar(4, 1)
    assert found.ci95[0] <= found.difference <= found.ci95[1]
    back = compare_outcomes(b, a)
    assert back.difference == pytest.approx(-found.difference)
    assert (len(back.only_a), back.p_value) == (1, found.p_value)


def test_the_order_of_problems_does_not_matter():
    values = list(np.random.default_rng(0).random(9))
    a, b = outcomes(values), outcomes(values[::-1])
    shuffled = dict(reversed(b.items()))
    assert compare_outcomes(a, shuffled) == compare_outcomes(a, b)


def test_one_task_in_two_languages_is_drawn_as_one():
    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    zeros = [0.0] * 6
    one = compare_outcomes(outcomes(values), outcomes(zeros))
    both = compare_outcomes(
        outcomes(values) | outcomes(values, "cpp"), outcomes(zeros) | outcomes(zeros, "cpp")
    )
    assert both.ci95 == pytest.approx(one.ci95)


def test_other_problems_are_refused():
    a, b = outcomes([1.0, 0.0]), outcomes([1.0])
    with pytest.raises(UserError, match=r"B lacks 1 of the 2 problems of A, such as python/p1"):
        compare_outcomes(a, b)
    with pytest.raises(UserError, match=r"first lacks 1 of the 2 problems of second"):
        compare_outcomes(b, a, names=("first", "second"))


def test_what_is_no_evaluation_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no outcomes.parquet in it; give a folder"):
        read_outcomes(tmp_path, "ranker")
    write_table(tmp_path / "outcomes.parquet", Outcome, list(outcomes([1.0]).values()))
    assert list(read_outcomes(tmp_path, "ranker")) == ["python/p0"]
    with pytest.raises(UserError, match="no selector 'greedy' in it; it has ranker"):
        read_outcomes(tmp_path, "greedy")
