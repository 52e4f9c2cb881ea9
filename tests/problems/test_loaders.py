import ast
import gzip
import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.problems.loaders import Own, load_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import validate
from rewardranker.tables import write_table

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
HUMANEVAL = DATA / "formats" / "humaneval" / "HumanEval.jsonl.gz"
MBPP = DATA / "formats" / "mbpp" / "mbpp.jsonl"
SANITIZED = DATA / "formats" / "mbpp" / "sanitized-mbpp.json"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data (HumanEval, MBPP, MultiPL-E)")

OWN = {"id": "add", "prompt": "def add(a, b):\n", "tests": "assert add(1, 2) == 3\n"}
HUMANEVAL_ROW = {
    "task_id": "HumanEval/900",
    "prompt": """def add(a, b):
    '''Sum, of lists too.
    >>> add(1, 2)
    3
    >>> add([], [1])  # a comment
    [1]
    '''
""",
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
}
MBPP_ROW = {
    "task_id": 601,
    "text": 'Write a function to join with "\\".',
    "code": "import math\r\ndef helper():\r\n\treturn 1\r\ndef join(a):\r\n\treturn '\\\\'.join(a)",
    "test_list": [r"assert join(['a', 'b']) == 'a\\b'", "assert join([]) == ''"],
    "test_setup_code": "x = 1\r\ny = 2",
    "challenge_test_list": ["assert False"],
}
MULTIPLE_ROW = {
    "name": "HumanEval_0_f",
    "language": "go_test.go",
    "prompt": "func f() {",
    "doctests": "transform",
    "original": "x.py",
    "prompt_terminology": "reworded",
    "tests": "}",
    "stop_tokens": ["\n}"],
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def error(*paths: Path) -> str:
    with pytest.raises(UserError) as e:
        load_problems(*paths)
    return str(e.value)


def test_own_format_defaults(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "own.jsonl", OWN))
    assert problem == Problem(id="add", language="python", prompt=OWN["prompt"], tests=OWN["tests"])


def test_own_format_has_exactly_the_fields_of_problem() -> None:
    limits = {"time_limit_s", "memory_limit_mb"}  # which go into tests_beside
    assert set(Own.model_fields) - limits == {f.name for f in fields(Problem)}


text = st.text(st.characters(codec="utf-8"))
problems = st.builds(
    Problem,
    id=text.filter(bool),
    language=st.sampled_from(["python", "cpp", "go"]),
    prompt=text,
    tests=text,
    stop_tokens=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    entry_point=text,
    visible_tests=text,
    output_probe=text,
    reference=st.none(),
    split=st.sampled_from(["", "reference", "pool", "development", "test"]),
)


@given(problems)
def test_own_format_round_trips_every_problem(problem: Problem) -> None:
    row = json.loads(json.dumps(asdict(problem)))
    assert validate(Own, row, "here").problem() == problem


def test_json_list_gzip_and_parquet_hold_the_same(tmp_path: Path) -> None:
    expected = load_problems(write(tmp_path / "own.jsonl", OWN))
    (tmp_path / "list.json").write_text(json.dumps([OWN], indent=1))
    (tmp_path / "own.jsonl.gz").write_bytes(gzip.compress(json.dumps(OWN).encode()))
    write_table(tmp_path / "own.parquet", Problem, expected)
    for name in ("list.json", "own.jsonl.gz", "own.parquet"):
        assert load_problems(tmp_path / name) == expected


def test_humaneval(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "h.jsonl", HUMANEVAL_ROW))
    assert problem.program("    return 0") == (
        HUMANEVAL_ROW["prompt"] + "    return 0\n" + HUMANEVAL_ROW["test"] + "\ncheck(add)\n"
    )
    assert problem.visible_tests == "assert (add(1, 2)) == 3\nassert (add([], [1])) == [1]\n"
    assert (problem.split, problem.reference) == ("test", "    return a + b\n")
    assert problem.truncate("    return 1\n\ndef more():") == "    return 1\n"


def test_mbpp(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "m.jsonl", MBPP_ROW))
    assert problem.id == "MBPP/601" and problem.entry_point == "join" and "\r" not in problem.program("")
    assert ast.get_docstring(ast.parse(problem.prompt), clean=False) == (
        f"\n{MBPP_ROW['text']}\n{MBPP_ROW['test_list'][0]}\n"
    )
    setup = "x = 1\ny = 2\n"
    assert problem.visible_tests == f"{setup}{MBPP_ROW['test_list'][0]}\n"
    assert problem.tests == setup + "".join(f"{t}\n" for t in MBPP_ROW["test_list"])
    assert problem.reference == MBPP_ROW["code"].replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("task_id", "split"),
    [
        *((i, "reference") for i in (1, 10, 601, 974)),
        *((i, "test") for i in (11, 510)),
        *((i, "development") for i in (511, 600)),
    ],
)
def test_mbpp_published_split(tmp_path: Path, task_id: int, split: str) -> None:
    assert load_problems(write(tmp_path / "m.jsonl", {**MBPP_ROW, "task_id": task_id}))[0].split == split


