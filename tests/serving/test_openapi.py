"""Requests made from the OpenAPI description, valid and not: each answer is one that it documents."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_answer_is_as_documented(local, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{local.url}/openapi.json"]
    # What is valid for one source of candidates may be refused by another, with 400.
    checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    generation = ["--max-examples", "5", "--generation-deterministic", "--suppress-health-check", "all"]
    done = subprocess.run(
        [*command, *checks, *generation], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"Tested: +10\b", done.stdout)
