"""What a language is to the sandbox."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language whose programs can be run: how it is called and how its evaluator tells a syntax error."""

    name: str
    aliases: tuple[str, ...]
    version: Callable[[], str]
    """Version of the toolchain that runs the programs, for people."""
    syntax_error_mark: str
    """MultiPL-E calls a program that exits with an error a syntax error when its stderr contains this."""
