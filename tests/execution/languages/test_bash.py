# ruff: noqa: E501 - tables of programs
import pytest

LANGUAGE = "bash"
TESTS = '\ncandidate() {\n    f "$@"\n}\nset -e\nrun_test() {\n    [[ $(candidate "1") = "2" ]]\n    true\n}\nrun_test\n'

ENDINGS = {
    "right": ("#!/bin/bash\nf() {\n    echo $(($1 + 1))\n}" + TESTS, "passed", "passed"),
    "wrong": ("#!/bin/bash\nf() {\n    echo $1\n}" + TESTS, "failed", "failed"),
    "empty": ("", "passed", "passed"),
    "exit code": ("exit 3", "failed", "failed"),
    "last command fails": ("false", "failed", "failed"),
    "does not parse": ("f() {\necho ((\n}\n", "syntax_error", "syntax_error"),
    "wrong arithmetic": ("x='1 +'\nset -e\n[[ $((x)) = 1 ]]", "syntax_error", "syntax_error"),
    "uses bc and awk": (
        '[[ $(echo "1.5 * 2" | bc) = 3.0 && $(awk "BEGIN { print 7 }") = 7 ]]',
        "passed",
        "passed",
    ),
    "pattern that an option allows": ("shopt -s extglob\ncase x in\n!(y)) true;;\nesac", "passed", "passed"),
    "return outside a function": ("return 0\ntrue", "passed", "passed"),
    "harmless trap": ("trap 'rm -f x' EXIT\ntouch x", "passed", "passed"),
    "names of its own": (
        "status=3; key=4; name=5; functions=6; program=7; [[ $program = 7 ]]",
        "passed",
        "passed",
    ),
    "skips commands": (
        "shopt -s extdebug; trap '[[ $BASH_COMMAND != false ]]' DEBUG\nfalse\ntrue",
        "passed",
        "failed",
    ),
    "loop": ("while :; do :; done", "timeout", "timeout"),
}

FAKED_ENDINGS = {
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


@pytest.mark.parametrize("ending", ENDINGS)
def test_status(run, ending):
    source, status, strict_status = ENDINGS[ending]
    verdict = run(source)
    assert (verdict.status, verdict.strict_status) == (status, strict_status), verdict


@pytest.mark.parametrize("fake", FAKED_ENDINGS)
def test_an_early_end_is_no_pass(run, fake):
    verdict = run("#!/bin/bash\n" + FAKED_ENDINGS[fake] + TESTS)
    assert (verdict.status, verdict.strict_status, verdict.exit_code) == ("passed", "failed", 0), verdict


def test_messages_name_the_programs_lines(run):
    verdict = run("#!/bin/bash\necho out\nf() {\n    nothing_of_that_name\n}\nf\n")
    assert "line 4: nothing_of_that_name: command not found" in verdict.stderr
    assert verdict.stdout == "out\n"
    assert "line 2" in run("true\nif ; then\nfi").stderr


def test_the_reason_is_one_line(run):
    assert run("nothing_of_that_name").reason == "program.sh: line 1: nothing_of_that_name: command not found"


def test_nothing_is_left_for_the_next(run):
    assert run("touch left; mkdir -p a/b; (sleep 60 & ); sleep 60 & disown").strict_status == "passed"
    verdict = run(
        'set -- /tmp/* /proc/[0-9]*; echo "$@"; [[ $# = 4 ]]'
    )  # its two files, process 1 and itself
    assert verdict.strict_status == "passed", verdict.stdout


@pytest.mark.parametrize(
    "attack", [":() { : | : & }; :; wait", "while :; do echo xxxxxxxx; done", "kill -9 -1"]
)
def test_attacks_end_and_the_slot_lives(run, attack):
    assert run(attack).strict_status != "error"
    assert run("true").strict_status == "passed"
