import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.formats.job import RowsJob
from rewardranker.execution.formats.multipl_e import CompletionsJob
from rewardranker.execution.formats.recognise import open_job

PROGRAM = {
    "id": 1,
    "language": "py",
    "program": "",
    "task_id": "x",
    "completion": "as our own samples may have",
}
COMPLETIONS = {"language": "py", "prompt": "", "tests": "", "completions": ["1", "2"]}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x"])
def test_the_content_decides_and_not_the_name(tmp_path, name):
    out = tmp_path / "out"
    rows = open_job(write(tmp_path / name, json.dumps(PROGRAM)), out=out)
    assert isinstance(rows, RowsJob) and len(rows.programs) == 1
    rows = open_job(write(tmp_path / name, "\n".join([json.dumps(PROGRAM)] * 2)), out=out)
    assert isinstance(rows, RowsJob) and len(rows.programs) == 2
    for indent in (None, 2):
        job = open_job(write(tmp_path / name, json.dumps(COMPLETIONS, indent=indent)), out=out)
        assert isinstance(job, CompletionsJob) and len(job.programs) == 2
        assert job.outputs == [out / f"{'x' if name == 'x.json' else name}.results.json"]


def test_a_broken_document_is_one_fault_and_not_one_a_line(tmp_path):
    text = json.dumps(COMPLETIONS, indent=2)[:-5]
    job = open_job(write(tmp_path / "x.json", text))
    (fault,) = job.faults
    assert fault.startswith(f"{tmp_path}/x.json:8: not JSON")


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_numbers_that_python_does_not_read_are_told_of(tmp_path, name):
    long = json.dumps(PROGRAM | {"id": "long"}).replace('"long"', "9" * 5000)
    path = write(tmp_path / name, f"{json.dumps(PROGRAM)}\n{long}\n")
    job = open_job(path, out=tmp_path / "out.jsonl")
    assert job.faults == [f"{path}:2: not JSON that can be read (an integer of more than 4,300 digits)"]
    assert len(job.programs) == 1


def test_programs_need_a_place_for_their_verdicts(tmp_path):
    path = write(tmp_path / "x.jsonl", json.dumps(PROGRAM))
    with pytest.raises(UserError, match=r"x\.jsonl: say where to write the verdicts: -o OUT\.jsonl"):
        open_job(path)


@pytest.mark.parametrize("out", ["-", "out.json", "out.json.gz", "out.jsonl"])
def test_completions_need_a_folder(tmp_path, out):
    path = write(tmp_path / "x.json", json.dumps(COMPLETIONS))
    with pytest.raises(UserError, match="give -o the name of a folder"):
        open_job(path, out=Path(out))


def test_a_folder_without_anything_to_run(tmp_path):
    write(tmp_path / "x.results.json", "{}")
    with pytest.raises(UserError, match="nothing to run in this folder"):
        open_job(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(COMPLETIONS), "read from files and folders"),
        ('{"task_id": "x", "completion": ""}', "stdin: say where to write"),
    ],
)
def test_what_stdin_can_not_be(monkeypatch, text, message):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    with pytest.raises(UserError, match=message):
        open_job(Path("-"))


def test_stdin_that_is_not_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\xff")))
    with pytest.raises(UserError, match="stdin: not UTF-8"):
        open_job(Path("-"), out=Path("-"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([PROGRAM]), r"x\.json:1: expected a JSON object, found list; expected JSON lines"),
        (json.dumps([PROGRAM], indent=2), r"x\.json:1: not JSON .*; expected JSON lines"),
        ('{"task_id": "HumanEval/0", "prompt": "", "test": ""}', "these are problems, not programs"),
    ],
)
def test_what_holds_no_programs_is_one_message(tmp_path, text, message):
    path = write(tmp_path / "x.json", text)
    with pytest.raises(UserError, match=message):
        open_job(path, out=tmp_path / "out.jsonl", problems=tmp_path / "problems.jsonl")
