"""D: gdc with unit tests, and a module of ours around the program's start.

The linker gives the name `main` of the start-up code to a function of ours, as in C++. That sends the key if
the run-time ran the unit tests (one of ours among them), the program has as many as its text says, and a
failed assertion still throws. A program that has unit tests is over when they are: its `main` is not run.
"""

import re

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """module reward_ranker;
static import core.exception;
static import core.sys.posix.unistd;
static import %s;

private __gshared int ran;
%sunittest { ran = 1; }

extern (C) int __real_main(int, char**);
extern (C) int __wrap_main(int argc, char** argv) {
    ubyte[32] key;
    if (core.sys.posix.unistd.read(63, key.ptr, 32) != 32) return 120;
    immutable status = __real_main(argc, argv);
    immutable tests = __traits(getUnitTests, %s).length;
    if (status == 0 && tests == %d && ran == (tests > 0) && core.exception.assertHandler is null)
        core.sys.posix.unistd.write(63, key.ptr, 32);
    return status;
}
"""
_MODULE = re.compile(r"^\s*module\s+([\w.]+)", re.M)
_UNIT_TEST = re.compile(r"^\s*unittest\b", re.M)


def _files(source: str, _: str) -> dict[str, str]:
    found = _MODULE.search(source)
    module = found[1] if found else "program"
    tests = len(_UNIT_TEST.findall(source))
    return {
        "program.d": source,
        "reward_ranker.d": _LAUNCHER % (module, "" if tests else "version (none) ", module, tests),
    }


D = Language(
    name="d",
    tools=(apt("gdc", "gdc"),),
    version_command=("gdc", "--version"),
    files=_files,
    build=("gdc", "-funittest", "-Wl,--wrap=main", "program.d", "reward_ranker.d", "-o", "program"),
    run=("./program",),
    error_line=r".*error: .*|\S*(Error|Exception)@.*|.* FAILED unittests",
)
