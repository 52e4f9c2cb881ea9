"""Wrong input: exit code 2, one message that says where, no traceback, nothing written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OWN = {"id": "p1", "prompt": "def f():\n", "tests": "assert f() == 1\n", "reference": "    return 1\n"}
MULTIPLE = {
    "name": "HumanEval_0",
    "language": "py",
    "prompt": "def f():\n",
    "tests": "f()\n",
    "stop_tokens": ["\ndef"],
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def refused(rewardranker, tmp_path):
    """Run a command that must be refused; returns its message."""

    def run(*words: object) -> str:
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        result = rewardranker(*words)
        assert result.code == 2, (result.code, result.out, result.err)
        assert "Traceback" not in result.err + result.out
        assert result.out == ""
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
        assert result.err.startswith("rewardranker: ") and result.err.endswith("\n")
        return result.err

    return run


@pytest.fixture
def problems(tmp_path):
    return write(tmp_path / "problems.jsonl", OWN)


def commands(problems, out):
    """Every command that reads problems, with arguments that are otherwise good enough to get that far."""
    return [
        ("train-sft", problems, "-o", out),
        ("sample", problems, "--generator", out, "-o", out),
        ("mine", problems, problems, "--ranker", out, "-o", out),
        ("rank", problems, problems, "--ranker", out, "-o", out),
        ("train-ppo", problems, "--generator", out, "--ranker", out, "-o", out),
        ("evaluate", problems, "--generator", out, "-o", out),
    ]


def test_greedy_decoding_gives_one_candidate(refused, problems, tmp_path):
    command = ("sample", problems, "--generator", tmp_path, "--temperature", 0, "-o", tmp_path / "out")
    assert "give -n 1 or a --temperature" in refused(*command)


@pytest.mark.parametrize("number", range(6))
def test_a_file_that_is_missing(refused, tmp_path, number):
    command = commands(tmp_path / "none.jsonl", tmp_path / "out")[number]
    assert f"{tmp_path / 'none.jsonl'}: cannot read it (No such file or directory)" in refused(*command)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", ":2: not JSON"),
        ({**OWN, "id": "p2", "tests": 5}, ":2: tests: "),
        ({**OWN, "id": "p2", "refrence": ""}, ":2: refrence: unknown field"),
        ({"id": "p2", "prompt": ""}, ":2: tests: field required"),
        (OWN, ":2: id 'p1' already stands at"),
    ],
)
def test_a_row_that_is_malformed(refused, tmp_path, number, row, message):
    path = write(tmp_path / "problems.jsonl", OWN, row)
    assert f"{path}{message}" in refused(*commands(path, tmp_path / "out")[number])


@pytest.mark.parametrize("command", ["train-sft", "train-reward", "train-ppo", "evaluate"])
def test_an_output_folder_that_exists(refused, tmp_path, problems, command):
    options = {
        "train-ppo": ("--generator", tmp_path, "--ranker", tmp_path),
        "evaluate": ("--generator", tmp_path),
    }.get(command, ())
    message = refused(command, problems, *options, "-o", tmp_path)
    assert message == f"rewardranker: {tmp_path}: exists already; choose another folder or remove it\n"


@pytest.mark.parametrize("number", range(1, 4))
def test_an_output_file_that_is_a_folder(refused, tmp_path, problems, number):
    command = commands(problems, tmp_path)[number]
    assert f"{tmp_path}: is a folder; give the name of a file" in refused(*command)


@pytest.mark.parametrize("number", range(1, 4))
def test_an_output_file_that_is_no_ordinary_one(refused, tmp_path, problems, number):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for out in (pipe, Path("/dev/null"), Path("/dev/stdout")):  # root could replace them
        assert f"{out}: is not an ordinary file" in refused(*commands(problems, out)[number])


@pytest.mark.parametrize("number", range(6))
def test_an_output_under_a_file(refused, tmp_path, problems, number):
    command = commands(problems, problems / "out")[number]
    assert f"{problems / 'out'}: cannot be written, for {problems} is not a folder" in refused(*command)


@pytest.mark.parametrize("command", ["sample", "train-ppo", "evaluate"])
def test_a_folder_without_a_model(refused, tmp_path, problems, command):
    ranker = ("--ranker", tmp_path) if command == "train-ppo" else ()
    message = refused(command, problems, "--generator", tmp_path, *ranker, "-o", tmp_path / "out")
    assert f"{tmp_path}: no model here (config.json is missing)" in message


PROGRAM = {"id": 1, "language": "py", "program": ""}
SAMPLE = {"task_id": "p1", "completion": "    return 1"}
COMPLETIONS = {"language": "py", "prompt": "", "tests": "", "completions": ["1"]}


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (PROGRAM, (), "say where to write the verdicts: -o OUT.jsonl"),
        (PROGRAM, ("-o", "{file}/out"), "is not a folder that you may write to"),
        (PROGRAM, ("-o", "{folder}"), "is a folder; give the name of a file"),
        (PROGRAM, ("-o", "{folder}/out", "--problems", "{file}"), "is for samples"),
        (SAMPLE, (), "--problems HumanEval.jsonl.gz"),
        (SAMPLE, ("--problems", "{folder}/none"), "none: cannot read it"),
        (SAMPLE, ("--problems", "{file}", "-o", "{folder}"), "is a folder; give the name of a file"),
        (COMPLETIONS, ("-o", "-"), "give -o the name of a folder"),
        (COMPLETIONS, ("-o", "{file}/out"), "is not a folder that you may write to"),
        (COMPLETIONS, ("--problems", "{file}"), "is for samples"),
    ],
)
def test_programs_completions_and_samples(refused, tmp_path, problems, row, options, message):
    path = write(tmp_path / "rows", row)
    words = [option.format(file=problems, folder=tmp_path) for option in options]
    assert message in refused("execute", path, *words)


def test_a_folder_with_nothing_to_run(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "nothing to run in this folder" in refused("execute", tmp_path / "folder")


@pytest.mark.parametrize("command", ["mine", "rank"])
def test_a_folder_without_a_ranker(refused, tmp_path, problems, command):
    rows = write(tmp_path / "rows.jsonl", {"problem_id": "p1", "text": "x", "strict_status": "failed"})
    message = refused(command, problems, rows, "--ranker", tmp_path, "-o", tmp_path / "out")
    assert f"{tmp_path}: no ranker here" in message


@pytest.mark.parametrize("command", ["mine", "rank"])
def test_completions_of_unknown_problems(refused, tmp_path, problems, command):
    rows = write(tmp_path / "rows.jsonl", {"problem_id": "p1", "text": ""}, {"problem_id": "p2", "text": ""})
    known = {"mine": f"{rows}:1: no verdict", "rank": f"{rows}:2: problem 'p2' is not in the problems file"}
    message = refused(command, problems, rows, "--ranker", tmp_path, "-o", tmp_path / "out")
    assert known[command] in message


def test_problems_without_references_for_sft(refused, tmp_path):
    path = write(tmp_path / "p.jsonl", {**OWN, "reference": None})
    assert f"{path}: no problem has a reference program" in refused("train-sft", path, "-o", tmp_path / "out")


@pytest.mark.parametrize("number", [0, 2, 4])
def test_problems_whose_licence_forbids_training(refused, tmp_path, number):
    path = write(tmp_path / "multipl-e.jsonl", MULTIPLE)
    message = refused(*commands(path, tmp_path / "out")[number])
    assert "1 problems, the first 'python/HumanEval_0', are for evaluation only" in message


@pytest.mark.parametrize("number", [0, 2, 4])
def test_problems_that_claims_are_made_on(refused, tmp_path, number):
    path = write(tmp_path / "test.jsonl", {**OWN, "split": "test"})
    message = refused(*commands(path, tmp_path / "out")[number])
    assert "no problem to train on: all 1 are of the split test" in message


def test_nothing_to_mine(refused, tmp_path, workshop):
    rows = [row | {"strict_status": "unavailable"} for row in workshop.rows("executed")]
    path = write(tmp_path / "unavailable.jsonl", *rows)
    message = refused(
        "mine", workshop.folder / "problems.jsonl", path, "--ranker", workshop.ranker, "-o", tmp_path / "out"
    )
    assert f"{path}: nothing to mine" in message


def test_preferences_without_pairs(refused, tmp_path):
    pairs = write(tmp_path / "pairs.jsonl", {"prompt": "p", "chosen": "c"})
    message = refused("train-reward", pairs, "-o", tmp_path / "out")
    assert f"{pairs}:1: rejected: field required" in message


@pytest.mark.parametrize(
    ("name", "rows", "options", "message"),
    [
        ("pairs", [{"prompt": "p", "chosen": "c"}], (), ":1: rejected: field required"),
        (
            "executed",
            [{**SAMPLE, "strict_status": "passed"}],
            (),
            ": give the problems that these are candid",
        ),
        ("executed", [{**SAMPLE, "strict_status": 1}], ("--problems", "{file}"), ":1: strict_status: "),
        ("samples", [SAMPLE], ("--problems", "{file}"), ":1: no verdict; run it first: rewardranker execute"),
    ],
)
def test_an_export_of_what_is_incomplete(refused, tmp_path, problems, name, rows, options, message):
    path = write(tmp_path / name, *rows)
    words = [option.format(file=problems) for option in options]
    assert f"{path}{message}" in refused("export", path, *words, "-o", tmp_path / "out")


def test_an_export_of_multipl_e(refused, tmp_path):
    problems = write(tmp_path / "multipl-e.jsonl", MULTIPLE)
    executed = {"problem_id": "python/HumanEval_0", "text": "", "strict_status": "passed"}
    path = write(tmp_path / "executed.jsonl", executed)
    message = refused("export", path, "--problems", problems, "-o", tmp_path / "out")
    assert f"{path}: nothing to export: all are 1 candidates of 1 problems for evaluation only" in message


def test_an_export_into_a_folder_that_exists(refused, tmp_path, problems):
    assert f"{tmp_path}: exists already" in refused("export", problems, "-o", tmp_path)


RECIPE = """
name = "bad name"
iterations = 0
unheard_of = 1
[problems]
files = ["x.jsonl"]
[generator.decoder]
hidden = "wide"
[ppo]
kl = -1
"""


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_recipe_is_told_all_its_errors_at_once(refused, tmp_path, command):
    path = tmp_path / "r.toml"
    path.write_text(RECIPE)
    message = refused(command, path)
    assert f"{path}: 5 error(s)" in message
    for key in ("name", "iterations", "unheard_of", "generator.decoder.hidden", "ppo.kl"):
        assert f"\n  {key}: " in message


@pytest.mark.parametrize("command", ["validate", "run"])
def test_an_unknown_recipe_is_told_the_shipped_ones(refused, command):
    message = refused(command, "nonsense")
    assert message.startswith("rewardranker: nonsense: no such file or shipped recipe; shipped: ")
    assert "micro" in message and "tiny" in message


@pytest.mark.parametrize("command", ["show", "cp"])
def test_an_unknown_shipped_recipe(refused, tmp_path, command):
    to = (tmp_path / "x.toml",) if command == "cp" else ()
    assert "nonsense: no shipped recipe of that name" in refused("recipes", command, "nonsense", *to)


def test_a_copy_never_overwrites(refused, tmp_path):
    path = write(tmp_path / "mine.toml", "precious")
    assert f"{path}: exists already" in refused("recipes", "cp", "tiny", path)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sft.epochs", "--set sft.epochs: expected key=value"),
        ("sft.epochs=many", "sft.epochs: "),
        ("name.x=1", "--set name.x=1: name is a value, not a section"),
    ],
)
def test_a_setting_that_is_wrong(refused, assignment, message):
    assert message in refused("validate", "tiny", "--set", assignment)


def own_recipe(folder: Path, **problems: object) -> Path:
    """The recipe `tiny` on a file of one's own."""
    row = "\n".join(f"{key} = {json.dumps(value)}" for key, value in problems.items())
    path = folder / "own.toml"
    path.write_text(f'name = "own"\n[problems]\n{row}\n[generator.decoder]\nhidden = 32\nlayers = 1\n')
    return path


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no problems in it"),
        (
            [{**OWN, "reference": None, "split": "pool"}, {**OWN, "id": "t", "split": "test"}],
            "no problem with a reference",
        ),
        ([{**OWN, "split": "reference"}], "no problem has the split test"),
        (
            [
                {**OWN, "split": "reference", "reference": "    return 2\n"},
                {**OWN, "id": "t", "split": "test"},
            ],
            "no problem with a reference",
        ),
    ],
)
def test_a_run_on_unsuitable_problems_ends_before_any_training(rewardranker, tmp_path, rows, message):
    write(tmp_path / "p.jsonl", *rows)
    recipe = own_recipe(tmp_path, files=["p.jsonl"])
    result = rewardranker("run", recipe, "--dir", tmp_path / "run")
    assert result.code == 2
    assert message in result.err and "Traceback" not in result.err
    assert not (tmp_path / "run" / "problems").exists()


