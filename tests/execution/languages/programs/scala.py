# ruff: noqa: E501 - tables of programs
HEAD = "import scala.math._\nimport scala.collection.mutable._\nobject Problem {\n"
TESTS = """
    def main(args: Array[String]) = {
    assert(f(1l.toLong) == (2l));
    }

}
"""
WRONG = "def f(x : Long) : Long = x"

ENDINGS = {
    "right": (HEAD + "    def f(x : Long) : Long = {\n        x + 1\n    }" + TESTS, "passed"),
    "wrong": (HEAD + WRONG + TESTS, "failed"),
    "exception": (HEAD + 'def f(x : Long) : Long = throw new Exception("why")' + TESTS, "failed"),
    "exit code": (HEAD + "def f(x : Long) : Long = sys.exit(3)" + TESTS, "failed"),
    "prints on stderr": (
        HEAD + 'def f(x : Long) : Long = { System.err.print("x"); x + 1 }' + TESTS,
        "failed",
    ),
    "App": ("object Problem extends App { assert(1 + 1 == 2) }", "passed"),
    "no Problem": ("object Other { def main(args: Array[String]) = {} }", "failed"),
    "classes of its own": (
        HEAD
        + "case class A(x: Long); trait B { def g(x: Long) = A(x + 1).x }; object C extends B\ndef f(x : Long) : Long = C.g(x)"
        + TESTS,
        "passed",
    ),
    "does not parse": (HEAD + "def f(x : Long) : Long = {" + TESTS, "syntax_error"),
    "wrong type": (HEAD + 'def f(x : Long) : Long = "a"' + TESTS, "syntax_error"),
    "loop": (HEAD + "def f(x : Long) : Long = { while (true) {}; x }" + TESTS, "timeout"),
    "too much memory": (HEAD + "def f(x : Long) : Long = new Array[Long](1 << 28).length" + TESTS, "failed"),
    "deep recursion": (HEAD + "def f(x : Long) : Long = f(x) + 1" + TESTS, "failed"),
}

FAKED_ENDINGS = {
    name: HEAD + program + TESTS
    for name, program in {
        "exit": "def f(x : Long) : Long = sys.exit(0)",
        "halt": "def f(x : Long) : Long = { Runtime.getRuntime.halt(0); x }",
        "exit when it is initialised": WRONG + "\nsys.exit(0)",
        "exit in a thread": "def f(x : Long) : Long = { new Thread(new Runnable { def run() = sys.exit(0) }).start(); Thread.sleep(9999); x }",
        "shutdown hook": WRONG + "\nsys.addShutdownHook(Runtime.getRuntime.halt(0))\nsys.exit(1)",
        "exception handler": "Thread.setDefaultUncaughtExceptionHandler(new Thread.UncaughtExceptionHandler { def uncaughtException(t: Thread, e: Throwable) = sys.exit(0) })\n"
        + WRONG,
        "assert of its own": WRONG + "\ndef assert(x: Boolean) = ()",
        "assert of another": WRONG + "\nobject A { def assert(x: Boolean) = () }\nimport A._",
        "assert that is a value": WRONG + "\nval assert = (x: Boolean) => ()",
        "assert by another name": WRONG
        + "\nobject A { def nothing(x: Boolean) = () }\nimport A.{nothing => assert}",
        "another main": WRONG + "\ndef main(args: Array[String]) = {}\n}\nobject Other {\n" + WRONG,
    }.items()
}

MESSAGES = {
    HEAD + 'def f(x : Long) : Long = {\n    println("out")\n    throw new Exception("why")\n}' + TESTS: (
        "out\n",
        'Exception in thread "main" java.lang.Exception: why',
        "program.scala:6",
    ),
    "object Problem {\n  val x = y\n}": ("program.scala:2: error: not found: value y",),
}
REASONS = {HEAD + WRONG + TESTS: 'Exception in thread "main" java.lang.AssertionError: assertion failed'}
