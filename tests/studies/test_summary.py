import numpy as np
import pytest

from rewardranker.studies.summary import _sentence, pooled


def test_seeds_that_disagree_widen_the_interval_more_than_problems_do() -> None:
    rng = np.random.default_rng(0)
    alike = [rng.normal(0.5, 0.1, 1000) for _ in range(4)]
    apart = [values + shift for values, shift in zip(alike, (-0.1, -0.03, 0.03, 0.1), strict=True)]
    narrow, wide = pooled(alike), pooled(apart)
    assert wide["value"] == pytest.approx(narrow["value"], abs=1e-6)
    assert narrow["ci95"][1] - narrow["ci95"][0] < 0.02
    assert 0.1 < wide["ci95"][1] - wide["ci95"][0] < 0.2
    assert wide["seeds"] == sorted(wide["seeds"])


def test_the_interval_of_one_seed_is_that_of_its_problems() -> None:
    values = np.repeat([0.0, 1.0], 500)
    low, high = pooled([values])["ci95"]
    assert (low, high) == (pytest.approx(0.469, abs=0.01), pytest.approx(0.531, abs=0.01))


@pytest.mark.parametrize(
    ("value", "ci95", "seeds", "said"),
    [
        (-0.02, [-0.03, -0.01], [-0.03, 0.01], "over “a” (-3.0 to -1.0; 1 of 2 seeds)."),
        (0.01, [-0.005, 0.025], [0.01], "-0.5 to +2.5); an effect above 2.5 points is excluded."),
        (-0.01, [-0.03, 0.0], [0.01], "an effect above 3.0 points is excluded."),
    ],
)  # fmt: skip
def test_a_finding_says_what_the_interval_says(value, ci95, seeds, said) -> None:
    names = {"arm": "b", "against": "a", "measure": "greedy", "against_measure": "greedy"}
    assert _sentence({**names, "value": value, "ci95": ci95, "seeds": seeds}).endswith(said)
