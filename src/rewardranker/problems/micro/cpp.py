"""Micro tasks in C++, as MultiPL-E has its prompts and tests."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms, joined
from rewardranker.problems.micro.tree import Task

LANGUAGE = "cpp"
ENTRY_POINT = "f"
STOP_TOKENS = ("\n}",)

_FORMS = Forms(
    predicates=PREDICATES,
    expressions={
        "square": "x * x",
        "absolute": "std::abs(x)",
        "negate": "-x",
        "add": "x + {k}",
        "subtract": "x - {k}",
        "subtract from": "{k} - x",
        "multiply": "x * {k}",
        "divide": "std::floor(x / {k}.0)",
        "modulo": "(x % {k} + {k}) % {k}",
        "cap": "std::min(x, {k}L)",
        "floor": "std::max(x, {k}L)",
    },
    filter=("xs.erase(std::remove_if(xs.begin(), xs.end(), [](long x) { return !({p}); }), xs.end());",),
    map=("for (long &x : xs) x = {e};",),
    conditional_map=("for (long &x : xs) if ({p}) x = {e};",),
    rearrangements={
        "reverse": ("std::reverse(xs.begin(), xs.end());",),
        "sort": ("std::sort(xs.begin(), xs.end());",),
        "sort descending": (
            "std::sort(xs.rbegin(), xs.rend());",
            "std::sort(xs.begin(), xs.end(), std::greater<long>());",
        ),
        "sort by magnitude": (
            "std::stable_sort(xs.begin(), xs.end(), "
            "[](long a, long b) { return std::abs(a) < std::abs(b); });",
        ),
        "distinct": (
            "std::set<long> seen;\n"
            "xs.erase(std::remove_if(xs.begin(), xs.end(), [&](long x) { return !seen.insert(x).second; }), "
            "xs.end());",
        ),
        "first": ("xs.resize(std::min<size_t>(xs.size(), {k}));",),
        "last": ("xs.erase(xs.begin(), xs.end() - std::min<size_t>(xs.size(), {k}));",),
        "drop first": ("xs.erase(xs.begin(), xs.begin() + std::min<size_t>(xs.size(), {k}));",),
        "drop last": ("xs.resize(xs.size() - std::min<size_t>(xs.size(), {k}));",),
        "every": (
            "for (size_t i = 0; i * {k} < xs.size(); i++) xs[i] = xs[i * {k}];\n"
            "xs.resize((xs.size() + {k-1}) / {k});",
        ),
        "rotate left": ("std::rotate(xs.begin(), xs.begin() + std::min<size_t>(xs.size(), {k}), xs.end());",),
        "differences": (
            "std::adjacent_difference(xs.begin(), xs.end(), xs.begin());\n"
            "if (!xs.empty()) xs.erase(xs.begin());",
        ),
        "neighbour sums": (
            "std::adjacent_difference(xs.begin(), xs.end(), xs.begin(), std::plus<long>());\n"
            "if (!xs.empty()) xs.erase(xs.begin());",
        ),
        "running totals": ("std::partial_sum(xs.begin(), xs.end(), xs.begin());",),
        "append": ("xs.push_back({k});",),
        "prepend": ("xs.insert(xs.begin(), {k});",),
    },
    reducers={
        "list": ("return xs;",),
        "sum": ("return std::accumulate(xs.begin(), xs.end(), 0L);",),
        "count": ("return xs.size();",),
        "maximum": ("return xs.empty() ? 0 : *std::max_element(xs.begin(), xs.end());",),
        "minimum": ("return xs.empty() ? 0 : *std::min_element(xs.begin(), xs.end());",),
        "count distinct": ("return std::set<long>(xs.begin(), xs.end()).size();",),
        "count where": ("return std::count_if(xs.begin(), xs.end(), [](long x) { return {p}; });",),
        "sum where": (
            "return std::accumulate(xs.begin(), xs.end(), 0L, "
            "[](long t, long x) { return {p} ? t + x : t; });",
        ),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for."""
    result = "std::vector<long>" if returns_list else "long"
    return f"#include<assert.h>\n#include<bits/stdc++.h>\n// {text}\n{result} f(std::vector<long> xs) {{\n"


def completion(task: Task, rng: Random) -> str:
    """A right body; `rng` chooses among equivalent forms."""
    return _FORMS.code(task, rng, "    ")


def tests(cases: Cases) -> str:
    """The rest of the function and a `main` of assertions."""
    asserts = "".join(
        f"    assert(candidate(({_vector(xs)})) == "
        f"({_vector(expected) if isinstance(expected, list) else expected}));\n"
        for xs, expected in cases
    )
    return f"}}\nint main() {{\n    auto candidate = f;\n{asserts}}}\n"


def output_probe(inputs: list[list[int]]) -> str:
    """A `main` that prints what the function returns for each input, without expected values."""
    return f"""}}
void show(long x) {{ std::cout << x << std::endl; }}
void show(const std::vector<long> &xs) {{
    for (long x : xs) std::cout << x << ' ';
    std::cout << std::endl;
}}
int main() {{
    for (std::vector<long> xs : {{{", ".join(map(_vector, inputs))}}}) {{
        try {{ show(f(xs)); }} catch (const std::exception &e) {{ std::cout << e.what() << std::endl; }}
    }}
}}
"""


def _vector(xs: list[int]) -> str:
    return f"std::vector<long>({{{joined(xs, '(long){}')}}})" if xs else "std::vector<long>()"
