import gzip
import json
import subprocess
import sys
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
    process = syntax._worker._process
    assert process is not None
    process.kill()
    process.wait()
    assert parses("python", "x = 1") is None
    assert parses("python", "x = 1") is True


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
