import math
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, ndcg_score, roc_auc_score

from rewardranker.evaluation import metrics


@st.composite
def scored(draw, max_n=7):
    n = draw(st.integers(1, max_n))
    scores = draw(st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=n, max_size=n))
    correct = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return scores, correct


def naive_best_of_k(scores, correct, k):
    """Enumerate the subsets; ties share the pick."""
    values = []
    for subset in combinations(range(len(scores)), k):
        best = max(scores[i] for i in subset)
        tied = [correct[i] for i in subset if scores[i] == best]
        values.append(sum(tied) / len(tied))
    return sum(values) / len(values)


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_candidate(case):
    n, c, k = case
    naive = np.mean([any(i < c for i in subset) for subset in combinations(range(n), k)])
    assert metrics.pass_at_k(n, c, k) == pytest.approx(naive)


def test_pass_at_k_says_nothing_with_too_few_candidates():
    assert math.isnan(metrics.pass_at_k(3, 1, 4))
    assert math.isnan(metrics.best_of_k([1, 2], [0, 1], 3))


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_pass_at_k_refuses_impossible_counts(n, c, k):
    with pytest.raises(ValueError, match="pass_at_k needs"):
        metrics.pass_at_k(n, c, k)


def test_pass_at_k_of_many_candidates_stays_exact():
    assert metrics.pass_at_k(2000, 1, 1000) == pytest.approx(0.5)


@given(scored())
def test_best_of_k_is_the_mean_over_subsets(case):
    scores, correct = case
    naive = [naive_best_of_k(scores, correct, k) for k in range(1, len(scores) + 1)]
    np.testing.assert_allclose(metrics.best_of_k_curve(scores, correct), naive, atol=1e-12)
    assert metrics.best_of_k(scores, correct, 1) == pytest.approx(naive[0])


@given(scored())
def test_best_of_k_lies_between_worst_and_oracle(case):
    scores, correct = case
    n, c = len(scores), sum(correct)
    curve = metrics.best_of_k_curve(scores, correct)
    oracle = [metrics.pass_at_k(n, c, k) for k in range(1, n + 1)]
    worst = [1 - metrics.pass_at_k(n, n - c, k) for k in range(1, n + 1)]
    assert (curve <= np.array(oracle) + 1e-12).all()
    assert (curve >= np.array(worst) - 1e-12).all()
    np.testing.assert_allclose(metrics.best_of_k_curve(correct, correct), oracle, atol=1e-12)
    np.testing.assert_allclose(metrics.best_of_k_curve([0] * n, correct), [c / n] * n, atol=1e-12)


@given(scored(), st.randoms())
def test_best_of_k_does_not_depend_on_the_candidates_order(case, random):
    order = list(range(len(case[0])))
    random.shuffle(order)
    shuffled = [[values[i] for i in order] for values in case]
    np.testing.assert_allclose(metrics.best_of_k_curve(*case), metrics.best_of_k_curve(*shuffled), atol=1e-12)


def test_best_of_k_works_on_many_problems_at_once():
    rng = np.random.default_rng(0)
    scores, correct = rng.integers(0, 4, (20, 6)), rng.random((20, 6)) < 0.5
    together = metrics.best_of_k_curve(scores, correct)
    apart = [metrics.best_of_k_curve(s, c) for s, c in zip(scores, correct, strict=True)]
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(("scores", "correct"), [([1.0], [1, 0]), ([], []), ([math.nan], [1])])
def test_best_of_k_refuses_what_cannot_be_ranked(scores, correct):
    with pytest.raises(ValueError):
        metrics.best_of_k_curve(scores, correct)


def test_gap_closed():
    assert metrics.gap_closed(0.4, 0.5, 0.8) == pytest.approx(0.25)
    assert metrics.gap_closed(0.4, 0.3, 0.8) == pytest.approx(-0.25)
    assert math.isnan(metrics.gap_closed(0.4, 0.4, 0.4))


