import math

import pytest

from rewardranker.errors import UserError
from rewardranker.evaluation.judging import JudgedCandidate, evaluated, judge_candidates
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Execution

PROBLEM = Problem("p", "python", "def f(x):\n", "assert f(3) == 4\n", visible_tests="assert f(1) == 2\n")
EXECUTION = Execution(workers=1)


def test_hidden_and_visible_tests_and_what_is_returned(isolation):
    texts = ["    return x + 1", "    return 2", "    return x", "    return (", "    raise ValueError"]
    candidates = [ExistingCandidate("p", i, text) for i, text in enumerate(texts)]
    judged = judge_candidates([PROBLEM], candidates, EXECUTION)
    assert [c.strict_status for c in judged] == ["passed", "failed", "failed", "syntax_error", "failed"]
    assert [c.visible for c in judged] == [True, True, False, False, False]
    assert [c.behaviour for c in judged] == ["2\n", "2\n", "1\n", "", ""]
    assert all(c.executed and c.agrees is None for c in judged)


def test_labels_stand_where_tests_are_not_run(isolation):
    candidates = [ExistingCandidate("p", 0, "    return x", label="passed")]
    (shown,) = judge_candidates([PROBLEM], candidates, EXECUTION, runs="visible")
    assert (shown.strict_status, shown.visible, shown.executed) == ("passed", False, False)
    (nothing,) = judge_candidates([PROBLEM], candidates, EXECUTION, runs="nothing")
    assert (nothing.strict_status, nothing.visible, nothing.behaviour) == ("passed", None, "")
    (run,) = judge_candidates([PROBLEM], candidates, EXECUTION)
    assert (run.strict_status, run.agrees) == ("failed", False)


def test_a_candidate_of_which_nothing_is_known_is_refused():
    bare = Problem("p", "php", "", "")
    with pytest.raises(UserError, match="candidate 0 has neither tests nor a label"):
        judge_candidates([bare], [ExistingCandidate("p", 0, "")], EXECUTION)
    with pytest.raises(UserError, match="no label and its tests are not to be run"):
        judge_candidates([PROBLEM], [ExistingCandidate("p", 0, "")], EXECUTION, runs="nothing")


def test_what_a_file_does_not_say_is_not_a_number_in_the_table():
    (row,) = evaluated([JudgedCandidate(ExistingCandidate("p", 0, "x"), "passed", "passed")], "pool")
    assert (row.policy, row.passed) == ("pool", True)
    assert math.isnan(row.temperature) and math.isnan(row.logprob_sum)
