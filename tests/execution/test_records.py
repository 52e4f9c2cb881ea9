import gzip
import json

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.judging import not_run
from rewardranker.execution.records import read_programs, write_verdicts

ROW = {"id": "a", "language": "python", "program": "print(1)", "more": [1, None]}


def test_rows_and_faults(tmp_path):
    path = tmp_path / "programs.jsonl"
    lines = [
        json.dumps(ROW),
        "",
        "{",
        "[1]",
        '{"id": 1, "language": "py"}',
        '{"id": 1, "language": "py", "program": 2}',
    ]
    path.write_text("\n".join(lines))
    read = read_programs(path)
    assert read.rows == [ROW]
    assert [p.source for p in read.programs()] == ["print(1)"]
    assert read.faults == [
        f"{path}:3: not JSON (Expecting property name enclosed in double quotes at column 2)",
        f"{path}:4: expected a JSON object, found list",
        f'{path}:5: no field "program"',
        f'{path}:6: field "program" must be a string, not int',
    ]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"missing\.jsonl: cannot read it"):
        read_programs(tmp_path / "missing.jsonl")


def test_verdicts_are_added_to_the_rows(tmp_path):
    path = tmp_path / "out.jsonl.gz"
    write_verdicts(path, [ROW], [not_run("unavailable", "why")])
    (row,) = (json.loads(line) for line in gzip.open(path, "rt"))
    assert {k: row[k] for k in ROW} == ROW
    assert row["strict_status"] == "unavailable"
    assert set(row) - set(ROW) == {
        *("status", "strict_status", "reason", "phase", "exit_code", "stdout", "stderr", "wall_s", "cpu_s")
    }
