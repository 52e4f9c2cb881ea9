import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewardranker.errors import UserError
from rewardranker.problems.candidate import Candidate, ExecutedCandidate
from rewardranker.problems.completions import completion_rows, read_completions, read_executed
from rewardranker.problems.problem import Problem

PROBLEMS = [Problem("a", "python", "def a():\n", "a()"), Problem("b", "python", "def b():\n", "b()")]
CANDIDATES = [
    Candidate("a", 0, "    return 1", -1.5, 4, "eos", "sft"),
    Candidate("b", 3, "    return 2", -2.5, 64, "length", "sft"),
]


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_sampled_rows_can_be_executed_and_read_back(tmp_path):
    rows = completion_rows(PROBLEMS, CANDIDATES)
    assert [(r["id"], r["language"], r["program"]) for r in rows] == [
        ("a#0", "python", "def a():\n    return 1\na()"),
        ("b#3", "python", "def b():\n    return 2\nb()"),
    ]
    path = write(tmp_path / "c.jsonl", rows)
    assert read_completions(path, PROBLEMS) == rows
    verdict = {"status": "passed", "strict_status": "failed", "reason": "exit 0 before the end"}
    executed = read_executed(write(path, [{**row, **verdict} for row in rows]), PROBLEMS)
    assert executed == [
        ExecutedCandidate(
            c.problem_id,
            c.index,
            c.text,
            c.logprob_sum,
            c.n_tokens,
            c.finish_reason,
            c.policy,
            *verdict.values(),
        )
        for c in CANDIDATES
    ]


def test_whole_programs_are_judged_and_not_learned_from(tmp_path, capsys):
    rows = completion_rows(PROBLEMS, CANDIDATES, [False, True])
    assert ("whole" in rows[0], rows[1]["whole"]) == (False, True)
    assert rows[1]["program"] == "    return 2\nb()"
    path = write(tmp_path / "c.jsonl", [{**row, "strict_status": "passed"} for row in rows])
    assert [c.problem_id for c in read_executed(path, PROBLEMS)] == ["a"]
    assert "1 programs that don't continue their prompts are left out" in capsys.readouterr().err.replace(
        "\n", ""
    )


def test_whole_programs_that_continue_their_prompts_are_learned_from(tmp_path):
    row = {"problem_id": "a", "text": "def a():\n    return 1", "whole": True, "strict_status": "passed"}
    path = write(tmp_path / "c.jsonl", [row])
    assert [c.text for c in read_executed(path, PROBLEMS)] == ["    return 1"]
    assert read_completions(path, PROBLEMS) == [{**row, "text": "    return 1", "whole": False}]


def test_of_eval_plus_rows_the_solution_is_read_which_was_judged(tmp_path):
    rows = [
        {"task_id": "a", "completion": "unused", "solution": "def a():\n    return 1"},
        {"task_id": "a", "solution": "def b(): return 1"},
        {"task_id": "a", "completion": "    return 2", "solution": None},
    ]
    read = read_completions(write(tmp_path / "c.jsonl", rows), PROBLEMS)
    assert [(row["text"], row.get("whole", False)) for row in read] == [
        ("    return 1", False),
        ("def b(): return 1", True),
        ("    return 2", False),
    ]


def test_a_table_is_read_like_lines_and_what_is_null_in_it_like_what_is_missing(tmp_path):
    rows = [
        {"problem_id": "a", "text": "x", "strict_status": "passed", "policy": "sft", "logprob_sum": -1.5},
        {"problem_id": "b", "text": "y", "strict_status": "failed", "policy": None, "logprob_sum": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    lines = write(tmp_path / "c.jsonl", [{k: v for k, v in row.items() if v is not None} for row in rows])
    assert read_executed(tmp_path / "c.parquet", PROBLEMS) == read_executed(lines, PROBLEMS)


def test_human_eval_rows_are_understood_and_further_fields_kept(tmp_path):
    path = write(tmp_path / "h.jsonl", [{"task_id": "a", "completion": "x", "note": 1}])
    assert read_completions(path, PROBLEMS) == [
        {"task_id": "a", "completion": "x", "note": 1, "problem_id": "a", "text": "x"}
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem_id": "a"}, ':2: needs "problem_id" and "text"'),
        ({"problem_id": 1, "text": "x"}, ':2: needs "problem_id" and "text"'),
        ({"problem_id": "z", "text": "x"}, ":2: problem 'z' is not in the problems file"),
        ("{", ":2: not JSON"),
        ("[1]", ":2: expected a JSON object"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, message):
    path = write(tmp_path / "c.jsonl", [{"problem_id": "a", "text": "x"}, row])
    with pytest.raises(UserError) as e:
        read_completions(path, PROBLEMS)
    assert f"{path}{message}" in str(e.value)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no rows"):
        read_completions(write(tmp_path / "c.jsonl", []), PROBLEMS)


def test_a_candidate_without_verdict_is_named_by_line_and_the_command_to_run(tmp_path):
    path = write(tmp_path / "c.jsonl", ["", {"problem_id": "a", "text": "x"}])
    with pytest.raises(UserError) as e:
        read_executed(path, PROBLEMS)
    assert f"{path}:2: no verdict; run it first: rewardranker execute {path} -o OUT" in str(e.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("index", "0"), ("n_tokens", 1.5), ("logprob_sum", "x"), ("policy", 3), ("strict_status", None)],
)
def test_a_field_of_the_wrong_kind_is_named(tmp_path, field, value):
    path = write(
        tmp_path / "c.jsonl", [{"problem_id": "a", "text": "x", "strict_status": "passed", field: value}]
    )
    with pytest.raises(UserError) as e:
        read_executed(path, PROBLEMS)
    assert f"{path}:1: {field}" in str(e.value)


def test_what_execution_does_not_need_may_be_missing(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"problem_id": "a", "text": "x", "strict_status": "timeout"}])
    assert read_executed(path, PROBLEMS) == [
        ExecutedCandidate("a", 0, "x", 0.0, 0, "eos", "mine", "timeout", "timeout", "")
    ]
