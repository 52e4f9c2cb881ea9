"""Rows in the public formats, a right and a wrong program each, evaluated in the sandbox."""

import json
import os
import sys
from pathlib import Path

import pytest
from servers import Scripted, completions

EVALPLUS = """
import numpy as np

def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        np.testing.assert_allclose(out, exp, atol=atol)
    else:
        assert exact_match
"""
"""As in evalplus/humanevalplus and evalplus/mbppplus."""
LOOP = """
    inputs = [[1], [2]]
    results = [[0.5], [1.0]]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(half(*inp), exp, 0)
"""
HUMANEVAL_PLUS = {
    "task_id": "HumanEval/1",
    "prompt": "def half(x):\n",
    "canonical_solution": "    return [x / 2]\n",
    "entry_point": "half",
    "test": f"{EVALPLUS}\ndef check(candidate):{LOOP}",
}
MBPP_PLUS = {
    "task_id": 2,
    "code": "def half(x):\n    return [x / 2]",
    "prompt": "Write a function to halve.",
    "source_file": "",
    "test_imports": [],
    "test_list": ["assert half(1) == [0.5]"],
    "test": EVALPLUS + LOOP.replace("\n    ", "\n"),
}
CODE_CONTESTS = {
    "name": "1_A. Half",
    "description": "Print half of the number.",
    "public_tests": {"input": ["1\n"], "output": ["0.5\n"]},
    "private_tests": {"input": ["4\n"], "output": ["2.0\n"]},
    "generated_tests": {"input": [], "output": []},
    "time_limit": {"seconds": 2, "nanos": 0},
    "memory_limit_bytes": 256 << 20,
}
APPS_STDIN = {
    "problem_id": 1,
    "question": "Print half of the number.",
    "input_output": json.dumps({"inputs": ["1\n", "4\n"], "outputs": ["0.5\n", "2.0\n"]}),
    "solutions": "",
    "starter_code": "",
}
STARTER = "class Solution:\n    def half(self, x: List[int]) -> float:\n"
APPS_CALLS = {
    **APPS_STDIN,
    "input_output": json.dumps({"fn_name": "half", "inputs": [[[1]], [[4]]], "outputs": [[0.5], [2.0]]}),
    "starter_code": STARTER,
}
CASES = [
    {"input": "[1]", "output": "0.5", "testtype": "functional"},
    {"input": "[4]", "output": "2.0", "testtype": "functional"},
]
LIVE_CODE_BENCH = {
    "question_title": "Half",
    "question_content": "Half.",
    "question_id": "1",
    "starter_code": STARTER,
    "public_test_cases": json.dumps(CASES[:1]),
    "private_test_cases": json.dumps(CASES[1:]),
    "metadata": '{"func_name": "half"}',
}
LIVE_CODE_BENCH_STDIN = {
    **LIVE_CODE_BENCH,
    "starter_code": "",
    "public_test_cases": '[{"input": "1\\n", "output": "0.5\\n", "testtype": "stdin"}]',
    "private_test_cases": '[{"input": "4\\n", "output": "2.0\\n", "testtype": "stdin"}]',
    "metadata": "{}",
}
OWN = {
    "id": "half",
    "prompt": "",
    "tests": [{"input": "1", "output": "0.5"}, {"input": "4", "output": "2.0"}],
}
FUNCTION = ("    return [x / 2 + 1e-9]\n", "    return [x / 2 + 1e-3]\n")
MODULE = tuple(f"def half(x):\n{body}" for body in FUNCTION)
PRINTED = ("print(int(input()) / 2)\n", "print(0.5)\n")
METHOD = ("        return x[0] / 2\n", "        return 0.5\n")
"""Right, and right on what the statement shows only."""


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "problem_id", "programs", "n_visible"),
    [
        pytest.param(HUMANEVAL_PLUS, "HumanEval/1", FUNCTION, 0, id="humaneval+"),
        pytest.param(MBPP_PLUS, "MBPP/2", MODULE, 1, id="mbpp+"),
        pytest.param(CODE_CONTESTS, "CodeContests/1_A. Half", PRINTED, 1, id="codecontests"),
        pytest.param(APPS_STDIN, "APPS/1", PRINTED, 0, id="apps"),
        pytest.param(APPS_CALLS, "APPS/1", METHOD, 0, id="apps-calls"),
        pytest.param(LIVE_CODE_BENCH, "LiveCodeBench/1", METHOD, 1, id="livecodebench-calls"),
        pytest.param(LIVE_CODE_BENCH_STDIN, "LiveCodeBench/1", PRINTED, 1, id="livecodebench"),
        pytest.param(OWN, "half", PRINTED, 0, id="own"),
    ],
)
def test_a_right_and_a_wrong_program(rewardranker, isolation, tmp_path, row, problem_id, programs, n_visible):
    problems = write(tmp_path / "problems.jsonl", row)
    rows = [{"problem_id": problem_id, "text": text} for text in programs]
    samples = write(tmp_path / "samples.jsonl", *rows)
    words = (problems, "--candidates", samples, "-o", tmp_path / "out", "--set", "execution.workers=1")
    result = rewardranker("evaluate", *words)
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    values = {r["selector"]: r["value"] for r in metrics["rows"]}
    assert (values["sample"], values["oracle"], metrics["visible"]) == (0.5, 1, n_visible)


def test_a_server_samples_programs_that_read_stdin(rewardranker, isolation, tmp_path):
    problems = write(tmp_path / "problems.jsonl", CODE_CONTESTS)
    samples, executed = tmp_path / "samples.jsonl", tmp_path / "executed.jsonl"
    with Scripted(lambda *_: completions(*(f"{text}\n```\nThat is it." for text in PRINTED))) as server:
        words = ("--upstream", server.url, "--model", "m", "-n", 2, "-o", samples)
        result = rewardranker("sample", problems, *words)
    assert result.code == 0, result.err
    result = rewardranker("execute", samples, "-o", executed, "--workers", 1)
    assert result.code == 2 and "--problems" in result.err
    result = rewardranker("execute", samples, "--problems", problems, "-o", executed, "--workers", 1)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in executed.read_text().splitlines()]
    assert [(r["text"], r["strict_status"]) for r in rows] == [
        (PRINTED[0], "passed"),
        (PRINTED[1], "failed"),
    ]


def test_to_name_a_public_data_set_is_to_ask_for_it(rewardranker, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    words = ("--upstream", "http://127.0.0.1:1/v1", "--model", "m", "-o", tmp_path / "out")
    result = rewardranker("sample", "mbpp", *words)
    assert result.code == 2 and "pip install 'rewardranker[datasets]'" in result.err
    assert "HF_HUB_OFFLINE" not in os.environ
    assert "cannot read it" in rewardranker("sample", tmp_path / "mbpp", *words).err
    assert os.environ["HF_HUB_OFFLINE"] == "1"
