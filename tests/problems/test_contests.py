"""Problems that are judged from outside, on rows as published."""

import json
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.program import Program
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.tests import CallTests, StdinTests

FORMATS = Path(__file__).parents[3] / "shared" / "data" / "formats"
CODE_CONTESTS = {
    "name": "1_A. Twice",
    "description": 'Print """twice""" the number \\ n.\r\n',
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": ["4\n"], "output": ["8\n"]},
    "generated_tests": {"input": [], "output": []},
    "time_limit": {"seconds": 1, "nanos": 500_000_000},
    "memory_limit_bytes": 256 << 20,
    "solutions": {"language": [1, 2, 3], "solution": ["print 2", "int main(){}", "print(2 * int(input()))"]},
    "difficulty": 7,
}
APPS = {
    "problem_id": 17,
    "question": "Twice.",
    "input_output": json.dumps({"fn_name": "twice", "inputs": [[1], [2]], "outputs": [[2], [4]]}),
    "solutions": json.dumps(["class Solution:\n    def twice(self, n): return 2 * n"]),
    "starter_code": "class Solution:\n    def twice(self, n):\n        ",
    "difficulty": "introductory",
}
LIVE_CODE_BENCH = {
    "question_title": "Twice",
    "question_content": "Twice.",
    "platform": "leetcode",
    "question_id": "3025",
    "starter_code": "class Solution:\n    def twice(self, n: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "functional"}]),
    "private_test_cases": json.dumps([{"input": "2", "output": "4", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "twice"}),
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_code_contests(tmp_path):
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", CODE_CONTESTS))
    assert (problem.id, problem.split, problem.tests) == ("CodeContests/1_A. Twice", "", "")
    assert problem.prompt == '"""\nPrint \\"\\"\\"twice\\"\\"\\" the number \\\\ n.\n"""\n'
    assert problem.reference == "print(2 * int(input()))"
    program = Program.of(problem, "print(2)")
    assert program == Program(
        "python", problem.prompt + "print(2)", StdinTests(("1\n", "4\n"), ("2\n", "8\n")), 1.5, 256
    )
    visible = Program.of(problem.by_visible_tests(), "x", whole=True)
    assert visible == Program("python", "x", StdinTests(("1\n",), ("2\n",)), 1.5, 256)


def test_apps(tmp_path):
    by_stdin = {**APPS, "id": 18, "starter_code": "", "solutions": json.dumps(["print(1)", "print(2)"])}
    by_stdin["input_output"] = json.dumps({"inputs": ["1\n"], "outputs": [["2"]]})
    del by_stdin["problem_id"]
    called, printed = load_problems(write(tmp_path / "rows.jsonl", APPS, by_stdin))
    assert (called.id, called.reference) == ("APPS/17", None)
    assert called.prompt == '"""\nTwice.\n"""\n' + APPS["starter_code"]
    program = Program.of(called, "return n", "outside")
    assert program.source.endswith("        return n") and program.source.startswith("import sys")
    assert isinstance(program.tests, CallTests) and program.tests.entry_point == "twice"
    assert (printed.id, printed.reference) == ("APPS/18", "print(1)")
    assert Program.of(printed, "").tests == StdinTests(("1\n",), ("2",))


NONE = {"input": [], "output": []}


@pytest.mark.parametrize(
    ("row", "without_tests"),
    [
        (CODE_CONTESTS, {"public_tests": NONE, "private_tests": NONE}),
        (APPS, {"input_output": ""}),
        (APPS, {"input_output": "{}"}),
        (APPS, {"input_output": json.dumps({"inputs": [], "outputs": []})}),
        (APPS, {"input_output": json.dumps({"fn_name": "f", "inputs": [], "outputs": []})}),
        (LIVE_CODE_BENCH, {"public_test_cases": "[]", "private_test_cases": "[]"}),
    ],
)
def test_problems_without_tests_are_left_out_and_counted(tmp_path, capsys, row, without_tests):
    other = {**row, "name": "other", "problem_id": 18, "question_id": "other", **without_tests}
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", row, other))
    assert not problem.id.endswith(("/other", "/18"))
    said = capsys.readouterr().err.replace("\n", "")
    assert said.endswith("rows.jsonl: 1 problems have no tests and are left out")


def test_numbers_of_thousands_of_digits(tmp_path):
    digits = "12" * 3000
    row = {**APPS, "input_output": f'{{"fn_name": "f", "inputs": [[-{digits}]], "outputs": [1]}}'}
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", row))
    tests = Program.of(problem, "").tests
    assert isinstance(tests, CallTests) and len(tests.arguments[0]) > 4000


def test_live_code_bench(tmp_path):
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", LIVE_CODE_BENCH))
    assert (problem.id, problem.split) == ("LiveCodeBench/3025", "test")
    assert problem.prompt == '"""\nTwice.\n"""\n' + LIVE_CODE_BENCH["starter_code"]
    tests = Program.of(problem, "return 2 * n").tests
    assert tests == CallTests("twice", ("[1]", "[2]"), ("2", "4"), tuples_are_lists=True)
    visible = Program.of(problem.by_visible_tests(), "").tests
    assert isinstance(visible, CallTests) and visible.arguments == ("[1]",)


def test_live_code_bench_without_public_tests_has_no_visible_ones(tmp_path):
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", {**LIVE_CODE_BENCH, "public_test_cases": "[]"}))
    assert problem.visible_tests_beside == ""
    tests = Program.of(problem, "").tests
    assert isinstance(tests, CallTests) and tests.arguments == ("[2]",)


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (CODE_CONTESTS, {"public_tests": {"input": ["1"], "output": []}}),
        (CODE_CONTESTS, {"time_limit": {"nanos": 1}}),
        (APPS, {"input_output": "{"}),
        (APPS, {"input_output": json.dumps({"fn_name": "f", "inputs": [[1]], "outputs": []})}),
        (APPS, {"input_output": json.dumps({"fn_name": "f", "inputs": [1], "outputs": [1]})}),
        (APPS, {"input_output": json.dumps({"inputs": ["1"], "outputs": []})}),
        (APPS, {"input_output": json.dumps({"inputs": ["1"], "outputs": [1]})}),
        (LIVE_CODE_BENCH, {"private_test_cases": "!"}),
        (LIVE_CODE_BENCH, {"metadata": "{}"}),
        (LIVE_CODE_BENCH, {"public_test_cases": LIVE_CODE_BENCH["public_test_cases"].replace("2", "?")}),
    ],
)
def test_tests_that_can_not_be_read_are_told_of_before_anything_is_sampled(tmp_path, row, change):
    path = write(tmp_path / "rows.jsonl", row, {**row, **change})
    with pytest.raises(UserError, match=r"rows.jsonl:2: the row's tests can't be read"):
        load_problems(path)


