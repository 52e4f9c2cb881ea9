"""The shipped recipe `tiny` from end to end, through the command line."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.tables import read_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("isolation")]

ROOT = Path(__file__).parents[2]
STAGES = [
    *("problems", "0-sft", "0-sample", "1-reward", "1-rft", "1-sample", "1-mine", "2-reward", "2-rft"),
    *("0-sft-longer", "test-sft", "test-sft-longer", "test-aligned-1", "test-aligned-2", "evaluate"),
]


def metrics(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "metrics.json").read_text())
    assert found.pop("wall_s") > 0
    return found


def test_a_run_leaves_metrics_cost_report_and_every_stage(tiny_run: tuple[Path, str]) -> None:
    directory, printed = tiny_run
    assert {p.name for p in directory.iterdir()} == {
        *STAGES,
        *(".lock", "recipe.toml", "environment.json", "metrics.json", "cost.json", "report"),
    }
    cost = json.loads((directory / "cost.json").read_text())
    assert [row["stage"] for row in cost["stages"]] == STAGES
    assert cost["total"]["executions"] > 1000 and cost["total"]["tokens"] > 100_000
    assert "<html" in (directory / "report" / "index.html").read_text()
    assert "30 test problems" in printed and str(directory / "report") in printed.replace("\n", "")


def test_every_policy_has_a_row_for_every_selector(tiny_run: tuple[Path, str]) -> None:
    found = metrics(tiny_run[0])
    rows = Counter(
        (r["system"], r["iteration"], r["selector"], r["temperature"], r["ranker"]) for r in found["rows"]
    )
    plain = [
        ("greedy", 0.0),
        ("sample", 0.5),
        ("sample", 1.0),
        ("logprob", 1.0),
        ("majority", 1.0),
        ("oracle", 1.0),
    ]
    policies = [("sft", 0), ("sft-longer", 0), ("aligned", 1), ("aligned", 2)]
    expected = [(*policy, *selector, None) for policy in policies for selector in plain]
    expected += [(*p, "ranker", 1.0, i) for p in policies if p[0] != "sft-longer" for i in (1, 2)]
    assert rows == Counter(expected)
    for row in found["rows"]:
        assert 0 <= row["value"] <= 1 and row["problems"] == 30
        low, high = row["ci95"]
        assert low <= row["value"] <= high
    assert {r["iteration"] for r in found["ranker"]} == {1, 2}
    assert found["ppo"] == []


def test_tiny_has_right_and_wrong_candidates_to_learn_from(tiny_run: tuple[Path, str]) -> None:
    directory, _ = tiny_run
    for stage in ("0-sample", "1-sample"):
        candidates = read_table(directory / stage / "candidates.parquet", ExecutedCandidate)
        assert len(candidates) == 500
        assert 0.05 < sum(c.passed for c in candidates) / len(candidates) < 0.95
    assert len(read_table(directory / "1-mine" / "groups.parquet", PreferenceGroup)) > 20


def test_a_run_that_is_done_is_not_run_again(
    tiny_run: tuple[Path, str], rewardranker: Callable[..., Any], tmp_path: Path
) -> None:
    directory = tmp_path / "again"
    shutil.copytree(tiny_run[0], directory)
    again = rewardranker("run", "tiny", "--dir", directory)
    assert again.err.count("already done") == len(STAGES)
    assert metrics(directory) == metrics(tiny_run[0])


def test_ppo_shares_what_comes_before_it_and_can_be_left_again(
    tiny_run: tuple[Path, str], rewardranker: Callable[..., Any], tmp_path: Path
) -> None:
    directory = tmp_path / "ppo"
    shutil.copytree(tiny_run[0], directory)
    words = ["run", "tiny", "--dir", directory]
    done = rewardranker(*words, "--set", "align=rft+ppo", "--set", "ppo.iterations=2")
    for stage in STAGES[:5]:
        assert f"{stage}  already done" in done.err
    found = metrics(directory)
    assert [row["iteration"] for row in found["ppo"]] == [1, 2]
    for row in found["ppo"]:
        assert row["kl"] > -0.5  # estimated from samples: may fall below 0 when it is small
        assert 0 <= row["pass_before"] <= 1 and 0 <= row["pass_after"] <= 1
    assert {row["align"] for row in found["rows"] if row["system"] == "aligned"} == {"rft+ppo"}
    back = rewardranker(*words)
    assert back.err.count("already done") == len(STAGES)
    assert metrics(directory) == metrics(tiny_run[0])


def test_kills_all_over_the_run_change_nothing(tmp_path: Path) -> None:
    """The benchmark, on a run that is smaller still."""
    small = ["iterations=1", "problems.micro.pool=40", "problems.micro.test=10", "sft.epochs=6"]
    words = [word for setting in small for word in ("--set", setting)]
    script = [sys.executable, str(ROOT / "benchmarks" / "kill_and_resume.py"), "--kills", "2"]
    done = subprocess.run(
        [*script, "--dir", str(tmp_path / "runs"), "-o", str(tmp_path / "out.json"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "out.json").read_text())
    assert verdict["surviving_processes"] == []
    assert sum(kill["killed"] for kill in verdict["kills"]) >= 1
