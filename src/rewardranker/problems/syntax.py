"""Whether a program parses, by tree-sitter's grammars: cheap, and running nothing.

The grammars are C, and what they read is untrusted: D's crashes on rare characters, Ruby's and Rust's take
minutes for some noise. So they read in processes of their own (`syntax_worker.py`), which are replaced when
they die or take too long. There are a few, so that a hostile program doesn't hold up other callers.

The grammars come with tree-sitter-language-pack 0.13, in the extra "syntax"; nothing is downloaded. They read
much that a compiler would refuse: that a program parses says little, that it does not says a lot, where the
grammar knows its language. Which do was measured: docs/results/syntax.md.
"""

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

from rewardranker.errors import UserError
from rewardranker.problems.problem import Problem

JUDGED = frozenset(
    {"python", "cpp", "java", "php", "typescript", "csharp", "javascript", "ruby"}
    | {"go", "rust", "ocaml", "racket", "d"}
)
"""Languages whose grammar reads the right programs that were found, fifty at least. Those of Bash and Perl
reject every tenth; for Haskell, Lua, R and Scala too few were at hand to tell."""
_LONGEST = 20_000
"""Most characters of a program that is judged."""
LIMIT_S = 5.0
"""By the clock, for what is judged by one caller: waiting for a process, and its start, too."""
_PROCESSES = 4
"""Judge at the same time, at most."""
_CLOSERS = ("", "\n}", "\n}\n}", "\nend")
"""What a completion may lack that was cut at the end of its function."""
_TYPEID = re.compile(r"\btypeid\s*\([^()\n]*\)")
"""The grammar of C++ does not know that `typeid` takes a type."""


def parses(language: str, program: str, *, cut: bool = False, deadline: float | None = None) -> bool | None:
    """Whether `program` is free of syntax errors; None: not judged.

    Not judged are the languages outside `JUDGED`, programs of more than 20,000 characters, and those that a
    grammar crashes on or computes on for longer than a second, which is a hundred times what programs take.

    Args:
        language: canonical name.
        program: untrusted.
        cut: its last closing braces, or `end`, may be missing.
        deadline: when, by `time.monotonic`, it is left unjudged; None: five seconds from now. With the same
            one for all its programs a caller is done by then, however hostile they are.

    Raises:
        UserError: the grammars are not installed.

    Example:
        >>> parses("python", "def f(x) return x"), parses("cpp", "int f() {", cut=True), parses("bash", "fi")
        (False, True, None)
    """
    if language not in JUDGED or len(program) > _LONGEST:
        return None
    if language == "cpp":
        program = _TYPEID.sub("x", program)
    elif language == "php" and "<?" not in program:
        program = f"<?php\n{program}"
    programs = [program + closer for closer in (_CLOSERS if cut else _CLOSERS[:1])]
    return _workers.parses(language, programs, time.monotonic() + LIMIT_S if deadline is None else deadline)


def candidate_parses(
    problem: Problem, text: str, whole: bool = False, *, deadline: float | None = None
) -> bool | None:
    """Whether a candidate's program parses, with the problem's tests: they may bring its closing brace.

    Args:
        problem: what `text` is a candidate for.
        text: the completion, or the program without its tests where `whole`.
        whole: see `rewardranker.problems.extraction.Extracted`.
        deadline: see `parses`.
    """
    program = text if whole else problem.prompt + text
    if problem.tests:
        return parses(problem.language, f"{program}\n{problem.tests}", deadline=deadline)
    return parses(problem.language, program, cut=not whole, deadline=deadline)


class _Workers:
    """The processes with the grammars: started when they are needed, ended when they do not answer."""

    def __init__(self) -> None:
        self._room = threading.Semaphore(_PROCESSES)
        self._idle: list[subprocess.Popen[bytes]] = []

    def parses(self, language: str, programs: list[str], deadline: float) -> bool | None:
        """Whether one of `programs` does; None: no answer."""
        left = deadline - time.monotonic()
        if left <= 0 or not self._room.acquire(timeout=left):
            return None
        try:
            try:
                process = self._idle.pop()
            except IndexError:  # asked beforehand, another thread could take the last
                process = _start()
            answer = _ask(process, json.dumps([language, programs]).encode(), deadline)
            if not answer:
                process.kill()
                process.communicate()
                return None
            self._idle.append(process)
            return bool(json.loads(answer))
        finally:
            self._room.release()


def _ask(process: "subprocess.Popen[bytes]", question: bytes, deadline: float) -> bytes:
    """The process' line; empty: there was none by the deadline."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(question + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    ready = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
    return process.stdout.readline() if ready else b""


def _start() -> "subprocess.Popen[bytes]":
    if find_spec("tree_sitter_language_pack") is None:
        raise UserError("checking syntax needs tree-sitter's grammars: pip install 'rewardranker[syntax]'")
    return subprocess.Popen(
        [sys.executable, "-m", "rewardranker.problems.syntax_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for its parent, which may still finish what it has begun
    )


def _forget() -> None:
    """After a fork: the pipes are the parent's."""
    global _workers  # noqa: PLW0603 - the processes are the interpreter's
    _workers = _Workers()


_workers = _Workers()
os.register_at_fork(after_in_child=_forget)
