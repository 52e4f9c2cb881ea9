# ruff: noqa: E501 - tables of programs
TESTS = '\ncandidate() {\n    f "$@"\n}\nset -e\nrun_test() {\n    [[ $(candidate "1") = "2" ]]\n    true\n}\nrun_test\n'

ENDINGS = {
    "right": ("#!/bin/bash\nf() {\n    echo $(($1 + 1))\n}" + TESTS, "passed"),
    "wrong": ("#!/bin/bash\nf() {\n    echo $1\n}" + TESTS, "failed"),
    "empty": ("", "passed"),
    "exit code": ("exit 3", "failed"),
    "last command fails": ("false", "failed"),
    "does not parse": ("f() {\necho ((\n}\n", "syntax_error"),
    "wrong arithmetic": ("x='1 +'\nset -e\n[[ $((x)) = 1 ]]", "syntax_error"),
    "uses bc and awk": ('[[ $(echo "1.5 * 2" | bc) = 3.0 && $(awk "BEGIN { print 7 }") = 7 ]]', "passed"),
    "pattern that an option allows": ("shopt -s extglob\ncase x in\n!(y)) true;;\nesac", "passed"),
    "return outside a function": ("return 0\ntrue", "passed"),
    "harmless trap": ("trap 'rm -f x' EXIT\ntouch x", "passed"),
    "names of its own": ("status=3; key=4; name=5; functions=6; program=7; [[ $program = 7 ]]", "passed"),
    "skips commands": (
        "shopt -s extdebug; trap '[[ $BASH_COMMAND != false ]]' DEBUG\nfalse\ntrue",
        "passed",
        "failed",
    ),
    "loop": ("while :; do :; done", "timeout"),
}

_FAKES = {
    "exit": "f() { exit 0; }\nf",
    "exit at the top": "exit 0",
    "exit before what does not parse": "exit 0\nf() {\n\n}",
    "trap on exit": "trap 'exit 0' EXIT",
    "exit code replaced": "exit() { builtin exit 0; }; trap exit EXIT",
    "another program": "exec true",
    "set is a function": "set() { :; }\nf() { echo 3; }",
    "test is a function": "test() { return 0; }; [() { return 0; }\nf() { echo 3; }; set() { :; }",
    "builtin is a function too": "set() { :; }; builtin() { return 1; }; unset() { :; }\nf() { echo 3; }",
    "reads its file": 'echo "$(tail -n 1 "$0" program)" >&63; exit 0',
    "knows its variables": "set | grep -o '[0-9a-f]\\{32\\}' >&63; exit 0",
    "a child sends": "(printf %032d 0 >&63); exit 0",
}

FAKED_ENDINGS = {name: "#!/bin/bash\n" + fake + TESTS for name, fake in _FAKES.items()}

MESSAGES = {
    "#!/bin/bash\necho out\nf() {\n    nothing_of_that_name\n}\nf\n": (
        "out\n",
        "line 4: nothing_of_that_name: command not found",
    ),
    "true\nif ; then\nfi": ("line 2",),
}
REASONS = {"nothing_of_that_name": "program.sh: line 1: nothing_of_that_name: command not found"}
