# ruff: noqa: E501 - tables of programs
TESTS = "    public static void main(String[] args) {\n    assert(f((1l)) == (2l));\n    }\n}\n"
HEAD = "import java.util.*;\nclass Problem {\n"

ENDINGS = {
    "right": (HEAD + "    public static long f(long x) { return x + 1; }\n" + TESTS, "passed"),
    "wrong": (HEAD + "    public static long f(long x) { return x; }\n" + TESTS, "failed"),
    "javatuples": (
        "import org.javatuples.*;\nclass Problem { public static void main(String[] a) {\n"
        "assert Pair.with(1, 2).getValue1() == 2; } }",
        "passed",
    ),
    "public class of another name": (
        "class Solution { int f() { return 1; } }\npublic class Main {\n"
        "public static void main(String[] a) { if (new Solution().f() != 1) throw new AssertionError(); } }",
        "passed",
    ),
    "exit code": (HEAD + "    static long f(long x) { System.exit(3); return x; }\n" + TESTS, "failed"),
    "wrong type": (HEAD + '    static long f(long x) { return "a"; }\n' + TESTS, "syntax_error"),
    "no main": ("class Problem {}", "failed"),
    "too much memory": (
        "class Problem { public static void main(String[] a) { long[] x = new long[1 << 28]; } }",
        "failed",
    ),
    "deep recursion": (HEAD + "    static long f(long x) { return f(x) + 1; }\n" + TESTS, "failed"),
    "loop": (HEAD + "    static long f(long x) { while (true) {} }\n" + TESTS, "timeout"),
}

_FAKES = {
    "System.exit": "static long f(long x) { System.exit(0); return x; }",
    "halt": "static long f(long x) { Runtime.getRuntime().halt(0); return x; }",
    "shutdown hook": "static long f(long x) {\n"
    "Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0))); return x; }",
    "exception handler": "static long f(long x) {\n"
    "Thread.setDefaultUncaughtExceptionHandler((t, e) -> Runtime.getRuntime().halt(0)); return x; }",
    "static initializer": "static { System.exit(0); } static long f(long x) { return x; }",
    "thread": "static long f(long x) throws Exception { new Thread(() -> System.exit(0)).start();\n"
    "try { Thread.sleep(9999); } catch (InterruptedException e) {} return x; }".replace(
        " throws Exception", ""
    ),
    "another main": "static long f(long x) { return x; }\n"
    "public static void main(String[] args) {}\n}\nclass Other {\nstatic long f(long x) { return x; }",
    "looks at files": """static long f(long x) {
  try {
    var out = new java.io.FileOutputStream("/proc/self/fd/63");
    out.write(new byte[32]);
  } catch (Exception e) {}
  System.exit(0); return x; }""",
    "a launcher of its own": "static class Launcher { }\nstatic long f(long x) { System.exit(0); return x; }",
}

FAKED_ENDINGS = {name: HEAD + fake + "\n" + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    "class Problem {\n  public static void main(String[] a) {\n    System.out.println(1);\n    assert 1 == 2 : a;\n  }\n}": (
        'Exception in thread "main" java.lang.AssertionError',
        "at Problem.main(Problem.java:4)",
        "1\n",
    ),
    "class Problem {\n  int f() { return x; }\n}": ("Problem.java:2: error",),
}
REASONS = {
    'class Problem { public static void main(String[] a) { throw new RuntimeException("why"); } }': 'Exception in thread "main" java.lang.RuntimeException: why'
}
