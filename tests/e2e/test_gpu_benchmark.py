"""benchmarks/gpu.py with tiny models: that all of it runs, wherever it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"

PARTS = ("decoding-0.5b", "ppo-0.5b", "ranker-0.5b", "scoring-0.5b", "lora-6.7b")
"""One of each kind: tiny models are the same at all sizes."""


def run(*arguments: str, asked: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *arguments]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environ, input=asked, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_kind_of_part_runs() -> None:
    """In one process here, for each takes seconds to import torch."""
    asked = "".join(json.dumps({"part": part, "small": True, "threads": 1}) + "\n" for part in PARTS)
    done = run("--worker", asked=asked)
    assert done.returncode == 0, done.stderr
    found = dict(zip(PARTS, map(json.loads, done.stdout.splitlines()), strict=True))
    assert not any("error" in answer for answer in found.values())
    assert found["ranker-0.5b"]["ways"]["naive"]["pairs_per_s"] > 0


@pytest.mark.slow
def test_the_page_has_every_part(tmp_path: Path) -> None:
    done = run("--small", "--only", "scoring-0.5b", "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert set(report["parts"]) == {"scoring-0.5b"}
    page = (tmp_path / "gpu.md").read_text()
    assert "scoring-0.5b" in page
    assert "the figures mean nothing" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 2
    assert done.stderr.startswith("error: torch finds no CUDA GPU here")
    assert done.stdout == ""
