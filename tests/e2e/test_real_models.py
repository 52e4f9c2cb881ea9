"""The shipped recipes of real models from end to end, on tiny checkpoints of their architectures."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from real import write_checkpoint

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import is_chat
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.micro.generate import micro_problems
from rewardranker.recipe import MicroProblems
from rewardranker.tables import read_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("isolation")]

SMALL = {
    "sft.epochs": 60,
    "sft.batch_size": 8,
    "sft.learning_rate": 4e-3,
    "sampling.n": 6,
    "sampling.max_new_tokens": 80,
    "sampling.batch_size": 256,
    "reward.learning_rate": 1e-3,
    "ppo.iterations": 2,
    "ppo.prompts": 8,
    "ppo.check_problems": 4,
    "mining.n": 4,
    "evaluation.n": 4,
    "evaluation.bootstrap": 100,
    "execution.workers": 2,
}


@pytest.mark.parametrize(
    ("recipe", "family", "chat"),
    [
        ("deepseek-coder-1.3b", "deepseek-coder", False),
        ("qwen2.5-coder-0.5b", "qwen2.5-coder", True),
        ("starcoder2-3b", "starcoder2", False),
    ],
)
def test_the_whole_loop(
    tmp_path: Path, rewardranker: Callable[..., Any], recipe: str, family, chat: bool
) -> None:
    sizes = MicroProblems(reference=32, pool=1, development=6, test=8, step_weights=(1,))
    problems = [p for p in micro_problems(sizes, seed=1) if p.split != "pool"]
    rows = "".join(json.dumps(asdict(p)) + "\n" for p in problems)
    (tmp_path / "problems.jsonl").write_text(rows)
    texts = [p.prompt + (p.reference or "") for p in problems]
    options = {"vocabulary": 600, "hidden": 64, "context": 1024, "window": 256, "scale": 2.0}
    model = write_checkpoint(tmp_path / "model", family, texts, instruct=chat, **options)
    settings = [
        f"generator.checkpoint={model}",
        f'problems.files=["{tmp_path}/problems.jsonl"]',
        *(f"{key}={value}" for key, value in SMALL.items()),
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    run = tmp_path / "run"
    done = rewardranker("run", recipe, "--dir", run, *words)
    assert done.code == 0, done.err
    metrics = json.loads((run / "metrics.json").read_text())
    assert {(row["system"], row["iteration"]) for row in metrics["rows"]} == {
        *(("sft", 0), ("aligned", 1), ("aligned", 2))
    }
    assert [row["iteration"] for row in metrics["ppo"]] == [1, 2]
    candidates = read_table(run / "0-sample" / "candidates.parquet", ExecutedCandidate)
    assert 0 < sum(c.passed for c in candidates) < len(candidates)
    assert not any("```" in c.text or "<|" in c.text for c in candidates if c.passed)
    for stage in ("0-sft", "1-ppo", "2-ppo"):
        assert is_chat(Generator.from_pretrained(run / stage / "model").tokenizer) == chat
    for stage in ("1-reward", "2-reward"):
        ranker = RewardRanker.from_pretrained(run / stage / "model")
        assert (ranker.head, is_chat(ranker.tokenizer)) == ("scalar", chat)
