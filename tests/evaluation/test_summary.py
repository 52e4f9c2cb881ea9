import json
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.summary import Policy, summarise
from rewardranker.problems.problem import Problem

N = 4
POLICIES = [
    Policy("sft", "sft", 0),
    Policy("sft-longer", "sft-longer", 0),
    Policy("aligned-1", "aligned", 1),
    Policy("aligned-2", "aligned", 2),
]
SETTINGS = {
    "policies": POLICIES,
    "variant": "selftraining",
    "align": "rft",
    "temperature": 1.0,
    "cool_temperature": 0.5,
    "bootstrap": 200,
    "seed": 7,
}


def candidate(problem_id, policy, temperature, index, passed, **fields):
    status = "passed" if passed else "failed"
    defaults = {
        "text": f"{index}", "logprob_sum": -3.0, "n_tokens": 3, "finish_reason": "eos", "status": status,
        "strict_status": status, "reason": "", "stderr": "", "behaviour": "right" if passed else f"{index}",
    }  # fmt: skip
    return EvaluatedCandidate(
        problem_id=problem_id, policy=policy, temperature=temperature, index=index, **{**defaults, **fields}
    )


def world(size=30, languages=("python",), policies=POLICIES, seed=0):
    rng = np.random.default_rng(seed)
    problems = [Problem(f"p{i}", languages[i % len(languages)], "prompt", "tests") for i in range(size)]
    candidates, scores = [], []
    for policy in policies:
        for problem in problems:
            rate = rng.random()
            for index in range(N):
                passed = bool(rng.random() < rate)
                logprob = float(rng.normal())
                candidates.append(candidate(problem.id, policy.name, 1.0, index, passed, logprob_sum=logprob))
                candidates.append(candidate(problem.id, policy.name, 0.5, index, bool(rng.random() < rate)))
                for ranker in (1, 2) if policy.system != "sft-longer" else ():
                    raw = passed + float(rng.normal(0, 1.5 / ranker))
                    scores.append(
                        ScoredCandidate(policy.name, problem.id, index, ranker, raw, 1 / (1 + math.exp(-raw)))
                    )
            candidates.append(candidate(problem.id, policy.name, 0.0, 0, bool(rng.random() < rate)))
    return problems, candidates, scores


@pytest.fixture(scope="module")
def measured():
    problems, candidates, scores = world()
    return problems, candidates, scores, summarise(problems, candidates, scores, **SETTINGS)


