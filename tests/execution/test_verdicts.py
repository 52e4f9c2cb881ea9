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


FAKED_ENDINGS = {
    "sys.exit": "import sys; sys.exit(0)",
    "quit": "quit()",
    "os._exit": "import os; os._exit(0)",
    "libc exit": "import ctypes; ctypes.CDLL(None)._exit(0)",
    "system call": "import ctypes; ctypes.CDLL(None).syscall({'x86_64': 231, 'aarch64': 94}[__import__('os').uname().machine], 0)",
    "exit hook": "import atexit, os; atexit.register(os._exit, 0); assert False",
    "exit hook after sys.exit(1)": "import atexit, os, sys; atexit.register(os._exit, 0); sys.exit(1)",
    "excepthook": "import os, sys; sys.excepthook = lambda *_: os._exit(0); assert False",
    "destructor": "import os\nclass A:\n    def __del__(self): os._exit(0)\ndef f():\n    a = A()\n    assert False\nf()",
    "thread": "import os, threading; threading.Thread(target=os._exit, args=(0,)).start()\nwhile True: pass",
    "another program": "import os; os.execv('/bin/true', ['true'])",
    "signal handler": "import os, signal; signal.signal(15, lambda *_: os._exit(0)); os.kill(os.getpid(), 15); assert 0",
    "patched os._exit": "import os; leave = os._exit; os._exit = lambda code: leave(0); assert False",
    "another process that ends": "import os\nif os.fork():\n    os.wait(); os._exit(0)\ncandidate = lambda x: x + 1",
    "descriptors in messages": "import os, socket\ns = socket.socket(fileno=63)\n"
    "socket.send_fds(s, [bytes(16)], [0, 1])\ns.send(b'')\nos._exit(0)",
    "empty messages": "import os\nfor n in range(3, 64):\n    try: os.write(n, b'')\n    except OSError: pass\nos._exit(0)",
    "every descriptor": """
import os
for n in range(3, 1024):
    for message in (b"D", bytes(16), bytes(32), os.urandom(32)):
        try: os.write(n, message)
        except OSError: pass
os._exit(0)""",
    "what the frames hold": """
import gc, os, sys
found, frames, frame = [], [], sys._getframe()
while frame:
    frames.append(frame); found += list(frame.f_locals.values()) + list(frame.f_globals.values()) + list(frame.f_code.co_consts)
    frame = frame.f_back
gc.unfreeze()
seen = set()
queue = found + frames + gc.get_referents(*frames) + gc.get_objects()
while queue:
    thing = queue.pop()
    if id(thing) in seen: continue
    seen.add(id(thing))
    if isinstance(thing, (bytes, bytearray)) and len(thing) in (16, 32):
        for n in range(3, 64):
            try: os.write(n, thing)
            except OSError: pass
    queue += gc.get_referents(thing)
os._exit(0)""",
    "the harness's own functions": """
import os, sys
harness = sys._getframe(1).f_globals
harness["_send"](harness["_announced_key"](), None)
os._exit(0)""",
    "a patched harness": """
import os, sys
harness = sys._getframe(1).f_globals
harness["_shut_down"] = lambda code: 0
def lie(*_): harness["_send"](b"", None); os._exit(0)
harness["_print_exception"] = lie
assert False""",
    "a reopened channel": """
import os
for n in os.listdir("/proc/self/fd"):
    try:
        if int(n) > 2: os.write(int(n), os.read(os.open(f"/proc/self/fd/{n}", os.O_RDONLY), 16))
    except OSError: pass
os._exit(0)""",
}  # fmt: skip


@pytest.mark.parametrize("fake", FAKED_ENDINGS)
def test_leaving_early_with_exit_code_0_is_no_pass(sandbox, fake):
    source = "def candidate(x):\n    pass\n" + FAKED_ENDINGS[fake] + TESTS
    verdict = sandbox(source)
    assert verdict.exit_code == 0, verdict
    assert (verdict.status, verdict.strict_status) == ("passed", "failed")
    assert verdict.reason == "exit 0 before the end"


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
