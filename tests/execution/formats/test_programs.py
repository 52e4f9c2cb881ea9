import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import parse_lines
from rewardranker.execution.formats.programs import program_rows
from rewardranker.execution.formats.recognise import open_job
from rewardranker.execution.judging import not_run
from rewardranker.execution.pool import execute

ROW = {"id": "a", "language": "python", "program": "print(1)", "more": [1, None]}
VERDICT = not_run("unavailable", "why")
APPS = Path(__file__).parents[3] / ".." / "shared" / "data" / "formats" / "apps" / "train"


def test_rows_and_faults_in_the_files_order(tmp_path):
    path = tmp_path / "programs.jsonl"
    lines = [
        json.dumps(ROW),
        "",
        '{"id": 1, "language": "py"}',
        "{",
        "[1]",
        '{"id": 1, "language": "py", "program": 2}',
    ]
    path.write_text("\n".join(lines))
    job = open_job(path, out=tmp_path / "out.jsonl")
    assert job.rows == [ROW]
    assert [p.source for p in job.programs] == ["print(1)"]
    assert job.faults == [
        f'{path}:3: no field "program"',
        f"{path}:4: not JSON (Expecting property name enclosed in double quotes at column 2)",
        f"{path}:5: expected a JSON object, found list",
        f'{path}:6: field "program" must be a string, not int',
    ]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"missing\.jsonl: cannot read it"):
        open_job(tmp_path / "missing.jsonl", out=tmp_path / "out.jsonl")


def test_verdicts_are_added_to_the_rows(tmp_path):
    path = tmp_path / "out.jsonl.gz"
    job = program_rows([("x:1", ROW)], path)
    job.record(0, VERDICT)
    job.finish()
    (row,) = (json.loads(line) for line in gzip.open(path, "rt"))
    assert {k: row[k] for k in ROW} == ROW
    assert row["strict_status"] == "unavailable"
    assert set(row) - set(ROW) == {
        *("status", "strict_status", "reason", "phase", "exit_code", "stdout", "stderr", "wall_s", "cpu_s"),
        *("failed_test", "isolation"),
    }


@given(
    rows=st.lists(
        # Names too short for those that hold tests, or a verdict.
        st.dictionaries(st.text(max_size=4), st.text() | st.integers() | st.none()).map(
            lambda more: {**more, "id": 1, "language": "py", "program": more.get("p") or ""}
        )
        | st.builds(lambda p: {"id": p, "language": "py", "program": p}, st.text(st.characters())),
        max_size=6,
    ),
    data=st.data(),
)
def test_rows_come_back_in_order_whatever_ends_first(tmp_path_factory, rows, data):
    rows = [row | {"program": str(row["program"]) + "\ud800"} for row in rows]  # half of a surrogate pair
    path = tmp_path_factory.mktemp("rows") / "out.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    job = program_rows(parse_lines(text, "x"), path)
    assert not job.faults
    for i in data.draw(st.permutations(range(len(rows)))):
        job.record(i, not_run("error", str(i)))
    job.finish()
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["reason"] for r in written] == [str(i) for i in range(len(rows))]
    for row, out in zip(rows, written, strict=True):
        assert {k: v for k, v in out.items() if k in row} == row


LEETCODE = "class Solution:\n    def f(self, x: List[int]) -> int:\n        return math.prod(Counter(x))\n"


@pytest.mark.parametrize(
    "tests",
    [
        {"input_output": {"fn_name": "f", "inputs": [[[2, 3]]], "outputs": [6]}},
        {
            "public_test_cases": '[{"input": "[2, 3]", "output": "6", "testtype": "functional"}]',
            "metadata": '{"func_name": "f"}',
        },
    ],
    ids=["APPS", "LiveCodeBench"],
)
@pytest.mark.usefixtures("isolation")
def test_programs_get_the_imports_that_their_data_set_gives_them(tmp_path, tests):
    row = {"id": 1, "language": "py", "program": LEETCODE, **tests}
    own = {"tests": [{"arguments": [[2, 3]], "result": 6}], "entry_point": "f"}
    job = program_rows([("x:1", row), ("x:2", {**ROW, "program": LEETCODE, **own})], tmp_path / "out.jsonl")
    with_imports, without = execute(job.programs, workers=1)
    assert with_imports.passed, with_imports
    assert without.reason == "NameError: name 'List' is not defined"
    for verdict_index in (0, 1):
        job.record(verdict_index, VERDICT)
    job.finish()
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["program"] == LEETCODE


@pytest.mark.slow
@pytest.mark.skipif(not APPS.exists(), reason=f"{APPS} is absent: these records are not part of the project")
@pytest.mark.usefixtures("isolation")
def test_verdicts_on_samples_of_apps_are_those_of_coderl(tmp_path):
    """Labels: true, false, -1 (raised or took too long), -2 (did not compile, or not import)."""
    rows = [
        {
            "id": f"{folder.name}#{i}",
            "language": "python",
            "program": sample["code"],
            "input_output": document,
        }
        | {"label": sample["result"]}
        for folder in sorted(APPS.iterdir())
        for document in [json.loads((folder / "input_output.json").read_text())]
        for i, sample in enumerate(json.loads((folder / "gen_solutions.json").read_text()))
    ]
    job = program_rows([(row["id"], row) for row in rows], tmp_path / "out.jsonl")
    verdicts = execute(job.programs, timeout_s=4.0)  # as APPS
    assert (len(rows), job.faults) == (83, [])
    wrong = [
        (r["id"], v.reason) for r, v in zip(rows, verdicts, strict=True) if (r["label"] is True) != v.passed
    ]
    assert not wrong
