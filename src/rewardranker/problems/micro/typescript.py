"""Micro tasks in TypeScript: JavaScript with types in the function's head."""

from rewardranker.problems.micro import javascript
from rewardranker.problems.micro.emitter import Cases
from rewardranker.problems.micro.javascript import completion, output_probe

__all__ = ["completion", "output_probe", "prompt", "tests"]

LANGUAGE = "typescript"
ENTRY_POINT = "f"
STOP_TOKENS = ("\nfunction ", "\n/*", "\n//", "\nclass")


def prompt(text: str, returns_list: bool) -> str:
    """The head of the function that `text` asks for."""
    return f"//{text}\nfunction f(xs: number[]): number{'[]' if returns_list else ''} {{\n"


def tests(cases: Cases) -> str:
    """A function that asserts that each input gives the expected value, and its call."""
    return "declare var require: any;\n" + javascript.tests(cases)
