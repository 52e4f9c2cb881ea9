import json
from pathlib import Path

import pytest
from tiny import TEXTS, make_model

from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import load_recipe
from rewardranker.run import Cost, Run, Stage
from rewardranker.stages.alignment import ppo_summaries, rft_stage
from rewardranker.tables import write_table


def test_what_passed_and_does_not_fit_the_context_is_left_out_of_rft(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = train_tokenizer(TEXTS * 2, 400)
    Generator(make_model(tokenizer), tokenizer).save(tmp_path / "sft" / "model")
    problems = [
        Problem("known", "python", TEXTS[0], "", split="reference", reference=TEXTS[1]),
        Problem("pooled", "python", TEXTS[2], "", split="pool"),
        Problem("held out", "python", TEXTS[2], "", split="development", reference="q" * 100),
    ]
    (tmp_path / "problems").mkdir()
    write_table(tmp_path / "problems" / "problems.parquet", Problem, problems)
    texts = [TEXTS[3], "    x = " + "1" * 90 + "\n"]
    candidates = [
        ExecutedCandidate("pooled", i, text, 0.0, 1, "length", "sft", "passed", "passed", "")
        for i, text in enumerate(texts)
    ]
    (tmp_path / "sample").mkdir()
    write_table(tmp_path / "sample" / "candidates.parquet", ExecutedCandidate, candidates)
    sft, known, sampled = (Stage(n, tmp_path / n, n, Cost()) for n in ("sft", "problems", "sample"))
    run = Run(tmp_path / "run")
    stage = rft_stage(run, load_recipe("tiny", ("rft.epochs=1",)), 1, sft, known, [sampled])
    run.close()
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 RFT examples exceed the model's context of 96 tokens" in said
    assert "1 of 1 validation examples exceed" in said
    summary = json.loads((stage.path / "summary.json").read_text())
    assert summary == {"examples": 2, "left_out_too_long": 1}
    assert len(json.loads((stage.path / "history.json").read_text())) == 1


def test_a_summary_of_ppo_is_of_rounds_that_have_a_score(tmp_path: Path) -> None:
    scores = [None, 1.0, 2.0, None]
    rows = [{"round": i, "score": score, "kl": 0.5, "pass": None} for i, score in enumerate(scores)]
    write_json(tmp_path / "history.json", rows)
    (found,) = ppo_summaries([Stage("1-ppo", tmp_path, "", Cost())])
    assert (found["score_before"], found["score_after"]) == (1.0, 2.0)
