"""The syntax tree of a micro task, and what it computes.

A task is a pipeline over a list of integers: steps, then a reducer. Filters hold a predicate, maps an
expression, conditional maps both. The tree knows no language: `english.py` renders it for people, an emitter
a language (`python.py`) to code and tests, and `compute` below says what the right answer is, so that no
program has to be run to make a problem.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

Value: TypeAlias = int | list[int]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A property of an integer: a name from `PREDICATES` and its parameter, if it takes one."""

    name: str
    k: int = 0


@dataclass(frozen=True, slots=True)
class Expression:
    """A function of an integer: a name from `EXPRESSIONS` and its parameter, if it takes one."""

    name: str
    k: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep the elements for which the predicate holds."""

    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Map:
    """Replace each element by the expression's value; with a condition, only where it holds."""

    expression: Expression
    condition: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Rearrange:
    """A step on the list as a whole: a name from `REARRANGEMENTS` and its parameter, if it takes one."""

    name: str
    k: int = 0


@dataclass(frozen=True, slots=True)
class Reduce:
    """The last step: a name from `REDUCERS`; some reduce only the elements for which a predicate holds."""

    name: str
    predicate: Predicate | None = None


Step: TypeAlias = Filter | Map | Rearrange


@dataclass(frozen=True, slots=True)
class Task:
    """Steps in order, then the reducer."""

    steps: tuple[Step, ...]
    reducer: Reduce

    def composition(self) -> str:
        """The operations without their parameters; tasks of one composition stay in one split."""
        return " | ".join([*(_shape(s) for s in self.steps), _shape(self.reducer)])

    def parameters(self) -> list[int]:
        """The parameters that occur anywhere in the tree."""
        found: list[int] = []
        for part in (*self.steps, self.reducer):
            for node in _nodes(part):
                if isinstance(node, Predicate | Expression | Rearrange) and _has_parameter(node):
                    found.append(node.k)
        return found

    def simplifications(self) -> list["Task"]:
        """Tasks with one part left out: a step, or the condition of a map or reducer."""
        smaller = []
        for i, step in enumerate(self.steps):
            smaller.append(Task(self.steps[:i] + self.steps[i + 1 :], self.reducer))
            if isinstance(step, Map) and step.condition:
                plain = Map(step.expression)
                smaller.append(Task((*self.steps[:i], plain, *self.steps[i + 1 :]), self.reducer))
        if self.reducer.predicate:
            smaller.append(Task(self.steps, Reduce("count" if self.reducer.name == "count where" else "sum")))
        return smaller


Node: TypeAlias = Predicate | Expression | Filter | Map | Rearrange | Reduce


def _nodes(part: Step | Reduce) -> list[Node]:
    if isinstance(part, Filter):
        return [part, part.predicate]
    if isinstance(part, Map):
        return [part, part.expression, *([part.condition] if part.condition else [])]
    if isinstance(part, Reduce):
        return [part, *([part.predicate] if part.predicate else [])]
    return [part]


def _has_parameter(node: Predicate | Expression | Rearrange) -> bool:
    if isinstance(node, Predicate):
        return bool(PREDICATES[node.name][0])
    return bool((EXPRESSIONS if isinstance(node, Expression) else REARRANGEMENTS)[node.name][0])


def _shape(part: Step | Reduce) -> str:
    return "/".join(getattr(node, "name", type(node).__name__) for node in _nodes(part))


_ANY = range(1, 10)

PREDICATES: dict[str, tuple[range, Callable[[int, int], bool]]] = {
    "even": (range(0), lambda x, k: x % 2 == 0),
    "odd": (range(0), lambda x, k: x % 2 != 0),
    "positive": (range(0), lambda x, k: x > 0),
    "negative": (range(0), lambda x, k: x < 0),
    "greater": (_ANY, lambda x, k: x > k),
    "at least": (_ANY, lambda x, k: x >= k),
    "less": (_ANY, lambda x, k: x < k),
    "at most": (_ANY, lambda x, k: x <= k),
    "multiple": (range(3, 8), lambda x, k: x % k == 0),
    "not multiple": (range(3, 8), lambda x, k: x % k != 0),
    "equal": (range(6), lambda x, k: x == k),
    "not equal": (range(6), lambda x, k: x != k),
}
"""Name -> (values of the parameter, the function); an empty range means that there is no parameter."""

