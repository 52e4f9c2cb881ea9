"""C++: g++ as MultiPL-E calls it, with an end added to the program's text.

The linker gives the name `main` of the start-up code to a function of ours, which calls the program's `main`
and sends the key when that has returned 0. After the program's last line, `assert` must still be what
<assert.h> makes it, `main` no macro, and a failed assertion must reach a function that can't be redefined:
otherwise the program does not compile.

Where a program begins by including <bits/stdc++.h>, nothing before it but other standard headers, that header
is included first of all, precompiled. Its folder goes before the system's; should it be gone, the system's
header is read in its place.
"""

import re
import shutil

from rewardranker.execution.languages.language import Language, Prebuilt, apt
from rewardranker.execution.sandbox.isolation import PATH

_PROTECTED = ("main", "bool", "static_cast", "void", "__assert_fail", "__extension__", "static_assert")
_KEYWORDS = ("char", "const", "constexpr", "extern", "for", "if", "int", "long", "return", "unsigned")
_STRING = '#line 1 "assert"\nstatic constexpr char reward_ranker_{}[] = REWARD_RANKER_STRING(assert(0));\n'
_END = (
    "\n\n"  # the program may end in a backslash
    + "#ifdef NDEBUG\n#error NDEBUG would silence the assertions of the tests\n#endif\n"
    + "".join(f"#ifdef {word}\n#error {word} is defined as a macro\n#endif\n" for word in _PROTECTED)
    + "".join(f"#undef {word}\n" for word in _KEYWORDS)
    + "#define REWARD_RANKER_STRING(x) REWARD_RANKER_STRING_(x)\n#define REWARD_RANKER_STRING_(x) #x\n"
    + "#ifdef assert\n"
    + _STRING.format("found")
    + '#line 1 "end"\n#include <assert.h>\n'
    + _STRING.format("wanted")
    + """
static constexpr bool reward_ranker_equal(const char *a, const char *b) {
    for (; *a && *a == *b; ++a, ++b) {}
    return *a == *b;
}
static_assert(reward_ranker_equal(reward_ranker_found, reward_ranker_wanted), "assert was redefined");
#endif
#line 1 "end"
extern "C" {
long reward_ranker_read(int, void *, unsigned long) __asm__("read");
long reward_ranker_write(int, const void *, unsigned long) __asm__("write");
int __real_main(int, char **, char **);
int __wrap_main(int argc, char **argv, char **envp) {
    char key[32];
    if (reward_ranker_read(63, key, sizeof key) != sizeof key) return 120;
    int status = __real_main(argc, argv, envp);
    if (status == 0 && reward_ranker_write(63, key, sizeof key) != sizeof key) return 120;
    return status;
}
}
"""
)

_C_HEADERS = (
    *(
        "assert",
        "complex",
        "ctype",
        "errno",
        "fenv",
        "float",
        "inttypes",
        "limits",
        "locale",
        "math",
        "setjmp",
    ),
    *("signal", "stdarg", "stddef", "stdint", "stdio", "stdlib", "string", "time", "wchar", "wctype"),
)
_HEADERS = (
    *(f"{name}.h" for name in _C_HEADERS),
    *(f"c{name}" for name in _C_HEADERS if name != "complex"),
    *("algorithm", "any", "array", "atomic", "bitset", "charconv", "chrono", "codecvt", "complex"),
    *("condition_variable", "deque", "exception", "filesystem", "forward_list", "fstream", "functional"),
    *("future", "initializer_list", "iomanip", "ios", "iosfwd", "iostream", "istream", "iterator", "limits"),
    *("list", "locale", "map", "memory", "memory_resource", "mutex", "new", "numeric", "optional", "ostream"),
    *("queue", "random", "ratio", "regex", "scoped_allocator", "set", "shared_mutex", "sstream", "stack"),
    *("stdexcept", "streambuf", "string", "string_view", "system_error", "thread", "tuple", "type_traits"),
    *("typeindex", "typeinfo", "unordered_map", "unordered_set", "utility", "valarray", "variant", "vector"),
)
"""Of the standard, and included by <bits/stdc++.h>: their order among each other does not matter."""
_BEGINS_WITH_ALL = re.compile(
    r"(?:[ \t\n]|//[^\n\\]*+\n|/\*[^\\]*?\*/"
    rf"|#[ \t]*include[ \t]*<(?:{'|'.join(map(re.escape, _HEADERS))})>[ \t]*\n)*+"
    r"#[ \t]*include[ \t]*<bits/stdc\+\+\.h>"
)
_LANGUAGE = ("-std=c++17", "-pipe")
_LINKER = ("-fuse-ld=gold",) if shutil.which("ld.gold", path=PATH) else ()


def _build_options(source: str) -> tuple[str, ...]:
    if _BEGINS_WITH_ALL.match(source):
        return (*_LINKER, "-I{prebuilt}/include", "-include", "bits/stdc++.h")
    return _LINKER


CPP = Language(
    name="cpp",
    tools=(apt("g++", "g++"),),
    version_command=("g++", "--version"),
    files=lambda source, _: {"program.cpp": source + _END},
    build=("g++", *_LANGUAGE, "-Wl,--wrap=main", "program.cpp", "-o", "program"),
    build_options=_build_options,
    prebuilt=Prebuilt(
        sources={"include/bits/stdc++.h": "#include_next <bits/stdc++.h>\n"},
        commands=(("g++", *_LANGUAGE, "include/bits/stdc++.h", "-o", "include/bits/stdc++.h.gch"),),
    ),
    run=("./program",),
    error_line=r".*(error:|Assertion|terminate called|undefined reference).*",
)
