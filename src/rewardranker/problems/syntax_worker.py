"""The process that `syntax.py` starts: reads programs with tree-sitter's grammars until its input ends.

A line of JSON each: the language and some programs; the answer is whether one of them has no syntax error.
"""

import json
import resource
import sys

from tree_sitter import Parser
from tree_sitter_language_pack import get_language

_MEMORY = 1 << 30
"""Bytes of address space: a program that takes more ends this process."""


def main() -> None:
    """Answer line by line."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parsers: dict[str, Parser] = {}
    for line in sys.stdin.buffer:
        language, programs = json.loads(line)
        parser = parsers.get(language) or parsers.setdefault(language, Parser(get_language(language)))
        trees = (parser.parse(program.encode("utf-8", "replace")) for program in programs)
        sys.stdout.write(json.dumps(any(not tree.root_node.has_error for tree in trees)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
