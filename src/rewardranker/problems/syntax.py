"""Whether a program parses, by tree-sitter's grammars: cheap, in this process, and running nothing.

The grammars come with tree-sitter-language-pack 0.13, in the extra "syntax"; nothing is downloaded. They read
much that a compiler would refuse: that a program parses says little, that it does not says a lot, where the
grammar knows its language. Which do was measured: docs/results/syntax.md.
"""

import re
from typing import TYPE_CHECKING

from rewardranker.errors import UserError
from rewardranker.problems.problem import Problem

if TYPE_CHECKING:
    from tree_sitter import Parser

JUDGED = frozenset(
    {"python", "cpp", "java", "php", "typescript", "csharp", "javascript", "ruby"}
    | {"go", "rust", "ocaml", "racket", "d"}
)
"""Languages whose grammar reads the right programs that were found, fifty at least. Those of Bash and Perl
reject every tenth; for Haskell, Lua, R and Scala too few were at hand to tell."""
_LONGEST = 20_000
"""Most characters of a program that is judged: D's grammar takes 20 s for 100,000 of noise."""
_CLOSERS = ("", "\n}", "\n}\n}", "\nend")
"""What a completion may lack that was cut at the end of its function."""
_TYPEID = re.compile(r"\btypeid\s*\([^()\n]*\)")
"""The grammar of C++ does not know that `typeid` takes a type."""


def parses(language: str, program: str, *, cut: bool = False) -> bool | None:
    """Whether `program` is free of syntax errors; None: not judged.

    Not judged are the languages outside `JUDGED`, and programs of more than 20,000 characters.

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
    parse = _parser(language).parse
    return any(
        not parse((program + closer).encode("utf-8", "replace")).root_node.has_error
        for closer in (_CLOSERS if cut else _CLOSERS[:1])
    )


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


def _parser(language: str) -> "Parser":
    """A parser of its own for each caller: threads must not share one."""
    try:
        from tree_sitter import Parser
        from tree_sitter_language_pack import get_language
    except ImportError as e:
        raise UserError(
            "checking syntax needs tree-sitter's grammars: pip install 'rewardranker[syntax]'"
        ) from e
    return Parser(get_language(language))  # type: ignore[arg-type] # a name out of 170
