"""What the emitters have in common: their interface, and code made from tables of a language's forms."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from rewardranker.problems.micro.tree import Filter, Map, Predicate, Rearrange, Task, Value

Cases = list[tuple[list[int], Value]]
"""Inputs, and what a right program returns for each."""


class Emitter(Protocol):
    """A module that says a micro task in one language: the prompt, right programs, tests."""

    LANGUAGE: str
    """Canonical name."""
    ENTRY_POINT: str
    """The function's name."""
    STOP_TOKENS: tuple[str, ...]
    """MultiPL-E's for the language."""

    def prompt(self, text: str, returns_list: bool) -> str:
        """The head of the function that `text` asks for."""
        ...

    def completion(self, task: Task, rng: Random) -> str:
        """A right body; `rng` chooses among equivalent forms."""
        ...

    def tests(self, cases: Cases) -> str:
        """The program's end, which fails unless the function returns the expected value for each input."""
        ...

    def output_probe(self, inputs: list[list[int]]) -> str:
        """A program's end that prints what the function returns for each input, without expected values."""
        ...


@dataclass(frozen=True, slots=True)
class Forms:
    """How a language says each node of a tree, on a list `xs` and its elements `x`.

    Of several equivalent forms one is drawn. Placeholders: {k}, the node's parameter, and {k-1}; in what
    holds a predicate or an expression, {p} and {e}. Other braces are the language's own.
    """

    predicates: Mapping[str, str]
    expressions: Mapping[str, str]
    filter: tuple[str, ...]
    map: tuple[str, ...]
    conditional_map: tuple[str, ...]
    rearrangements: Mapping[str, tuple[str, ...]]
    reducers: Mapping[str, tuple[str, ...]]

    def code(self, task: Task, rng: Random, indent: str) -> str:
        """The statements of a right program for `task`."""
        statements = [rng.choice(self._steps(step)) for step in task.steps]
        predicate = self._predicate(task.reducer.predicate)
        statements.append(rng.choice(self.reducers[task.reducer.name]).replace("{p}", predicate))
        return "".join(f"{indent}{line}\n" for s in statements for line in s.splitlines())

    def _steps(self, step: Filter | Map | Rearrange) -> list[str]:
        """The equivalent forms of a step."""
        if isinstance(step, Filter):
            return [form.replace("{p}", self._predicate(step.predicate)) for form in self.filter]
        if isinstance(step, Map):
            value = _with_parameter(self.expressions[step.expression.name], step.expression.k)
            condition = self._predicate(step.condition)
            forms = self.conditional_map if step.condition else self.map
            return [form.replace("{p}", condition).replace("{e}", value) for form in forms]
        return [_with_parameter(form, step.k) for form in self.rearrangements[step.name]]

    def _predicate(self, node: Predicate | None) -> str:
        return _with_parameter(self.predicates[node.name], node.k) if node else ""


def _with_parameter(form: str, k: int) -> str:
    return form.replace("{k-1}", str(k - 1)).replace("{k}", str(k))


def joined(xs: list[int], form: str = "{}", separator: str = ", ") -> str:
    """The elements as a list of literals, each written as `form` says."""
    return separator.join(form.format(x) for x in xs)


PREDICATES = {
    "even": "x % 2 == 0",
    "odd": "x % 2 != 0",
    "positive": "x > 0",
    "negative": "x < 0",
    "greater": "x > {k}",
    "at least": "x >= {k}",
    "less": "x < {k}",
    "at most": "x <= {k}",
    "multiple": "x % {k} == 0",
    "not multiple": "x % {k} != 0",
    "equal": "x == {k}",
    "not equal": "x != {k}",
}
"""As most languages have them: a remainder is only compared with 0, whatever its sign."""
