"""What SFT refuses before it trains."""

import json
from pathlib import Path

import pytest
from tiny import TEXTS
from transformers import CodeGenConfig, CodeGenForCausalLM

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.recipe import load_recipe
from rewardranker.run import Run
from rewardranker.stages.problems import problems_stage
from rewardranker.stages.sft import sft_stage


def test_a_generator_whose_ranker_would_have_no_such_head(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 4, "rotary_dim": 4, "n_positions": 96}
    config = CodeGenConfig(vocab_size=300, bos_token_id=1, eos_token_id=1, **sizes)
    Generator(CodeGenForCausalLM(config), tokenizer).save(tmp_path / "model")
    rows = [
        {"id": f"p{i}", "prompt": TEXTS[0], "tests": "", "reference": "    return 1\n"} for i in range(10)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = (
        f'problems.files=["{tmp_path}/p.jsonl"]',
        f"generator.checkpoint={tmp_path}/model",
    )
    recipe, run = load_recipe("deepseek-coder-1.3b", settings), Run(tmp_path / "run")
    with pytest.raises(UserError, match=r"reward\.head is 'scalar'.*'codegen'; set .*'likelihood'"):
        sft_stage(run, recipe, problems_stage(run, recipe))