@pytest.mark.parametrize("solutions", ["[", '"x"', "[1]"])
def test_solutions_of_apps_that_can_not_be_read(tmp_path, solutions):
    with pytest.raises(UserError, match=r"rows.jsonl:1: solutions"):
        load_problems(write(tmp_path / "rows.jsonl", {**APPS, "solutions": solutions}))


def test_own_rows_with_tests_in_a_list(tmp_path):
    row = {
        "id": "twice",
        "prompt": "",
        "tests": [{"input": "1", "output": "2"}, {"input": "2", "output": "4"}],
        "visible_tests": [{"input": "1", "output": "2"}],
        "time_limit_s": 2.0,
    }
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", row))
    assert Program.of(problem, "x") == Program("python", "x", StdinTests(("1", "2"), ("2", "4")), 2.0)
    assert Program.of(problem.by_visible_tests(), "x", whole=True).tests == StdinTests(("1",), ("2",))
    with pytest.raises(UserError, match=r"rows.jsonl:1: the row's tests can't be read"):
        load_problems(write(tmp_path / "rows.jsonl", {**row, "tests": [{"input": "1"}]}))
    with pytest.raises(UserError, match=r"rows.jsonl:1: time_limit_s and memory_limit_mb are for tests in"):
        load_problems(write(tmp_path / "rows.jsonl", {**row, "tests": "", "visible_tests": ""}))


def test_evalplus_own_file_is_refused_with_what_to_give(tmp_path):
    row = {"task_id": "HumanEval/0", "base_input": [], "plus_input": [], "entry_point": "f"}
    with pytest.raises(UserError, match=r"EvalPlus' own file.*humaneval\+"):
        load_problems(write(tmp_path / "rows.jsonl", row))


@pytest.mark.skipif(not FORMATS.exists(), reason=f"{FORMATS} is absent: it is not part of the project")
def test_published_rows(tmp_path):
    row = json.loads((FORMATS / "codecontests" / "hf_row_example.quoted.json").read_text())
    (problem,) = load_problems(write(tmp_path / "rows.jsonl", row))
    tests = Program.of(problem, "").tests
    assert isinstance(tests, StdinTests) and len(tests) == 3

    rows = []
    for number, folder in enumerate(sorted((FORMATS / "apps" / "train").iterdir())):
        text = {p.name: p.read_text() for p in folder.iterdir()}
        rows.append(
            {
                "problem_id": number,
                "question": text["question.txt"],
                "input_output": text["input_output.json"],
                "solutions": text.get("solutions.json", ""),
                "starter_code": text.get("starter_code.py", ""),
            }
        )
    problems = load_problems(write(tmp_path / "apps.jsonl", *rows))
    kinds = {type(Program.of(p, "").tests) for p in problems}
    assert len(problems) == 5 and kinds == {StdinTests, CallTests}
