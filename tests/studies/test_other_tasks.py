from random import Random

from rewardranker.execution.pool import execute
from rewardranker.execution.program import Program
from rewardranker.studies.other_tasks import changed_programs, other_problems


def test_references_pass_and_most_changed_programs_fail(isolation: None) -> None:
    problems = other_problems(60, seed=1)
    assert len({p.prompt for p in problems}) == 60
    assert problems == other_problems(60, seed=1) != other_problems(60, seed=2)
    assert {p.prompt[:8] for p in problems} == {"def f(s)", "def f(n)"}
    references = [Program.of(p, p.reference or "", "inside") for p in problems]
    assert all(v.passed for v in execute(references, timeout_s=10, workers=1))
    rng = Random(1)
    changed = [
        Program.of(p, text, "inside")
        for p in problems
        for text in changed_programs(p.reference or "", rng, 2)
    ]
    failed = [not v.passed for v in execute(changed, timeout_s=10, workers=1)]
    assert len(changed) > 100 and sum(failed) > 0.6 * len(failed)  # some changes change nothing


def test_changed_programs_differ_in_one_place_and_are_drawn_by_the_seed() -> None:
    text = "    xs = xs[:3]\n    return xs\n"
    every = changed_programs(text, Random(1), 100)
    assert text not in every and len(set(every)) == len(every)
    assert {
        "    xs = xs[:3]\n",
        "    return xs\n    xs = xs[:3]\n",
        "    xs = xs[3]\n    return xs\n",
    } <= set(every)
    assert changed_programs(text, Random(2), 2) == changed_programs(text, Random(2), 2)
