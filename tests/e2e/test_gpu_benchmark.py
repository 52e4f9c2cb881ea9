"""benchmarks/gpu.py with tiny models: that all of it runs, wherever it is."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"

PARTS = ("decoding-0.5b", "ppo-0.5b", "ranker-0.5b", "scoring-0.5b", "lora-6.7b")
"""One of each kind: tiny models are the same at all sizes."""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The script's exit code, run in this process."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as e:
        return int(e.code or 0)
    return 0


@pytest.mark.slow
def test_every_kind_of_part_runs() -> None:
    """In one process here, for each takes seconds to import torch."""
    asked = "".join(json.dumps({"part": part, "small": True, "threads": 1}) + "\n" for part in PARTS)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--worker"]
    done = subprocess.run(command, env=environ, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(zip(PARTS, map(json.loads, done.stdout.splitlines()), strict=True))
    assert not any("error" in answer for answer in found.values())
    assert found["ranker-0.5b"]["ways"]["naive"]["pairs_per_s"] > 0


@pytest.mark.slow
def test_the_page_has_every_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = ("scoring-0.5b", "lora-6.7b")
    assert run(monkeypatch, "--small", "--only", *parts, "-o", str(tmp_path)) == 0
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert set(report["parts"]) == set(parts)
    page = (tmp_path / "gpu.md").read_text()
    assert all(part in page for part in parts)
    assert "the figures mean nothing" in page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: torch finds no CUDA GPU here")
    assert out == ""
