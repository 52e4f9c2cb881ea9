# ruff: noqa: E501 - tables of programs
HEAD = "import std.math;\nimport std.typecons;\n"
TESTS = """
unittest
{
    alias candidate = f;

    assert(candidate(1L) == 2L);
}
void main(){}
"""
WRONG = "long f(long x)\n{ return x; }"

ENDINGS = {
    "right": (HEAD + "long f(long x)\n{\n    return x + 1;\n}" + TESTS, "passed"),
    "wrong": (HEAD + WRONG + TESTS, "failed"),
    "throws": (HEAD + 'long f(long x)\n{ throw new Exception("why"); }' + TESTS, "failed"),
    "main after tests": ("unittest { assert(true); }\nint main() { return 1; }", "passed"),
    "without tests": ("void main() {}", "passed"),
    "main with a result": (
        "int main(string[] arguments) { return cast(int) arguments.length - 1; }",
        "passed",
    ),
    "exit code": ("int main() { return 3; }", "failed"),
    "module": ("module solution;\n" + HEAD + "long f(long x)\n{ return x + 1; }" + TESTS, "passed"),
    "names of the launcher": (
        HEAD + "int key, ran, write;\nlong f(long x)\n{ return x + 1 + ran; }" + TESTS,
        "passed",
    ),
    "does not parse": (HEAD + "long f(long x)\n{ return (; }" + TESTS, "syntax_error"),
    "wrong type": (HEAD + 'long f(long x)\n{ return "a"; }' + TESTS, "syntax_error"),
    "bounds": (HEAD + "long f(long x)\n{ long[] a; return a[x]; }" + TESTS, "failed"),
    "segfault": (HEAD + "long f(long x)\n{ long* p; return *p; }" + TESTS, "failed"),
    "loop": (HEAD + "long f(long x)\n{ while (true) {} }" + TESTS, "timeout"),
    "too much memory": (HEAD + "long f(long x)\n{ long[] a = [x]; while (true) a ~= a; }" + TESTS, "failed"),
}

FAKED_ENDINGS = {
    name: HEAD + program + TESTS
    for name, program in {
        "exit": "import core.stdc.stdlib;\nlong f(long x)\n{ exit(0); return x; }",
        "_exit": "import core.sys.posix.unistd;\nlong f(long x)\n{ _exit(0); return x; }",
        "before main": "import core.stdc.stdlib;\nshared static this() { exit(0); }\n" + WRONG,
        "destructor": "import core.stdc.stdlib;\nshared static ~this() { _Exit(0); }\n" + WRONG,
        "thread": "import core.thread, core.stdc.stdlib;\nlong f(long x)\n{ new Thread({ exit(0); }).start(); while (true) {} }",
        "signal handler": "import core.stdc.signal, core.stdc.stdlib;\nextern (C) void end(int) nothrow @nogc { _Exit(0); }\n"
        "long f(long x)\n{ signal(SIGABRT, &end); abort(); return x; }",
        "another program": 'import std.process;\nlong f(long x)\n{ execv("/bin/true", ["true"]); return x; }',
        "tests are not run": "import core.runtime;\nshared static this() { Runtime.moduleUnitTester = () => true; }\n"
        + WRONG,
        "failed assertions go on": "import core.exception;\nshared static this() { assertHandler = (string f, size_t l, string m) nothrow {}; }\n"
        + WRONG,
        "tests are not compiled": "void main() {}\n" + WRONG + "\nversion (none):",
        "every descriptor": "import core.sys.posix.unistd;\nlong f(long x)\n{ ubyte[32] b; foreach (n; 3 .. 64) write(n, b.ptr, 32); _exit(0); return x; }",
    }.items()
}

MESSAGES = {
    HEAD
    + 'import std.stdio;\nlong f(long x)\n{\n    writeln("out");\n    stdout.flush();\n    return x;\n}'
    + TESTS: (
        "out\n",
        "program.d(14): [unittest] unittest failure",
    ),
    "void main() {\n    x;\n}\n": ("program.d:2:5: error: undefined identifier",),
}
REASONS = {HEAD + WRONG + TESTS: "1/2 modules FAILED unittests"}
