import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from rewardranker.errors import UserError
from rewardranker.models.checkpoints import (
    check_logits,
    decoding_kernels,
    load_checkpoint,
    load_tokenizer,
    prefer_fast_kernels,
    seeded,
)
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.problem import Problem
from rewardranker.recipe import SFT
from rewardranker.training.sft import train_sft

SMALL: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OLD: dict[str, Any] = {"vocab_size": 400, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96}
HEADS_OF_8 = SMALL | {"head_dim": 8}
PLAIN: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "mistral": SMALL | {"sliding_window": 64},
    "qwen2": SMALL | {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
    "qwen3": HEADS_OF_8,
    "qwen3_moe": HEADS_OF_8 | {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    "starcoder2": SMALL,
    "gpt_neox": SMALL,
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "codegen": OLD | {"rotary_dim": 4},
    "gptj": OLD | {"rotary_dim": 4},
    "phi": SMALL,
    "phi3": SMALL,
    "gemma": HEADS_OF_8,
    "gemma3_text": HEADS_OF_8,
    "olmo2": SMALL,
    "opt": SMALL | {"ffn_dim": 48, "word_embed_proj_dim": 32},
}
"""Families whose logits are their head's of the backbone's states, with attention only."""
CHANGED: dict[str, dict[str, Any]] = {
    "gemma2": HEADS_OF_8,
    "cohere": SMALL,
    "granite": SMALL | {"logits_scaling": 8.0},
    "minicpm3": SMALL
    | {"num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8}
    | {"dim_model_base": 4},
    "bert": SMALL | {"is_decoder": True},
}
RECURRENT: dict[str, dict[str, Any]] = {
    "mamba": {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2},
    "rwkv": {"vocab_size": 400, "hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2},
    "lfm2": SMALL | {"layer_types": ["conv", "full_attention"]},
    "minimax": SMALL | {"num_local_experts": 2},
}


def test_kernels_change_speed_alone(tokenizer) -> None:
    model, ids = make_model(tokenizer).eval(), torch.arange(3, 43).view(2, 20)
    model.set_attn_implementation("sdpa")
    expected = model(input_ids=ids).logits
    prefer_fast_kernels(model)
    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(model(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    with decoding_kernels(model):
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == "eager"


def test_a_seed_is_local() -> None:
    state = torch.random.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    assert torch.equal(state, torch.random.get_rng_state())
    with seeded(3):
        assert torch.equal(first, torch.rand(2))


def save(folder: Path, tokenizer: PreTrainedTokenizerFast, family: str, sizes: dict[str, Any]) -> Path:
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_families_with_plain_logits_and_attention_are_accepted(tmp_path, tokenizer, family, dtype) -> None:
    folder = save(tmp_path / family, tokenizer, family, PLAIN[family])
    model, _ = load_checkpoint(folder, AutoModelForCausalLM, dtype)
    check_logits(model)
    ids = torch.arange(5, 15)[None]
    head = model.get_output_embeddings()
    with torch.no_grad():
        expected = head(model.base_model(input_ids=ids).last_hidden_state)
        torch.testing.assert_close(model(input_ids=ids).logits, expected)  # no hook is left behind


@pytest.mark.parametrize("family", CHANGED)
def test_families_that_change_their_logits_sample_and_are_not_trained(tmp_path, tokenizer, family) -> None:
    generator = Generator.from_pretrained(save(tmp_path / family, tokenizer, family, CHANGED[family]))
    problem = Problem("p", "python", "def f(x):\n", "")
    draw = {"n": 2, "temperature": 1.0, "max_new_tokens": 4, "seed": 1, "policy": "me", "batch_size": 2}
    assert len(generator.sample([problem], **draw)) == 2
    for train in (
        lambda: train_sft(generator, [("a", "b")], SFT(), seed=1),
        lambda: RewardRanker.from_generator(generator, "likelihood", seed=1),
    ):
        with pytest.raises(UserError, match=f"{family}: a {family} model changes its logits"):
            train()


def test_a_family_is_accepted_where_its_config_changes_nothing(tmp_path, tokenizer) -> None:
    save(tmp_path, tokenizer, "granite", SMALL | {"logits_scaling": 1.0})
    check_logits(load_checkpoint(tmp_path, AutoModelForCausalLM)[0])


@pytest.mark.parametrize("family", RECURRENT)
def test_recurrent_layers_are_refused(tmp_path, tokenizer, family) -> None:
    folder = save(tmp_path / family, tokenizer, family, RECURRENT[family])
    with pytest.raises(UserError, match=f"a {family} model has .* layers, whose state"):
        load_checkpoint(folder, AutoModelForCausalLM)


def test_a_context_without_a_length_is_refused(tmp_path, tokenizer) -> None:
    save(tmp_path, tokenizer, "bloom", {"vocab_size": 400, "hidden_size": 32, "n_layer": 1, "n_head": 2})
    with pytest.raises(UserError, match=r"no max_position_embeddings"):
        load_checkpoint(tmp_path, AutoModelForCausalLM)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 123456\n"


def test_files_that_are_not_what_their_names_say(tmp_path, tokenizer) -> None:
    whole = save(tmp_path / "whole", tokenizer, "llama", SMALL)

    def broken(name: str, file: str, content: bytes) -> Path:
        folder = tmp_path / name
        shutil.copytree(whole, folder)
        (folder / file).write_bytes(content)
        return folder

    weights = (whole / "model.safetensors").read_bytes()
    for name, content in (("pointer", POINTER.encode()), ("truncated", weights[: len(weights) // 2])):
        with pytest.raises(UserError, match=f"{name}: cannot be loaded .*whole"):
            load_checkpoint(broken(name, "model.safetensors", content), AutoModelForCausalLM)
    config = (whole / "config.json").read_text().replace('"hidden_size": 32', '"hidden_size": 64')
    with pytest.raises(UserError, match="other: cannot be loaded"):
        load_checkpoint(broken("other", "config.json", config.encode()), AutoModelForCausalLM)
    for name, content in (("listed", b"[]"), ("unknown", b'{"model": {"type": "none"}}')):
        with pytest.raises(UserError, match=f"{name}: its tokenizer cannot be loaded"):
            load_tokenizer(broken(name, "tokenizer.json", content))
    with pytest.raises(UserError, match="lfs: its tokenizer cannot be loaded"):
        load_tokenizer(broken("lfs", "tokenizer.json", POINTER.encode()))
    pickled = broken("pickled", "pytorch_model.bin", POINTER.encode())
    (pickled / "model.safetensors").unlink()
    with pytest.raises(UserError, match="pickled: cannot be loaded"):
        load_checkpoint(pickled, AutoModelForSequenceClassification)
