import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.evaluation import metrics
from rewardranker.evaluation.judging import JudgedCandidate
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.evaluation.selection import compare_selectors
from rewardranker.problems.problem import Problem


def problem(name, language="python", **fields):
    return Problem(f"{language}/{name}", language, "", "tests", **fields)


def candidate(p, index, passed, *, score=None, visible=None, behaviour="", **fields):
    status = fields.pop("status", "passed" if passed else "failed")
    given = ExistingCandidate(p.id, index, fields.pop("text", f"{index}"), score=score, **fields)
    return JudgedCandidate(given, status, status, visible=visible, behaviour=behaviour)


def value(summary, selector, language="python"):
    (row,) = [r for r in summary["rows"] if (r["selector"], r["language"]) == (selector, language)]
    return row["value"]


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(3)
    problems = [problem(f"p{i}", language) for language in ("python", "cpp") for i in range(6)]
    candidates = []
    for p in problems:
        for i in range(7):
            passed = bool(rng.random() < 0.4)
            seen = passed or bool(rng.random() < 0.5)
            behaviour = "right" if passed else f"{rng.integers(3)}"
            candidates.append(
                candidate(p, i, passed, score=float(rng.normal()) + passed, visible=seen, behaviour=behaviour)
            )
    return problems, candidates, compare_selectors(problems, candidates, resamples=200)


def by_problem(problems, candidates):
    return [[c for c in candidates if c.given.problem_id == p.id] for p in problems]


def pick_of(selector, subset):
    """Expected correctness of the choice among `subset`, ties at random: written as a user would do it."""
    if selector in ("visible", "visible+majority", "staged") and any(c.visible for c in subset):
        subset = [c for c in subset if c.visible]
    if selector in ("majority", "visible+majority"):
        votes = [sum(d.behaviour == c.behaviour for d in subset) for c in subset]
        subset = [c for c, v in zip(subset, votes, strict=True) if v == max(votes)]
    if selector in ("ranker", "staged"):
        subset = [max(subset, key=lambda c: c.given.score)]
    return float(np.mean([c.passed for c in subset]))


@pytest.mark.parametrize(
    "selector", ["sample", "visible", "majority", "visible+majority", "ranker", "staged"]
)
def test_best_of_k_is_the_mean_over_subsets(world, selector):
    problems, candidates, selection = world
    rows = by_problem(problems, candidates)
    for k in range(1, 8):
        naive = [np.mean([pick_of(selector, s) for s in combinations(row, k)]) for row in rows]
        (curve,) = [
            c for c in selection.summary["curves"] if (c["selector"], c["language"]) == (selector, "cpp")
        ]
        assert curve["value"][k - 1] == pytest.approx(np.mean(naive[6:]), abs=2e-6)


def test_the_average_is_over_languages_and_rows_are_of_all_candidates(world):
    selection = world[-1]
    summary = selection.summary
    for row in summary["rows"]:
        assert row["ci95"][0] <= row["value"] <= row["ci95"][1]
    for selector in ("ranker", "oracle"):
        both = [value(summary, selector, x) for x in ("python", "cpp")]
        assert value(summary, selector, "avg") == pytest.approx(np.mean(both), abs=1e-6)
    assert summary["problems"] == 12 and summary["candidates"] == 84
    outcomes = [o.value for o in selection.outcomes if (o.selector, o.language) == ("ranker", "cpp")]
    assert value(summary, "ranker", "cpp") == pytest.approx(np.mean(outcomes), abs=1e-6)
    json.dumps(summary, allow_nan=False)


def human_eval_estimator(n, c, k):
    """openai/human-eval, human_eval/evaluation.py."""
    if n - c < k:
        return 1.0
    return 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))


def test_pass_at_k_is_human_evals():
    rng = np.random.default_rng(0)
    problems = [problem(f"p{i}") for i in range(9)]
    right = [int(rng.integers(0, 13)) for _ in problems]
    candidates = [candidate(p, i, i < c) for p, c in zip(problems, right, strict=True) for i in range(12)]
    summary = compare_selectors(problems, candidates, resamples=50).summary
    assert [row["k"] for row in summary["pass_at_k"]] == [1, 10]
    for row in summary["pass_at_k"]:
        expected = np.mean([human_eval_estimator(12, c, row["k"]) for c in right])
        assert row["value"] == pytest.approx(expected, abs=1e-6)


def test_problems_may_have_different_numbers_of_candidates():
    problems = [problem("a"), problem("b")]
    candidates = [candidate(problems[0], i, i == 0, score=-i) for i in range(3)]
    candidates += [candidate(problems[1], i, i == 1, score=-i) for i in range(12)]
    summary = compare_selectors(problems, candidates, resamples=50).summary
    assert [row["k"] for row in summary["pass_at_k"]] == [1]  # pass@10 of a can't be said
    assert {tuple(c["k"]) for c in summary["curves"]} == {(1, 2, 3)}
    assert value(summary, "ranker") == 0.5 and value(summary, "oracle") == 1


def test_a_task_in_two_languages_is_one_in_the_intervals():
    problems = [problem(f"p{i}", x) for x in ("python", "cpp") for i in range(20)]
    candidates = [candidate(p, 0, int(p.id.split("p")[-1]) % 2 == 0) for p in problems]
    summary = compare_selectors(problems, candidates, resamples=400, seed=1).summary
    rows = {r["language"]: r["ci95"] for r in summary["rows"] if r["selector"] == "sample"}
    assert rows["avg"] == pytest.approx(rows["cpp"])  # the second language adds nothing that is new


