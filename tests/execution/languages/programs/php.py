# ruff: noqa: E501 - tables of programs
TESTS = """
function candidate(...$args) { return f(...$args); }
function test(): void {
    if (candidate(1) !== 2) { throw new Exception("Test failed!"); }
}
test();
"""

ENDINGS = {
    "right": ("<?php\nfunction f($x) { return $x + 1; }" + TESTS, "passed"),
    "wrong": ("<?php\nfunction f($x) { return $x; }" + TESTS, "failed"),
    "empty": ("<?php\n", "passed"),
    "exit code": ("<?php\nexit(3);", "failed"),
    "does not parse": ("<?php\nfunction f( {", "syntax_error"),
    "unknown function": ("<?php\nnothing_of_that_name();", "failed"),
    "strict types": ("<?php\ndeclare(strict_types=1);\n$x = 1;", "passed"),
    "namespace": ("<?php\nnamespace A\\B;\nfunction fwrite() { return 1; }\nfwrite();", "passed"),
    "global variables": (
        "<?php\n$a = 1;\nfunction g() { global $a; return $a; }\nif (g() !== 1) exit(1);",
        "passed",
    ),
    "closing tag": ("<?php\n$x = 1;\n?>\n", "passed"),
    "reads files": (
        "<?php\nfile_put_contents('a', 'b');\nif (file_get_contents('a') !== 'b') exit(1);",
        "passed",
    ),
    "last line is a comment": ("<?php\n$x = 1; // one", "passed"),
    "usual functions": ("<?php\nif (!ctype_alpha('a') || json_encode([1]) !== '[1]') exit(1);", "passed"),
    "loop": ("<?php\nwhile (true) {}", "timeout"),
}

_FAKES = {
    "exit": "function f($x) { exit(0); }",
    "die": "function f($x) { die('done'); }",
    "exit at the top": "exit(0);",
    "return at the top": "return;",
    "shutdown function": "register_shutdown_function(function () { exit(0); }); exit(1);",
    "exception handler": "set_exception_handler(function () { exit(0); }); function f($x) { return $x; }",
    "halt of the compiler": "function f($x) { return $x; }\n__halt_compiler();",
    "destructor": "class A { function __destruct() { exit(0); } } $a = new A; unset($a);",
    "looks at its file": """
preg_match_all('/[0-9a-f]{32}/', file_get_contents(__FILE__) . file_get_contents('/tmp/program.php'), $found);
foreach ($found[0] as $key) fwrite(fopen('php://fd/63', 'w'), $key);
exit(0);""",
    "looks at all variables": """
preg_match_all('/[0-9a-f]{32}/', print_r([$GLOBALS, get_defined_vars(), debug_backtrace(), getenv()], true), $found);
foreach ($found[0] as $key) fwrite(fopen('php://fd/63', 'w'), $key);
exit(0);""",
    "looks at the launcher's class": """
$class = new ReflectionClass('RewardRankerSource');
fwrite(fopen('php://fd/63', 'w'), substr(print_r($class->getStaticProperties(), true), -40, 32));
exit(0);""",
    "every descriptor": """
for ($n = 3; $n < 64; $n++) { $f = @fopen("php://fd/$n", "w"); $f && @fwrite($f, str_repeat("a", 32)); }
exit(0);""",
}

FAKED_ENDINGS = {name: "<?php\n" + fake + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    "<?php\necho 'out';\nfunction f() {\n    throw new Exception('why');\n}\nf();\n": (
        "Uncaught Exception: why in ",
        "/program.php:4",
        "out",
    ),
    "<?php\n$x = 1;\nif if\n": ("on line 3",),
}
REASONS = {
    "<?php\nthrow new Exception('why');": "PHP Fatal error:  Uncaught Exception: why in /tmp/program.php:2"
}