def test_multipl_e_is_never_training_data(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "go.jsonl", MULTIPLE_ROW))
    assert problem.evaluation_only and problem.split == "test" and problem.reference is None
    assert (problem.id, problem.language, problem.stop_tokens) == ("go/HumanEval_0_f", "go", ("\n}",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": None}, "tests: needs a program's end (a string) or a list of tests"),
        ({"test": "x"}, "test: unknown field"),
        ({"stop_tokens": ["x", ""]}, "stop_tokens: an empty stop token"),
        ({"split": "train"}, "split: 'train' is none of reference, pool, development, test"),
        ({"language": "cobol"}, "language: unknown language 'cobol'; known: ada, bash"),
        (
            {"reference": "return 1\ndef", "stop_tokens": ["\ndef"]},
            "stop_tokens: '\\ndef' occurs in reference",
        ),
        ({"evaluation_only": True}, 'evaluation_only needs split "test"'),
        ({"id": ""}, "id: must not be empty"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = write(tmp_path / "own.jsonl", OWN, {**OWN, "id": "2", **change})
    assert error(path).startswith(f"{path}:2: {message}")


def test_all_faults_of_a_row_are_listed(tmp_path: Path) -> None:
    message = error(write(tmp_path / "own.jsonl", {"id": 1, "prompt": "", "surplus": 0}))
    assert "id: " in message and "tests: field required" in message and "surplus: unknown field" in message


def test_duplicates_name_both_places_within_and_among_files(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", OWN, {**OWN, "id": "other"}, OWN)
    assert f"{one}:3: id 'add' already stands at {one}:1" in error(one)
    a, b = write(tmp_path / "a.jsonl", OWN), write(tmp_path / "b.jsonl", {**OWN, "id": "b"}, OWN)
    assert f"{b}:2: id 'add' already stands at {a}:1" in error(a, b)
    assert len(load_problems(a, write(tmp_path / "c.jsonl", {**OWN, "id": "c"}))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no problems in it"),
        ("[]", "no problems in it"),
        ("{", ":1: not JSON"),
        ("[{},\n3", ":2: not JSON"),
        (f"[{'9' * 5000}]", "not JSON that can be read (an integer of more than 4,300 digits)"),
        ("[" * 99999, "not JSON that can be read (nested too deeply)"),
        ("[3]", "item 1: expected a JSON object, found int"),
        ('{"question": "?"}', "not a known format of problems (its fields: question)"),
        ('{"task_id": "HumanEval/0", "completion": "x"}', "rewardranker execute"),
        ('{"task_id": "CPP/0", "buggy_solution": "x"}', "HumanEvalPack is not read"),
        ('{"task_id": 1, "code": "", "test_list": ["assert 1"]}', "text (or, in the sanitized file, prompt)"),
        ('{"task_id": 1, "text": "", "code": "", "test_list": []}', "test_list: needs at least one test"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert message in error(path) and str(path) in error(path)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    assert "cannot read it" in error(tmp_path / "absent.jsonl")
    assert "cannot read it" in error(tmp_path / "absent.parquet")
    assert "cannot read it" in error(tmp_path)
    for name in ("x.parquet", "x.jsonl.gz"):
        (tmp_path / name).write_bytes(b"neither")
        assert str(tmp_path / name) in error(tmp_path / name)


@needs_data
@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # some references are written so
def test_no_reference_is_cut_by_its_stop_tokens() -> None:
    for path, count in ((HUMANEVAL, 164), (MBPP, 974), (SANITIZED, 427)):
        loaded = load_problems(path)
        assert len(loaded) == count
        for problem in loaded:
            assert problem.reference and problem.truncate(problem.reference) == problem.reference
            ast.parse(problem.prompt + problem.reference)
            assert problem.entry_point


@needs_data
def test_every_multipl_e_row_loads_under_an_id_of_its_own() -> None:
    loaded = load_problems(*sorted((DATA / "multipl-e").glob("*.jsonl")))
    assert len(loaded) == 11436 and len({p.language for p in loaded}) == 21
    assert all(p.evaluation_only and p.split == "test" for p in loaded)


@needs_data
def test_every_reference_passes() -> None:
    from rewardranker.execution.pool import execute
    from rewardranker.execution.program import Program

    # Most of the sanitized MBPP are programs of MBPP.
    ids = {
        Program(p.language, p.program(p.reference or "")): p.id
        for path in (SANITIZED, MBPP, HUMANEVAL)
        for p in load_problems(path)
    }
    verdicts = execute(list(ids), timeout_s=30)
    assert [(i, v.reason) for i, v in zip(ids.values(), verdicts, strict=True) if not v.passed] == []


@needs_data
def test_a_statement_of_mbpp_shows_its_first_test() -> None:
    for problem in load_problems(MBPP):
        assert problem.visible_tests and problem.tests.startswith(problem.visible_tests)
