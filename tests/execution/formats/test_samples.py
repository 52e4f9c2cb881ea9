import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.formats.recognise import open_job
from rewardranker.execution.judging import not_run
from rewardranker.execution.pool import run

HUMANEVAL = Path(__file__).parents[3] / ".." / "shared" / "data" / "formats" / "humaneval"
needs_data = pytest.mark.skipif(
    not HUMANEVAL.is_dir(), reason=f"no {HUMANEVAL}: take data/ of git clone github.com/openai/human-eval"
)
PROBLEM = {
    "task_id": "Own/0",
    "prompt": "def one():\n",
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}
PASSED = replace(not_run("passed", ""), exit_code=0, phase="run")


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def problems(tmp_path):
    return write(tmp_path / "problems.jsonl", PROBLEM)


def finish(job, verdicts):
    for i, verdict in enumerate(verdicts):
        job.record(i, verdict)
    job.finish()
    (out,) = job.outputs
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_what_is_run_is_human_evals_program(tmp_path, problems):
    overrun = "    return 1\ndef one():\n    return 2\n"
    samples = write(
        tmp_path / "samples.jsonl",
        {"task_id": "Own/0", "completion": overrun},
        {"task_id": "Own/0", "solution": "def one(): return 1", "completion": "unused"},
    )
    job = open_job(samples, problems=problems)
    test = PROBLEM["test"] + "\ncheck(one)\n"
    assert [p.source for p in job.programs] == [
        f"{PROBLEM['prompt']}{overrun}\n{test}",
        f"def one(): return 1\n{test}",
    ]


def test_whole_programs_of_ours_do_not_follow_the_prompt(tmp_path, problems):
    whole = {"problem_id": "Own/0", "text": "def one(): return 1", "whole": True}
    samples = write(
        tmp_path / "samples.jsonl",
        whole,
        {**whole, "text": "    return 1", "whole": False},
        {"task_id": "Own/0", "completion": whole["text"], "whole": True},
        {**whole, "whole": "yes"},
    )
    job = open_job(samples, problems=problems)
    test = PROBLEM["test"] + "\ncheck(one)\n"
    assert [p.source for p in job.programs] == [
        f"def one(): return 1\n{test}",
        f"{PROBLEM['prompt']}    return 1\n{test}",
        f"def one(): return 1\n{test}",
    ]
    assert job.faults == [f"{samples}:4: whole: Input should be a valid boolean"]


def test_results_have_human_evals_fields_and_the_verdicts(tmp_path, problems):
    sample = {"task_id": "Own/0", "completion": "    return 1", "temperature": 0.2}
    samples = write(tmp_path / "samples.jsonl", *[sample] * 5)
    rows = finish(
        open_job(samples, problems=problems),
        [
            PASSED,
            replace(PASSED, strict_status="failed", reason="exit 0 before the end"),
            not_run("timeout", "no end after 3 s"),
            not_run("unavailable", "no cobol"),
            not_run("error", "died"),
        ],
    )
    assert (tmp_path / "samples.jsonl_results.jsonl").exists()
    assert [(r["result"], r["passed"]) for r in rows] == [
        ("passed", True),
        ("failed: exit 0 before the end", False),
        ("timed out", False),
        ("unavailable: no cobol", None),
        ("error: died", None),
    ]
    assert [r["status"] for r in rows[:2]] == ["passed", "passed"]
    assert all({k: r[k] for k in sample} == sample for r in rows)


def test_bad_rows_are_told_of_with_their_lines(tmp_path, problems):
    samples = write(
        tmp_path / "s.jsonl",
        {"task_id": "Own/0"},
        "{",
        {"task_id": "Own/1", "completion": ""},
        {"task_id": "Own/0", "completion": 1},
        {"task_id": "Own/0", "completion": ""},
    )
    job = open_job(samples, problems=problems)
    assert len(job.programs) == 1
    assert job.faults == [
        f"{samples}:1: completion (or solution): field required",
        f"{samples}:2: not JSON (Expecting property name enclosed in double quotes at column 2)",
        f"{samples}:3: task_id: problem 'Own/1' is not in {problems}",
        f"{samples}:4: completion: Input should be a valid string",
    ]


