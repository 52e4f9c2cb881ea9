import json
import re

import numpy as np
import pytest
import torch
from real import write_checkpoint
from tiny import TEXTS
from transformers import AutoModelForCausalLM, AutoTokenizer

from rewardranker.errors import UserError
from rewardranker.models.export import export_model, find_model
from rewardranker.models.generator import Generator
from rewardranker.models.load import load_ranker
from rewardranker.models.ranker import Calibration, RewardRanker
from rewardranker.models.sequence import SequenceRanker

HEADS = ["likelihood", "scalar", "scalar-mean"]
PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3]), (TEXTS[0], ""), (TEXTS[0][:-1], "\n    return 1\n")]
CODE = re.compile(r"^```python\n(import torch.*?)^```", re.MULTILINE | re.DOTALL)


def by_the_card(folder, prompt, program):
    """The score as somebody computes it who has the folder and transformers alone."""
    (code,) = CODE.findall((folder / "README.md").read_text())
    names = {"prompt": prompt, "program": program}
    exec(code.replace("FOLDER", str(folder)), names)
    return float(names["score"])


@pytest.mark.parametrize("head", HEADS)
def test_the_lines_of_the_card_give_the_same_scores(head, model, tokenizer, tmp_path):
    ranker = RewardRanker.from_generator(Generator(model, tokenizer), head, seed=1)
    ranker.calibration = Calibration(slope=2.0)
    ranker.save(tmp_path / "trained")
    written = export_model(tmp_path / "trained", tmp_path / "out")
    assert (written.kind, written.head) == ("ranker", head)
    expected = ranker.score(*zip(*PAIRS))
    np.testing.assert_allclose([by_the_card(tmp_path / "out", *pair) for pair in PAIRS], expected, atol=1e-4)
    back = load_ranker(tmp_path / "out")
    np.testing.assert_allclose(back.score(*zip(*PAIRS)), expected, atol=1e-5)
    assert back.calibration == ranker.calibration
    assert {p.name for p in (tmp_path / "out").glob("*.safetensors")} == {"model.safetensors"}


@pytest.mark.parametrize("family", ["deepseek-coder", "qwen2.5-coder", "starcoder2"])
def test_tokenizers_as_they_are_published_join_pairs_too(family, tmp_path):
    write_checkpoint(tmp_path / "model", family, TEXTS * 2)
    generator = Generator.from_pretrained(tmp_path / "model")
    ranker = RewardRanker.from_generator(generator, "scalar", seed=1)
    ranker.save(tmp_path / "trained")
    export_model(tmp_path / "trained", tmp_path / "out")
    np.testing.assert_allclose(
        [by_the_card(tmp_path / "out", *pair) for pair in PAIRS], ranker.score(*zip(*PAIRS)), atol=1e-4
    )
    # as vLLM's /score joins a pair, and as any other scalar model is used here
    theirs = SequenceRanker.from_pretrained(tmp_path / "out")
    theirs.tokenizer.chat_template = None
    np.testing.assert_allclose(theirs.score(*zip(*PAIRS)), ranker.score(*zip(*PAIRS)), atol=1e-4)


def test_what_it_says_of_its_use(model, tokenizer, tmp_path):
    lines = {}
    for head in HEADS:
        RewardRanker.from_generator(Generator(model, tokenizer), head, seed=1).save(tmp_path / head)
        lines[head] = export_model(tmp_path / head, tmp_path / f"{head}-out").use
        assert f'rewardranker.load_ranker("{tmp_path / head}-out")' in lines[head]
        assert "reward_funcs=reward" in lines[head]
    assert f"vllm serve {tmp_path}/scalar-out --runner pooling" in lines["scalar"]
    assert "prompt_logprobs" in lines["likelihood"] and "not by vLLM" in lines["scalar-mean"]


def test_prompts_shown_as_a_chat_are_left_to_us(tmp_path):
    write_checkpoint(tmp_path / "model", "qwen2.5-coder", TEXTS * 2, instruct=True)
    generator = Generator.from_pretrained(tmp_path / "model", "chat")
    ranker = RewardRanker.from_generator(generator, "scalar", seed=1)
    ranker.save(tmp_path / "trained")
    written = export_model(tmp_path / "trained", tmp_path / "out")
    assert "not by vLLM, for its prompts are shown as a chat" in written.use
    assert "## Without RewardRanker" not in (tmp_path / "out" / "README.md").read_text()
    expected = ranker.score(*zip(*PAIRS))
    np.testing.assert_allclose(load_ranker(tmp_path / "out").score(*zip(*PAIRS)), expected, atol=1e-5)


def test_a_generator_is_a_causal_model(generator, tmp_path):
    generator.save(tmp_path / "model")
    written = export_model(tmp_path / "model", tmp_path / "out")
    assert written.kind == "generator" and f"vllm serve {tmp_path / 'out'}" in written.use
    ids = torch.tensor([[1, 5, 9]])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, generator.model(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").decode([40]) == generator.tokenizer.decode([40])
    assert "A generator of programs" in (tmp_path / "out" / "README.md").read_text()


def test_of_a_run_the_last_models_are_taken_with_their_figures(generator, tmp_path):
    run = tmp_path / "run"
    ranker = RewardRanker.from_generator(generator, "likelihood", seed=1)
    for name in ("0-sft", "0-sft-longer", "2-rft", "2-ppo", "10-rft"):
        generator.save(run / name / "model")
    for name in ("1-reward", "10-reward"):
        ranker.save(run / name / "model")
    (run / "10-reward" / "report.json").write_text('{"auc": 0.9}')
    (run / "metrics.json").write_text('{"rows": []}')
    assert find_model(run, "generator") == (run / "10-rft" / "model", run / "metrics.json")
    assert find_model(run, "ranker") == (run / "10-reward" / "model", run / "10-reward" / "report.json")
    export_model(run, tmp_path / "out", "ranker")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {"auc": 0.9}
    with pytest.raises(UserError, match="no ranker here"):
        find_model(run / "0-sft", "ranker")
    with pytest.raises(UserError, match=r"rewardranker\.json is missing"):
        export_model(run / "2-rft" / "model", tmp_path / "no", "ranker")


def test_a_folder_that_would_score_otherwise_is_not_written(generator, tmp_path, monkeypatch):
    ranker = RewardRanker.from_generator(generator, "scalar", seed=1)
    ranker.save(tmp_path / "trained")
    monkeypatch.setattr("rewardranker.models.export._join_pairs", lambda _: None)
    with pytest.raises(UserError, match="transformers scores"):
        export_model(tmp_path / "trained", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["trained"]
