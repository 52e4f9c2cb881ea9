"""Examples that a Python problem's statement shows, as asserts."""

import ast
import doctest
import re
from typing import Any

_Example = tuple[list[Any], Any]
"""Arguments and result."""
_SIGN = re.compile(r"[ \t]*(?:#[ \t]*)?(==>|=>|==|->|➞|=|(?:should[ \t]+)?returns?\b|should[ \t]+be\b)[ \t]*")
"""Between a call and its result."""
_FOR = re.compile(r"^[ \t]*For (?P<given>\w+[ \t]*=.*?),?[ \t]+the (?:output|result) should be[ \t]*", re.M)
_INPUT = re.compile(r"^[ \t]*Input:[ \t]*(?P<given>.*)\n[ \t]*Output:[ \t]*", re.M)
_LONGEST = 2000
"""Characters of a call's arguments."""
_NO_LITERAL = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What `ast.literal_eval` raises: {{1}} is a TypeError, too many signs in a row are a MemoryError."""


def prompt_examples(prompt: str, entry_point: str = "") -> str:
    """The examples in a Python prompt with literal arguments and results, as asserts; empty without.

    Doctests (`>>> f(1)` over its result); where there are none, `f(1) == 2` (=>, ->, ➞, returns, ...),
    "For x = 1 the output should be 2" and "Input: 1" over "Output: 2". A form is passed over as a whole where
    one of its examples can't be read: such a statement means something else by it, or is careless.

    Args:
        prompt: the program's beginning, which holds the statement.
        entry_point: the function asked for; empty: the last one that the prompt begins.

    Example:
        >>> prompt_examples("def inc(x):\\n    # inc(1) => 2\\n")
        'assert (inc(1)) == 2\\n'
        >>> prompt_examples("def inc(x):\\n    # inc(1) => 2\\n    # inc(2) => 2 + 1\\n")
        ''
    """
    text = prompt.rstrip().removesuffix('"""').removesuffix("'''")
    found = _doctests(text)
    if not found and (begun := re.findall(r"^def (\w+)\(", text, re.M)):
        name = entry_point or begun[-1]
        signature, _, statement = text.partition(f"def {name}(")[2].partition("\n")
        examples = [
            *_calls(name, statement),
            *_named(_FOR, signature, statement),
            *_named(_INPUT, signature, statement),
        ]
        found = [f"assert ({name}({', '.join(map(repr, given))})) == {want!r}" for given, want in examples]
    return "".join(f"{line}\n" for line in found)


def _calls(name: str, statement: str) -> list[_Example]:
    """f(1) == 2"""
    by_sign: dict[str, list[_Example | None]] = {}
    for match in re.finditer(rf"(?<![\w.]){re.escape(name)}\(", statement):
        given, end = _arguments(statement, match.end())
        sign = _SIGN.match(statement, end)
        if sign is None:
            if statement[: match.start()].endswith(">>> "):
                return []
            continue
        want = _literal(statement[sign.end() :])
        read = None if given is None or want is None else (given, want[0])
        by_sign.setdefault(sign[1], []).append(read)
    return [e for examples in by_sign.values() if None not in examples for e in examples if e is not None]


def _named(form: re.Pattern[str], signature: str, statement: str) -> list[_Example]:
    """For x = 1 the output should be 2"""
    found: list[_Example] = []
    for match in form.finditer(statement):
        given, want = _given(match["given"], signature), _literal(statement[match.end() :])
        if given is None or want is None:
            return []
        found.append((given, want[0]))
    return found


def _given(text: str, signature: str) -> list[Any] | None:
    """The arguments that "x = 1, y = 2" or "1" gives, in the signature's order."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        names = [a.arg for a in ast.parse(f"def f({signature.rstrip()} pass").body[0].args.args]  # type: ignore[attr-defined]
        if not isinstance(call, ast.Call):
            return None
        values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        if not values and len(call.args) == len(names) == 1:
            return [ast.literal_eval(call.args[0])]
        return [values[n] for n in names] if values.keys() == set(names) and not call.args else None
    except _NO_LITERAL:
        return None


def _arguments(text: str, start: int) -> tuple[list[Any] | None, int]:
    """The arguments of a call that goes on at `start`, and where it ends; None: they are no literals."""
    last = start
    for match in re.finditer(r"\)", text[start : start + _LONGEST]):
        inner, last = text[start : start + match.start()], start + match.end()
        try:
            return list(ast.literal_eval(f"[{inner}]")), last
        except _NO_LITERAL:
            continue
    return None, text.find(")", start) + 1 or last


def _literal(text: str) -> tuple[Any] | None:
    """What is written up to the end of the line, the full stop or a comment; None: it is no literal.

    Nor is ("a"), which may mean a tuple.
    """
    line = text.partition("\n")[0].strip()
    for shown in (line.rstrip(".,;"), line.partition("#")[0].strip()):
        if shown in ("true", "false"):
            return (shown == "true",)
        try:
            value = ast.literal_eval(shown)
        except _NO_LITERAL:
            continue
        return None if shown.startswith("(") and not isinstance(value, tuple) else (value,)
    return None


def _doctests(text: str) -> list[str]:
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # inconsistent indentation: prose that looks like an example
        return []
    return [line for line in map(_as_assert, examples) if line]


def _as_assert(example: doctest.Example) -> str:
    try:
        expression = ast.unparse(ast.parse(example.source.strip(), mode="eval"))
        return f"assert ({expression}) == {ast.literal_eval(example.want.strip())!r}"
    except _NO_LITERAL:
        return ""