EXPRESSIONS: dict[str, tuple[range, Callable[[int, int], int]]] = {
    "square": (range(0), lambda x, k: x * x),
    "absolute": (range(0), lambda x, k: abs(x)),
    "negate": (range(0), lambda x, k: -x),
    "add": (_ANY, lambda x, k: x + k),
    "subtract": (_ANY, lambda x, k: x - k),
    "subtract from": (_ANY, lambda x, k: k - x),
    "multiply": (range(2, 10), lambda x, k: x * k),
    "divide": (range(2, 6), lambda x, k: x // k),
    "modulo": (range(2, 10), lambda x, k: x % k),
    "cap": (range(2, 10), min),
    "floor": (_ANY, max),
}

REARRANGEMENTS: dict[str, tuple[range, Callable[[list[int], int], list[int]]]] = {
    "reverse": (range(0), lambda xs, k: xs[::-1]),
    "sort": (range(0), lambda xs, k: sorted(xs)),
    "sort descending": (range(0), lambda xs, k: sorted(xs, reverse=True)),
    "sort by magnitude": (range(0), lambda xs, k: sorted(xs, key=abs)),
    "distinct": (range(0), lambda xs, k: list(dict.fromkeys(xs))),
    "first": (range(2, 6), lambda xs, k: xs[:k]),
    "last": (range(2, 6), lambda xs, k: xs[-k:]),
    "drop first": (range(1, 5), lambda xs, k: xs[k:]),
    "drop last": (range(1, 5), lambda xs, k: xs[:-k]),
    "every": (range(2, 4), lambda xs, k: xs[::k]),
    "rotate left": (range(1, 4), lambda xs, k: xs[k:] + xs[:k]),
    "differences": (range(0), lambda xs, k: [b - a for a, b in pairwise(xs)]),
    "neighbour sums": (range(0), lambda xs, k: [a + b for a, b in pairwise(xs)]),
    "running totals": (range(0), lambda xs, k: list(accumulate(xs))),
    "append": (range(10), lambda xs, k: [*xs, k]),
    "prepend": (range(10), lambda xs, k: [k, *xs]),
}

REDUCERS: dict[str, Callable[[list[int]], Value]] = {
    "list": lambda xs: xs,
    "sum": sum,
    "count": len,
    "maximum": lambda xs: max(xs, default=0),
    "minimum": lambda xs: min(xs, default=0),
    "count distinct": lambda xs: len(set(xs)),
    "count where": len,
    "sum where": sum,
}
"""The two "where" reducers see only the elements for which their predicate holds."""


def _apply(step: Step, xs: list[int]) -> list[int]:
    if isinstance(step, Filter):
        holds, k = PREDICATES[step.predicate.name][1], step.predicate.k
        return [x for x in xs if holds(x, k)]
    if isinstance(step, Map):
        change, k = EXPRESSIONS[step.expression.name][1], step.expression.k
        if step.condition is None:
            return [change(x, k) for x in xs]
        holds, limit = PREDICATES[step.condition.name][1], step.condition.k
        return [change(x, k) if holds(x, limit) else x for x in xs]
    return REARRANGEMENTS[step.name][1](xs, step.k)


def compute(task: Task, xs: list[int]) -> Value:
    """What a right program for `task` returns for `xs`."""
    for step in task.steps:
        xs = _apply(step, xs)
    if task.reducer.predicate:
        xs = _apply(Filter(task.reducer.predicate), xs)
    return REDUCERS[task.reducer.name](xs)
