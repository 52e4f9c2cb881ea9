"""Public data sets by name, out of a cache that the test fills; nothing is downloaded."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewardranker.problems.loaders import load_problems
from rewardranker.problems.public import is_public

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None,
    reason="needs datasets: pip install 'rewardranker[datasets]'",
)
ROW = {
    "task_id": "HumanEval/0",
    "prompt": "def f(x):\n",
    "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    "entry_point": "f",
}
FILL = """\
import json, shutil, sys
from pathlib import Path
import datasets
from datasets.naming import camelcase_to_snakecase
rows, repository, config, cache = json.loads(sys.argv[1]), *sys.argv[2:]
Path("rows.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
made = datasets.load_dataset("json", data_files={"test": "rows.jsonl"})["test"]
(arrow,) = (Path(f["filename"]) for f in made.cache_files)
owner, name = repository.split("/")
name = camelcase_to_snakecase(name)
place = Path(cache) / f"{owner}___{name}" / config / "0.0.0" / ("0" * 40)
place.mkdir(parents=True)
shutil.copy(arrow, place / f"{name}-test.arrow")
info = json.loads((arrow.parent / "dataset_info.json").read_text())
info |= {"builder_name": "parquet", "dataset_name": name, "config_name": config}
(place / "dataset_info.json").write_text(json.dumps(info))
"""


def run(code: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_names():
    assert all(map(is_public, ("humaneval", "mbpp+", "multipl-e:humaneval:cpp", "multipl-e:mbpp:go_test.go")))
    assert not any(map(is_public, ("HumanEval.jsonl", "multipl-e", "multipl-e:apps:cpp", "evaluate")))


LOAD = (
    "import sys; from rewardranker.problems.loaders import load_problems; "
    "print([(p.id, p.split) for p in load_problems(sys.argv[1])])"
)


@needs_datasets
@pytest.mark.parametrize(
    ("name", "repository", "config", "row", "problem_id"),
    [
        ("humaneval", "openai/openai_humaneval", "openai_humaneval", ROW, "HumanEval/0"),
        (
            "multipl-e:humaneval:cpp",
            "nuprl/MultiPL-E",
            "humaneval-cpp",
            {
                "name": "HumanEval_0_f",
                "language": "cpp",
                "prompt": "long f(long x) {\n",
                "tests": "int main() {}\n",
                "stop_tokens": ["\n}"],
            },
            "cpp/HumanEval_0_f",
        ),
        (
            "codecontests",
            "deepmind/code_contests",
            "default",
            {"name": "1_A", "description": "", "public_tests": {"input": ["1"], "output": ["1"]}},
            "CodeContests/1_A",
        ),
    ],
)
def test_from_the_cache_to_be_tested_on(tmp_path, name, repository, config, row, problem_id):
    cache = str(tmp_path / "hf" / "datasets")
    filled = run(FILL, json.dumps([row]), repository, config, cache, folder=tmp_path)
    assert filled.returncode == 0, filled.stderr
    loaded = run(LOAD, name, folder=tmp_path)
    assert loaded.stdout == f"[('{problem_id}', 'test')]\n", loaded.stderr


@needs_datasets
def test_not_in_the_cache(tmp_path):
    loaded = run(LOAD, "mbpp", folder=tmp_path)
    assert loaded.returncode == 1
    message = loaded.stderr.splitlines()[-1]
    assert "UserError: mbpp: google-research-datasets/mbpp can't be loaded" in message
    assert "HF_HUB_OFFLINE is set: unset it, or download it elsewhere and give the file" in message


def test_without_the_library(tmp_path):
    loaded = run("import sys; sys.modules['datasets'] = None; " + LOAD, "mbpp", folder=tmp_path)
    assert "pip install 'rewardranker[datasets]'; or give a local file" in loaded.stderr


def test_a_file_of_that_name_is_read(tmp_path):
    (tmp_path / "humaneval").write_text(json.dumps(ROW))
    assert run(LOAD, "humaneval", folder=tmp_path).stdout == "[('HumanEval/0', 'test')]\n"


def test_rows_that_cannot_be_used_are_left_out_and_named(monkeypatch, capsys):
    good = {"name": "1_A", "description": "", "public_tests": {"input": ["1"], "output": ["1"]}}
    bad = {**good, "name": "1_B", "public_tests": {"input": ["1", "2"], "output": ["1"]}}
    rows = [("codecontests: row 1", good), ("codecontests: row 2", bad)]
    monkeypatch.setattr("rewardranker.problems.loaders.public_rows", lambda _: rows)
    assert [p.id for p in load_problems("codecontests")] == ["CodeContests/1_A"]
    told = " ".join(capsys.readouterr().err.split())
    assert "codecontests: row 2: the row's tests can't be read" in told and told.endswith("left out")
