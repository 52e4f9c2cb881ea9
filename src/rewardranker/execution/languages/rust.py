"""Rust: rustc as MultiPL-E calls it, with a C function around the program's start.

The linker gives the name `main` of the start-up code to a function of ours, as in C++; rustc's `main`, which
that calls, returns 0 when the program's has returned without a panic. No key is sent for a program that names
an `assert` without calling it, for it may define one, or that brings a `main` of its own for the linker.
"""

import re

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """
#include <unistd.h>
int __real_main(int, char **);
int __wrap_main(int argc, char **argv) {
    char key[32];
    if (read(63, key, sizeof key) != sizeof key) return 120;
    int status = __real_main(argc, argv);
    if (status == 0 && %d && write(63, key, sizeof key) != sizeof key) return 120;
    return status;
}
"""
_UNTRUSTED = re.compile(r"\bassert(_eq|_ne)?\b(?!\s*!)|\bno_main\b")

RUST = Language(
    name="rust",
    tools=(apt("rustc", "rustc"),),
    version_command=("rustc", "--version"),
    files=lambda source, _: {
        "program.rs": source,
        "launcher.c": _LAUNCHER % (not _UNTRUSTED.search(source)),
    },
    build=("rustc", "-Clink-args=-Wl,--wrap=main launcher.c", "program.rs", "-o", "program"),
    run=("./program",),
    error_line=r"error(\[E\d+\])?: .*|thread '.*' panicked at .*",
)
