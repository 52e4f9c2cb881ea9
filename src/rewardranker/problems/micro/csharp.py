"""Micro tasks in C#, as MultiPL-E has its prompts and tests.

But lists are compared by `SequenceEqual`: `Equals`, which MultiPL-E's tests call, is true of no two lists.
"""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms, joined
from rewardranker.problems.micro.tree import Task

LANGUAGE = "csharp"
ENTRY_POINT = "F"
STOP_TOKENS = ("\n    }\n",)

_FORMS = Forms(
    predicates=PREDICATES,
    expressions={
        "square": "x * x",
        "absolute": "Math.Abs(x)",
        "negate": "-x",
        "add": "x + {k}",
        "subtract": "x - {k}",
        "subtract from": "{k} - x",
        "multiply": "x * {k}",
        "divide": "(long)Math.Floor(x / {k}.0)",
        "modulo": "(x % {k} + {k}) % {k}",
        "cap": "Math.Min(x, {k})",
        "floor": "Math.Max(x, {k})",
    },
    filter=("xs = xs.Where(x => {p}).ToList();", "xs.RemoveAll(x => !({p}));"),
    map=("xs = xs.Select(x => {e}).ToList();",),
    conditional_map=("xs = xs.Select(x => {p} ? {e} : x).ToList();",),
    rearrangements={
        "reverse": ("xs.Reverse();",),
        "sort": ("xs.Sort();", "xs = xs.OrderBy(x => x).ToList();"),
        "sort descending": ("xs = xs.OrderByDescending(x => x).ToList();",),
        "sort by magnitude": ("xs = xs.OrderBy(x => Math.Abs(x)).ToList();",),
        "distinct": ("xs = xs.Distinct().ToList();",),
        "first": ("xs = xs.Take({k}).ToList();",),
        "last": ("xs = xs.Skip(xs.Count - {k}).ToList();",),
        "drop first": ("xs = xs.Skip({k}).ToList();",),
        "drop last": ("xs = xs.Take(xs.Count - {k}).ToList();",),
        "every": ("xs = xs.Where((x, i) => i % {k} == 0).ToList();",),
        "rotate left": ("xs = xs.Skip({k}).Concat(xs.Take({k})).ToList();",),
        "differences": ("xs = xs.Zip(xs.Skip(1), (a, b) => b - a).ToList();",),
        "neighbour sums": ("xs = xs.Zip(xs.Skip(1), (a, b) => a + b).ToList();",),
        "running totals": ("long total = 0;\nxs = xs.Select(x => total += x).ToList();",),
        "append": ("xs.Add({k});",),
        "prepend": ("xs.Insert(0, {k});",),
    },
    reducers={
        "list": ("return xs;",),
        "sum": ("return xs.Sum();",),
        "count": ("return xs.Count;",),
        "maximum": ("return xs.DefaultIfEmpty().Max();",),
        "minimum": ("return xs.DefaultIfEmpty().Min();",),
        "count distinct": ("return xs.Distinct().Count();",),
        "count where": ("return xs.Count(x => {p});",),
        "sum where": ("return xs.Where(x => {p}).Sum();",),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for."""
    result = "List<long>" if returns_list else "long"
    return (
        "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nusing System.Linq;\n"
        f"class Problem {{\n    // {text}\n    public static {result} F(List<long> xs) {{\n"
    )


def completion(task: Task, rng: Random) -> str:
    """A right body; `rng` chooses among equivalent forms."""
    return _FORMS.code(task, rng, "        ")


def tests(cases: Cases) -> str:
    """The rest of the function and a `Main` of assertions."""
    asserts = "".join(
        f"    Debug.Assert(F(({_list(xs)})).SequenceEqual(({_list(expected)})));\n"
        if isinstance(expected, list)
        else f"    Debug.Assert(F(({_list(xs)})) == ({expected}L));\n"
        for xs, expected in cases
    )
    return _main(asserts)


def output_probe(inputs: list[list[int]]) -> str:
    """A `Main` that prints what the function returns for each input, without expected values."""
    return _main(
        f"    foreach (var xs in new[]{{{', '.join(map(_list, inputs))}}}) {{\n"
        "        try {\n            object result = F(xs);\n            var list = result as List<long>;\n"
        '            Console.WriteLine(list == null ? result : string.Join(" ", list));\n'
        "        } catch (Exception e) {\n            Console.WriteLine(e.GetType().Name);\n"
        "        }\n    }\n"
    )


def _main(statements: str) -> str:
    return f"    }}\n    public static void Main(string[] args) {{\n{statements}    }}\n\n}}\n"


def _list(xs: list[int]) -> str:
    return f"new List<long>(new long[]{{{joined(xs, '(long){}L')}}})" if xs else "new List<long>()"