def test_a_run_whose_file_is_missing(rewardranker, tmp_path):
    result = rewardranker("run", own_recipe(tmp_path, files=["none.jsonl"]), "--dir", tmp_path / "run")
    assert result.code == 2
    assert f"{tmp_path / 'none.jsonl'}: cannot read it" in result.err


@pytest.mark.parametrize("option", ["--dry-run", "--dir=run"])
def test_a_recipe_of_a_real_model_asks_for_model_and_problems(refused, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    message = refused("run", "qwen2.5-coder-7b", option)
    assert "/path/to/problems.jsonl: cannot read it" in message
    assert "/path/to/Qwen2.5-Coder-7B-Instruct: no such folder" in message
    assert "--set generator.checkpoint=FOLDER" in message
    assert list(tmp_path.iterdir()) == []


def test_validate_says_what_is_missing_here(rewardranker):
    result = rewardranker("validate", "deepseek-coder-1.3b")
    assert (result.code, result.out) == (0, "deepseek-coder-1.3b: valid\n")
    assert "to run it here: /path/to/deepseek-coder-1.3b-base: no such folder" in result.err


def test_a_run_directory_that_is_a_file(refused, tmp_path):
    path = write(tmp_path / "file", "")
    assert f"{path}: cannot be a run directory" in refused("run", "tiny", "--dir", path)


def test_view_of_a_folder_without_a_report(refused, tmp_path):
    assert str(tmp_path) in refused("view", tmp_path)


def test_the_console_script_says_one_line_and_exits_with_2(tmp_path):
    script = Path(sys.executable).parent / "rewardranker"
    command = [script, "validate", str(tmp_path / "none.toml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"rewardranker: {tmp_path / 'none.toml'}: no such file or shipped recipe")
