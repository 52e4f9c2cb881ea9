"""JavaScript: node, with lodash for the programs that load it.

A launcher that node loads before the program adds the end to the program's text in memory. It also sees to it
that `console.assert`, which only prints, can't be replaced and spoils the proof of the end when it fails.
"""

from rewardranker.execution.languages.language import Language, apt, npm

LAUNCHER = """'use strict';
const fs = require('fs'), Module = require('module');
const { writeSync } = fs, { defineProperty } = Object, { apply, get } = Reflect;
const key = Buffer.alloc(32);
fs.readSync(63, key);
const spoil = () => { try { writeSync(63, 'failed'); } catch {} };
const original = console.assert;
const assert = function (condition, ...message) {
  if (!condition) spoil();
  return apply(original, console, [condition, ...message]);
};
defineProperty(console, 'assert', { value: assert, writable: false, configurable: false });
process.on('uncaughtExceptionMonitor', spoil);
const name = require('crypto').randomBytes(16).toString('hex');
const end = (assertAtEnd) => {
  if (assertAtEnd !== assert) return;
  process.once('beforeExit', () => writeSync(63, key)); // not emitted by process.exit
};
const compile = Module.prototype._compile;
Module.prototype._compile = function (content, filename, ...rest) {
  Module.prototype._compile = compile;
  const hidden = { get: (target, property, receiver) =>
    property === name ? end : get(target, property, receiver) };
  Object.setPrototypeOf(this, new Proxy(Object.create(Module.prototype), hidden));
  return apply(compile, this, [`${content}\\n;module['${name}'](console.assert);`, filename, ...rest]);
};
"""
ERROR_LINE = r"\w*Error\b.*|Assertion failed.*"
NODE = apt("node", "nodejs")
LODASH = npm("lodash", "4.17.21", needed_by="lodash")
RUN = ("node", "--max-old-space-size={memory_mb}", "-r", "./launcher.js", "program.js")

JAVASCRIPT = Language(
    name="javascript",
    tools=(NODE, LODASH),
    version_command=("node", "--version"),
    files=lambda source, _: {"program.js": source, "launcher.js": LAUNCHER},
    run=RUN,
    reserves_memory=True,
    error_line=ERROR_LINE,
    syntax_error_mark="SyntaxError",
)
