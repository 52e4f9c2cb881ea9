import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import parse_lines
from rewardranker.execution.formats.programs import program_rows
from rewardranker.execution.formats.recognise import open_job
from rewardranker.execution.judging import not_run

ROW = {"id": "a", "language": "python", "program": "print(1)", "more": [1, None]}
VERDICT = not_run("unavailable", "why")


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
        st.dictionaries(st.text(), st.text() | st.integers() | st.none()).map(
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
    added = set(written[0]) - set(rows[0]) if rows else set()
    for row, out in zip(rows, written, strict=True):
        assert {k: v for k, v in out.items() if k in row and k not in added} == {
            k: v for k, v in row.items() if k not in added
        }
