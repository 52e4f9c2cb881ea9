"""Tiny models, made from a config in milliseconds, and the plain definition of a log-probability."""

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rewardranker.models.decoder import build_decoder
from rewardranker.recipe import Decoder

TEXTS = [
    'def f(xs):\n    """Keep the even numbers , then sort ascending , and return the sum."""\n',
    "    xs = [x for x in xs if x % 2 == 0]\n    xs = sorted(xs)\n    return sum(xs)\n",
    'def f(xs):\n    """Drop values of at most 12. Return the list."""\n',
    "    xs = [x for x in xs if x > 12]\n    return xs\n",
]


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0, sharp: float = 8.0) -> PreTrainedModel:
    """Random weights, scaled up so that what the model says depends clearly on what it reads."""
    config = Decoder(hidden=32, layers=2, heads=2, intermediate=48, context=96)
    model = build_decoder(config, tokenizer, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(sharp)
    return model


def naive_logprobs(
    model: PreTrainedModel, prompt: list[int], completion: list[int], temperature: float = 1.0
) -> Tensor:
    """Of each completion token: one sequence, no padding, no cache."""
    logits = model(input_ids=torch.tensor([prompt + completion])).logits[0] / temperature
    logprobs = torch.log_softmax(logits[:-1], -1)
    return logprobs[range(len(prompt) - 1, len(prompt) + len(completion) - 1), completion]
