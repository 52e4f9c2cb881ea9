import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from rewardranker.errors import UserError
from rewardranker.evaluation.metrics import ece, reliability
from rewardranker.training.calibration import cross_fitted_probabilities, fit_calibration, fit_platt


def sample(seed: int, n: int, slope: float = 1.5, intercept: float = -0.7):
    rng = np.random.default_rng(seed)
    scores = rng.normal(-2.0, 3.0, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-(slope * scores + intercept)))
    return scores, labels


def test_platt_equals_logistic_regression_on_the_smoothed_targets() -> None:
    scores, labels = sample(0, 200)
    right, wrong = labels.sum(), (~labels).sum()
    target = np.where(labels, (right + 1) / (right + 2), 1 / (wrong + 2))
    twice = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(scores, 2)[:, None],
        np.repeat([1, 0], 200),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope, intercept = fit_platt(scores, labels)
    assert slope == pytest.approx(twice.coef_[0, 0], rel=1e-4)
    assert intercept == pytest.approx(twice.intercept_[0], rel=1e-4)


def test_platt_recovers_the_truth() -> None:
    assert fit_platt(*sample(1, 40000)) == pytest.approx((1.5, -0.7), abs=0.06)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=2, max_size=30))
def test_platt_is_finite_and_never_falls(rows) -> None:
    scores, labels = np.array([s for s, _ in rows]), np.array([y for _, y in rows])
    slope, intercept = fit_platt(scores, labels)
    assert np.isfinite([slope, intercept]).all()
    assert slope >= 0


def test_scores_that_point_the_wrong_way_give_the_base_rate() -> None:
    slope, intercept = fit_platt(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False]))
    assert (slope, intercept) == (0.0, pytest.approx(0.0))


def test_true_probabilities_are_calibrated_and_overconfident_ones_are_not() -> None:
    scores, labels = sample(2, 20000)
    true = 1 / (1 + np.exp(-(1.5 * scores - 0.7)))
    assert ece(reliability(true, labels)) < 0.01
    assert ece(reliability(1 / (1 + np.exp(-5 * (1.5 * scores - 0.7))), labels)) > 0.03


def test_cross_fitting_uses_the_other_half() -> None:
    scores, labels = sample(3, 400)
    problems = np.arange(400) // 4
    found = cross_fitted_probabilities(scores, labels, problems)
    even = problems % 2 == 0
    slope, intercept = fit_platt(scores[~even], labels[~even])
    np.testing.assert_allclose(found[even], 1 / (1 + np.exp(-(slope * scores[even] + intercept))))


def test_a_calibration_is_fitted_on_known_verdicts() -> None:
    scores, labels = sample(4, 20000)
    found = fit_calibration(np.append(scores, -np.inf), np.append(labels, False))
    assert (found.slope, found.intercept) == pytest.approx((1.5, -0.7), abs=0.1)
    assert (found.mean, found.std) == pytest.approx((scores.mean(), scores.std()))
    with pytest.raises(UserError, match="all are alike"):
        fit_calibration(scores, np.ones(len(scores), bool))
