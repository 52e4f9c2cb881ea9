"""Programs whose verdict is known; a sample of each language, or all with ALL_GOLD_PROGRAMS=1."""

import gzip
import json
import os
from pathlib import Path

import pytest

from rewardranker.execution.languages import find_language
from rewardranker.execution.pool import Program, execute

GOLD = Path(__file__).parents[2] / ".." / "shared" / "data" / "gold"
SHORT = {
    "python": "py",
    "typescript": "ts",
    "csharp": "cs",
    "bash": "sh",
    "javascript": "js",
    "ruby": "rb",
    **{name: name for name in ("cpp", "java", "php")},
}
OUT_OF_MEMORY = {
    "humaneval-cs/HumanEval_100_make_a_pile/gpt",
    "humaneval-cs/HumanEval_147_get_max_triples/gpt~swap_call",
}
"""They allocate for ever: known to time out where memory is not limited, here they reach that limit first."""
SAMPLED = {"cpp": 12, "java": 12, "typescript": 6}
"""Programs of a sample where compilers take long."""

pytestmark = pytest.mark.usefixtures("isolation")


@pytest.mark.skipif(
    not GOLD.exists(), reason=f"{GOLD} is absent: the gold programs are not part of the project"
)
@pytest.mark.parametrize("name", SHORT)
def test_verdicts_agree_with_the_known_ones(name):
    with gzip.open(GOLD / f"{SHORT[name]}.jsonl.gz", "rt") as f:
        rows = [json.loads(line) for line in f]
    language = find_language(name)
    assert language is not None
    if missing := language.missing():
        pytest.skip(f"{language.name} needs {missing[0].name}: make toolchains LANGUAGES={language.name}")
    if not os.environ.get("ALL_GOLD_PROGRAMS"):  # those that time out take 10 s
        rows = [r for r in rows if r["expected"] != "timeout"]
        step = len(rows) // SAMPLED.get(language.name, 50)
        rows = [r for i, r in enumerate(rows) if i % step == 0 or r["kind"] == "adversarial"][:60]
    verdicts = execute([Program(r["language"], r["program"]) for r in rows], timeout_s=10.0)
    wrong = [
        (r["id"], r["expected"], r["observed"], v)
        for r, v in zip(rows, verdicts, strict=True)
        if (r["expected"], r["observed"]) != (v.strict_status, v.status)
        and not (r["id"] in OUT_OF_MEMORY and v.strict_status == "failed" and "emory" in v.stderr)
    ]
    assert not wrong