def test_pairs_against_sklearn():
    rng = np.random.default_rng(1)
    scores, correct = rng.integers(0, 5, (30, 8)).astype(float), rng.random((30, 8)) < 0.3
    correct[0], correct[1] = True, False
    counts = metrics.pair_counts(scores, correct)
    aucs, sizes = [], []
    for s, c in zip(scores, correct, strict=True):
        if 0 < c.sum() < len(c):
            aucs.append(roc_auc_score(c, s))
            sizes.append(c.sum() * (~c).sum())
    assert counts.problems == len(aucs)
    assert counts.pairwise_accuracy == pytest.approx(np.mean(aucs))
    assert counts.auc == pytest.approx(np.average(aucs, weights=sizes))


@given(scored())
def test_reversed_scores_reverse_the_auc(case):
    scores, correct = np.array([case[0]]), np.array([case[1]])
    forward, backward = metrics.pair_counts(scores, correct), metrics.pair_counts(-scores, correct)
    if forward.problems:
        assert forward.auc + backward.auc == pytest.approx(1)
    else:
        assert math.isnan(forward.auc)
        assert math.isnan(forward.pairwise_accuracy)


def test_calibration_against_sklearn():
    rng = np.random.default_rng(2)
    p = rng.random(500)
    outcome = rng.random(500) < p**2
    bins = metrics.reliability(p, outcome)
    frequency, probability = calibration_curve(outcome, p, n_bins=10)
    np.testing.assert_allclose([b.frequency for b in bins], frequency)
    np.testing.assert_allclose([b.probability for b in bins], probability)
    assert sum(b.count for b in bins) == 500
    assert metrics.brier(p, outcome) == pytest.approx(brier_score_loss(outcome, p))
    naive = 0.0
    for low in range(10):
        inside = [i for i in range(500) if low / 10 <= p[i] < (low + 1) / 10]
        naive += len(inside) / 500 * abs(np.mean(p[inside]) - np.mean(outcome[inside]))
    assert metrics.ece(bins) == pytest.approx(naive)


def test_certain_and_right_is_calibrated():
    bins = metrics.reliability([0.0, 1.0, 1.0], [0, 1, 1])
    assert [(b.low, b.count) for b in bins] == [(0.0, 1), (0.9, 2)]
    assert metrics.ece(bins) == 0
    assert math.isnan(metrics.ece([]))


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_reliability_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="probability"):
        metrics.reliability([p], [1])


def test_within_problem_correlation_ignores_differences_between_problems():
    x, y = np.array([[1.0, 2, 3], [10, 11, 12]]), np.array([[1.0, 2, 3], [3, 4, 5]]) * -1
    assert metrics.within_problem_correlation(x, y) == pytest.approx(-1)
    centred = [(v - v.mean(1, keepdims=True)).ravel() for v in (x, y + np.array([[0, 1, 0], [0, 0, 0]]))]
    assert metrics.within_problem_correlation(x, y + np.array([[0, 1, 0], [0, 0, 0]])) == pytest.approx(
        np.corrcoef(*centred)[0, 1]
    )
    assert math.isnan(metrics.within_problem_correlation(x, np.ones((2, 3))))


