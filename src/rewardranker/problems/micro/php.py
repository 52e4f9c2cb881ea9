"""Micro tasks in PHP, as MultiPL-E has its prompts and tests."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms, joined
from rewardranker.problems.micro.tree import Task

LANGUAGE = "php"
ENTRY_POINT = "f"
STOP_TOKENS = ("\nfunction", "\n?>", "\n//", "\n#")

_FORMS = Forms(
    predicates={name: form.replace("x", "$x") for name, form in PREDICATES.items()},
    expressions={
        "square": "$x * $x",
        "absolute": "abs($x)",
        "negate": "-$x",
        "add": "$x + {k}",
        "subtract": "$x - {k}",
        "subtract from": "{k} - $x",
        "multiply": "$x * {k}",
        "divide": "(int) floor($x / {k})",
        "modulo": "($x % {k} + {k}) % {k}",
        "cap": "min($x, {k})",
        "floor": "max($x, {k})",
    },
    filter=("$xs = array_values(array_filter($xs, fn($x) => {p}));",),
    map=("$xs = array_map(fn($x) => {e}, $xs);",),
    conditional_map=(
        "$xs = array_map(fn($x) => {p} ? {e} : $x, $xs);",
        "foreach ($xs as &$x) if ({p}) $x = {e};\nunset($x);",
    ),
    rearrangements={
        "reverse": ("$xs = array_reverse($xs);",),
        "sort": ("sort($xs);",),
        "sort descending": ("rsort($xs);",),
        "sort by magnitude": ("usort($xs, fn($a, $b) => abs($a) <=> abs($b));",),
        "distinct": ("$xs = array_values(array_unique($xs));",),
        "first": ("$xs = array_slice($xs, 0, {k});",),
        "last": ("$xs = array_slice($xs, -{k});",),
        "drop first": ("$xs = array_slice($xs, {k});",),
        "drop last": ("$xs = array_slice($xs, 0, -{k});",),
        "every": ("$xs = array_values(array_filter($xs, fn($i) => $i % {k} == 0, ARRAY_FILTER_USE_KEY));",),
        "rotate left": ("$xs = array_merge(array_slice($xs, {k}), array_slice($xs, 0, {k}));",),
        "differences": (
            "$xs = array_map(fn($a, $b) => $b - $a, array_slice($xs, 0, -1), array_slice($xs, 1));",
        ),
        "neighbour sums": (
            "$xs = array_map(fn($a, $b) => $a + $b, array_slice($xs, 0, -1), array_slice($xs, 1));",
        ),
        "running totals": ("foreach ($xs as $i => $x) $xs[$i] += $xs[$i - 1] ?? 0;",),
        "append": ("$xs[] = {k};",),
        "prepend": ("array_unshift($xs, {k});",),
    },
    reducers={
        "list": ("return $xs;",),
        "sum": ("return array_sum($xs);",),
        "count": ("return count($xs);",),
        "maximum": ("return $xs ? max($xs) : 0;",),
        "minimum": ("return $xs ? min($xs) : 0;",),
        "count distinct": ("return count(array_unique($xs));",),
        "count where": ("return count(array_filter($xs, fn($x) => {p}));",),
        "sum where": ("return array_sum(array_filter($xs, fn($x) => {p}));",),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for; it has no types."""
    return f"<?php\n// {text}\nfunction f($xs) {{\n"


def completion(task: Task, rng: Random) -> str:
    """A right body and its brace; `rng` chooses among equivalent forms."""
    return _FORMS.code(task, rng, "    ") + "}\n"


def tests(cases: Cases) -> str:
    """A function that throws unless each input gives the expected value, and its call."""
    checks = "".join(
        f"    if (candidate({_array(xs)}) !== {_array(expected) if isinstance(expected, list) else expected})"
        ' { throw new Exception("Test failed!"); }\n'
        for xs, expected in cases
    )
    return (
        "function candidate(...$args) {\n    return f(...$args);\n}\n\n"
        f"function test(): void {{\n{checks}}}\n\ntest();"
    )


def output_probe(inputs: list[list[int]]) -> str:
    """Code that prints what the function returns for each input, without expected values."""
    return (
        f"foreach ([{', '.join(map(_array, inputs))}] as $xs) {{\n"
        '    try {\n        echo json_encode(f($xs)), "\\n";\n    } catch (Throwable $e) {\n'
        '        echo get_class($e), "\\n";\n    }\n}\n'
    )


def _array(xs: list[int]) -> str:
    return f"array({joined(xs)})"
