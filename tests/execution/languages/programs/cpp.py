# ruff: noqa: E501 - tables of programs
TESTS = "\nint main() {\n    auto candidate = f;\n    assert(candidate((1)) == (2));\n}\n"
HEAD = "#include<assert.h>\n#include<stdlib.h>\n#include<signal.h>\n#include<unistd.h>\n"

ENDINGS = {
    "right": (HEAD + "long f(long x) { return x + 1; }" + TESTS, "passed"),
    "wrong": (HEAD + "long f(long x) { return x; }" + TESTS, "failed"),
    "main with arguments": (
        "int main(int argc, char **argv) { return argc == 1 && argv[0] ? 0 : 1; }",
        "passed",
    ),
    "exit code": ("int main() { return 3; }", "failed"),
    "exception": ("int main() { throw 1; }", "failed"),
    "no main": ("long f(long x) { return x; }", "syntax_error"),
    "does not parse": ("int main() { return (((; }", "syntax_error"),
    "int is a macro": (
        "#include <cassert>\n#define int long long\nsigned main() { int x = 1; assert(x); }",
        "passed",
    ),
    "assert of its own": ("void assert(bool) {}\nint main() { assert(true); }", "passed"),
    "last line is a comment": ("int main() {} // end \\", "passed"),
    "destructors run": (
        '#include <unistd.h>\nstruct A { ~A() { write(1, "x", 1); } } a;\nint main() {}',
        "passed",
    ),
    "segfault": ("int main() { return *(volatile int *)0; }", "failed"),
    "loop": ("int main() { for (volatile int i = 0;; i = i + 1) {} }", "timeout"),
}

_FAKES = {
    "exit": "long f(long x) { exit(0); }",
    "_Exit": "long f(long x) { _Exit(0); }",
    "_exit": "long f(long x) { _exit(0); }",
    "quick_exit": "long f(long x) { quick_exit(0); }",
    "SIGABRT handler": "long f(long x) { signal(SIGABRT, [](int) { _Exit(0); }); return x; }",
    "atexit": "long f(long x) { atexit([] { _Exit(0); }); exit(1); }",
    "before main": "struct A { A() { _exit(0); } } a; long f(long x) { return x; }",
    "another program": 'long f(long x) { execl("/bin/true", "true", (char *)0); return x; }',
    "every descriptor": "long f(long x) { for (int n = 3; n < 64; n++) { char b[32] = {}; write(n, b, 32); } _exit(0); }",
    "redefines what a failed assert calls": 'extern "C" void __assert_fail(const char *, const char *, unsigned, const char *) noexcept { _exit(0); }\n'
    "long f(long x) { return x; }",
}

_SILENCED = {  # the tests' own assert, or main
    "NDEBUG": "#define NDEBUG\n#include <assert.h>\nlong f(long x) { return x; }",
    "assert": "#undef assert\n#define assert(x) ((void)0)\nlong f(long x) { return x; }",
    "assert that looks like it": '#undef assert\n#define assert(x) (true ? void(0) : __assert_fail(#x, __FILE__, __LINE__, ""))\n'
    "long f(long x) { return x; }",
    "a macro for what it calls": "#define __assert_fail(...) void(0)\nlong f(long x) { return x; }",
    "main": "int main() {}\n#define main other\nlong f(long x) { return x; }",
    "the function that calls main": 'extern "C" int __wrap_main() { return 0; }\nlong f(long x) { return x; }',
}

ENDINGS |= {f"silenced: {name}": (HEAD + trick + TESTS, "syntax_error") for name, trick in _SILENCED.items()}
FAKED_ENDINGS = {name: HEAD + fake + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    '#include <assert.h>\n#include <stdio.h>\nint main() {\n    puts("out");\n    fflush(stdout);\n    assert(1 == 2);\n}\n': (
        "program.cpp:6: int main(): Assertion `1 == 2' failed",
        "out\n",
    ),
    "int main() {\n    x;\n}\n": ("program.cpp:2:",),
}
REASONS = {
    "#include <assert.h>\nint main() { assert(1 == 2); }": "program: program.cpp:2: int main(): Assertion `1 == 2' failed."
}
