"""On programs whose verdict is known: the warm compiler makes the same files and prints the same errors."""

import gzip
import json
from pathlib import Path

import pytest
from builds import Warm, sample, toolchain

from rewardranker.execution.compilers.prebuilt import fill_in

GOLD = Path(__file__).parents[3] / ".." / "shared" / "data" / "gold"
SAMPLED = 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not GOLD.exists(), reason=f"{GOLD} is absent: the gold programs are not part of the project"
    ),
]


def programs(name: str) -> list[str]:
    """Some that compile and some that don't; all with ALL_GOLD_PROGRAMS=1."""
    with gzip.open(GOLD / f"{name}.jsonl.gz", "rt") as f:
        rows = [json.loads(line) for line in f]
    chosen = set()
    for fails in (False, True):
        sources = [row["program"] for row in rows if (row["expected"] == "syntax_error") == fails]
        chosen |= sample(sources, every=max(1, len(sources) // SAMPLED))
    return sorted(chosen)


@pytest.mark.parametrize(("language", "short"), [("java", "java"), ("typescript", "ts"), ("csharp", "cs")])
def test_warm_compilers_agree_with_cold_ones(cold, language, short):
    warm = Warm(toolchain(language))
    try:
        built = {source: warm.build(source) for source in programs(short)}
    finally:
        warm.close()
    for source, build in built.items():
        assert build is not None
        assert build == cold.build(warm.language, source)


def test_the_precompiled_header_changes_no_verdict(cold):
    language = toolchain("cpp")
    for source in programs("cpp"):
        options = tuple(fill_in(language.build_options(source), language))
        one, other = cold.verdict(language, source), cold.verdict(language, source, options)
        assert (one.status, one.strict_status, one.phase, one.exit_code) == (
            other.status,
            other.strict_status,
            other.phase,
            other.exit_code,
        )
        if "undefined reference" not in one.reason:  # which linkers word differently
            assert one.reason == other.reason