def find(rows, **wanted):
    (row,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return row


def passes(candidates, policy, temperature):
    table = {}
    for c in candidates:
        if (c.policy, c.temperature) == (policy, temperature):
            table.setdefault(c.problem_id, []).append(c)
    return [sorted(row, key=lambda c: c.index) for row in table.values()]


def test_each_policy_has_a_row_a_selector(measured):
    rows = measured[-1]["rows"]
    assert len(rows) == 4 * 6 + 3 * 2
    assert {r["language"] for r in rows} == {"python"}
    assert {r["problems"] for r in rows} == {30}
    assert all(0 <= r["ci95"][0] <= r["value"] <= r["ci95"][1] <= 1 for r in rows)


def test_values_match_a_plain_count(measured):
    _, candidates, scores, result = measured
    raw = {(s.policy, s.problem_id, s.index, s.ranker): s.raw for s in scores}
    sampled = passes(candidates, "aligned-1", 1.0)
    expected = {
        ("sample", None, 1.0): np.mean([c.passed for row in sampled for c in row]),
        ("sample", None, 0.5): np.mean([c.passed for r in passes(candidates, "aligned-1", 0.5) for c in r]),
        ("greedy", None, 0.0): np.mean([r[0].passed for r in passes(candidates, "aligned-1", 0.0)]),
        ("logprob", None, 1.0): np.mean(
            [max(row, key=lambda c: c.logprob_sum / 3).passed for row in sampled]
        ),
        ("oracle", None, 1.0): np.mean([any(c.passed for c in row) for row in sampled]),
    }
    for ranker in (1, 2):
        best = [max(row, key=lambda c: raw["aligned-1", c.problem_id, c.index, ranker]) for row in sampled]
        expected["ranker", ranker, 1.0] = np.mean([c.passed for c in best])
    for (selector, ranker, temperature), value in expected.items():
        row = find(
            result["rows"], policy="aligned-1", selector=selector, ranker=ranker, temperature=temperature
        )
        assert row["value"] == pytest.approx(value, abs=1e-6), selector
        assert row["n"] == (1 if selector in ("sample", "greedy") else N)


def test_rows_say_what_made_them(measured):
    rows = measured[-1]["rows"]
    first = find(rows, policy="aligned-1", selector="ranker", ranker=1)
    assert (first["system"], first["iteration"], first["variant"], first["align"]) == (
        "aligned",
        1,
        None,
        "rft",
    )
    second = find(rows, policy="sft", selector="ranker", ranker=2)
    assert (second["iteration"], second["variant"], second["align"]) == (0, "selftraining", None)
    assert find(rows, policy="aligned-2", selector="greedy")["variant"] == "selftraining"


def test_curves_end_at_the_rows_and_pass_at_k_is_on_top(measured):
    result = measured[-1]
    for curve in result["curves"]:
        row = find(result["rows"], **{k: curve[k] for k in ("policy", "selector", "ranker")})
        assert curve["value"][-1] == row["value"]
        assert curve["ci95"][-1] == row["ci95"]
        oracle = find(result["curves"], policy=curve["policy"], selector="oracle")
        assert all(v <= o + 1e-6 for v, o in zip(curve["value"], oracle["value"], strict=True))
        assert curve["k"] == [1, 2, 3, 4]


def test_best_of_2_matches_the_subsets(measured):
    _, candidates, scores, result = measured
    raw = {(s.problem_id, s.index): s.raw for s in scores if s.policy == "sft" and s.ranker == 2}
    values = []
    for row in passes(candidates, "sft", 1.0):
        picks = [max(pair, key=lambda c: raw[c.problem_id, c.index]).passed for pair in combinations(row, 2)]
        values.append(np.mean(picks))
    curve = find(result["curves"], policy="sft", selector="ranker", ranker=2)
    assert curve["value"][1] == pytest.approx(np.mean(values), abs=1e-6)


def system(policy, selector, ranker=None):
    return {"policy": policy, "selector": selector, "ranker": ranker}


@pytest.mark.parametrize(
    ("a", "b", "decisive"),
    [
        (system("aligned-2", "ranker", 2), system("sft-longer", "greedy"), True),
        (system("aligned-2", "ranker", 2), system("aligned-2", "ranker", 1), True),
        (system("aligned-2", "greedy"), system("sft-longer", "greedy"), True),
        (system("sft", "ranker", 1), system("sft", "logprob"), True),
        (system("aligned-2", "ranker", 2), system("sft-longer", "sample"), False),
        (system("aligned-1", "ranker", 2), system("aligned-1", "ranker", 1), False),
        (system("aligned-1", "greedy"), system("sft", "greedy"), False),
    ],
)
def test_differences_are_those_of_the_rows(measured, a, b, decisive):
    result = measured[-1]
    pair = find(result["paired"], a=a, b=b)
    values = [
        find(result["rows"], **s, **({"temperature": 1.0} if s["selector"] == "sample" else {}))
        for s in (a, b)
    ]
    assert pair["difference"] == pytest.approx(values[0]["value"] - values[1]["value"], abs=2e-6)
    assert pair["ci95"][0] <= pair["difference"] <= pair["ci95"][1]
    assert pair["decisive"] is decisive
    assert pair["standard_error"] > 0


def test_no_difference_is_reported_twice(measured):
    pairs = [json.dumps([p["a"], p["b"]]) for p in measured[-1]["paired"]]
    assert len(pairs) == len(set(pairs))


def test_the_better_ranker_discriminates_better(measured):
    rankers = measured[-1]["ranker"]
    assert [(r["policy"], r["iteration"]) for r in rankers] == [
        (p, i) for p in ("sft", "aligned-1", "aligned-2") for i in (1, 2)
    ]
    one, two = find(rankers, policy="sft", iteration=1), find(rankers, policy="sft", iteration=2)
    assert two["auc"] > one["auc"] > 0.5
    assert sum(b["count"] for b in one["reliability"]) == 30 * N


def test_problems_are_counted_by_what_their_candidates_are(measured):
    _, candidates, _, result = measured
    sampled = passes(candidates, "sft", 1.0)
    group = find(result["groups"], policy="sft")
    assert group["none"] == sum(not any(c.passed for c in row) for row in sampled)
    assert group["all"] == sum(all(c.passed for c in row) for row in sampled)
    assert group["none"] + group["some"] + group["all"] == 30
    assert find(result["ranker"], policy="sft", iteration=1)["problems_both_labels"] == group["some"]


def test_the_result_is_json_and_the_same_for_the_same_seed(measured):
    problems, candidates, scores, result = measured
    text = json.dumps(result, allow_nan=False)
    again = summarise(problems, candidates[::-1], scores[::-1], **SETTINGS)
    assert json.dumps(again) == text
    other = summarise(problems, candidates, scores, **{**SETTINGS, "seed": 8})
    assert [r["value"] for r in other["rows"]] == [r["value"] for r in result["rows"]]
    assert other["rows"] != result["rows"]


def test_several_languages_have_their_own_rows_and_one_for_all():
    problems, candidates, scores = world(size=21, languages=("python", "cpp"))
    result = summarise(problems, candidates, scores, **SETTINGS)
    row = {r["language"]: r for r in result["rows"] if (r["policy"], r["selector"]) == ("sft", "oracle")}
    assert {k: r["problems"] for k, r in row.items()} == {"cpp": 10, "python": 11, "all": 21}
    assert row["all"]["value"] == pytest.approx(
        (10 * row["cpp"]["value"] + 11 * row["python"]["value"]) / 21, abs=2e-6
    )


def test_a_lone_policy_without_extras():
    problems, candidates, _ = world(policies=POLICIES[:1])
    candidates = [c for c in candidates if c.temperature == 1.0]
    result = summarise(problems, candidates, [], **{**SETTINGS, "policies": POLICIES[:1]})
    assert {r["selector"] for r in result["rows"]} == {"sample", "logprob", "majority", "oracle"}
    assert (result["paired"], result["ranker"]) == ([], [])


def test_all_correct_gives_null_where_nothing_can_be_said():
    problems = [Problem("p", "python", "", "")]
    candidates = [candidate("p", "sft", 1.0, i, True, behaviour="") for i in range(2)]
    scores = [ScoredCandidate("sft", "p", i, 1, float(i), 0.5) for i in range(2)]
    result = summarise(problems, candidates, scores, **{**SETTINGS, "policies": POLICIES[:1]})
    (ranker,) = result["ranker"]
    assert (ranker["auc"], ranker["gap_closed"], ranker["problems_both_labels"]) == (None, None, 0)
    assert not [r for r in result["rows"] if r["selector"] == "majority"]
    json.dumps(result, allow_nan=False)


def test_candidates_without_a_verdict_count_as_wrong_and_are_reported():
    problems, candidates, scores = world(policies=POLICIES[:1])
    lost = [
        candidate(c.problem_id, "sft", 1.0, c.index, False, strict_status="unavailable", behaviour="")
        if (c.problem_id, c.temperature) == ("p0", 1.0)
        else c
        for c in candidates
    ]
    result = summarise(problems, lost, scores, **{**SETTINGS, "policies": POLICIES[:1]})
    assert result["groups"][0]["unjudged"] == N


def test_what_is_missing_is_named():
    problems, candidates, scores = world(policies=POLICIES[:1])
    settings = {**SETTINGS, "policies": POLICIES[:1]}
    with pytest.raises(ValueError, match=r"sft at temperature 1.0: problem p0 has 3 of 4"):
        summarise(problems, candidates[1:], scores, **settings)
    with pytest.raises(ValueError, match=r"ranker 1 has no score for candidate \('p0', 0\)"):
        summarise(problems, candidates, scores[1:], **settings)
    with pytest.raises(ValueError, match="unknown problems: p0"):
        summarise(problems[1:], candidates, scores, **settings)
    with pytest.raises(ValueError, match="aligned-9: no candidates"):
        summarise(
            problems, candidates, scores, **{**settings, "policies": [Policy("aligned-9", "aligned", 9)]}
        )
    with pytest.raises(ValueError, match="no problems"):
        summarise([], [], [], **settings)


def test_all_languages_together_are_as_certain_as_one_where_they_go_together():
    problems, candidates, scores = world(size=12)
    copies = [replace(p, id=f"{p.id}/cpp", language="cpp") for p in problems]
    named = [replace(p, id=f"{p.id}/python") for p in problems]

    def both(rows):
        return [replace(r, problem_id=f"{r.problem_id}/{x}") for x in ("python", "cpp") for r in rows]

    one = summarise(problems, candidates, scores, **SETTINGS)
    two = summarise([*named, *copies], both(candidates), both(scores), **SETTINGS)
    for part, wanted in ((one["rows"], [r for r in two["rows"] if r["language"] == "all"]),
                         (one["paired"], two["paired"])):  # fmt: skip
        for a, b in zip(part, wanted, strict=True):
            assert b["ci95"] == pytest.approx(a["ci95"], abs=2e-6)
            assert b["problems"] == 2 * a["problems"]
    for a, b in zip(one["curves"], two["curves"], strict=True):
        np.testing.assert_allclose(b["ci95"], a["ci95"], atol=2e-6)
