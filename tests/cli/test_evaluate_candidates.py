"""`evaluate --candidates`: files of candidates that exist, without a generator."""

import gzip
import json
from collections import defaultdict
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.selection import Outcome
from rewardranker.execution.languages import find_language
from rewardranker.models.ranker import RewardRanker
from rewardranker.tables import read_table

DATA = Path(__file__).parents[3] / "shared" / "data"
POOL = {
    "task_id": "HumanEval/900",
    "entry_point": "inc",
    "prompt": "def inc(x):\n",
    "prompt_with_examples": 'def inc(x):\n    """\n    >>> inc(1)\n    2\n    """\n',
    "test": "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(5) == 6\n",
    "completions": [
        "    return x + 1",
        "    return 2",
        "    return x - 1",
        "    return x +",
        "    return 1 + x",
    ],
    "labels": [True, False, False, False, True],
    "status": ["passed", "failed_assert", "failed_assert", "syntax_error", "passed"],
}
NEEDS_DATA = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(POOL).encode()))
    return path


def values(metrics):
    return {row["selector"]: row["value"] for row in metrics["rows"]}


def test_a_pool_with_tests_and_labels(rewardranker, isolation, pool, tmp_path):
    result = rewardranker(
        "evaluate", "--candidates", pool, "-o", tmp_path / "out", "--set", "execution.workers=1"
    )
    assert result.code == 0, result.err
    assert "verdicts agree with the file's labels on 5 of 5" in result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    found = values(metrics)
    assert found["sample"] == pytest.approx(2 / 5)
    assert found["visible"] == pytest.approx(2 / 3, abs=1e-6)  # x + 1, 2 and 1 + x return 2 for 1
    assert found["majority"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["oracle"] == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("metrics.json", "table.md", "table.tex"),
        *("problems.parquet", "candidates.parquet", "outcomes.parquet"),
    }
    outcomes = read_table(tmp_path / "out" / "outcomes.parquet", Outcome)
    assert {o.selector for o in outcomes} == set(found)
    rows = read_table(tmp_path / "out" / "candidates.parquet", EvaluatedCandidate)
    assert [r.strict_status for r in rows] == ["passed", "failed", "failed", "syntax_error", "passed"]
    assert "1 problems, 5 candidates" in result.out and "oracle (pass@5)" in result.out


@pytest.mark.parametrize("runs", ["visible", "nothing"])
def test_labels_in_place_of_verdicts(rewardranker, isolation, pool, tmp_path, runs):
    result = rewardranker(
        "evaluate", "--candidates", pool, "--run", runs, "--format", "json", "-o", tmp_path / "out"
    )
    assert result.code == 0, result.err
    metrics = json.loads(result.out)
    assert values(metrics)["sample"] == pytest.approx(2 / 5)
    assert ("visible" in values(metrics)) == (runs == "visible")
    assert metrics["labels"] is None


@pytest.mark.parametrize(("form", "mark"), [("markdown", "| --- |"), ("latex", r"\toprule")])
def test_tables_are_printed_as_they_are_written(rewardranker, pool, tmp_path, form, mark):
    result = rewardranker(
        "evaluate", "--candidates", pool, "--run", "nothing", "--format", form, "-o", tmp_path / "out"
    )
    assert mark in result.out
    assert result.out == (tmp_path / "out" / {"markdown": "table.md", "latex": "table.tex"}[form]).read_text()


def test_samples_with_their_problems_and_a_ranker(rewardranker, workshop, tmp_path):
    out = tmp_path / "out"
    command = ("evaluate", workshop.folder / "problems.jsonl", "--candidates", workshop.samples)
    result = rewardranker(*command, "--ranker", workshop.ranker, "-o", out)
    assert result.code == 0, result.err
    found = values(json.loads((out / "metrics.json").read_text()))
    assert {"sample", "logprob", "ranker", "staged", "oracle"} <= set(found)
    assert json.loads((out / "metrics.json").read_text())["calibration"]
    executed = [row["strict_status"] == "passed" for row in workshop.rows("executed")]
    assert found["sample"] == pytest.approx(sum(executed) / len(executed), abs=1e-6)


def test_a_reward_model_of_others_is_a_selector_too(rewardranker, workshop, tmp_path):
    ours = RewardRanker.from_pretrained(workshop.ranker)
    ours.model.config.num_labels = 1
    AutoModelForSequenceClassification.from_config(ours.model.config).save_pretrained(tmp_path / "theirs")
    ours.tokenizer.save_pretrained(tmp_path / "theirs")
    command = ("evaluate", workshop.folder / "problems.jsonl", "--candidates", workshop.samples)
    result = rewardranker(*command, "--ranker", tmp_path / "theirs", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "ranker" in values(found) and not found["calibration"]
    assert all(isnan(s.probability) for s in read_table(tmp_path / "out" / "scores.parquet", ScoredCandidate))

    settings = ("--recipe", "tiny", "--set", "evaluation.n=2", "--set", "sampling.max_new_tokens=24")
    command = ("evaluate", workshop.test, "--generator", workshop.sft, *settings)
    result = rewardranker(*command, "--ranker", tmp_path / "theirs", "-o", tmp_path / "sampled")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "sampled" / "metrics.json").read_text())
    assert {"sample", "ranker"} <= {row["selector"] for row in found["rows"]}
    assert found["calibration"] is None


