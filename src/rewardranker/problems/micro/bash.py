"""Micro tasks in Bash, as MultiPL-E has its prompts and tests: a list is a string of words."""

from random import Random

from rewardranker.problems.micro.emitter import PREDICATES, Cases, Forms, joined
from rewardranker.problems.micro.tree import Task, Value

LANGUAGE = "bash"
ENTRY_POINT = "f"
STOP_TOKENS = ("\n}",)

_FORMS = Forms(
    predicates=PREDICATES,
    expressions={
        "square": "x * x",
        "absolute": "(x < 0 ? -x : x)",
        "negate": "-x",
        "add": "x + {k}",
        "subtract": "x - {k}",
        "subtract from": "{k} - x",
        "multiply": "x * {k}",
        "divide": "(x - (x % {k} + {k}) % {k}) / {k}",
        "modulo": "(x % {k} + {k}) % {k}",
        "cap": "(x < {k} ? x : {k})",
        "floor": "(x > {k} ? x : {k})",
    },
    filter=("xs=($(for x in ${xs[@]}; do (( {p} )) && echo $x; done))",),
    map=("xs=($(for x in ${xs[@]}; do echo $(( {e} )); done))",),
    conditional_map=("xs=($(for x in ${xs[@]}; do echo $(( {p} ? {e} : x )); done))",),
    rearrangements={
        "reverse": ("xs=($(printf '%s\\n' ${xs[@]} | tac))",),
        "sort": ("xs=($(printf '%s\\n' ${xs[@]} | sort -n))",),
        "sort descending": ("xs=($(printf '%s\\n' ${xs[@]} | sort -rn))",),
        "sort by magnitude": (
            "xs=($(for x in ${xs[@]}; do echo ${x#-} $x; done | sort -sn -k1,1 | cut -d' ' -f2))",
        ),
        "distinct": ("xs=($(printf '%s\\n' ${xs[@]} | awk '!seen[$0]++'))",),
        "first": ("xs=(${xs[@]:0:{k}})",),
        "last": ("xs=($(printf '%s\\n' ${xs[@]} | tail -n {k}))",),
        "drop first": ("xs=(${xs[@]:{k}})",),
        "drop last": ("xs=($(printf '%s\\n' ${xs[@]} | head -n -{k}))",),
        "every": ("xs=($(printf '%s\\n' ${xs[@]} | awk 'NR % {k} == 1'))",),
        "rotate left": ("xs=(${xs[@]:{k}} ${xs[@]:0:{k}})",),
        "differences": ("xs=($(for ((i = 1; i < ${#xs[@]}; i++)); do echo $(( xs[i] - xs[i - 1] )); done))",),
        "neighbour sums": (
            "xs=($(for ((i = 1; i < ${#xs[@]}; i++)); do echo $(( xs[i] + xs[i - 1] )); done))",
        ),
        "running totals": ("xs=($(t=0; for x in ${xs[@]}; do echo $(( t += x )); done))",),
        "append": ("xs+=({k})",),
        "prepend": ("xs=({k} ${xs[@]})",),
    },
    reducers={
        "list": ("echo ${xs[@]}",),
        "sum": ("local t=0; for x in ${xs[@]}; do (( t += x )); done; echo $t",),
        "count": ("echo ${#xs[@]}",),
        "maximum": ("printf '%s\\n' ${xs[@]:-0} | sort -n | tail -n 1",),
        "minimum": ("printf '%s\\n' ${xs[@]:-0} | sort -n | head -n 1",),
        "count distinct": ("printf '%s\\n' ${xs[@]} | sort -u | grep -c .",),
        "count where": ("local t=0; for x in ${xs[@]}; do (( {p} )) && (( t += 1 )); done; echo $t",),
        "sum where": ("local t=0; for x in ${xs[@]}; do (( {p} )) && (( t += x )); done; echo $t",),
    },
)


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for; it has no types."""
    return f"#!/bin/bash\n# {text}\n#\n# $1 is a space-separated list\nf() {{\n"


def completion(task: Task, rng: Random) -> str:
    """A right body; `rng` chooses among equivalent forms."""
    return "    local xs=($1)\n" + _FORMS.code(task, rng, "    ")


def tests(cases: Cases) -> str:
    """The rest of the function, and comparisons of what it prints."""
    checks = "".join(
        f'    [[ $(candidate "{_words(xs)}") = "{_words(expected)}" ]]\n' for xs, expected in cases
    )
    return f'}}\n\ncandidate() {{\n    f "$@"\n}}\n\nset -e\nrun_test() {{\n{checks}}}\n\nrun_test'


def output_probe(inputs: list[list[int]]) -> str:
    """Code that prints what the function prints for each input, without expected values."""
    lists = " ".join(f'"{_words(xs)}"' for xs in inputs)
    return f'}}\n\nfor list in {lists}; do echo "$(f "$list" 2>&1)"; done\n'


def _words(value: Value) -> str:
    return joined(value, separator=" ") if isinstance(value, list) else str(value)