def test_selectors_that_lack_what_they_need_are_absent():
    p = problem("a")
    bare = compare_selectors([p], [candidate(p, i, i == 0) for i in range(2)], resamples=10).summary
    assert {r["selector"] for r in bare["rows"]} == {"sample", "oracle"}
    assert (bare["ranking"], bare["calibration"], bare["labels"]) == ([], None, None)
    rich = [
        candidate(p, 0, True, logprob_sum=-1.0, n_tokens=2, temperature=1.0, text="x"),
        candidate(p, 1, False, logprob_sum=-1.0, n_tokens=1, temperature=1.0, text="x"),
        candidate(p, 0, False, logprob_sum=-9.0, n_tokens=1, temperature=0.0),
    ]
    summary = compare_selectors([p], rich, resamples=10).summary
    assert {r["selector"] for r in summary["rows"]} == {"sample", "greedy", "logprob", "same text", "oracle"}
    assert (value(summary, "logprob"), value(summary, "greedy"), value(summary, "same text")) == (1, 0, 0.5)


def test_staged_prunes_what_does_not_parse_before_what_fails_the_visible_tests():
    p = problem("a")
    candidates = [
        candidate(p, 0, False, score=9.0, visible=False, status="syntax_error"),
        candidate(p, 1, False, score=5.0, visible=False),
        candidate(p, 2, True, score=1.0, visible=True),
    ]
    summary = compare_selectors([p], candidates, resamples=10).summary
    assert (value(summary, "ranker"), value(summary, "staged")) == (0, 1)
    only_parsing = compare_selectors([p], candidates[:2], resamples=10).summary
    assert value(only_parsing, "staged") == 0


def test_labels_are_compared_with_verdicts():
    p = problem("a")
    candidates = [
        candidate(p, 0, True, label="passed"),
        candidate(p, 1, False, label="passed"),
        candidate(p, 2, False, label="timeout"),
        candidate(p, 3, False, label="passed", status="unavailable"),
    ]
    labels = compare_selectors([p], candidates, resamples=10).summary["labels"]
    assert (labels["compared"], labels["agree"]) == (3, 2)
    assert [d["index"] for d in labels["differing"]] == [1]


def test_ranking_metrics(world):
    problems, candidates, selection = world
    rows = by_problem(problems, candidates)
    (ranker,) = [r for r in selection.summary["ranking"] if r["selector"] == "ranker"]
    both = [row for row in rows if len({c.passed for c in row}) == 2]
    assert ranker["problems_both_labels"] == len(both)
    ordered = [sorted(row, key=lambda c: -c.given.score) for row in both]
    reciprocal = [1 / (1 + next(i for i, c in enumerate(row) if c.passed)) for row in ordered]
    assert ranker["mrr@10"]["value"] == pytest.approx(np.mean(reciprocal), abs=1e-6)
    top = [any(c.passed for c in sorted(row, key=lambda c: -c.given.score)[:2]) for row in rows]
    assert ranker["ranked_pass_at_k"]["2"]["value"] == pytest.approx(np.mean(top), abs=1e-6)
    pairs = [(a.given.score > b.given.score) for r in both for a in r for b in r if a.passed > b.passed]
    assert ranker["auc"]["value"] == pytest.approx(np.mean(pairs), abs=1e-6)
    for metric in ("auc", "pairwise_accuracy", "mrr@10", "ndcg@10", "gap_closed", "margin"):
        low, high = ranker[metric]["ci95"]
        assert low <= ranker[metric]["value"] <= high


def test_what_does_not_fit_a_ranker_comes_last():
    p = problem("a")
    candidates = [candidate(p, 0, True, score=None), candidate(p, 1, False, score=-math.inf)]
    candidates.append(candidate(p, 2, False, score=-50.0))
    summary = compare_selectors([p], candidates, resamples=10).summary
    assert value(summary, "ranker") == 0
    json.dumps(summary, allow_nan=False)


def test_no_problem_or_no_candidate_is_an_error():
    with pytest.raises(ValueError, match="every problem needs a candidate"):
        compare_selectors([], [])
    with pytest.raises(ValueError, match="every problem needs a candidate"):
        compare_selectors([problem("a")], [])


def test_clustered_weights_draw_clusters_whole():
    weights = metrics.clustered_weights(["a", "b", "a"], 50, 0)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_allclose(weights.sum(1), 1)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_second_language_that_goes_as_the_first_adds_no_certainty(outcomes):
    problems = [problem(f"p{i}", x) for x in ("python", "cpp") for i in range(len(outcomes))]
    candidates = [
        candidate(p, j, passed)
        for p, row in zip(problems, outcomes * 2, strict=True)
        for j, passed in enumerate(row)
    ]
    rows = compare_selectors(problems, candidates, resamples=40).summary["rows"]
    for selector in ("sample", "oracle"):
        found = [r for r in rows if r["selector"] == selector]
        assert [r["language"] for r in found] == ["python", "cpp", "avg"]
        assert all(r["ci95"] == pytest.approx(found[0]["ci95"], abs=2e-6) for r in found)
