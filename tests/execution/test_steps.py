# ruff: noqa: E501 - tables of programs
"""Tests that are judged from outside: on stdin and by calls; what fools tests inside fools these no more."""

import os

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.pool import Pool, Program
from rewardranker.problems.problem import Problem
from rewardranker.problems.tests import CallTests, StdinTests

pytestmark = pytest.mark.usefixtures("isolation")

SUMS = StdinTests(("1 2\n", "3 4\n", "5 6\n"), ("3", "7", "11"))
READ = "print(sum(map(int, input().split())))"


@pytest.fixture(scope="module")
def pool(isolation):
    with Pool(timeout_s=2.0, memory_mb=256, workers=1) as pool:
        yield pool


def run(pool, *programs):
    verdicts = dict(pool.run(programs))
    return [verdicts[i] for i in range(len(programs))]


ON_STDIN = {  # source, strict status, first test that failed, reason
    "right": (READ, "passed", None, ""),
    "ends with an exit": (READ + "\nimport os, sys; sys.stdout.flush(); os._exit(0)", "passed", None, ""),
    "reads all": ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", "passed", None, ""),
    "reads descriptor 0": ("print(sum(map(int, open(0).read().split())))", "passed", None, ""),
    "wrong from the second on": ("a, b = map(int, input().split())\nprint(a + b if a < 2 else 0)", "failed", 1, "token 1 is 0, expected 7"),
    "prints nothing": ("", "failed", 0, "0 tokens, expected 1"),
    "prints too much": (READ + "\nprint('x' * 9999999)", "failed", 0, "2 tokens, expected 1"),
    "reads too much": ("input(); input()", "failed", 0, "EOFError: EOF when reading a line"),
    "right, but exit code 1": (READ + "\nraise SystemExit(1)", "failed", 0, "exit code 1"),
    "too slow in the third": ("a, b = map(int, input().split())\nwhile a == 5: pass\nprint(a + b)", "timeout", 2, "no end after 2 s"),
    "too much memory": ("x = [0] * 10**9", "failed", 0, "MemoryError (limit 256 MB)"),
    "does not parse": ("print(", "syntax_error", None, "SyntaxError: '(' was never closed"),
    "writes to its input": ("import os\ntry: os.write(0, b'9')\nexcept OSError: pass\n" + READ, "passed", None, ""),
    "changes its input": ("import os\ntry: os.ftruncate(0, 0)\nexcept OSError: pass\n" + READ, "passed", None, ""),
    "counts its runs": ("import os\nn = len(os.listdir('/tmp')); open(f'/tmp/{n}', 'w').close()\nassert n == 0\n" + READ, "passed", None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ON_STDIN)
def test_on_stdin(pool, case):
    source, strict_status, failed_test, reason = ON_STDIN[case]
    (verdict,) = run(pool, Program("python", source, SUMS))
    assert (verdict.strict_status, verdict.failed_test, verdict.reason) == (
        strict_status,
        failed_test,
        reason,
    )
    assert verdict.status == strict_status
    assert len(verdict.stdout) <= 2048


def test_a_large_input_and_a_large_output(pool):
    numbers = " ".join(map(str, range(300_000)))
    echo = Program("python", "print(input())", StdinTests((numbers,), (numbers,)))
    wrong = Program("python", "print(input()[:-1] + '0')", StdinTests((numbers,), (numbers,)))
    right, other = run(pool, echo, wrong)
    assert right.passed
    assert (other.failed_test, other.reason) == (0, "token 300000 is 299990, expected 299999")


def test_half_a_surrogate_pair_is_no_output_that_a_program_prints(pool):
    half = StdinTests(("\ud800",), ("\ud800",))
    (verdict,) = run(pool, Program("python", "print(input())", half))
    assert (verdict.strict_status, verdict.failed_test) == ("failed", 0)


def test_limits_of_a_program_of_its_own(pool):
    slow = Program("python", "import time; time.sleep(0.5)", timeout_s=0.2)
    large = Program("python", "x = bytearray(400 << 20)", memory_mb=600)
    assert [v.strict_status for v in run(pool, slow, large)] == ["timeout", "passed"]


@pytest.mark.parametrize("compiler", ["g++"])
def test_a_program_is_built_once_for_all_its_tests(pool, compiler):
    source = '#include <cstdio>\nint main() { int a, b; scanf("%d %d", &a, &b); printf("%d", a == 5 ? 0 : a + b); }'
    (verdict,) = run(pool, Program("cpp", source, SUMS))
    if verdict.status == "unavailable":
        pytest.skip(verdict.reason)
    assert (verdict.strict_status, verdict.failed_test, verdict.reason) == (
        "failed",
        2,
        "token 1 is 0, expected 11",
    )
    (following,) = run(pool, Program("python", "import os; assert os.listdir('/tmp') == []"))
    assert following.passed
    (broken,) = run(pool, Program("cpp", "int main() { x }", SUMS))
    assert (broken.strict_status, broken.phase, broken.failed_test) == ("syntax_error", "build", None)


CALLS = CallTests.of("f", [((1, [2]), (3, {"a"})), ((4, [5]), (9, {"a"}))])
RIGHT = "def f(x, y):\n    return (x + y[0], {'a'})\n"

BY_CALLS = {  # source, strict status, first call that failed, reason
    "right": (RIGHT, "passed", None, ""),
    "method": ("class Solution:\n    def f(self, x, y): return x + y[0], {'a'}", "passed", None, ""),
    "prints": (RIGHT + "print('x' * 99)", "passed", None, ""),
    "wrong": ("def f(x, y): return 3, {'a'}", "failed", 1, "returned (3, {'a'}), expected (9, {'a'})"),
    "another type": ("def f(x, y): return [x + y[0], {'a'}]", "failed", 0, "returned [3, {'a'}], expected (3, {'a'})"),
    "no plain data": ("def f(x, y): return open", "failed", 0, "TypeError: builtin_function_or_method is no plain data"),
    "raises": ("def f(x, y):\n    1 // (x - 4)\n    return 3, {'a'}", "failed", 1, "ZeroDivisionError"),
    "no such function": ("def g(x, y): return 3", "failed", 0, "NameError"),
    "does not parse": ("def f(", "syntax_error", None, "SyntaxError: '(' was never closed"),
    "loops": ("def f(x, y):\n    while True: pass", "timeout", 0, "no end after 2 s"),
    "wrong, then raises": ("def f(x, y): return 4 // (x - 4)", "failed", 0, "returned -2, expected (3, {'a'})"),
    "wrong, then loops": ("def f(x, y):\n    while x == 4: pass", "failed", 0, "returned None, expected (3, {'a'})"),
    "right, then loops": ("def f(x, y):\n    while x == 4: pass\n    return 3, {'a'}", "timeout", 1, "no end after 2 s"),
    "right, then leaves": ("import os\ndef f(x, y):\n    if x == 4: os._exit(0)\n    return 3, {'a'}", "failed", 1, "exit 0 before the end"),
    "spoils its arguments": ("def f(x, y):\n    r = x + y[0], {'a'}\n    y.clear()\n    return r", "passed", None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_CALLS)
def test_by_calls(pool, case):
    source, strict_status, failed_test, reason = BY_CALLS[case]
    (verdict,) = run(pool, Program("python", source, CALLS))
    assert (verdict.strict_status, verdict.failed_test) == (strict_status, failed_test), verdict
    assert verdict.reason.startswith(reason)
    assert verdict.status == strict_status


INSIDE = "\ndef check(candidate):\n    assert candidate(1) == 2\n    assert candidate(3) == 4\ncheck(f)\n"
FOOLS_INSIDE = {
    "equal to all": "class E:\n    def __eq__(self, other): return True\ndef f(x): return E()",
    "equal to all, and a number": "class E(int):\n    def __eq__(self, other): return True\ndef f(x): return E(7)",
    "reads what is expected": "import sys\ndef f(x):\n    code = sys._getframe(1).f_code\n    return [c for c in code.co_consts if isinstance(c, int) and c == x + 1][0]",
    "searches the memory for it": "import gc\ndef f(x):\n    return next(c for o in gc.get_objects() if type(o).__name__ == 'function' and o.__name__ == 'check' for c in o.__code__.co_consts if c == x + 1)",
    "replaces the tests": "import sys\ndef replace(frame, event, argument):\n"
    "    if 'check' in frame.f_globals: frame.f_globals['check'] = lambda f: None\n    return replace\n"
    "sys._getframe().f_trace = replace\nsys.settrace(replace)\ndef f(x): return x",
}  # fmt: skip


@pytest.mark.parametrize("trick", FOOLS_INSIDE)
def test_what_fools_the_tests_inside_does_not_fool_those_outside(pool, trick):
    problem = Problem("p", "python", "", INSIDE, entry_point="f")
    inside, outside = (Program.of(problem, FOOLS_INSIDE[trick], judge) for judge in ("inside", "outside"))
    fooled, judged = run(pool, inside, outside)
    assert fooled.passed, fooled.stderr
    assert judged.strict_status == "failed"
    assert judged.failed_test == 0


def test_a_patched_builtin_fools_only_tests_inside(pool):
    candidate = "import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return x"
    inside = Program("python", candidate + "\nassert abs(f(1) - 2) < 1e-6")
    fooled, judged = run(pool, inside, Program("python", candidate, CallTests.of("f", [((1,), 2)])))
    assert (fooled.strict_status, judged.strict_status) == ("passed", "failed")


LIES = {
    "leaves in the call": "import os\ndef f(x, y): os._exit(0)",
    "leaves before it": "import sys\ndef f(x, y): return 3, {'a'}\nsys.exit(0)",
    "writes results by itself": "import os\ndef f(x, y): return 0\n"
    'for fd in range(3, 64):\n    try: os.write(fd, b\'{"tuple": [3, {"set": ["a"]}]}\\n\')\n    except OSError: pass',
    "says it is json": "import json\njson.dumps = lambda value: '1'\ndef f(x, y): return 0",
    "floods the results": "def f(x, y): return 'x' * (8 << 20)",
    "deep": "def f(x, y):\n    r = []\n    for _ in range(10**5): r = [r]\n    return r",
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_do_not_pass(pool, lie):
    (verdict,) = run(pool, Program("python", LIES[lie], CALLS))
    assert verdict.strict_status == "failed", verdict
    assert verdict.failed_test is not None


def test_what_is_expected_never_enters_the_sandbox(pool):
    secret = "SECRET" + os.urandom(8).hex()  # so that it is not in any file or cache
    scan = """
def f(x):
    import ctypes
    found = 0
    for line in open("/proc/self/maps"):
        span, mode, *_ = line.split()
        if "r" in mode and "[v" not in line:
            start, end = (int(v, 16) for v in span.split("-"))
            memory = ctypes.string_at(start, end - start)
            found += memory.count(b"SECRET" + x.encode())
    return found
"""
    given = secret.removeprefix("SECRET")
    (verdict,) = run(pool, Program("python", scan, CallTests.of("f", [((given,), 0), (("",), secret)])))
    assert verdict.failed_test == 1, verdict  # the first call found nothing


def test_calls_are_for_python(pool):
    (verdict,) = run(pool, Program("bash", "f() { echo 1; }", CALLS))
    assert (verdict.status, verdict.reason) == ("unavailable", "tests by calls are for Python, not bash")


def test_problems_that_can_not_be_judged_from_outside():
    for problem, why in [
        (Problem("p", "python", "", "assert f(x) == 2", entry_point="f"), "problem p .* line 1"),
        (Problem("p", "bash", "", "f", entry_point="f"), "problem p: only Python"),
    ]:
        with pytest.raises(UserError, match=why):
            Program.of(problem, "", "outside")
