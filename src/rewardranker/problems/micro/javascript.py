"""Micro tasks in JavaScript, as MultiPL-E has its prompts and tests."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms
from rewardranker.problems.micro.tree import Task

LANGUAGE = "javascript"
ENTRY_POINT = "f"
STOP_TOKENS = ("\nfunction ", "\n/*", "\n//", "\nconsole.log")

_FORMS = Forms(
    predicates={name: form.replace("==", "===").replace("!=", "!==") for name, form in PREDICATES.items()},
    expressions={
        "square": "x * x",
        "absolute": "Math.abs(x)",
        "negate": "-x",
        "add": "x + {k}",
        "subtract": "x - {k}",
        "subtract from": "{k} - x",
        "multiply": "x * {k}",
        "divide": "Math.floor(x / {k})",
        "modulo": "(x % {k} + {k}) % {k}",
        "cap": "Math.min(x, {k})",
        "floor": "Math.max(x, {k})",
    },
    filter=("xs = xs.filter(x => {p});",),
    map=("xs = xs.map(x => {e});",),
    conditional_map=("xs = xs.map(x => {p} ? {e} : x);",),
    rearrangements={
        "reverse": ("xs.reverse();",),
        "sort": ("xs.sort((a, b) => a - b);",),
        "sort descending": ("xs.sort((a, b) => b - a);",),
        "sort by magnitude": ("xs.sort((a, b) => Math.abs(a) - Math.abs(b));",),
        "distinct": ("xs = [...new Set(xs)];",),
        "first": ("xs = xs.slice(0, {k});",),
        "last": ("xs = xs.slice(-{k});",),
        "drop first": ("xs = xs.slice({k});",),
        "drop last": ("xs = xs.slice(0, -{k});",),
        "every": ("xs = xs.filter((_, i) => i % {k} === 0);",),
        "rotate left": ("xs = [...xs.slice({k}), ...xs.slice(0, {k})];",),
        "differences": ("xs = xs.slice(1).map((x, i) => x - xs[i]);",),
        "neighbour sums": ("xs = xs.slice(1).map((x, i) => x + xs[i]);",),
        "running totals": ("let total = 0;\nxs = xs.map(x => total += x);",),
        "append": ("xs.push({k});",),
        "prepend": ("xs.unshift({k});",),
    },
    reducers={
        "list": ("return xs;",),
        "sum": ("return xs.reduce((a, b) => a + b, 0);",),
        "count": ("return xs.length;",),
        "maximum": ("return xs.length ? Math.max(...xs) : 0;",),
        "minimum": ("return xs.length ? Math.min(...xs) : 0;",),
        "count distinct": ("return new Set(xs).size;",),
        "count where": ("return xs.filter(x => {p}).length;",),
        "sum where": ("return xs.filter(x => {p}).reduce((a, b) => a + b, 0);",),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for; it has no types."""
    return f"//{text}\nfunction f(xs){{\n"


def completion(task: Task, rng: Random) -> str:
    """A right body and its brace; `rng` chooses among equivalent forms."""
    return _FORMS.code(task, rng, "    ") + "}\n"


def tests(cases: Cases) -> str:
    """A function that asserts that each input gives the expected value, and its call."""
    asserts = "".join(f"  assert.deepEqual(candidate({xs}),{expected});\n" for xs, expected in cases)
    return (
        "const assert = require('node:assert');\n\n\n"
        f"function test() {{\n  let candidate = f;\n{asserts}}}\n\ntest();"
    )


def output_probe(inputs: list[list[int]]) -> str:
    """Code that prints what the function returns for each input, without expected values."""
    return (
        f"for (const xs of {inputs}) {{\n"
        "    try {\n        console.log(JSON.stringify(f(xs)));\n    } catch (e) {\n"
        "        console.log(e.name);\n    }\n}\n"
    )
