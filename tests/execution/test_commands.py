"""`execute` and `doctor` as commands."""

import json

import pytest
import typer
from typer.testing import CliRunner

from rewardranker.cli.doctor import doctor
from rewardranker.cli.execute import execute
from rewardranker.execution.languages import LANGUAGES

pytestmark = pytest.mark.usefixtures("isolation")


def invoke(command, *arguments, **options):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(a) for a in arguments], **options)


def test_execute_adds_verdicts_in_order(tmp_path):
    rows = [{"id": i, "language": "py", "program": f"assert {i} != 3", "kept": "x"} for i in range(6)]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = invoke(execute, source, "-o", out, "--workers", 2, "--timeout", 5)
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["id"], r["kept"], r["strict_status"]) for r in written] == [
        (i, "x", "failed" if i == 3 else "passed") for i in range(6)
    ]


def test_execute_runs_the_good_rows_and_reports_the_bad_ones(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": 1, "language": "py"}\n{"id": 2, "language": "py", "program": ""}\n')
    result = invoke(execute, source, "-o", out, "--workers", 1)
    assert result.exit_code == 2
    assert f'{source}:1: no field "program"' in result.output
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [2]


def test_execute_reads_stdin_and_writes_stdout():
    result = invoke(
        execute, "-", "-o", "-", "--workers", 1, input='{"id": 1, "language": "py", "program": ""}\n'
    )
    assert json.loads(result.stdout)["strict_status"] == "passed"


def test_doctor_tells_what_works():
    result = invoke(doctor)
    assert result.exit_code == 0
    for word in ("python", "torch", "transformers", "sandbox", "works", "ready"):
        assert word in result.output
    for language in LANGUAGES:
        assert language.name in result.output
