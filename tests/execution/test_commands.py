"""`execute` and `doctor` as commands."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

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


def test_execute_reads_samples_and_completions(tmp_path):
    problem = {"task_id": "Own/0", "prompt": "def f():\n", "entry_point": "f", "canonical_solution": ""}
    problems, samples = tmp_path / "problems.jsonl", tmp_path / "samples.jsonl"
    problems.write_text(json.dumps({**problem, "test": "def check(f):\n    assert f() == 1\n"}))
    samples.write_text('{"task_id": "Own/0", "completion": "    return 1"}\n{"task_id": "Own/1"}\n')
    result = invoke(execute, samples, "--problems", problems, "--workers", 1)
    assert result.exit_code == 2
    assert f"{samples}:2: completion (or solution): field required" in result.output
    assert [json.loads(line)["passed"] for line in Path(f"{samples}_results.jsonl").open()] == [True]

    folder = completions(tmp_path / "completions", language="cobol")
    result = invoke(execute, folder, "--workers", 1)
    assert result.exit_code == 2
    assert f"{folder}/0.json: unavailable: programs in 'cobol' can't be run here" in result.output
    assert not list(folder.glob("*.results.json"))


def test_no_cache_runs_everything(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": 1, "language": "py", "program": "import os; print(os.urandom(8).hex())"}\n')
    written = []
    for options in ([], [], ["--no-cache"]):
        result = invoke(execute, source, "-o", out, "--workers", 1, *options)
        assert ("1 verdicts are from the cache" in result.output) == (len(written) == 1)
        written.append(out.read_text())
    assert written[0] == written[1] != written[2]


def completions(folder, language="py"):
    folder.mkdir()
    for n in range(4):
        programs = [f"import time; time.sleep(0.2); assert {i} != {n}  # {folder}" for i in range(4)]
        document = {"language": language, "prompt": "", "tests": "", "completions": programs}
        (folder / f"{n}.json").write_text(json.dumps(document))
    return folder


def kill_in_the_middle(arguments, environment, is_in_the_middle):
    """Run `rewardranker execute` and kill it as soon as it may be."""
    command = [sys.executable, "-c", "from rewardranker.cli import main; main()", "execute", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while not is_in_the_middle():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_completions_killed_in_the_middle_go_on(tmp_path):
    folder = completions(tmp_path / "completions")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    out, whole = tmp_path / "out", tmp_path / "whole"
    again = kill_in_the_middle(
        [folder, "-o", out, "--workers", "1", "--no-cache"],
        environment,
        (out / "0.results.json").exists,
    )
    assert again.returncode == 0
    assert "files have their results already" in again.stderr
    assert invoke(execute, folder, "-o", whole, "--workers", 2, "--no-cache").exit_code == 0
    for n in range(4):
        one, other = (json.loads((p / f"{n}.results.json").read_text()) for p in (out, whole))
        for result in one["results"] + other["results"]:
            del result["timestamp"]
        assert one == other
        assert [r["status"] for r in one["results"]] == ["Exception" if i == n else "OK" for i in range(4)]
    assert sorted(p.name for p in out.iterdir()) == [f"{n}.results.json" for n in range(4)]


def test_programs_killed_in_the_middle_go_on(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"id": i, "language": "py", "program": f"import time; time.sleep(0.2); print({i})"} for i in range(9)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    database = tmp_path / "cache" / "rewardranker" / "verdicts" / "verdicts.sqlite"

    def is_in_the_middle():
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                return connection.execute("SELECT count(*) FROM verdicts").fetchone()[0] >= 2
        except sqlite3.OperationalError:
            return False

    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    again = kill_in_the_middle([source, "-o", out, "--workers", "1"], environment, is_in_the_middle)
    assert again.returncode == 0
    assert "verdicts are from the cache" in again.stderr
    assert [json.loads(line)["stdout"] for line in out.open()] == [f"{i}\n" for i in range(9)]


def test_doctor_tells_what_works():
    result = invoke(doctor)
    assert result.exit_code == 0
    for word in ("python", "torch", "transformers", "sandbox", "works", "ready"):
        assert word in result.output
    for language in LANGUAGES:
        assert language.name in result.output
