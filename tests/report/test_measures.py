import numpy as np
import pytest
from scipy.stats import binomtest
from test_bundle import grouped

from rewardranker.evaluation import metrics
from rewardranker.report import measures
from rewardranker.report.attempts import read_attempts


@pytest.fixture(scope="module")
def attempts(run_dir):
    return read_attempts(run_dir, 1.0).policies["aligned-2"]


@pytest.fixture(scope="module")
def arrays(attempts):
    """Raw scores, probabilities and verdicts [P, n] of ranker 2."""
    rows = measures.ranked(attempts, 2)
    raw, probability = (
        np.array([[getattr(s, f) for s in a.scores[2]] for a in rows]) for f in ("raw", "probability")
    )
    return raw, probability, np.array([[c.passed for c in a.sampled] for a in rows])


def test_gap_closed_is_that_of_the_metrics(attempts, arrays):
    raw, _, correct = arrays
    picked = metrics.best_of_k_curve(raw, correct)[:, -1].mean()
    found = measures.gap_closed(measures.ranked(attempts, 2), 2)
    assert found.value == pytest.approx(metrics.gap_closed(correct.mean(), picked, correct.any(1).mean()))
    assert found.low < found.value < found.high


def test_gap_closed_where_there_is_no_way_to_go():
    run = grouped({"p": [("a", True, -1, 0.0), ("b", True, -1, 1.0)]})
    assert measures.gap_closed(measures.ranked(run.policies["sft"], 1), 1) is None


def test_reliability_is_that_of_the_metrics(attempts, arrays):
    _, probability, correct = arrays
    found = measures.reliability(measures.ranked(attempts, 2), 2)
    bins = metrics.reliability(probability, correct)
    assert [r.count for r in found] == [b.count for b in bins]
    assert [r.probability for r in found] == pytest.approx([b.probability for b in bins])
    assert [r.correct.value for r in found] == pytest.approx([b.frequency for b in bins])
    assert all(r.correct.low <= r.correct.value <= r.correct.high for r in found)


def test_an_interval_is_about_as_wide_as_the_bootstrap_of_the_metrics_makes_it(attempts, arrays):
    _, _, correct = arrays
    _, true = measures.stated_and_true(measures.ranked(attempts, 2), 2)
    low, high = metrics.bootstrap_ci(correct.mean(1))
    assert true.value == pytest.approx(correct.mean())
    assert (true.low, true.high) == pytest.approx((low, high), abs=0.01)


def test_what_is_stated(attempts, arrays):
    stated, _ = measures.stated_and_true(measures.ranked(attempts, 2), 2)
    assert stated.value == pytest.approx(arrays[1].mean())


def test_a_ranker_that_pays_for_length_is_seen_and_verdicts_do_not_mix():
    rng = np.random.default_rng(0)
    rows = {}
    for p in range(40):
        lengths = rng.integers(5, 60, 12)
        rows[str(p)] = [
            # Wrong ones score by length, right ones by chance, and problems are at different levels.
            ("x" * int(n), bool(i % 2), -1.0, 100.0 * p + (float(rng.normal()) if i % 2 else 0.1 * n))
            for i, n in enumerate(lengths)
        ]
    run = grouped(rows, tokens=len)
    attempts = measures.ranked(run.policies["sft"], 1)
    wrong = measures.score_by_length(attempts, 1, passed=False)
    right = measures.score_by_length(attempts, 1, passed=True)
    assert sum(b.count for b in wrong) == sum(b.count for b in right) == 240
    for b in wrong:
        assert b.score.value == pytest.approx(0.1 * b.length)
    assert sum(b.score.low < 0 < b.score.high for b in right) >= 6
    assert [b.length for b in wrong] == sorted(b.length for b in wrong)


def test_one_length_only():
    run = grouped({"p": [("a", False, -1, 0.0), ("b", False, -1, 1.0)]})
    (only,) = measures.score_by_length(measures.ranked(run.policies["sft"], 1), 1, passed=False)
    assert (only.length, only.score.value, only.count) == (0, 0, 2)
    assert measures.score_by_length(measures.ranked(run.policies["sft"], 1), 1, passed=True) == []


def test_sure_failures_are_one_a_problem_the_surest_first(attempts):
    found = measures.sure_failures(attempts, 2, most=1000)
    expected = {
        problem_id: max(s.probability for s, c in zip(a.scores[2], a.sampled, strict=True) if not c.passed)
        for problem_id, a in attempts.items()
        if not all(c.passed for c in a.sampled)
    }
    assert {f.problem_id: f.probability for f in found} == expected
    assert [f.probability for f in found] == sorted(expected.values(), reverse=True)
    assert measures.sure_failures(attempts, 2, most=3) == found[:3]


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (64, 64), (40, 64)])
def test_wilson(k, n):
    found, expected = measures.wilson(k / n, n), binomtest(k, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
