"""Programs whose verdict is known."""

import gzip
import json
import os
from pathlib import Path

import pytest

from rewardranker.execution.pool import Program, execute

GOLD = Path(__file__).parents[2] / ".." / "shared" / "data" / "gold" / "py.jsonl.gz"

pytestmark = pytest.mark.usefixtures("isolation")


@pytest.mark.skipif(
    not GOLD.exists(), reason=f"{GOLD} is absent: the gold programs are not part of the project"
)
def test_verdicts_agree_with_the_known_ones():
    with gzip.open(GOLD, "rt") as f:
        rows = [json.loads(line) for line in f]
    if not os.environ.get("ALL_GOLD_PROGRAMS"):  # the two that time out take 10 s
        rows = [r for r in rows if r["expected"] != "timeout"]
    verdicts = execute([Program(r["language"], r["program"]) for r in rows], timeout_s=10.0)
    wrong = [
        (r["id"], r["expected"], r["observed"], v)
        for r, v in zip(rows, verdicts, strict=True)
        if (r["expected"], r["observed"]) != (v.strict_status, v.status)
    ]
    assert not wrong
