"""Tiny checkpoints of the real models' architectures, written to a folder as the published ones are.

Architecture, form of config.json, kind of tokenizer (its pre-tokenizer, special tokens, eos, pad and bos) and
chat template are those of the published checkpoints; sizes are not, weights are random, and the vocabulary is
learnt from the texts given.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Starcoder2Config,
)

Family = Literal["deepseek-coder", "qwen2.5-coder", "starcoder2"]
FAMILIES: tuple[Family, ...] = get_args(Family)

_BOS, _EOS = "<\uff5cbegin▁of▁sentence\uff5c>", "<\uff5cend▁of▁sentence\uff5c>"
_EOT = "<|EOT|>"
_FIRST = {"starcoder2": ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>"]}
_LAST = {
    "deepseek-coder": [_BOS, _EOS, _EOT],
    "qwen2.5-coder": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
}

_PIECES = {
    "deepseek-coder": [
        pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"),
        pre_tokenizers.Split(Regex(r"\s?\p{L}+"), "isolated"),
        pre_tokenizers.Split(Regex(r"\s?\p{P}+"), "isolated"),
        pre_tokenizers.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), "isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "qwen2.5-coder": [
        pre_tokenizers.Split(
            Regex(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            "isolated",
        ),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "starcoder2": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ],
}

DEEPSEEK_TEMPLATE = """\
{%- set ns = namespace(found=false) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.found = true -%}
    {%- endif -%}
{%- endfor -%}
{{bos_token}}{%- if not ns.found -%}
{{'You are an AI programming assistant.\\n'}}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'system' %}
{{ message['content'] }}
    {%- else %}
        {%- if message['role'] == 'user' %}
{{'### Instruction:\\n' + message['content'] + '\\n'}}
        {%- else %}
{{'### Response:\\n' + message['content'] + '\\n<|EOT|>\\n'}}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
{{'### Response:'}}
{% endif %}"""
CHATML_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. ' }}
    {{- 'You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def _llama(hidden: int, layers: int, heads: int, intermediate: int) -> PreTrainedConfig:
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return LlamaConfig(vocab_size=32256, intermediate_size=intermediate, **sizes)


def _qwen(
    hidden: int, layers: int, heads: tuple[int, int], intermediate: int, vocabulary: int, tied: bool
) -> PreTrainedConfig:
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": intermediate}
    counts = {"num_attention_heads": heads[0], "num_key_value_heads": heads[1]}
    return Qwen2Config(vocab_size=vocabulary, tie_word_embeddings=tied, **sizes, **counts)


PUBLISHED = {
    "deepseek-coder-1.3b": _llama(2048, 24, 16, 5504),
    "deepseek-coder-6.7b": _llama(4096, 32, 32, 11008),
    "qwen2.5-coder-0.5b": _qwen(896, 24, (14, 2), 4864, 151936, tied=True),
    "qwen2.5-coder-1.5b": _qwen(1536, 28, (12, 2), 8960, 151936, tied=True),
    "qwen2.5-coder-7b": _qwen(3584, 28, (28, 4), 18944, 152064, tied=False),
    "starcoder2-3b": Starcoder2Config(),
}
"""What decides the number of parameters, by recipe (Starcoder2Config's defaults are the 3B's)."""


def write_checkpoint(
    folder: Path,
    family: Family,
    texts: Iterable[str],
    *,
    vocabulary: int = 400,
    hidden: int = 32,
    layers: int = 2,
    context: int = 512,
    window: int = 64,
    instruct: bool = False,
    dtype: torch.dtype = torch.bfloat16,
    shard: str = "5GB",
    scale: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write a checkpoint of `family` to `folder` and return it.

    Args:
        texts: what the vocabulary is learnt from.
        vocabulary: entries, special tokens included.
        window: StarCoder2's sliding window.
        instruct: with the chat template and end token of the instruction-tuned models.
        dtype: of the weights on disk.
        shard: largest file of weights.
        scale: matrices are multiplied by it, so that what the model says depends clearly on what it reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train(family, texts, vocabulary)
    size = tokenizer.get_vocab_size()
    config = _config(family, size, hidden, layers, context, window, instruct, tokenizer)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "config.json").write_text(json.dumps(config | {"torch_dtype": str(dtype).split(".")[1]}))
    ends = _ids(tokenizer, ["<|im_end|>", "<|endoftext|>"])
    eos = ends if instruct and family == "qwen2.5-coder" else config["eos_token_id"]
    generation = {"bos_token_id": config["bos_token_id"], "eos_token_id": eos, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(family, instruct)))
    return folder


def _train(family: Family, texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if family == "qwen2.5-coder":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_PIECES[family])
    tokenizer.decoder = decoders.ByteLevel()
    last = _LAST.get(family, [])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(last),
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in _FIRST.get(family, [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in last])
    return tokenizer


def _ids(tokenizer: Tokenizer, tokens: list[str]) -> list[int | None]:
    return [tokenizer.token_to_id(token) for token in tokens]


def _config(
    family: Family,
    size: int,
    hidden: int,
    layers: int,
    context: int,
    window: int,
    instruct: bool,
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
        "initializer_range": 0.02,
        "use_cache": True,
    }
    if family == "deepseek-coder":
        bos, eos, eot = _ids(tokenizer, [_BOS, _EOS, _EOT])
        return config | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": size + 32 - size % 32,  # more rows than tokens
            "intermediate_size": 2 * hidden,
            "num_key_value_heads": 4,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_scaling": {"factor": 4.0, "type": "linear"},
            "rope_theta": 100000,
            "tie_word_embeddings": False,
            "bos_token_id": bos,
            "eos_token_id": eot if instruct else eos,
        }
    if family == "qwen2.5-coder":
        end, turn_end = _ids(tokenizer, ["<|endoftext|>", "<|im_end|>"])
        return config | {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "vocab_size": size + 32 - size % 32,
            "intermediate_size": 2 * hidden,
            "num_key_value_heads": 2,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "sliding_window": context,
            "use_sliding_window": False,
            "max_window_layers": layers,
            "tie_word_embeddings": True,
            "bos_token_id": end,
            "eos_token_id": turn_end if instruct else end,
        }
    (end,) = _ids(tokenizer, ["<|endoftext|>"])
    return config | {
        "architectures": ["Starcoder2ForCausalLM"],
        "model_type": "starcoder2",
        "vocab_size": size,  # no row to spare
        "intermediate_size": 4 * hidden,
        "num_key_value_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "mlp_type": "default",
        "norm_type": "layer_norm",
        "norm_epsilon": 1e-5,
        "use_bias": True,
        "rope_theta": 999999.4420358813,
        "sliding_window": window,
        "embedding_dropout": 0.1,
        "residual_dropout": 0.1,
        "attention_dropout": 0.1,
        "bos_token_id": end,
        "eos_token_id": end,
    }


def _tokenizer_config(family: Family, instruct: bool) -> dict[str, Any]:
    if family == "deepseek-coder":
        config: dict[str, Any] = {
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": _added(_BOS),
            "eos_token": _added(_EOT if instruct else _EOS),
            "pad_token": _added(_EOS),
            "clean_up_tokenization_spaces": False,
            "legacy": True,
            "model_max_length": 16384,
            "sp_model_kwargs": {},
            "unk_token": None,
            "tokenizer_class": "LlamaTokenizerFast",
        }
        return config | ({"chat_template": DEEPSEEK_TEMPLATE} if instruct else {})
    if family == "qwen2.5-coder":
        return {
            "add_bos_token": False,
            "add_prefix_space": False,
            "bos_token": None,
            "eos_token": "<|im_end|>" if instruct else "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 32768,
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "chat_template": CHATML_TEMPLATE,
        }
    return {
        "add_prefix_space": False,
        "additional_special_tokens": _FIRST["starcoder2"],
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": True,
        "model_max_length": 1000000000000000019884624838656,
        "tokenizer_class": "GPT2Tokenizer",
        "vocab_size": 49152,
    }


def _added(token: str) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": token, **flags}
