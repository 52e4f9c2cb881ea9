# ruff: noqa: E501 - tables of programs
TESTS = """
const assert = require('node:assert');
function test() {
  let candidate = f;
  assert.deepEqual(candidate(1), 2);
}
test();
"""
SILENT_TESTS = "\nconsole.assert(f(1) === 2)\n"

ENDINGS = {
    "right": ("function f(x) { return x + 1; }" + TESTS, "passed"),
    "wrong": ("function f(x) { return x; }" + TESTS, "failed"),
    "wrong without an exception": ("const f = x => x" + SILENT_TESTS, "passed", "failed"),
    "right without an exception": ("const f = x => x + 1" + SILENT_TESTS, "passed"),
    "empty": ("", "passed"),
    "exit code": ("process.exit(3)", "failed"),
    "does not parse": ("function f( {", "syntax_error"),
    "strict": ("'use strict';\nif (this !== module.exports) throw 1;\nlet x = 1", "passed"),
    "promise": ("Promise.resolve(1).then(x => setTimeout(() => {}, x))", "passed"),
    "rejected promise": ("Promise.reject(new Error('no'))", "failed"),
    "is the program": (
        "if (require.main !== module || !__filename.endsWith('program.js')) throw 1",
        "passed",
    ),
    "last line is a comment": ("let x = 1 // one", "passed"),
    "lodash": ("const _ = require('lodash'); if (_.sum([1, 2]) !== 3) throw 1", "passed"),
    "loop": ("while (true) {}", "timeout"),
    "never ends": ("setInterval(() => {}, 100)", "timeout"),
    "too much memory": ("const a = []; while (true) a.push(new Array(1e5).fill(1))", "failed"),
}

FAKED_ENDINGS = {
    "process.exit": "function f(x) { process.exit(0); }" + TESTS,
    "process.exit at the top": "process.exit(0);" + TESTS,
    "process.reallyExit": "process.reallyExit(0);" + TESTS,
    "return at the top": "return;" + TESTS,
    "uncaughtException": "process.on('uncaughtException', () => process.exit(0)); const f = x => x" + TESTS,
    "uncaughtException without exit": "process.on('uncaughtException', () => {}); const f = x => x" + TESTS,
    "exit listener": "process.on('exit', () => process.reallyExit(0)); const f = x => x" + TESTS,
    "async test": "process.on('uncaughtException', () => {}); setTimeout(() => { throw 1 })",
    "beforeExit is emitted": "process.emit('beforeExit'); process.exit(0);" + TESTS,
    "console.assert is replaced": "console.assert = () => {}; const f = x => x" + SILENT_TESTS,
    "console.assert is redefined": "try { Object.defineProperty(console, 'assert', { value() {} }) } catch {}\n"
    "const f = x => x" + SILENT_TESTS,
    "console is replaced": "globalThis.console = { assert() {} }; const f = x => x" + SILENT_TESTS,
    "console is hidden": "var console = { assert() {} }; const f = x => x" + SILENT_TESTS,
    "console is hidden by a function": "function console() {} console.assert = () => {}; const f = x => x"
    + SILENT_TESTS,
    "stderr is closed": "process.stderr.write = () => true; const f = x => x" + SILENT_TESTS,
    "looks at its files": """
const fs = require('fs');
for (const file of fs.readdirSync('/tmp'))
  for (const [key] of fs.readFileSync('/tmp/' + file, 'utf8').matchAll(/[0-9a-f]{32}/g)) {
    fs.writeSync(63, key);
    if (module[key]) module[key](console.assert);
  }
process.reallyExit(0);""",
    "looks at its module": """
const names = [];
for (let o = module; o; o = Object.getPrototypeOf(o)) names.push(...Reflect.ownKeys(o));
names.push(...Reflect.ownKeys(globalThis), ...process.eventNames());
for (const name of names) if (/^[0-9a-f]{32}$/.test(String(name))) module[name](console.assert);
process.exitCode = 0; process.reallyExit(0);""",
}

MESSAGES = {
    "console.log('out')\nfunction f() {\n  throw new Error('why')\n}\nf()\n": (
        "/program.js:3\n",
        "out\n",
    ),
    "let x = 1\nlet y = = 2\n": ("/program.js:2\n",),
}
REASONS = {
    "console.log(1)\nthrow new Error('why')": "Error: why",
    "console.assert(false)": "a failed assertion",
}
