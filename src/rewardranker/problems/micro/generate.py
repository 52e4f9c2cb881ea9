"""Making micro problems: random trees, inputs that tell right from almost right, splits by composition."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import cast

from rewardranker.problems.micro import english, python
from rewardranker.problems.micro.tree import (
    EXPRESSIONS,
    PREDICATES,
    REARRANGEMENTS,
    REDUCERS,
    Expression,
    Filter,
    Map,
    Predicate,
    Rearrange,
    Reduce,
    Step,
    Task,
    compute,
)
from rewardranker.problems.problem import Problem, Split
from rewardranker.recipe import MicroProblems

_CONDITIONAL = 0.8
"""Share of maps that have a condition."""
_SPLITS: tuple[tuple[Split, float], ...] = (
    ("reference", 0.3),
    ("pool", 0.4),
    ("development", 0.1),
    ("test", 0.2),
)
"""Share of the compositions that belong to each split: no split sees another's."""


def micro_problems(sizes: MicroProblems, seed: int) -> list[Problem]:
    """Procedural problems in Python, `sizes` of each split, the same for the same seed.

    Problems of the splits "reference" and "development" carry a reference program (the latter for learning
    curves alone). No composition of operations (the tree
    without its parameters) occurs in two splits, and no two problems have the same prompt.

    Example:
        >>> problems = micro_problems(MicroProblems(reference=1, pool=1, development=1, test=1), seed=1)
        >>> [p.split for p in problems]
        ['reference', 'pool', 'development', 'test']
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    for split, _ in _SPLITS:
        size = cast(int, getattr(sizes, split))
        problems += islice(
            _split_problems(split, sizes.step_weights, Random(f"micro/{seed}/{split}"), seen), size
        )
    return problems


def split_of(composition: str) -> Split:
    """The split that a composition of operations belongs to, by hash."""
    point = int.from_bytes(hashlib.sha256(composition.encode()).digest()[:8], "big") / 2**64
    for split, share in _SPLITS:
        if point < share:
            return split
        point -= share
    return "test"


def _split_problems(
    split: Split, step_weights: Sequence[float], rng: Random, seen: set[str]
) -> Iterator[Problem]:
    number = 0
    while True:
        task = _random_task(rng, step_weights)
        if split_of(task.composition()) != split:
            continue
        inputs = _inputs(rng, task.parameters())
        if not _discriminates(task, inputs):
            continue
        prompt = python.prompt(english.render(task, rng))
        if prompt in seen:
            continue
        seen.add(prompt)
        yield Problem(
            id=f"micro/{split}/{number}",
            language=python.LANGUAGE,
            prompt=prompt,
            tests=python.tests([(xs, compute(task, xs)) for xs in inputs]),
            stop_tokens=python.STOP_TOKENS,
            entry_point="f",
            output_probe=python.output_probe(_inputs(rng, [])),
            reference=python.completion(task, rng) if split in ("reference", "development") else None,
            split=split,
        )
        number += 1


def _random_task(rng: Random, step_weights: Sequence[float]) -> Task:
    size = rng.choices(range(1, len(step_weights) + 1), step_weights)[0]
    steps: list[Step] = []
    while len(steps) < size:
        step = _random_step(rng)
        if step not in steps:
            steps.append(step)
    return Task(tuple(steps), _random_reducer(rng))


def _random_step(rng: Random) -> Step:
    kind = rng.choices(("filter", "map", "rearrange"), (3, 3, 4))[0]
    if kind == "filter":
        return Filter(_random_predicate(rng))
    if kind == "map":
        name = rng.choice(list(EXPRESSIONS))
        expression = Expression(name, _random_parameter(rng, EXPRESSIONS[name][0]))
        return Map(expression, _random_predicate(rng) if rng.random() < _CONDITIONAL else None)
    name = rng.choice(list(REARRANGEMENTS))
    return Rearrange(name, _random_parameter(rng, REARRANGEMENTS[name][0]))


def _random_reducer(rng: Random) -> Reduce:
    name = rng.choice(list(REDUCERS))
    return Reduce(name, _random_predicate(rng) if name.endswith("where") else None)


def _random_predicate(rng: Random) -> Predicate:
    name = rng.choice(list(PREDICATES))
    return Predicate(name, _random_parameter(rng, PREDICATES[name][0]))


def _random_parameter(rng: Random, values: range) -> int:
    return rng.choice(values) if values else 0


def _inputs(rng: Random, parameters: list[int]) -> list[list[int]]:
    """An empty list, a singleton, eight lists of 3 to 10 integers with values at and around `parameters`."""
    inputs = [[], [rng.randint(-9, 9)]]
    for size in range(3, 11):
        xs = [rng.randint(-12, 15) for _ in range(size)]
        for k in parameters:
            if rng.random() < 0.8:
                xs[rng.randrange(size)] = k + rng.choice((-1, 0, 0, 1))
        if rng.random() < 0.5:
            xs[rng.randrange(size)] = xs[rng.randrange(size)]
        if rng.random() < 0.4:
            xs[rng.randrange(size)] = 0
        inputs.append(xs)
    return inputs


def _discriminates(task: Task, inputs: list[list[int]]) -> bool:
    """Whether the outputs vary, and no part of the task could be left out unnoticed."""
    outputs = [compute(task, xs) for xs in inputs]
    if len({repr(o) for o in outputs}) < 4:
        return False
    return all(
        any(compute(smaller, xs) != expected for xs, expected in zip(inputs, outputs, strict=True))
        for smaller in task.simplifications()
    )