def test_rows_of_rank_bring_their_scores(rewardranker, workshop, tmp_path):
    command = ("evaluate", workshop.folder / "problems.jsonl", "--candidates", workshop.ranked)
    assert rewardranker(*command, "-o", tmp_path / "a").code == 0
    assert rewardranker(*command, "--ranker", workshop.ranker, "-o", tmp_path / "b").code == 0
    metrics = [json.loads((tmp_path / x / "metrics.json").read_text()) for x in "ab"]
    assert values(metrics[0])["ranker"] == pytest.approx(values(metrics[1])["ranker"], abs=1e-6)


def test_what_evaluate_writes_it_reads(rewardranker, pool, tmp_path):
    problems = tmp_path / "HumanEval.jsonl"
    fields = ("task_id", "prompt", "entry_point", "test")
    problems.write_text(json.dumps({**{k: POOL[k] for k in fields}, "canonical_solution": ""}))
    nothing = ("--run", "nothing")
    assert rewardranker("evaluate", "--candidates", pool, *nothing, "-o", tmp_path / "a").code == 0
    again = tmp_path / "a" / "candidates.parquet"
    result = rewardranker("evaluate", problems, "--candidates", again, *nothing, "-o", tmp_path / "b")
    assert result.code == 0, result.err
    rows = [json.loads((tmp_path / x / "metrics.json").read_text())["rows"] for x in "ab"]
    assert rows[0] == rows[1]


def test_mistakes(rewardranker, pool, tmp_path):
    for words, message in (
        ((), "give one of --generator"),
        (("--generator", tmp_path, "--candidates", pool), "give one of --generator"),
        (("--generator", tmp_path), "to sample, name problems"),
        ((pool, "--generator", tmp_path, "--run", "nothing"), "--run is for --candidates"),
        (("--candidates", tmp_path / "none.jsonl"), "cannot read it"),
    ):
        result = rewardranker("evaluate", *words, "-o", tmp_path / "out")
        assert result.code == 2 and message in result.err, result.err
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text(json.dumps({k: v for k, v in POOL.items() if k not in ("labels", "status")}))
    result = rewardranker("evaluate", "--candidates", unlabelled, "--run", "nothing", "-o", tmp_path / "out")
    assert result.code == 2 and "no label and its tests are not to be run" in result.err
    assert not (tmp_path / "out").exists()


@NEEDS_DATA
def test_multipl_e_results_give_upstreams_pass_at_k(rewardranker, tmp_path):
    """Upstream's pass_k.py on the results of its own evaluator."""
    for path in (DATA / "formats" / "multipl-e" / "results").glob("*.results.json"):
        results = json.loads(path.read_text())["results"]
        n, c = len(results), sum(r["status"] == "OK" and r["exit_code"] == 0 for r in results)
        out = tmp_path / path.name
        assert rewardranker("evaluate", "--candidates", path, "--run", "nothing", "-o", out).code == 0
        (row,) = json.loads((out / "metrics.json").read_text())["pass_at_k"]
        assert (row["k"], row["value"]) == (1, pytest.approx(c / n))


def human_eval_estimator(n, c, k):
    """openai/human-eval, human_eval/evaluation.py."""
    return 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))


@NEEDS_DATA
def test_pass_at_k_of_a_published_pool_is_human_evals(rewardranker, tmp_path):
    """CodeGen-16B on 82 problems of HumanEval, 100 samples each, by the labels that came with them."""
    pool = DATA / "pools" / "codet_codegen16B_humaneval_even.jsonl.gz"
    out = tmp_path / "out"
    words = ("--run", "nothing", "--set", "evaluation.bootstrap=10")
    assert rewardranker("evaluate", "--candidates", pool, *words, "-o", out).code == 0
    lines = gzip.decompress(pool.read_bytes()).splitlines()
    right = [[status == "passed" for status in json.loads(line)["status"]] for line in lines]
    found = json.loads((out / "metrics.json").read_text())["pass_at_k"]
    assert [row["k"] for row in found] == [1, 10, 100]
    for row in found:
        expected = np.mean([human_eval_estimator(len(r), sum(r), row["k"]) for r in right])
        assert row["value"] == pytest.approx(expected, abs=1e-6)


@NEEDS_DATA
@pytest.mark.slow
@pytest.mark.parametrize("language", ["cpp", "java", "php", "js", "ts", "sh", "cs"])
def test_labels_of_the_gpt_pool_are_reproduced(rewardranker, isolation, tmp_path, language):
    """Two that pass and one of each other label; docs/results/labels.md has all of them."""
    found = find_language(language)
    if missing := found.missing():
        pytest.skip(f"{found.name} needs {missing[0].name}: make toolchains")
    by_status = defaultdict(list)
    for line in (DATA / "pools" / "multipl-e-gpt" / f"{language}.jsonl").read_text().splitlines():
        by_status[json.loads(line)["status"]].append(line)
    chosen = [line for status, lines in by_status.items() for line in lines[: 1 + (status == "passed")]]
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(f"{line}\n" for line in chosen if json.loads(line)["status"] != "timeout"))
    words = ("evaluate", "--candidates", pool, "--set", "execution.workers=1", "-o", tmp_path / "out")
    result = rewardranker(*words)
    assert result.code == 0, result.err
    labels = json.loads((tmp_path / "out" / "metrics.json").read_text())["labels"]
    assert labels["agree"] == labels["compared"] == len(pool.read_text().splitlines()) > 2
