"""Micro tasks in Python."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases
from rewardranker.problems.micro.tree import (
    Expression,
    Filter,
    Map,
    Predicate,
    Rearrange,
    Reduce,
    Step,
    Task,
)

LANGUAGE = "python"
ENTRY_POINT = "f"
STOP_TOKENS = ("\ndef", "\n#", "\nif", "\nclass", "\nassert", "\nprint")

_EXPRESSION = {
    "square": "x * x",
    "absolute": "abs(x)",
    "negate": "-x",
    "add": "x + {k}",
    "subtract": "x - {k}",
    "subtract from": "{k} - x",
    "multiply": "x * {k}",
    "divide": "x // {k}",
    "modulo": "x % {k}",
    "cap": "min(x, {k})",
    "floor": "max(x, {k})",
}

_REARRANGE = {
    "reverse": ("xs[::-1]", "list(reversed(xs))"),
    "sort": ("sorted(xs)",),
    "sort descending": ("sorted(xs, reverse=True)", "sorted(xs)[::-1]"),
    "sort by magnitude": ("sorted(xs, key=abs)",),
    "distinct": ("list(dict.fromkeys(xs))",),
    "first": ("xs[:{k}]",),
    "last": ("xs[-{k}:]",),
    "drop first": ("xs[{k}:]",),
    "drop last": ("xs[:-{k}]",),
    "every": ("xs[::{k}]",),
    "rotate left": ("xs[{k}:] + xs[:{k}]",),
    "differences": ("[b - a for a, b in zip(xs, xs[1:])]",),
    "neighbour sums": ("[a + b for a, b in zip(xs, xs[1:])]",),
    "running totals": ("[sum(xs[:i + 1]) for i in range(len(xs))]",),
    "append": ("xs + [{k}]",),
    "prepend": ("[{k}] + xs",),
}

_REDUCE = {
    "list": ("xs",),
    "sum": ("sum(xs)",),
    "count": ("len(xs)",),
    "maximum": ("max(xs, default=0)",),
    "minimum": ("min(xs, default=0)",),
    "count distinct": ("len(set(xs))",),
    "count where": ("sum({p} for x in xs)", "len([x for x in xs if {p}])"),
    "sum where": ("sum(x for x in xs if {p})", "sum([x for x in xs if {p}])"),
}


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for; it has no types."""
    return f'def f(xs):\n    """{text}"""\n'


def completion(task: Task, rng: Random) -> str:
    """A right body; `rng` chooses among equivalent forms."""
    lines = [f"    xs = {_step(step, rng)}\n" for step in task.steps]
    return "".join(lines) + f"    return {_reducer(task.reducer, rng)}\n"


def tests(cases: Cases) -> str:
    """Assertions that the function returns the expected value for each input."""
    return "".join(f"assert f({xs!r}) == {expected!r}\n" for xs, expected in cases)


def output_probe(inputs: list[list[int]]) -> str:
    """Code that prints what the function returns for each input, without expected values."""
    return (
        f"for xs in {inputs!r}:\n    try:\n        print(repr(f(xs))[:60])\n"
        "    except Exception as e:\n        print(type(e).__name__)\n"
    )


def _predicate(node: Predicate) -> str:
    return PREDICATES[node.name].format(k=node.k)


def _expression(node: Expression) -> str:
    return _EXPRESSION[node.name].format(k=node.k)


def _step(step: Step, rng: Random) -> str:
    functional = rng.random() < 0.5
    if isinstance(step, Filter):
        condition = _predicate(step.predicate)
        return f"list(filter(lambda x: {condition}, xs))" if functional else f"[x for x in xs if {condition}]"
    if isinstance(step, Map):
        value = _expression(step.expression)
        if step.condition:
            return f"[{value} if {_predicate(step.condition)} else x for x in xs]"
        return f"list(map(lambda x: {value}, xs))" if functional else f"[{value} for x in xs]"
    assert isinstance(step, Rearrange)
    return rng.choice(_REARRANGE[step.name]).format(k=step.k)


def _reducer(reducer: Reduce, rng: Random) -> str:
    condition = _predicate(reducer.predicate) if reducer.predicate else ""
    return rng.choice(_REDUCE[reducer.name]).format(p=condition)
