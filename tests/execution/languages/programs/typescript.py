# ruff: noqa: E501 - tables of programs
TESTS = """
declare var require: any;
const assert = require('node:assert');
function test() {
  let candidate = f;
  assert.deepEqual(candidate(1), 2);
}
test();
"""

ENDINGS = {
    "right": ("function f(x: number): number { return x + 1; }" + TESTS, "passed"),
    "wrong": ("function f(x: number): number { return x; }" + TESTS, "failed"),
    "does not parse": ("function f( {", "syntax_error"),
    "wrong type": ("let x: number = 'a';", "syntax_error"),
    "not strict": ("let x: number = null; function g(y) { return y; }", "passed"),
    "loop": ("while (true) {}", "timeout"),
}

FAKED_ENDINGS = {
    "process.exit": "function f(x: number): number { (globalThis as any).process.exit(0); return x; }"
    + TESTS,
    "uncaughtException": "(globalThis as any).process.on('uncaughtException', () => (globalThis as any).process.exit(0));\n"
    "function f(x: number): number { return x; }" + TESTS,
    "silenced console.assert": "console.assert = () => {}; console.assert(false);",
}

MESSAGES = {
    "console.log(1);\n\nlet x: number = 'a';\n": ("program.ts(3,5): error TS2322",),
}
REASONS = {
    "let x: number = 'a'": "program.ts(1,5): error TS2322: Type 'string' is not assignable to type 'number'."
}
