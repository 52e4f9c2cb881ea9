"""The process that `syntax.py` starts: reads programs with tree-sitter's grammars until its input ends.

A line of JSON each: the language and some programs; the answer is whether one of them has no syntax error.
"""

import json
import resource
import signal
import sys

from tree_sitter import Parser
from tree_sitter_language_pack import get_language

_MEMORY = 1 << 30
"""Bytes of address space: a program that takes more ends this process."""
_CPU_S = 1.0
"""Likewise, seconds of computing. Programs take a hundredth."""


def main() -> None:
    """Answer line by line."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parsers: dict[str, Parser] = {}
    for line in sys.stdin.buffer:
        language, programs = json.loads(line)
        parser = parsers.get(language) or parsers.setdefault(language, Parser(get_language(language)))
        signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_S)  # its signal, which nothing handles, ends the process
        trees = (parser.parse(program.encode("utf-8", "replace")) for program in programs)
        found = any(not tree.root_node.has_error for tree in trees)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
