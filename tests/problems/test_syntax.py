import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.execution.languages import LANGUAGES
from rewardranker.problems import syntax
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem
from rewardranker.problems.syntax import JUDGED, candidate_parses, parses

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
PROGRAMS = {
    "python": ("def f(x):\n    return x\n", "def f(x)\n    return x\n"),
    "cpp": ("int f(int x) { return typeid(int) == typeid(x); }", "int f(int x) { return x; "),
    "java": ("class A { int f(int x) { return x; } }", "class A { int f(int x) { return x }; }"),
    "php": ("function f($x) { return $x; }", "function f($x) { return $x; "),
    "typescript": ("function f(x: number): number { return x; }", "function f(x: number { return x; }"),
    "csharp": ("class A { int F(int x) { return x; } }", "class A { int F(int x) { return x; }"),
    "javascript": ("const f = (x) => x?.y;", "const f = (x => x;"),
    "ruby": ("def f(x)\n  x\nend", "def f(x)\n  x\n"),
    "go": ("package a\nfunc f(x int) int { return x }", "package a\nfunc f(x int) int { return x"),
    "rust": ("fn f(x: i32) -> i32 { x }", "fn f(x: i32) -> i32 { x"),
    "ocaml": ("let f x = x + 1", "let f x = = x"),
    "racket": ("(define (f x) x)", "(define (f x) x"),
    "d": ("long f(long x) { return x; }", "long f(long x) { return x; "),
}


def test_every_judged_language_is_one_of_the_sandbox_and_has_an_example() -> None:
    assert set(PROGRAMS) == JUDGED <= {language.name for language in LANGUAGES}


@pytest.mark.parametrize("language", sorted(JUDGED))
def test_right_programs_parse_and_broken_ones_do_not(language: str) -> None:
    right, broken = PROGRAMS[language]
    assert parses(language, right) is True
    assert parses(language, broken) is False


@pytest.mark.parametrize(
    ("language", "program"),
    [("bash", "fi"), ("perl", "sub {"), ("haskell", "f ="), ("klingon", "("), ("python", "(" * 20_001)],
)
def test_what_is_not_judged_is_neither(language: str, program: str) -> None:
    assert parses(language, program) is None


@pytest.mark.parametrize(
    ("language", "completion"),
    [
        ("cpp", "int f() {\n  return 1;"),
        ("java", "class A {\n  int f() {\n  return 1;"),
        ("ruby", "def f\n  1"),
    ],
)
def test_a_cut_program_may_lack_its_end_and_nothing_else(language: str, completion: str) -> None:
    assert parses(language, completion) is False
    assert parses(language, completion, cut=True) is True
    assert parses(language, completion + " ) (", cut=True) is False


def test_a_candidate_is_read_with_its_tests() -> None:
    tested = Problem("p", "cpp", "int f() {\n", "}\nint main() {}\n")
    assert candidate_parses(tested, "  return 1;")
    assert not candidate_parses(tested, "  return 1;\n}")
    assert candidate_parses(tested, "int f() {\n  return 1;", whole=True)
    bare = Problem("p", "cpp", "int f() {\n", "")
    assert candidate_parses(bare, "  return 1;") and candidate_parses(bare, "  return 1;\n}")
    assert not candidate_parses(bare, "int f() {\n  return 1;", whole=True)


@given(st.sampled_from(sorted(JUDGED)), st.text())
def test_any_text_may_be_given(language: str, program: str) -> None:
    assert parses(language, program) in (True, False, None)
    assert parses(language, "\ud800" + program) in (True, False, None)


def test_a_process_that_dies_is_replaced() -> None:
    assert parses("python", "x = 1") is True
    process = syntax._workers._idle[-1]
    process.kill()
    process.wait()
    assert parses("python", "x = 1") is None
    assert parses("python", "x = 1") is True


def test_hostile_programs_hold_up_nobody_else_and_their_own_caller_no_longer_than_it_says() -> None:
    assert parses("python", "x = 1") is True
    hung = syntax._workers._idle[-1]
    hung.send_signal(signal.SIGSTOP)  # as in a grammar that does not come to an end
    found: list[bool | None] = []
    deadline = time.monotonic() + 60
    hostile = threading.Thread(target=lambda: found.append(parses("ruby", "x", deadline=deadline)))
    hostile.start()
    while hung in syntax._workers._idle:
        time.sleep(0.01)
    assert parses("python", "x = 1") is True
    assert hostile.is_alive()
    hung.kill()
    hostile.join()
    assert found == [None]
    assert parses("python", "x = 1", deadline=time.monotonic()) is None
    assert parses("python", "x = 1") is True


def test_a_program_that_takes_too_long_is_not_judged() -> None:
    code = (
        "from rewardranker.problems import syntax_worker\n"
        "class Slow:\n"
        "    def __init__(self, language): pass\n"
        "    def parse(self, program):\n"
        "        while True: pass\n"
        "syntax_worker.Parser = Slow\n"
        "syntax_worker.main()"
    )
    question = b'["python", ["x"]]\n'
    done = subprocess.run([sys.executable, "-c", code], input=question, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGVTALRM, b"")


def test_a_fork_has_processes_of_its_own() -> None:
    assert parses("python", "x = 1") is True
    child = os.fork()
    if child == 0:
        os._exit(0 if parses("python", "x = 1") is True and parses("python", "x =") is False else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert parses("python", "x =") is False


def test_without_the_grammars_it_is_said_how_to_get_them() -> None:
    code = (
        "import sys; sys.modules['tree_sitter_language_pack'] = None\n"
        "from rewardranker.problems.syntax import parses\n"
        "try: parses('python', 'x')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("UserError") and "pip install 'rewardranker[syntax]'" in done.stdout


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")
@pytest.mark.parametrize("path", sorted((DATA / "gold").glob("*.jsonl.gz")), ids=lambda path: path.name)
def test_right_programs_of_the_gold_set_parse(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        if row["expected"] == "passed":
            assert parses(canonical_language(row["language"]), row["program"]) is not False, row["id"]
