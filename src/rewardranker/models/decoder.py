"""A small decoder made from a recipe, trained from scratch."""

from typing import Any

from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewardranker.models.checkpoints import default_device, seeded
from rewardranker.recipe import Decoder


def build_decoder(config: Decoder, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A decoder of the config's family with random weights, which `seed` decides."""
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.context,
        "attention_dropout": config.dropout,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with seeded(seed):  # drawn on the CPU, whose generator every machine has
        model: PreTrainedModel
        if config.family == "gpt_neox":
            model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes))
        else:
            model = LlamaForCausalLM(LlamaConfig(**sizes))
    return model.to(default_device())
