"""Every stage alone, on files: each command on what the others wrote."""

import json
from collections import defaultdict

import pytest

from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.tables import read_table


def test_train_sft_writes_a_model_and_its_history(workshop):
    assert "trained on 12 programs" in workshop.results["train-sft"].err
    history = json.loads((workshop.sft / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    model = Generator.from_pretrained(workshop.sft).model
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (32, 1)


def test_sample_gives_n_candidates_a_problem_that_can_be_executed(workshop):
    problems = {p.id: p for p in workshop.problems if p.split != "test"}
    rows = workshop.rows("samples")
    assert len(rows) == 4 * len(problems) == 72
    for row in rows:
        assert row["program"] == problems[row["problem_id"]].program(row["text"])
        assert row["policy"] == "sft"


def test_execute_adds_a_verdict_to_every_row(workshop):
    executed = workshop.rows("executed")
    assert [row["id"] for row in executed] == [row["id"] for row in workshop.rows("samples")]
    assert {row["strict_status"] for row in executed} <= {"passed", "failed", "syntax_error", "timeout"}


def test_train_reward_reads_pairs_and_reports(workshop):
    report = json.loads((workshop.ranker / "report.json").read_text())
    assert report["train_problems"] + report["validation_problems"] == 14
    shown = json.loads(workshop.results["train-reward"].out)
    assert shown["groups"] == report["groups"]
    assert RewardRanker.from_pretrained(workshop.ranker).head == "likelihood"


def test_mine_writes_groups_that_train_reward_reads(workshop, rewardranker, tmp_path):
    groups = read_table(workshop.groups, PreferenceGroup)
    references = {p.id: p.reference for p in workshop.problems}
    executed = defaultdict(set)
    for row in workshop.rows("executed"):
        executed[row["problem_id"]].add(row["text"])
    assert groups
    for group in groups:
        assert group.source == "selftraining"
        assert set(group.rejected) <= executed[group.problem_id]
        assert set(group.chosen) <= executed[group.problem_id] | {references[group.problem_id]}
        assert not group.problem_id.startswith("micro/development")
    out = tmp_path / "ranker"
    result = rewardranker("train-reward", workshop.groups, "--generator", workshop.sft, "-o", out)
    assert result.code == 0, result.err
    assert RewardRanker.from_pretrained(out)


def test_an_export_is_read_by_the_commands_that_take_preferences_or_candidates(
    workshop, rewardranker, tmp_path
):
    problems, shared = workshop.folder / "problems.jsonl", tmp_path / "shared"
    result = rewardranker("export", workshop.executed, "--problems", problems, "-o", shared)
    assert result.code == 0, result.err
    for form in ("preference", "candidates"):
        assert form in result.out
    candidates, ranker = shared / "candidates" / "train.parquet", ("--ranker", workshop.ranker)
    for command in (
        ("train-reward", shared, "--generator", workshop.sft, "-o", tmp_path / "ranker"),
        ("rank", problems, candidates, *ranker, "-o", tmp_path / "ranked.jsonl"),
        ("mine", problems, candidates, *ranker, "-o", tmp_path / "groups.parquet"),
    ):
        result = rewardranker(*command)
        assert result.code == 0, result.err
    assert read_table(tmp_path / "groups.parquet", PreferenceGroup) == read_table(
        workshop.groups, PreferenceGroup
    )


def test_rank_orders_each_problem_by_score(workshop):
    ranked = workshop.rows("ranked")
    assert sorted(r["id"] for r in ranked) == sorted(r["id"] for r in workshop.rows("samples"))
    by_problem = defaultdict(list)
    for row in ranked:
        by_problem[row["problem_id"]].append(row)
    for rows in by_problem.values():
        assert [r["rank"] for r in rows] == [1, 2, 3, 4]
        assert rows == sorted(rows, key=lambda r: (r["parses"] is False, -r["score"]))
        assert all(0 <= r["probability"] <= 1 for r in rows)
    ranker = RewardRanker.from_pretrained(workshop.ranker)
    prompt = {p.id: p.prompt for p in workshop.problems}[ranked[0]["problem_id"]]
    assert ranker.score([prompt], [ranked[0]["text"]])[0] == pytest.approx(ranked[0]["score"], abs=1e-5)


def test_train_ppo_writes_an_aligned_model_with_the_history_of_each_round(workshop):
    history = json.loads((workshop.aligned / "history.json").read_text())
    assert [row["round"] for row in history] == [0, 1]
    assert history[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert Generator.from_pretrained(workshop.aligned)


def test_train_ppo_measures_the_true_pass_rate_and_tells_it_while_it_runs(workshop):
    history = json.loads((workshop.aligned / "history.json").read_text())
    told = workshop.results["train-ppo"].err
    for row in history:
        n = row["pass"] * 2 * 2  # two development problems, two samples each
        assert n == round(n)
        assert f"true pass rate {row['pass']:.3f}" in told


@pytest.mark.parametrize("check_problems", [0, 3])
def test_train_ppo_without_development_problems(workshop, rewardranker, small, tmp_path, check_problems):
    lines = (workshop.folder / "problems.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(line for line in lines if '"split": "development"' not in line))
    models = ("--generator", workshop.sft, "--ranker", workshop.ranker)
    setting = ("--set", f"ppo.check_problems={check_problems}")
    result = rewardranker("train-ppo", path, *models, *small, *setting, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [row["pass"] is None for row in history] == [check_problems == 0] * 2


def test_evaluate_writes_metrics_and_prints_the_table(workshop):
    metrics = json.loads((workshop.evaluation / "metrics.json").read_text())
    assert metrics["problems"] == 4 and metrics["generator"] == str(workshop.aligned)
    rows = {(row["selector"], row["n"]) for row in metrics["rows"] if "majority" not in row["selector"]}
    of_all = {(selector, 3) for selector in ("logprob", "ranker", "staged", "oracle")}
    assert rows >= of_all | {("greedy", 1), ("sample", 1)}
    assert metrics["calibration"]["brier"] >= 0
    assert {p.name for p in workshop.evaluation.iterdir()} == {
        "metrics.json",
        "candidates.parquet",
        "scores.parquet",
        "outcomes.parquet",
        "problems.parquet",
        "table.md",
        "table.tex",
    }
    drawn = read_table(workshop.evaluation / "candidates.parquet", EvaluatedCandidate)
    assert [c.temperature for c in drawn] == [1.0] * 4 * 3 + [0.0] * 4
    assert {c.policy for c in drawn} == {workshop.aligned.name}
    assert "4 problems, 12 candidates" in workshop.results["evaluate"].out


def test_evaluate_without_a_ranker(workshop, rewardranker, tmp_path):
    out = tmp_path / "evaluation"
    settings = ("--recipe", "tiny", "--set", "evaluation.n=2", "--set", "sampling.max_new_tokens=24")
    command = ("evaluate", workshop.test, "--generator", workshop.sft, *settings, "-o", out)
    result = rewardranker(*command, "--format", "markdown")
    assert result.code == 0, result.err
    assert result.out == (out / "table.md").read_text()
    metrics = json.loads((out / "metrics.json").read_text())
    selectors = {row["selector"] for row in metrics["rows"]}
    assert selectors >= {"sample", "greedy", "logprob", "oracle"} and "ranker" not in selectors
    assert not (out / "scores.parquet").exists() and metrics["calibration"] is None
