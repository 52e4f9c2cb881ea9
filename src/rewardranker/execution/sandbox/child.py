"""Run one program in a child of the fork server, and prove to the server that it ran to its end.

`exec_program` starts a compiler, an interpreter or what was compiled; the proof is that of its language. The
rest of this is Python, which runs in the child itself.

The proof. Before the program starts, the child draws a random 16-byte key and sends it to the server; when
the program's code has returned, it sends the key again. The server takes a program for finished only if it
received exactly these two messages, and from this process. While the program runs, the key is on the
evaluation stack of the frame that called it and nowhere else: in no variable, in no container, and not in the
channel (a socket, so that it cannot be reopened through /proc as a pipe can). `sys.exit`, `os._exit`, a
signal, an `atexit` hook, an `exec` and an exception lose it.

What can still forge it, because the program shares its process with its judge: native code (ctypes) that
searches the interpreter's memory, and a trace function that jumps over the tests (`frame.f_lineno = ...`).
And a candidate can make tests pass without being right: an `__eq__` that is always true, a patched builtin,
expected values read from the caller's frame. The answer to these is tests in another process: calls.

Calls. After the program has run, the child calls one of its functions with arguments from the request and
writes what each call returned as a line of plain data. What is expected is compared elsewhere, so the program
can lie only about what it returned.
"""

import _signal  # type: ignore[import-not-found]
import atexit
import gc
import linecache
import os
import signal
import sys
import traceback
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from rewardranker.execution.sandbox import isolation
from rewardranker.problems.plain_data import decode, encode

KEY_BYTES = 16
_CONTROL = 63  # as the launchers of all languages know
_STARTING = _CONTROL - 1
_RETURNED = _CONTROL - 2
_FILE = "program.py"
_FLUSH_FAILED = 120  # as the interpreter exits when stdout can't be written


class Descriptors(NamedTuple):
    """What the program's process is given of the fork server's open files."""

    control: int
    stdin: int
    stdout: int
    stderr: int
    returned: int = -1
    """Where there are calls."""

    def place(self, *, inheritable: bool) -> None:
        """Give them the numbers they have in a program, and close all others but `_STARTING`."""
        for number, descriptor in enumerate((self.stdin, self.stdout, self.stderr)):
            os.dup2(descriptor, number)
        os.dup2(self.control, _CONTROL, inheritable=inheritable)
        if self.returned >= 0:
            os.dup2(self.returned, _RETURNED, inheritable=False)
        os.closerange(3, _STARTING if self.returned < 0 else _RETURNED)


def exec_program(
    command: list[str],
    environment: Mapping[str, str],
    descriptors: Descriptors,
    starting: int,
    *,
    memory_bytes: int,
    cpu_s: int,
    reserves_memory: bool,
) -> NoReturn:
    """Become `command`; descriptor `starting` is closed when that has succeeded, and written to otherwise."""
    os.dup2(starting, _STARTING, inheritable=False)
    descriptors.place(inheritable=True)
    isolation.limit_program(memory_bytes, cpu_s, reserves_memory=reserves_memory)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which the interpreter ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as e:
        os.write(_STARTING, f"{command[0]}: {e.strerror}".encode())
        os._exit(1)


def run_program(
    source: bytearray,
    calls: tuple[str, bytes] | None,
    descriptors: Descriptors,
    *,
    memory_bytes: int,
    cpu_s: int,
) -> NoReturn:
    """Become the program: run `source` as `__main__`, do the calls, then exit as the interpreter would.

    `calls`: name of the function, and a line of plain data with the arguments of each call.
    """
    descriptors.place(inheritable=False)
    isolation.limit_program(memory_bytes, cpu_s)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)  # `signal` would take ten times as long
    gc.enable()
    try:
        if 0 in source:  # a ValueError from some versions of `compile`, and always this from a file
            raise SyntaxError("source code cannot contain null bytes")
        code = compile(bytes(source), _FILE, "exec", dont_inherit=True)
    except BaseException as e:
        _print_exception(e.with_traceback(None), source)
        os._exit(1)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=_FILE, __builtins__=sys.modules["builtins"])
    sys.modules["__main__"] = main
    exit_code = 0
    try:
        # Arguments are evaluated from left to right: the key waits on the stack while the program runs.
        _send(_announced_key(), _run(code, main.__dict__, calls))  # type: ignore[func-returns-value]
    except SystemExit as e:
        exit_code = _exit_code(e.code)
    except BaseException as e:
        exit_code = 1
        _print_exception(e.with_traceback(_without_ours(e.__traceback__)), source)
    os._exit(_shut_down(exit_code))


def _run(code: types.CodeType, namespace: dict[str, Any], calls: tuple[str, bytes] | None) -> None:
    exec(code, namespace)
    if calls is None:
        return
    name, lines = calls
    for line in lines.splitlines():
        result = f"{encode(_function(name, namespace)(*decode(line)))}\n".encode()
        while result:
            result = result[os.write(_RETURNED, result) :]


def _function(name: str, namespace: dict[str, Any]) -> Any:
    if name in namespace:
        return namespace[name]
    if "Solution" in namespace:
        return getattr(namespace["Solution"](), name)
    raise NameError(f"name {name!r} is not defined")


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """From the program's first frame on."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _announced_key() -> bytes:
    key = os.urandom(KEY_BYTES)
    os.write(_CONTROL, key)
    return key


def _send(key: bytes, _: None) -> None:
    os.write(_CONTROL, key)


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stdout.flush()
    print(code, file=sys.stderr)  # noqa: T201 - what the interpreter does
    return 1


def _print_exception(error: BaseException, source: bytearray) -> None:
    """Print the traceback that the interpreter would print, with source lines although there is no file."""
    try:
        lines = source.decode(errors="replace").splitlines(keepends=True)
        linecache.cache[_FILE] = (len(source), None, lines, _FILE)
        if sys.excepthook is sys.__excepthook__:
            traceback.print_exception(error)
        else:
            sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as e:
        os._exit(_shut_down(_exit_code(e.code)))
    except BaseException as e:  # such as no memory left to format it
        os.write(2, f"{type(error).__name__} (and {type(e).__name__} while printing it)\n".encode())


def _shut_down(exit_code: int) -> int:
    """Wait for threads, run exit hooks and flush, as the interpreter does; the exit code that results."""
    try:
        if threading := sys.modules.get("threading"):
            threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException as e:
        traceback.print_exception(e)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:  # the program may have put anything in place of the streams
            exit_code = exit_code or _FLUSH_FAILED
    return exit_code
