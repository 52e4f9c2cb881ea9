"""Compile a program a language in its warm compiler, as whoever runs this; a JSON line each."""

import json

from rewardranker.execution.compilers.compiler import Compiler
from rewardranker.execution.compilers.prebuilt import prepare
from rewardranker.execution.languages import LANGUAGES
from rewardranker.execution.languages.language import Language

SOURCES = {
    "java": "class Problem { int f() { return 1; } }",
    "typescript": "let x: number = 1;",
    "csharp": "class Problem { static void Main() { } }",
}


def returncodes(language: Language) -> list[int]:
    """Of a right program and a wrong one, in that order."""
    prepare(language)
    compiler = Compiler(language)
    try:
        compiler.wait_until_ready()
        codes = []
        for source in (SOURCES[language.name], "("):
            files = language.files(source, "").items()
            compiler.send({name: text.encode() for name, text in files})
            codes.append(compiler.receive().returncode)
    finally:
        compiler.close()
    return codes


def main() -> None:
    for language in LANGUAGES:
        if language.warm and not language.missing(""):
            print(json.dumps([language.name, returncodes(language)]), flush=True)


if __name__ == "__main__":
    main()
