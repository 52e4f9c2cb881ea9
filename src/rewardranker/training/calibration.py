"""From scores to probabilities of being right."""

import numpy as np
from numpy.typing import NDArray

from rewardranker.errors import UserError
from rewardranker.models.scores import Calibration

Floats = NDArray[np.float64]


def fit_calibration(scores: Floats, labels: NDArray[np.bool_]) -> Calibration:
    """What a ranker's scores mean, from candidates whose verdicts are known.

    Args:
        scores: [N] raw, of candidates as the ranker will meet them, on problems that it was not trained on.
        labels: [N] True for right; right and wrong ones.

    Raises:
        UserError: all are right, or all are wrong.

    Example:
        >>> found = fit_calibration(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([False, False, True, True]))
        >>> found.probability(np.array([2.0])).round(2)
        array([0.8])
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    known = np.isfinite(scores)
    if len(set(labels[known].tolist())) < 2:
        raise UserError("calibration needs scores of right and of wrong candidates; all are alike")
    slope, intercept = fit_platt(scores[known], labels[known])
    return Calibration(slope, intercept, float(scores[known].mean()), float(scores[known].std()))


def fit_platt(scores: Floats, labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of P(right) = sigmoid(slope * score + intercept), by maximum likelihood.

    Platt 1999, with his smoothed targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keep the fit finite when
    the classes can be separated. The slope is at least 0: where higher scores went with wrong completions,
    the probability is the smoothed share of right ones.

    Args:
        scores: [N], both labels among them.
        labels: [N] True for right.
    """
    right = int(labels.sum())
    wrong = len(labels) - right
    targets = np.where(labels, (right + 1) / (right + 2), 1 / (wrong + 2))
    center, scale = float(scores.mean()), float(scores.std()) or 1.0
    z = (scores - center) / scale
    slope, intercept = 0.0, float(np.log(targets.mean() / (1 - targets.mean())))
    flat = intercept
    for _ in range(100):  # Newton's method with step halving, on standardised scores
        p = 1 / (1 + np.exp(-(slope * z + intercept)))
        gradient = np.array([np.dot(p - targets, z), (p - targets).sum()])
        v = p * (1 - p)
        hessian = np.array([[np.dot(v, z * z), np.dot(v, z)], [np.dot(v, z), v.sum()]]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        factor, loss = 1.0, _log_loss(slope * z + intercept, targets)
        while factor > 1e-6:
            trial = _log_loss((slope - factor * step[0]) * z + intercept - factor * step[1], targets)
            if trial <= loss:
                break
            factor /= 2
        slope, intercept = slope - factor * step[0], intercept - factor * step[1]
        if np.abs(factor * step).max() < 1e-10:
            break
    if slope <= 0:
        return 0.0, flat
    return float(slope / scale), float(intercept - slope * center / scale)


def _log_loss(z: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, z) - targets * z).sum())


def cross_fitted_probabilities(
    scores: Floats, labels: NDArray[np.bool_], problems: NDArray[np.int64]
) -> Floats:
    """Probabilities [N] of each half of the problems by a Platt fit on the other half.

    Args:
        scores: [N].
        labels: [N].
        problems: [N] number of each score's problem; even and odd ones are the halves. At least two
            problems, and both labels in every problem.
    """
    probability = np.empty_like(scores)
    for half in (0, 1):
        inside = problems % 2 == half
        slope, intercept = fit_platt(scores[~inside], labels[~inside])
        probability[inside] = 1 / (1 + np.exp(-(slope * scores[inside] + intercept)))
    return probability