def test_bootstrap_matches_a_plain_loop():
    values = np.random.default_rng(3).random(40)
    low, high = metrics.bootstrap_ci(values, resamples=20000, seed=1)
    rng = np.random.default_rng(4)
    means = [rng.choice(values, len(values)).mean() for _ in range(20000)]
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), atol=0.004)
    assert (low, high) == metrics.bootstrap_ci(values, resamples=20000, seed=1)
    assert (low, high) != metrics.bootstrap_ci(values, resamples=20000, seed=2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_interval_lies_within_the_values(values):
    low, high = metrics.bootstrap_ci(values, resamples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        low, high = metrics.bootstrap_ci(rng.random(100) < 0.3, resamples=400, seed=seed)
        hits += low <= 0.3 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_paired_difference():
    a, b = np.array([1.0, 1, 0, 0.5]), np.array([0.0, 1, 1, 0.0])
    weights = metrics.bootstrap_weights(4, 1000, seed=0)
    d = metrics.paired_difference(a, b, weights)
    assert d.difference == pytest.approx(0.125)
    assert d.standard_error == pytest.approx(np.std(weights @ (a - b)))
    assert (d.better, d.worse, d.problems) == (2, 1, 4)
    assert d.ci95 == metrics.interval(a - b, weights)
    back = metrics.paired_difference(b, a, weights)
    assert back.difference == -d.difference
    np.testing.assert_allclose(back.ci95, [-d.ci95[1], -d.ci95[0]])


@given(st.integers(1, 20), st.integers(2, 5), st.integers(0, 3))
def test_tasks_that_are_asked_once_change_nothing_and_copies_add_nothing(tasks, copies, seed):
    plain = metrics.bootstrap_weights(tasks, 30, seed)
    np.testing.assert_array_equal(metrics.clustered_weights(range(tasks), 30, seed), plain)
    values = np.random.default_rng(seed).random(tasks)
    both = metrics.clustered_weights([*range(tasks)] * copies, 30, seed)
    np.testing.assert_allclose(both @ np.tile(values, copies), plain @ values)


def test_flips_are_counted_by_task():
    flipped = metrics.flips([1, 0.6, 0.5, 0, 0.4, 1], [0, 0.5, 0.4, 1, 0.3, 1])
    assert flipped.tolist() == [1, 1, 0, -1, 0, 0]
    assert metrics.mcnemar_of_tasks(flipped, "abcdef") == metrics.mcnemar(2, 1)
    assert metrics.mcnemar_of_tasks(flipped, "aabbbb") == metrics.mcnemar(1, 1)
    assert metrics.mcnemar_of_tasks(flipped, "aaaaaa") == metrics.mcnemar(1, 0)


def test_a_system_does_not_differ_from_itself():
    a = np.random.default_rng(6).random(10)
    d = metrics.paired_difference(a, a, metrics.bootstrap_weights(10, 100, seed=0))
    assert (d.difference, d.standard_error, d.ci95, d.better, d.worse) == (0, 0, (0, 0), 0, 0)


def test_pairs_of_uneven_problems_against_sklearn_and_by_hand() -> None:
    one = (np.array([3.0, 1.0]), np.array([2.0]))
    two = (np.array([1.0]), np.array([1.0, 0.0, -1.0]))
    found = metrics.pair_counts_of_sides([one, two])
    assert found.auc == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert found.pairwise_accuracy == pytest.approx((1 / 2 + 2.5 / 3) / 2)
    for right, wrong in (one, two):
        labels = np.repeat([1, 0], [len(right), len(wrong)])
        expected = roc_auc_score(labels, np.concatenate([right, wrong]))
        assert metrics.pair_counts_of_sides([(right, wrong)]).auc == pytest.approx(expected)


def orders(scores):
    """Every order of the candidates, highest score first, in which ties may fall."""
    return [
        o for o in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(o))
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6), st.integers(1, 6))
def test_ranking_metrics_are_means_over_the_orders_of_ties(candidates, at):
    scores, correct = zip(*candidates, strict=True)
    ways = [[correct[i] for i in order] for order in orders(scores)]
    places = [row.index(True) if any(row) else None for row in ways]
    n = len(scores)
    chance = [sum(p == r for p in places) / len(ways) for r in range(n)]
    np.testing.assert_allclose(metrics.first_correct(scores, correct), chance, atol=1e-12)
    reciprocal = [1 / (p + 1) if p is not None and p < at else 0.0 for p in places]
    assert metrics.reciprocal_rank(scores, correct, at) == pytest.approx(np.mean(reciprocal))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=15))
def test_ndcg_is_scikit_learns(candidates):
    scores, correct = zip(*candidates, strict=True)
    if not any(correct):
        assert math.isnan(metrics.ndcg(scores, correct))
        return
    assert metrics.ndcg(scores, correct) == pytest.approx(ndcg_score([correct], [scores], k=10))


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_the_binomial_test(better, worse):
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert metrics.mcnemar(better, worse) == pytest.approx(expected)


def test_margin():
    assert metrics.margin([3.0, 1.0, 0.0], [1, 0, 0]) == 2.5
    assert math.isnan(metrics.margin([3.0, 1.0], [1, 1]))
    assert math.isnan(metrics.margin([3.0, -math.inf], [1, 0]))