def test_evalplus_spells_mbpp_its_own_way(tmp_path):
    row = {"task_id": 601, "text": "Add.", "code": "def a(): return 1", "test_list": ["assert a() == 1"]}
    problems = write(tmp_path / "mbpp.jsonl", row)
    samples = write(tmp_path / "s.jsonl", {"task_id": "Mbpp/601", "solution": "def a(): return 1"})
    job = open_job(samples, problems=problems)
    assert [p.source for p in job.programs] == ["def a(): return 1\nassert a() == 1\n"]
    for name in ("Mbpp_601", "MBPP_601"):
        solution = tmp_path / name / name / "0.py"
        solution.parent.mkdir(parents=True)
        solution.write_text("def a(): return 1")
        assert open_job(tmp_path / name, problems=problems).programs == job.programs


def test_a_folder_of_solutions(tmp_path, problems):
    folder = tmp_path / "solutions"
    (folder / "Own_0").mkdir(parents=True)
    for n in (10, 9):
        (folder / "Own_0" / f"{n}.py").write_text(f"def one(): return {n}")
    (folder / "Own_0" / "11.py").write_bytes(b"\xff")
    (folder / "Other_7").mkdir()
    (folder / "Other_7" / "0.py").write_text("")
    job = open_job(folder, problems=problems)
    assert job.faults == [
        f"{folder}/Other_7/0.py: task_id: problem 'Other_7' is not in {problems}",
        f"{folder}/Own_0/11.py: not a readable text file "
        "('utf-8' codec can't decode byte 0xff in position 0: invalid start byte)",
    ]
    rows = finish(job, [PASSED, not_run("timeout", "")])
    assert [(r["task_id"], r["solution"], r["passed"]) for r in rows] == [
        ("Own/0", "def one(): return 9", True),
        ("Own/0", "def one(): return 10", False),
    ]
    assert (tmp_path / "solutions_results.jsonl").exists()


def test_samples_without_their_problems(tmp_path, problems):
    samples = write(tmp_path / "s.jsonl", {"task_id": "Own/0", "completion": ""})
    with pytest.raises(UserError, match=r"s\.jsonl: these are samples .* --problems HumanEval\.jsonl\.gz"):
        open_job(samples)
    with pytest.raises(UserError, match=r"none\.jsonl: cannot read it"):
        open_job(samples, problems=tmp_path / "none.jsonl")
    programs = write(tmp_path / "p.jsonl", {"id": 1, "language": "py", "program": ""})
    with pytest.raises(UserError, match=r"--problems .* is for samples"):
        open_job(programs, out=tmp_path / "o.jsonl", problems=problems)


@needs_data
@pytest.mark.usefixtures("isolation")
def test_upstreams_examples_get_upstreams_score(tmp_path):
    out = tmp_path / "out.jsonl"
    job = open_job(HUMANEVAL / "example_samples.jsonl", problems=HUMANEVAL / "example_problem.jsonl", out=out)
    for i, verdict in run(job.programs, timeout_s=2.0, workers=2):
        job.record(i, verdict)
    job.finish()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["passed"] for r in rows] == [False, False, False, True, True, True]  # pass@1 0.5
    assert rows[1]["result"] == "timed out"
    assert rows[0]["result"].startswith("failed: ")


@needs_data
@pytest.mark.usefixtures("isolation")
def test_canonical_solutions_of_human_eval_pass(tmp_path):
    problems = HUMANEVAL / "HumanEval.jsonl.gz"
    with gzip.open(problems, "rt") as f:
        known = [json.loads(line) for line in f][:12]
    samples = write(
        tmp_path / "s.jsonl",
        *({"task_id": p["task_id"], "completion": p["canonical_solution"]} for p in known),
        *({"task_id": p["task_id"], "solution": p["prompt"] + "    pass\n"} for p in known),
    )
    job = open_job(samples, problems=problems)
    for i, verdict in run(job.programs, timeout_s=10.0, workers=2):
        job.record(i, verdict)
    job.finish()
    rows = [json.loads(line) for line in job.outputs[0].read_text().splitlines()]
    assert [r["passed"] for r in rows] == [True] * 12 + [False] * 12
