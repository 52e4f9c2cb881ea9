# ruff: noqa: E501 - tables of programs
import pytest

LANGUAGE = "typescript"
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
    "right": ("function f(x: number): number { return x + 1; }" + TESTS, "passed", "passed"),
    "wrong": ("function f(x: number): number { return x; }" + TESTS, "failed", "failed"),
    "does not parse": ("function f( {", "syntax_error", "syntax_error"),
    "wrong type": ("let x: number = 'a';", "syntax_error", "syntax_error"),
    "not strict": ("let x: number = null; function g(y) { return y; }", "passed", "passed"),
    "loop": ("while (true) {}", "timeout", "timeout"),
}

FAKED_ENDINGS = {
    "process.exit": "function f(x: number): number { (globalThis as any).process.exit(0); return x; }"
    + TESTS,
    "uncaughtException": "(globalThis as any).process.on('uncaughtException', () => (globalThis as any).process.exit(0));\n"
    "function f(x: number): number { return x; }" + TESTS,
    "silenced console.assert": "console.assert = () => {}; console.assert(false);",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_status(run, ending):
    source, status, strict_status = ENDINGS[ending]
    verdict = run(source)
    assert (verdict.status, verdict.strict_status) == (status, strict_status), verdict
    assert verdict.phase == ("build" if strict_status == "syntax_error" else "run")


@pytest.mark.parametrize("fake", FAKED_ENDINGS)
def test_an_early_end_is_no_pass(run, fake):
    verdict = run(FAKED_ENDINGS[fake])
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("passed", "failed", 0), verdict


def test_messages_name_the_programs_lines(run):
    verdict = run("console.log(1);\n\nlet x: number = 'a';\n")
    assert "program.ts(3,5): error TS2322" in verdict.stdout


def test_the_reason_is_one_line(run):
    assert (
        run("let x: number = 'a'").reason
        == "program.ts(1,5): error TS2322: Type 'string' is not assignable to type 'number'."
    )
