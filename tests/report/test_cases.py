import pytest

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem
from rewardranker.report.cases import KINDS, choose_cases
from rewardranker.tables import read_table


def candidate(problem_id, index, text, passed, logprob):
    status = "passed" if passed else "failed"
    return EvaluatedCandidate(
        problem_id=problem_id, policy="sft", temperature=1.0, index=index, text=text, logprob_sum=logprob,
        n_tokens=1, finish_reason="eos", status=status, strict_status=status, reason="", stderr="",
        behaviour="",
    )  # fmt: skip


def chosen(rows, rankers=(1,), count=20):
    """rows: problem -> [(text, passed, logprob, score of each ranker...)]"""
    problems = [Problem(p, "python", "", "") for p in rows]
    candidates, scores = [], []
    for p, programs in rows.items():
        for i, (text, passed, logprob, *raws) in enumerate(programs):
            candidates.append(candidate(p, i, text, passed, logprob))
            scores += [
                ScoredCandidate("sft", p, i, r, raw, 0.5) for r, raw in zip(rankers, raws, strict=True)
            ]
    return choose_cases(problems, candidates, scores, policy="sft", temperature=1.0, count=count, seed=0)


WRONG_LOGPROB, LOGPROB_RIGHT, NEWER_RIGHT, PICK_WRONG, NONE, RIGHT = KINDS


@pytest.mark.parametrize(
    ("kind", "programs"),
    [
        (WRONG_LOGPROB, [("a", True, -2, 0.0, 1.0), ("b", False, -1, 0.0, 0.0)]),
        (PICK_WRONG, [("a", True, -2, 0.0, 0.0), ("b", False, -1, 0.0, 1.0)]),
        (LOGPROB_RIGHT, [("a", True, -1, 0.0, 0.0), ("b", False, -2, 0.0, 1.0)]),
        (NEWER_RIGHT, [("a", True, -1, 0.0, 1.0), ("b", False, -2, 1.0, 0.0)]),
        (NONE, [("a", False, -1, 0.0, 1.0), ("b", False, -2, 1.0, 0.0)]),
        (RIGHT, [("a", True, -1, 0.0, 1.0), ("b", True, -2, 1.0, 0.0)]),
        (RIGHT, [("a", True, -1, 1.0, 1.0), ("b", False, -2, 0.0, 0.0)]),
    ],
)
def test_kinds(kind, programs):
    assert list(chosen({"p": programs}, rankers=(1, 2))) == [kind]


def test_identical_programs_are_shown_once_the_favourite_first():
    found = chosen({"p": [("a", True, -2, 1.0), ("b", False, -1, 0.0), ("a", True, -2, 1.0)]})
    ((case,),) = found.values()
    assert [(p.text, p.count, p.score, p.first_score) for p in case.programs] == [
        ("a", 2, 1.0, None),
        ("b", 1, 0.0, None),
    ]


def test_difference_goes_from_the_pick_to_the_best_passing_one():
    found = chosen({"p": [("x\ny", False, -1, 2.0), ("x\nz", True, -2, 1.0), ("q", True, -3, 0.0)]})
    ((case,),) = found.values()
    assert case.difference() == [" x", "-y", "+z"]


def test_without_a_ranker_the_likeliest_is_the_pick():
    found = chosen({"p": [("a", True, -2), ("b", False, -1)]}, rankers=())
    ((case,),) = found.values()
    assert case.top.text == "b"


def test_kinds_take_turns_and_the_seed_decides(run_dir):
    tables = (
        read_table(run_dir / "problems" / "problems.parquet", Problem),
        read_table(run_dir / "evaluate" / "candidates.parquet", EvaluatedCandidate),
        read_table(run_dir / "evaluate" / "scores.parquet", ScoredCandidate),
    )
    settings = {"policy": "aligned-2", "temperature": 1.0, "count": 20}
    found = choose_cases(*tables, **settings, seed=1)
    sizes = [len(cases) for cases in found.values()]
    assert sum(sizes) == 20
    assert len(sizes) >= 4
    assert choose_cases(*tables, **settings, seed=1) == found
    assert choose_cases(*tables, **settings, seed=2) != found
    assert sum(map(len, choose_cases(*tables, **{**settings, "count": 0}, seed=1).values())) == 0
