"""Micro tasks in Java, as MultiPL-E has its prompts and tests."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms, joined
from rewardranker.problems.micro.tree import Task

LANGUAGE = "java"
ENTRY_POINT = "f"
STOP_TOKENS = ("\n    }\n",)

_FORMS = Forms(
    predicates=PREDICATES,
    expressions={
        "square": "x * x",
        "absolute": "Math.abs(x)",
        "negate": "-x",
        "add": "x + {k}",
        "subtract": "x - {k}",
        "subtract from": "{k} - x",
        "multiply": "x * {k}",
        "divide": "Math.floorDiv(x, {k})",
        "modulo": "(long) Math.floorMod(x, {k})",  # of a long by an int it is an int
        "cap": "Math.min(x, {k})",
        "floor": "Math.max(x, {k})",
    },
    filter=("xs.removeIf(x -> !({p}));",),
    map=("xs.replaceAll(x -> {e});",),
    conditional_map=("xs.replaceAll(x -> {p} ? {e} : x);",),
    rearrangements={
        "reverse": ("Collections.reverse(xs);",),
        "sort": ("Collections.sort(xs);", "xs.sort(Comparator.naturalOrder());"),
        "sort descending": ("xs.sort(Comparator.reverseOrder());",),
        "sort by magnitude": ("xs.sort(Comparator.comparing(x -> Math.abs(x)));",),
        "distinct": ("xs = new ArrayList<>(new LinkedHashSet<>(xs));",),
        "first": ("xs.subList(Math.min({k}, xs.size()), xs.size()).clear();",),
        "last": ("xs.subList(0, Math.max(0, xs.size() - {k})).clear();",),
        "drop first": ("xs.subList(0, Math.min({k}, xs.size())).clear();",),
        "drop last": ("xs.subList(Math.max(0, xs.size() - {k}), xs.size()).clear();",),
        "every": (
            "for (int i = 1; i < xs.size(); i++) xs.subList(i, Math.min(i + {k-1}, xs.size())).clear();",
        ),
        "rotate left": ("Collections.rotate(xs, -Math.min({k}, xs.size()));",),
        "differences": (
            "for (int i = 1; i < xs.size(); i++) xs.set(i - 1, xs.get(i) - xs.get(i - 1));\n"
            "if (!xs.isEmpty()) xs.remove(xs.size() - 1);",
        ),
        "neighbour sums": (
            "for (int i = 1; i < xs.size(); i++) xs.set(i - 1, xs.get(i) + xs.get(i - 1));\n"
            "if (!xs.isEmpty()) xs.remove(xs.size() - 1);",
        ),
        "running totals": ("for (int i = 1; i < xs.size(); i++) xs.set(i, xs.get(i) + xs.get(i - 1));",),
        "append": ("xs.add({k}L);",),
        "prepend": ("xs.add(0, {k}L);",),
    },
    reducers={
        "list": ("return xs;",),
        "sum": ("return xs.stream().mapToLong(x -> x).sum();",),
        "count": ("return xs.size();",),
        "maximum": ("return xs.isEmpty() ? 0 : Collections.max(xs);",),
        "minimum": ("return xs.isEmpty() ? 0 : Collections.min(xs);",),
        "count distinct": ("return new HashSet<>(xs).size();",),
        "count where": ("return xs.stream().filter(x -> {p}).count();",),
        "sum where": ("return xs.stream().filter(x -> {p}).mapToLong(x -> x).sum();",),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for."""
    result = "ArrayList<Long>" if returns_list else "long"
    return (
        f"import java.util.*;\nclass Problem {{\n    // {text}\n"
        f"    public static {result} f(ArrayList<Long> xs) {{\n"
    )


def completion(task: Task, rng: Random) -> str:
    """A right body; `rng` chooses among equivalent forms."""
    return _FORMS.code(task, rng, "        ")


def tests(cases: Cases) -> str:
    """The rest of the function and a `main` of assertions."""
    asserts = "".join(
        f"    assert(f(({_list(xs)})).equals(({_list(expected)})));\n"
        if isinstance(expected, list)
        else f"    assert(f(({_list(xs)})) == ({expected}l));\n"
        for xs, expected in cases
    )
    return _main(asserts)


def output_probe(inputs: list[list[int]]) -> str:
    """A `main` that prints what the function returns for each input, without expected values."""
    return _main(
        f"    for (ArrayList<Long> xs : List.of({', '.join(map(_list, inputs))})) {{\n"
        "        try {\n            System.out.println(f(xs));\n        } catch (Exception e) {\n"
        "            System.out.println(e.getClass().getName());\n        }\n    }\n"
    )


def _main(statements: str) -> str:
    return f"    }}\n    public static void main(String[] args) {{\n{statements}    }}\n\n}}\n"


def _list(xs: list[int]) -> str:
    return f"new ArrayList<Long>(Arrays.asList({joined(xs, '(long){}l')}))"
