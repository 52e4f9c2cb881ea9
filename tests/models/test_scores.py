import warnings

import numpy as np
import pytest

from rewardranker.models.scores import Calibration


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_what_could_not_be_read_is_right_with_probability_0(slope: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Calibration(slope=slope, intercept=1.0).probability(
            np.array([[-np.inf, 0.0], [1.0, -np.inf]])
        )
    odds = np.exp(1.0 + slope * np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [[0, odds[0] / (1 + odds[0])], [odds[1] / (1 + odds[1]), 0]])
    assert Calibration(slope=slope).probability(np.array(-np.inf)) == 0
