# ruff: noqa: E501 - tables of programs
"""The warm TypeScript compiler says what tsc says, whatever it is given."""

import pytest
from builds import sample

LANGUAGE = "typescript"
PLAIN = "const x: number[] = [1]; function f(a: string) { return x.map((y) => a + y); }\nlet name2: Node = null; f(1);"

SAME = {
    "right": "class A<T> { constructor(private x: T) {} get(): T { return this.x; } }\nconsole.log(new A(1).get());",
    "does not parse": "function f( {",
    "errors in order": "let b: number = 'b';\nlet a: number = 'a';\nlet c = d;\nb();",
    "order of a union": "let x: 'click' | 'b' | 'a' | 2 | 1 = 'x' as string;\nlet y: string | number | null[] = {};",
    "a name of the DOM": "let name = 1;",
    "functions of the DOM": "function print(x: number) { return x; }\nfunction stop() {}\nprint('a');",
    "a class of the DOM": "class Node { constructor(public next: Node) {} }\nnew Node(null).next.next;",
    "a variable of the DOM": "var status = 3; var length = 'a';",
    "a type of the library": "type Record<K, V> = K; interface Map<K, V> { own: K }\nnew Map<string, number>().own.x;",
    "an interface of the library": "interface Array<T> { own(): T; }\nArray.prototype.own = function () { return this[0]; };\n[1].own().x;",
    "the same in a module": "export {};\nlet name = 1; class Node {}\ninterface Array<T> { own(): T; }",
    "names in a function": "function f() { let name = 1; class Node {}; return name; }",
    "undefined": "var undefined = 1; var globalThis = 2; let arguments = 3; let eval = 4;",
    "global scope": "export {};\ndeclare global { interface Array<T> { own(): T; } var name: number; }\n[1].own();",
    "global scope of a script": "declare global { interface Array<T> { own(): T; } }\n[1].own();",
    "a module of its own": "declare module 'fs' { export const x: number; }\nimport { x } from 'fs'; x.y;",
    "a module of its own in a script": "declare module 'fs' { export const x: number; }\ndeclare var require: any;",
    "an addition to a module": "import * as a from './launcher';\ndeclare module './launcher' { export const x: number; }\na.x;",
    "a namespace": "namespace NodeJS { export interface Global { x: number } }\nnamespace Intl { export const own = 1 }",
    "export as namespace": "export as namespace Foo; export const x = 1;",
    "modules of node": "import * as fs from 'fs'; import assert = require('node:assert');\nconst p = require('path');",
    "lodash": "import * as _ from 'lodash'; const l = require('lodash'); _.map([1], (x) => x);",
    "the launcher": "import * as l from './launcher'; import './launcher.js'; l.x;",
    "itself": "import * as p from './program'; export const x = p.x;",
    "any file": "import a from '/etc/passwd'; import b from '/proc/self/environ'; import c from '../prebuilt'; import d from './a.json';",
    "import types": "let x: import('lodash').Foo; let y: typeof import('./launcher'); async function f() { await import('fs'); }",
    "a reference to a file": '/// <reference path="/etc/passwd" />\n/// <reference path="/dev/zero" />\nlet x = 1;',
    "a reference to a socket": '/// <reference path="/proc/self/fd/0" />\n/// <reference path="/dev/stdin" />\nlet x = 1;',
    "a reference to a file that is not there": '/// <reference path="left.ts" />\nlet x = 1;',
    "a reference to types": '/// <reference types="node" />\nlet x = 1;',
    "a reference to a part of the library": '/// <reference lib="es5" />\nlet x = new Map();',
    "a reference to no library": '/// <reference lib="es1" />\nlet x = 1;',
    "without the library": '/// <reference no-default-lib="true" />\nlet x = 1;',
    "no check": "// @ts-nocheck\nlet x: number = 'a';",
    "ignored errors": "// @ts-ignore\nlet x: number = 'a';\n// @ts-expect-error\nlet y = 1;",
    "decorators": "function d(x: any, c: any) {}\n@d class A { @d m() {} @d accessor x = 1; }",
    "enums": "enum A { X = 1, Y = 'y'.length } const enum B { Z } console.log(A.X, B.Z, A.Q);",
    "await": "const x = await Promise.resolve(1); export {}; for await (const y of [x]) {}",
    "using": "{ using x = { [Symbol.dispose]() {} }; }",
    "an expando": "function f() {} f.x = 1; Array.x = 1; (Math as any).y = 2; f.x.z;",
    "the global object": "globalThis.foo = 1; window.bar = 2; var baz = 3; globalThis.baz.x;",
    "empty": "",
    "other letters": "let größe = '日本😀'; let ключ: number = größe;",
    "half a character": "let x: number = '\ud800';",
    "a byte order mark": "\ufefflet x: number = 'a';",
    "a null character": "let x = '\0'; \0",
    "a line for the shell": "#!/usr/bin/env node\nlet x: number = 'a';",
    "other line ends": "let x: number = 'a';\r\nlet y: number = 'b';\rlet z: number = 'c';\u2028let w: number = 'd';",
    "many functions": "".join(
        f"function f{i}(x: number): string {{ return x + '{i}'; }}\n" for i in range(3000)
    ),
    "a sum of many": "let x = 0" + " + 1" * 500 + ";",
    "a type without an end": "type F<N extends any[]> = F<[...N, 1]>;\ntype X = F<[]>; let x: X = 1;",
    "types in circles": "type A<T> = { a: A<A<T>> }; let x: A<number> = null; let y: A<string> = x; type B = B[] | B; class C extends C {}",
    "a union of too many": "type D = 0|1|2|3|4|5|6|7|8|9; type N = `${D}${D}${D}${D}${D}${D}`; let n: N = 'a';",
}

LEFT_TO_THE_COLD_ONE = {
    "another file": '/// <reference path="/node_modules/typescript/lib/typescript.d.ts" />\nlet x: ts.Node;',
    "a reference to another part of the library": '/// <reference lib="webworker" />\nlet x = 1;',
    "nested too deep": "let x = " + "(" * 20000 + "1" + ")" * 20000 + ";",
    "functions in functions": "let f = " + "() => " * 20000 + "1;",
}


@pytest.mark.parametrize("program", SAME)
def test_the_same_as_a_cold_compiler(compare, program):
    assert compare(SAME[program], against_cold=program in sample(SAME)) is not None


@pytest.mark.parametrize("program", LEFT_TO_THE_COLD_ONE)
def test_what_is_left_to_the_cold_compiler(compare, program):
    assert compare(LEFT_TO_THE_COLD_ONE[program]) is None
