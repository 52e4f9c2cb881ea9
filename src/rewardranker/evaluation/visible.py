"""What a problem statement shows of its own tests, run: which candidates pass, and what they return."""

import ast

from rewardranker.problems.problem import Problem

_PROBE = """\
_returned = []
for _call in ({calls}):
    try:
        _returned.append((True, repr(_call())[:200]))
    except Exception as _error:
        _returned.append((False, type(_error).__name__))
if any(_right for _right, _ in _returned):
    print(*(_text for _, _text in _returned), sep="\\n")
"""


def output_probe(problem: Problem) -> str:
    """A program's end that prints what the candidate returns on the visible tests' inputs; empty without.

    It holds no expected value. A candidate that raises on all of them prints nothing: those don't agree with
    one another. The problem's own probe is taken where it has one; otherwise one is made of Python tests.

    Example:
        >>> problem = Problem("p", "python", "", "", visible_tests="assert f(1) == 2")
        >>> print(output_probe(problem).splitlines()[1])
        for _call in (lambda: f(1),):
    """
    if problem.output_probe or problem.language != "python" or not problem.visible_tests:
        return problem.output_probe
    calls, setup = [], []
    try:
        statements = ast.parse(problem.visible_tests).body
    except (SyntaxError, ValueError):  # they end a program, and need not be one themselves
        return ""
    for statement in statements:
        if isinstance(statement, ast.Assert):
            test = statement.test
            sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
            called = next((side for side in sides if _calls(side)), sides[0])
            calls.append(f"lambda: {ast.unparse(called)},")
        else:
            setup.append(ast.unparse(statement) + "\n")
    return "".join(setup) + _PROBE.format(calls=" ".join(calls)) if calls else ""


def _calls(side: ast.expr) -> bool:
    """Whether it is more than a value that is expected."""
    return any(isinstance(node, ast.Call) for node in ast.walk(side))
