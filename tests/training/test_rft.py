from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.training.rft import rft_examples


def problem(name, split="pool", reference=None):
    return Problem(name, "python", f"prompt {name}", "", split=split, reference=reference)


def candidate(name, text, status="passed"):
    return ExecutedCandidate(name, 0, text, 0.0, 1, "eos", "sft", status, status, "")


def test_references_and_distinct_passing_candidates_of_training_problems():
    problems = [
        problem("a", "reference", "ref"),
        problem("b"),
        problem("c", "development", "hidden"),
        problem("d", "test"),
        problem("e"),
    ]
    candidates = [
        candidate("a", "ref"),
        candidate("a", "other"),
        candidate("b", "right"),
        candidate("b", "right"),
        candidate("b", "wrong", "failed"),
        candidate("b", "unknown", "unavailable"),
        candidate("c", "right"),
        candidate("d", "right"),
    ]
    assert rft_examples(problems, candidates, 4, seed=1) == [
        ("prompt a", "ref"),
        ("prompt a", "other"),
        ("prompt b", "right"),
    ]


def test_a_pass_by_the_lenient_rule_alone_is_no_pass():
    early = ExecutedCandidate(
        "a", 0, "exit(0)", 0.0, 1, "eos", "sft", "passed", "failed", "exit 0 before the end"
    )
    assert rft_examples([problem("a")], [early], 4, seed=1) == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=40),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_at_most_so_many_a_problem_and_only_what_passed(rows, most, seed):
    problems = [problem(f"p{i}") for i in range(4)]
    candidates = [candidate(f"p{i}", f"{k} {ok}", "passed" if ok else "failed") for i, k, ok in rows]
    examples = rft_examples(problems, candidates, most, seed)
    assert examples == rft_examples(problems, candidates, most, seed)
    passed = {(f"prompt p{i}", f"{k} True") for i, k, ok in rows if ok}
    assert len(set(examples)) == len(examples) and set(examples) <= passed
    available = Counter(prompt for prompt, _ in passed)
    assert Counter(prompt for prompt, _ in examples) == {p: min(most, n) for p, n in available.items()}


def test_the_draw_is_uniform():
    candidates = [candidate("a", str(i)) for i in range(5)]
    seen = Counter(
        text for seed in range(2000) for _, text in rft_examples([problem("a")], candidates, 2, seed)
    )
    assert all(abs(n - 800) < 100 for n in seen.values())  # standard deviation 22
