# ruff: noqa: E501 - tables of programs
import pytest

LANGUAGE = "java"
TESTS = "    public static void main(String[] args) {\n    assert(f((1l)) == (2l));\n    }\n}\n"
HEAD = "import java.util.*;\nclass Problem {\n"

ENDINGS = {
    "right": (HEAD + "    public static long f(long x) { return x + 1; }\n" + TESTS, "passed", "passed"),
    "wrong": (HEAD + "    public static long f(long x) { return x; }\n" + TESTS, "failed", "failed"),
    "javatuples": (
        "import org.javatuples.*;\nclass Problem { public static void main(String[] a) {\n"
        "assert Pair.with(1, 2).getValue1() == 2; } }",
        "passed",
        "passed",
    ),
    "public class of another name": (
        "class Solution { int f() { return 1; } }\npublic class Main {\n"
        "public static void main(String[] a) { if (new Solution().f() != 1) throw new AssertionError(); } }",
        "passed",
        "passed",
    ),
    "exit code": (
        HEAD + "    static long f(long x) { System.exit(3); return x; }\n" + TESTS,
        "failed",
        "failed",
    ),
    "wrong type": (
        HEAD + '    static long f(long x) { return "a"; }\n' + TESTS,
        "syntax_error",
        "syntax_error",
    ),
    "no main": ("class Problem {}", "failed", "failed"),
    "too much memory": (
        "class Problem { public static void main(String[] a) { long[] x = new long[1 << 28]; } }",
        "failed",
        "failed",
    ),
    "deep recursion": (HEAD + "    static long f(long x) { return f(x) + 1; }\n" + TESTS, "failed", "failed"),
    "loop": (HEAD + "    static long f(long x) { while (true) {} }\n" + TESTS, "timeout", "timeout"),
}

FAKED_ENDINGS = {
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


@pytest.mark.parametrize("ending", ENDINGS)
def test_status(run, ending):
    source, status, strict_status = ENDINGS[ending]
    verdict = run(source)
    assert (verdict.status, verdict.strict_status) == (status, strict_status), verdict
    assert verdict.phase == ("build" if strict_status == "syntax_error" else "run")


@pytest.mark.parametrize("fake", FAKED_ENDINGS)
def test_an_early_end_is_no_pass(run, fake):
    verdict = run(HEAD + FAKED_ENDINGS[fake] + "\n" + TESTS)
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("passed", "failed", 0), verdict


def test_messages_name_the_programs_lines(run):
    verdict = run(
        "class Problem {\n  public static void main(String[] a) {\n    System.out.println(1);\n    assert 1 == 2 : a;\n  }\n}"
    )
    assert 'Exception in thread "main" java.lang.AssertionError' in verdict.stderr
    assert "at Problem.main(Problem.java:4)" in verdict.stderr
    assert verdict.stdout == "1\n"
    assert "Problem.java:2: error" in run("class Problem {\n  int f() { return x; }\n}").stderr


def test_the_reason_is_one_line(run):
    assert (
        run(
            'class Problem { public static void main(String[] a) { throw new RuntimeException("why"); } }'
        ).reason
        == 'Exception in thread "main" java.lang.RuntimeException: why'
    )
