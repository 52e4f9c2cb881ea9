# ruff: noqa: E501 - tables of programs
HEAD = "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nusing System.Linq;\nclass Problem {\n"
TESTS = "    public static void Main(string[] args) {\n    Debug.Assert(F((1L)) == (2L));\n    }\n}\n"

ENDINGS = {
    "right": (HEAD + "    public static long F(long x) { return x + 1; }\n" + TESTS, "passed"),
    "wrong": (HEAD + "    public static long F(long x) { return x; }\n" + TESTS, "failed"),
    "exception": (
        HEAD + '    public static long F(long x) { throw new Exception("why"); }\n' + TESTS,
        "failed",
    ),
    "main with a result": ("class P { static int Main() { return 0; } }", "passed"),
    "exit code": ("class P { static int Main() { return 3; } }", "failed"),
    "big integers": (
        "using System.Numerics;\nclass P { static void Main() { if (BigInteger.Pow(2, 70).ToString().Length != 22) throw new System.Exception(); } }",
        "passed",
    ),
    "wrong type": (HEAD + '    static long F(long x) { return "a"; }\n' + TESTS, "syntax_error"),
    "writes to Debug": (
        HEAD + '    static long F(long x) { Debug.WriteLine("{0}", x); Debug.Indent(); return 2; }\n' + TESTS,
        "passed",
    ),
    "the system's Debug": (
        "class P { static void Main() { System.Diagnostics.Debug.Assert(false); } }",
        "failed",
    ),
    "a second Debug": (
        HEAD
        + "static long F(long x) { return x; }\n"
        + TESTS
        + "class Debug { public static void Assert(bool b) {} }",
        "syntax_error",
    ),
    "loop": (HEAD + "    static long F(long x) { while (true) {} }\n" + TESTS, "timeout"),
}

_FAKES = {
    "Environment.Exit": "static long F(long x) { Environment.Exit(0); return x; }",
    "ProcessExit": "static long F(long x) { AppDomain.CurrentDomain.ProcessExit += (a, b) => Environment.Exit(0);\n"
    "Environment.Exit(0); return x; }",
    "unhandled exception": "static long F(long x) {\n"
    "AppDomain.CurrentDomain.UnhandledException += (a, b) => Environment.Exit(0); throw new Exception(); }",
    "static constructor": "static Problem() { Environment.Exit(0); } static long F(long x) { return x; }",
    "no listeners": "static long F(long x) { Debug.Listeners.Clear(); return x; }",
    "no listeners of Trace": "static long F(long x) { Trace.Listeners.Clear(); return x; }",
    "no stderr": "static long F(long x) { Console.SetError(System.IO.TextWriter.Null); Debug.Listeners.Clear(); return x; }",
    "a Debug of its own": "class Debug { public static void Assert(bool b) {} } static long F(long x) { return x; }",
    "a member called Debug": "class D { public void Assert(bool b) {} } static D Debug = new D(); static long F(long x) { return x; }",
    "another Main": "public static void Main(string[] args) {}\n}\nclass Other {\nstatic long F(long x) { return x; }",
}

FAKED_ENDINGS = {name: HEAD + fake + "\n" + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    'using System.Diagnostics;\nclass P {\n  static void Main() {\n    System.Console.WriteLine(1);\n    Debug.Assert(1 == 2, "why");\n  }\n}': (
        "1\n",
        "why",
    ),
    "class P {\n  int F() { return x1; }\n}": ("program.cs(2,20): error",),
}
REASONS = {'class P { static void Main() { throw new System.Exception("why"); } }': "System.Exception: why"}
