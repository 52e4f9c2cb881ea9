from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.problems.problem import Problem
from rewardranker.problems.split import assign_splits, refuse_evaluation_only, training_problems
from rewardranker.recipe import Problems


def problem(i, split="", reference=None, evaluation_only=False):
    return Problem(
        f"p{i}", "python", "", "", split=split, reference=reference, evaluation_only=evaluation_only
    )


CONFIG = Problems(files=("x",), development=0.1, test=0.2)


def test_shares_are_those_of_the_config():
    problems = [problem(i, reference="r" if i % 2 else None) for i in range(100)]
    found = assign_splits(problems, CONFIG, seed=1)
    counts = Counter(p.split for p in found)
    assert (counts["test"], counts["development"]) == (20, 10)
    assert counts["reference"] + counts["pool"] == 70
    assert all(
        (p.split == "reference") == (p.reference is not None)
        for p in found
        if p.split in ("reference", "pool")
    )


def test_the_seed_decides_the_draw():
    problems = [problem(i) for i in range(40)]
    draws = {tuple(p.split for p in assign_splits(problems, CONFIG, seed)) for seed in (1, 1, 2, 3)}
    assert len(draws) == 3


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "", "test", "pool", "reference", "development"]), st.booleans()),
        max_size=30,
    ),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 5),
)
def test_own_splits_are_kept_and_nothing_else_changes(rows, development, test, seed):
    problems = [problem(i, split, "r" if known else None) for i, (split, known) in enumerate(rows)]
    config = Problems(files=("x",), development=development, test=test)
    found = assign_splits(problems, config, seed)
    assert [replace(p, split="") for p in found] == [replace(p, split="") for p in problems]
    assert all(p.split for p in found)
    assert all(new.split == old.split for old, new in zip(problems, found, strict=True) if old.split)


def test_an_id_may_occur_once():
    with pytest.raises(UserError, match="'p1' occurs twice"):
        assign_splits([problem(0), problem(1), problem(1)], CONFIG, seed=1)


def test_evaluation_only_problems_are_refused_for_training():
    problems = [problem(0), problem(1, "test", evaluation_only=True)]
    for check in (refuse_evaluation_only, training_problems):
        with pytest.raises(UserError, match="1 problems, the first 'p1', are for evaluation only"):
            check(problems)
    refuse_evaluation_only(problems[:1])


def test_training_leaves_out_what_choices_and_claims_are_made_on():
    problems = [problem(i, split) for i, split in enumerate(["", "pool", "reference", "development", "test"])]
    assert training_problems(problems) == problems[:3]
    with pytest.raises(UserError, match="all 2 are of the split development and test"):
        training_problems(problems[3:])
