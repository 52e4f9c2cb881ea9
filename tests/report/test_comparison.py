from dataclasses import replace

import numpy as np
import pytest
from test_bundle import PROBLEM, grouped

from rewardranker.errors import UserError
from rewardranker.evaluation import metrics
from rewardranker.evaluation.comparison import compare_outcomes
from rewardranker.evaluation.selection import Outcome
from rewardranker.report.attempts import read_attempts
from rewardranker.report.comparison import compare, comparison_data

RIGHT = [("a", True, -1, 1.0), ("b", False, -2, 0.0)]
WRONG = [("a", True, -1, 0.0), ("b", False, -2, 1.0)]
TIED = [("a", True, -1, 1.0), ("b", False, -2, 1.0)]


def test_the_flips_of_two_rankers():
    a = grouped({"p": RIGHT, "q": RIGHT, "r": WRONG, "s": TIED})
    b = grouped({"p": RIGHT, "q": WRONG, "r": RIGHT, "s": WRONG})
    found = compare("a", a, "b", b)
    ranker = "sft with ranker 1"
    assert found.systems_a[ranker].tolist() == [1, 1, 0, 0.5]
    assert found.systems_b[ranker].tolist() == [1, 0, 1, 0]
    pair = found.pairs[ranker, ranker]
    assert pair.difference.difference == 0.125
    assert (pair.only_a, pair.only_b, pair.p_value) == (1, 1, 1.0)  # a half is not more often than not
    assert found.pairs["sft with an oracle", "sft by log-prob"].difference.difference == 0


def test_values_and_intervals_are_those_of_the_metrics(run_dir):
    run = read_attempts(run_dir, 1.0)
    found = compare("a", run, "b", run)
    attempts = [run.policies["aligned-2"][p.id] for p in run.problems]
    correct = np.array([[c.passed for c in a.sampled] for a in attempts])
    raw = np.array([[s.raw for s in a.scores[2]] for a in attempts])
    best = metrics.best_of_k_curve(raw, correct)[:, -1]
    assert found.systems_a["aligned-2 with ranker 2"] == pytest.approx(best)
    expected = metrics.paired_difference(best, correct.mean(1), metrics.bootstrap_weights(200, 2000, 0))
    assert found.pairs["aligned-2 with ranker 2", "aligned-2 one sample"].difference == expected
    same = found.pairs["sft greedy", "sft greedy"]
    assert (same.difference.difference, same.difference.ci95) == (0, (0, 0))
    assert (same.only_a, same.only_b, same.p_value) == (0, 0, 1)


def test_the_test_is_that_of_the_command_line(run_dir):
    run = read_attempts(run_dir, 1.0)
    found = compare("a", run, "b", run)
    x, y = "aligned-2 with ranker 2", "sft greedy"
    outcomes = [
        {i: Outcome(i, "python", "s", 1, v) for i, v in zip(found.common, values, strict=True)}
        for values in (found.systems_a[x], found.systems_b[y])
    ]
    told, pair = compare_outcomes(*outcomes), found.pairs[x, y]
    assert (told.p_value, told.ci95) == (pair.p_value, pair.difference.ci95)
    assert (len(told.only_a), len(told.only_b)) == (pair.only_a, pair.only_b)
    assert pair.p_value < 1


def test_one_task_in_two_languages_is_drawn_as_one():
    def both(programs):
        ids = {f"{language}/{i}": language for i in programs for language in ("python", "cpp")}
        problems = [replace(PROBLEM, id=i, language=language) for i, language in ids.items()]
        return grouped({i: programs[i.split("/")[1]] for i in ids}, problems=problems)

    a, b = {"p": RIGHT, "q": RIGHT, "r": WRONG}, {"p": RIGHT, "q": WRONG, "r": WRONG}
    name = "sft with ranker 1"
    one = compare("a", grouped(a), "b", grouped(b)).pairs[name, name]
    two = compare("a", both(a), "b", both(b)).pairs[name, name]
    assert two.difference.ci95 == pytest.approx(one.difference.ci95)
    assert (two.p_value, two.only_a) == (one.p_value, 2 * one.only_a)


def test_problems_that_differ_are_left_out_and_counted():
    changed = [replace(PROBLEM, id=i, prompt=PROBLEM.prompt + i * (i == "q")) for i in "pqr"]
    a = grouped({"p": RIGHT, "q": RIGHT})
    b = grouped({"p": WRONG, "q": WRONG, "r": WRONG}, problems=changed)
    found = compare("a", a, "b", b)
    assert found.common == ("p",)
    assert found.left_out == 3
    assert [p.id for p in found.b.problems] == list(found.b.policies["sft"]) == ["p"]


def test_runs_without_a_common_problem():
    with pytest.raises(UserError, match="one and two have no evaluation problem in common"):
        compare("one", grouped({"p": RIGHT}), "two", grouped({"q": RIGHT}))


def test_a_policy_that_lacks_a_common_problem_is_no_system():
    a = grouped({"p": RIGHT, "q": RIGHT})
    partial = replace(a, policies={**a.policies, "half": {"p": a.policies["sft"]["p"]}})
    assert not [name for name in compare("a", partial, "b", a).systems_a if name.startswith("half")]
    with pytest.raises(UserError, match="b: no policy has candidates of all 2"):
        compare("a", a, "b", replace(a, policies={"half": partial.policies["half"]}))


def test_the_pages_data_are_points_and_start_with_the_newest_ranker():
    a, b = grouped({"p": RIGHT, "q": RIGHT}), grouped({"p": RIGHT, "q": WRONG})
    found = compare("a", a, "b", b)
    data = comparison_data(found, {"p": 5, "q": 7})
    assert data["problems"] == [5, 7]
    i, j = data["start"]
    assert data["a"][i] == {"name": "sft with ranker 1", "values": [1.0, 1.0]}
    assert data["b"][j] == {"name": "sft with ranker 1", "values": [1.0, 0.0]}
    assert data["pairs"][i][j] == [50.0, 0.0, 100.0, 1, 0, 1.0]
