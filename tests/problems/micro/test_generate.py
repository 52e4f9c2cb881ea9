from collections import defaultdict
from random import Random

import pytest

from rewardranker.execution.pool import Program, execute
from rewardranker.problems.micro import english, python
from rewardranker.problems.micro.generate import _random_task, micro_problems, split_of
from rewardranker.problems.micro.tree import compute
from rewardranker.recipe import MicroProblems

SIZES = MicroProblems(reference=60, pool=20, development=10, test=10)


@pytest.fixture(scope="module")
def problems():
    return micro_problems(SIZES, seed=1)


def test_sizes_splits_and_references(problems):
    count = defaultdict(int)
    for p in problems:
        count[p.split] += 1
        assert (p.reference is not None) == (p.split in ("reference", "development"))
    assert count == {"reference": 60, "pool": 20, "development": 10, "test": 10}


def test_the_same_seed_gives_the_same_problems_another_seed_others(problems):
    assert micro_problems(SIZES, seed=1) == problems
    assert {p.prompt for p in micro_problems(SIZES, seed=2)}.isdisjoint(p.prompt for p in problems)


def test_no_two_problems_have_one_prompt(problems):
    assert len({p.prompt for p in problems}) == len(problems)
    assert len({p.id for p in problems}) == len(problems)


def test_references_pass_and_the_probe_prints_what_they_return(problems):
    known = [p for p in problems if p.reference]
    verdicts = execute([Program(p.language, p.program(p.reference)) for p in known])
    assert [v.reason for v in verdicts if not v.passed] == []
    probed = execute([Program(p.language, p.probe(p.reference)) for p in known[:10]])
    assert all(v.passed and v.stdout.count("\n") == 10 for v in probed)


def test_a_reference_without_one_of_its_lines_fails(problems):
    programs = []
    for p in problems:
        lines = (p.reference or "").splitlines(keepends=True)
        for i in range(len(lines) - 1):
            programs.append(Program("python", p.program("".join(lines[:i] + lines[i + 1 :]))))
    assert programs
    assert not any(v.passed for v in execute(programs))


def test_every_form_of_a_completion_is_right():
    rng = Random(0)
    programs = []
    for _ in range(40):
        task = _random_task(rng, (1, 1, 1))
        tests = python.tests([(xs, compute(task, xs)) for xs in ([], [3], [5, -2, 7, 7, 0, 12])])
        programs += [
            Program("python", f"def f(xs):\n{python.completion(task, rng)}\n{tests}") for _ in range(3)
        ]
    assert [v.stderr for v in execute(programs) if not v.passed] == []


def test_splits_share_no_composition():
    rng = Random(0)
    compositions = {_random_task(rng, (0, 1, 1)).composition() for _ in range(3000)}
    share = {
        s: sum(split_of(c) == s for c in compositions) / len(compositions)
        for s in ("reference", "pool", "test")
    }
    assert share == pytest.approx({"reference": 0.3, "pool": 0.4, "test": 0.2}, abs=0.05)


def test_the_english_names_every_parameter():
    rng = Random(0)
    for _ in range(200):
        task = _random_task(rng, (1, 1, 1))
        text = english.render(task, rng, number_words=0)
        assert all(str(k) in text for k in task.parameters()), text
        assert "{" not in text and text[0].isupper() and text.endswith(".")
