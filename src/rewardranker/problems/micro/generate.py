"""Making micro problems: random trees, inputs that tell right from almost right, splits by composition."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import cast

from rewardranker.problems.micro import (
    bash,
    cpp,
    csharp,
    english,
    java,
    javascript,
    php,
    python,
    typescript,
)
from rewardranker.problems.micro.emitter import Emitter
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

EMITTERS: dict[str, Emitter] = {
    emitter.LANGUAGE: emitter for emitter in (python, cpp, java, php, typescript, csharp, bash, javascript)
}
"""By the name of the language."""
_CONDITIONAL = 0.8
"""Share of maps that have a condition."""
_SPLITS: tuple[tuple[Split, float], ...] = (
    ("reference", 0.3),
    ("pool", 0.4),
    ("development", 0.1),
    ("test", 0.2),
)
"""Share of the compositions that belong to each split: no split sees another's."""
_LARGEST = 2**31
"""With several languages no value on the way is as large: sums of a few of them are exact in all languages,
also where numbers are floating-point, as in JavaScript."""


def micro_problems(sizes: MicroProblems, seed: int) -> list[Problem]:
    """Procedural problems, `sizes` of each split, the same for the same seed.

    Problems of the splits "reference" and "development" carry a reference program (the latter for learning
    curves alone). No composition of operations (the tree without its parameters) occurs in two splits, and no
    two problems have the same prompt. With several languages each task is a problem in the next of them; in
    the split "test" it is one in each, with the same text, inputs and expected values.

    Example:
        >>> problems = micro_problems(MicroProblems(reference=1, pool=1, development=1, test=1), seed=1)
        >>> [p.split for p in problems]
        ['reference', 'pool', 'development', 'test']
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    for split, _ in _SPLITS:
        size = cast(int, getattr(sizes, split))
        tasks = _tasks(split, sizes, Random(f"micro/{seed}/{split}"), seen)
        for problems_of_task in islice(tasks, size):
            problems += problems_of_task
    return problems


def split_of(composition: str) -> Split:
    """The split that a composition of operations belongs to, by hash."""
    point = int.from_bytes(hashlib.sha256(composition.encode()).digest()[:8], "big") / 2**64
    for split, share in _SPLITS:
        if point < share:
            return split
        point -= share
    return "test"


def _tasks(split: Split, sizes: MicroProblems, rng: Random, seen: set[str]) -> Iterator[list[Problem]]:
    """The problems of each task in turn, without end; `seen`: the texts that were used."""
    emitters = [EMITTERS[language] for language in sizes.languages]
    number = 0
    while True:
        task = _random_task(rng, sizes.step_weights)
        if split_of(task.composition()) != split:
            continue
        inputs = _inputs(rng, task.parameters())
        if not _discriminates(task, inputs):
            continue
        if sizes.languages != ("python",) and not _is_exact_everywhere(task, inputs):
            continue
        text = english.render(task, rng)
        if text in seen:
            continue
        seen.add(text)
        cases = [(xs, compute(task, xs)) for xs in inputs]
        probed = _inputs(rng, [])
        yield [
            Problem(
                id=f"micro/{split}/{number}" + (f"/{emitter.LANGUAGE}" if len(emitters) > 1 else ""),
                language=emitter.LANGUAGE,
                prompt=emitter.prompt(text, task.reducer.name == "list"),
                tests=emitter.tests(cases),
                stop_tokens=emitter.STOP_TOKENS,
                entry_point=emitter.ENTRY_POINT,
                output_probe=emitter.output_probe(probed),
                reference=emitter.completion(task, rng) if split in ("reference", "development") else None,
                split=split,
            )
            for emitter in (emitters if split == "test" else [emitters[number % len(emitters)]])
        ]
        number += 1


def _random_task(rng: Random, step_weights: tuple[float, ...]) -> Task:
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


def _is_exact_everywhere(task: Task, inputs: list[list[int]]) -> bool:
    """Whether no value that a program for `task` computes could overflow, or lose digits, in any language."""
    parts = [Task(task.steps[:i], Reduce("list")) for i in range(1, len(task.steps) + 1)]
    values = [compute(part, xs) for part in (*parts, task) for xs in inputs]
    return all(abs(x) < _LARGEST for value in values for x in (value if isinstance(value, list) else [value]))
