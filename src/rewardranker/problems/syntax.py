"""Whether a program parses, by tree-sitter's grammars: cheap, and running nothing.

The grammars are C, and what they read is untrusted: D's crashes on rare characters, Ruby's and Rust's take
minutes for some noise. So they read in a process of their own (`syntax_worker.py`), which is replaced when it
dies or takes too long.

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
_LIMIT_S = 5.0
"""Programs take a thousandth of it."""
_CLOSERS = ("", "\n}", "\n}\n}", "\nend")
"""What a completion may lack that was cut at the end of its function."""
_TYPEID = re.compile(r"\btypeid\s*\([^()\n]*\)")
"""The grammar of C++ does not know that `typeid` takes a type."""


def parses(language: str, program: str, *, cut: bool = False) -> bool | None:
    """Whether `program` is free of syntax errors; None: not judged.

    Not judged are the languages outside `JUDGED`, programs of more than 20,000 characters, and those that a
    grammar crashes on or reads for longer than five seconds.

    Args:
        language: canonical name.
        program: untrusted.
        cut: its last closing braces, or `end`, may be missing.

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
    return _worker.parses(language, [program + closer for closer in (_CLOSERS if cut else _CLOSERS[:1])])


def candidate_parses(problem: Problem, text: str, whole: bool = False) -> bool | None:
    """Whether a candidate's program parses, with the problem's tests: they may bring its closing brace.

    Args:
        problem: what `text` is a candidate for.
        text: the completion, or the program without its tests where `whole`.
        whole: see `rewardranker.problems.extraction.Extracted`.
    """
    program = text if whole else problem.prompt + text
    if problem.tests:
        return parses(problem.language, f"{program}\n{problem.tests}")
    return parses(problem.language, program, cut=not whole)


class _Worker:
    """The process with the grammars: started when it is needed, and again when it did not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def parses(self, language: str, programs: list[str]) -> bool | None:
        """Whether one of `programs` does; None: no answer."""
        with self._lock:
            if self._process is None or self._owner != os.getpid():  # a fork's pipes are its parent's
                self._process, self._owner = _start(), os.getpid()
            process = self._process
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps([language, programs]).encode() + b"\n")
                process.stdin.flush()
                answered = select.select([process.stdout], [], [], _LIMIT_S)[0]
                answer = process.stdout.readline() if answered else b""
            except BrokenPipeError:
                answer = b""
            if not answer:
                process.kill()
                process.communicate()
                self._process = None
                return None
            return bool(json.loads(answer))


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


_worker = _Worker()
