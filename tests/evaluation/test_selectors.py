from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.evaluation import metrics, selectors


def naive_majority(behaviour, correct, k):
    total, values = range(len(behaviour)), []
    for subset in combinations(total, k):
        groups = {}
        for i in subset:
            groups.setdefault(behaviour[i] or ("alone", i), []).append(correct[i])
        largest = max(map(len, groups.values()))
        tied = [sum(g) / len(g) for g in groups.values() if len(g) == largest]
        values.append(sum(tied) / len(tied))
    return sum(values) / len(values)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.booleans()), min_size=1, max_size=7))
def test_majority_is_the_mean_over_subsets(candidates):
    behaviour, correct = [b for b, _ in candidates], [c for _, c in candidates]
    curve = selectors.majority([behaviour], np.array([correct]))
    naive = [naive_majority(behaviour, correct, k) for k in range(1, len(candidates) + 1)]
    np.testing.assert_allclose(curve[0], naive, atol=1e-12)


def test_majority_of_many_candidates_is_sampled_with_a_seed():
    rng = np.random.default_rng(0)
    n = selectors.EXACT_MAJORITY + 3
    correct = rng.random((60, n)) < 0.5
    behaviour = [[f"{'right' if c else rng.integers(4)}" for c in row] for row in correct]
    curve = selectors.majority(behaviour, correct, seed=1)
    np.testing.assert_array_equal(curve, selectors.majority(behaviour, correct, seed=1))
    exact = [naive_majority(b, list(c), 2) for b, c in zip(behaviour, correct, strict=True)]
    assert curve[:, 1].mean() == pytest.approx(np.mean(exact), abs=0.02)
    whole = [naive_majority(b, list(c), n) for b, c in zip(behaviour, correct, strict=True)]
    np.testing.assert_allclose(curve[:, -1], whole)


def test_candidates_without_behaviour_do_not_outvote():
    curve = selectors.majority([["", "", "", "x", "x"]], np.array([[False, False, False, True, True]]))
    assert curve[0, -1] == 1


def test_sample_and_oracle_are_pass_at_1_and_pass_at_k():
    correct = np.random.default_rng(1).random((10, 5)) < 0.4
    counts = correct.sum(1)
    for k in range(1, 6):
        np.testing.assert_allclose(selectors.sample(correct)[:, k - 1], counts / 5)
        np.testing.assert_allclose(
            selectors.oracle(correct)[:, k - 1], [metrics.pass_at_k(5, int(c), k) for c in counts]
        )


def test_unanimous_behaviour_is_a_random_pick():
    correct = np.array([[True, False, False]])
    np.testing.assert_allclose(selectors.majority([["same"] * 3], correct), [[1 / 3] * 3])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=9))
def test_staged_scores_order_as_tuples_do(candidates):
    columns = [np.array([column], dtype=float) for column in zip(*candidates, strict=True)]
    (score,) = selectors.staged(columns)
    for i, a in enumerate(candidates):
        for j, b in enumerate(candidates):
            assert (score[i] > score[j]) == (a > b)


def test_only_the_first_vote_where_there_is_one_among_those_seen():
    behaviour, correct = [["x", "x", "y"]], np.array([[False, False, True]])
    curve = selectors.majority(behaviour, correct, first=np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(curve, [[1 / 3, 2 / 3, 1.0]])
    none = selectors.majority(behaviour, correct, first=np.zeros((1, 3)))
    np.testing.assert_allclose(none, selectors.majority(behaviour, correct))
