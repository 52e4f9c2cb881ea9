# ruff: noqa: E501 - tables of programs
"""What a program does, and what is said of it: by exit code (`status`) and by whether it ended (`strict_status`)."""

import pytest

TESTS = "\ndef check(f):\n    assert f(1) == 2\ncheck(candidate)\n"

ENDINGS = {  # source, status, strict status, reason
    "right": ("def candidate(x): return x + 1" + TESTS, "passed", "passed", ""),
    "wrong": ("def candidate(x): return x" + TESTS, "failed", "failed", "AssertionError"),
    "empty": ("", "passed", "passed", ""),
    "message": ("raise ValueError('no such thing')", "failed", "failed", "ValueError: no such thing"),
    "exit code": ("import sys; sys.exit(3)", "failed", "failed", "exit code 3"),
    "exit message": ("import sys; sys.exit('broken')", "failed", "failed", "broken"),
    "does not parse": ("def f(:\n", "syntax_error", "syntax_error", "SyntaxError: invalid syntax"),
    "return outside": ("return 1", "syntax_error", "syntax_error", "SyntaxError: 'return' outside function"),
    "null byte": ("x = '\0'", "syntax_error", "syntax_error", None),
    "lone surrogate": ("x = '\ud800'", "syntax_error", "syntax_error", None),
    "wrong indentation": (
        "def f():\nreturn 1",
        "failed",  # as MultiPL-E says, which looks for the word SyntaxError
        "syntax_error",
        "IndentationError: expected an indented block after function definition on line 1",
    ),
    "evaluates what does not parse": ("eval('1 +')", "syntax_error", "failed", "SyntaxError: invalid syntax"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "failed", "failed", "killed by SIGSEGV"),
    "out of memory": ("x = bytearray(1 << 40)", "failed", "failed", "MemoryError (limit 256 MB)"),
    "reads stdin": ("assert input() == ''", "failed", "failed", "EOFError: EOF when reading a line"),
    "closes its outputs": ("import sys; sys.stdout.close(); sys.stderr.close()", "passed", "passed", ""),
    "closes descriptors 1 and 2": ("import os; os.close(1); os.close(2)", "passed", "passed", ""),
    "replaces stdout": ("import io, sys; sys.stdout = io.StringIO(); print('x')", "passed", "passed", ""),
    "daemon thread goes on": (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "passed",
        "passed",
        "",
    ),
    "child ends too": ("import os\nos.fork()\nos.getpid() == 2 and os.wait()", "passed", "passed", ""),
    "child holds the outputs": (
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)",
        "passed",
        "passed",
        "",
    ),
    "starts programs": (
        "import subprocess, sys; assert subprocess.check_output([sys.executable, '-c', 'print(6 * 7)']) == b'42\\n'",
        "passed",
        "passed",
        "",
    ),
    "asyncio": (
        "import asyncio\nasync def f(): return 1\nassert asyncio.run(f()) == 1",
        "passed",
        "passed",
        "",
    ),
    "pickles its classes": (
        "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A()))",
        "passed",
        "passed",
        "",
    ),
    "signals": (
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt: pass\n"
        "signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(1); signal.pause()",
        "passed",
        "passed",
        "",
    ),
    "fails in an exit hook": ("import atexit; atexit.register(lambda: 1 / 0)", "passed", "passed", ""),
    "exits badly in an exit hook": (
        "import atexit, os; atexit.register(os._exit, 4)",
        "failed",
        "failed",
        "exit code 4",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_status(sandbox, ending):
    source, status, strict_status, reason = ENDINGS[ending]
    verdict = sandbox(source)
    assert (verdict.status, verdict.strict_status) == (status, strict_status), verdict
    assert reason is None or verdict.reason == reason
    assert verdict.phase == ("build" if strict_status == "syntax_error" else "run")
    assert verdict.passed == (strict_status == "passed")


def test_outputs_are_whole_up_to_2048_characters(sandbox):
    verdict = sandbox("import sys; print('é' * 2047); print('ü' * 5000, file=sys.stderr)")
    assert verdict.stdout == "é" * 2047 + "\n"
    assert verdict.stderr == "ü" * 2048
    assert sandbox("import os; os.write(1, bytes(range(256)))").stdout.startswith("\x00\x01")


def test_output_of_the_last_moment_is_kept(sandbox):
    source = "import atexit, os, sys\natexit.register(print, 'c')\nif os.fork() == 0:\n    print('a'); sys.exit()\n"
    verdict = sandbox(source + "os.wait(); print('b')")
    assert verdict.stdout == "a\nc\nb\nc\n"


def test_output_of_100_megabytes_neither_blocks_nor_stays(sandbox):
    verdict = sandbox("for _ in range(1000):\n    print('x' * 99_999)")
    assert verdict.strict_status == "passed"
    assert verdict.stdout == "x" * 2048


def test_traceback_names_the_programs_lines_only(sandbox):
    verdict = sandbox("def f():\n    assert 1 == 2\nf()\n")
    assert verdict.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "assert 1 == 2" in verdict.stderr
    assert "rewardranker" not in verdict.stderr


def test_a_timeout_has_no_exit_code(sandbox):
    verdict = sandbox("print('before', flush=True)\nwhile True: pass")
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("timeout", "timeout", None)
    assert verdict.reason == "no end after 2 s"
    assert verdict.stdout == "before\n"
    assert verdict.wall_s >= 2.0
