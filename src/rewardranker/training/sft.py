"""Stage A: supervised fine-tuning on (prompt, right program)."""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.lora import prepared
from rewardranker.models.prefix import token_logprobs
from rewardranker.models.tokens import (
    Tokens,
    context_length,
    encode_completions,
    encode_prompts,
    pad_right,
    to_device,
)
from rewardranker.recipe import PLAIN, SFT, Compute
from rewardranker.run import Checkpoint
from rewardranker.training.batches import parts
from rewardranker.training.epochs import train_epochs


def train_sft(
    generator: Generator,
    examples: Sequence[tuple[str, str]],
    config: SFT,
    *,
    seed: int,
    validation: Sequence[tuple[str, str]] = (),
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> list[dict[str, float]]:
    """Fit `generator` to (prompt, completion) examples, in place; go on from `checkpoint` if it was begun.

    Returns:
        one row an epoch: epoch from 1, loss (mean over the epoch's batches of the weighted loss that is
        minimised), tokens (trained on, prompts included), and with `validation` also validation_loss (mean
        negative log-likelihood of a completion token, end included, nats; over what fits the context).

    Raises:
        UserError: no example, one that is longer than the model's context, or training diverges.
    """
    if not examples:
        raise UserError(
            "SFT has no example: no problem has a reference program (or, for RFT, a passing candidate)"
        )
    rows = _encode(generator, examples)
    held_out = [row for _, row in _fitting(generator, validation, "validation")]
    model = generator.model
    with prepared(model, compute, seed):
        return train_epochs(
            model,
            rows,
            lambda batch, _: _loss(model, batch, config.prompt_loss_weight),
            config,
            name="SFT",
            seed=seed,
            order=random.Random(seed),
            batch_size=config.batch_size,
            weight=lambda row: len(row[1]) + config.prompt_loss_weight * (len(row[0]) - 1),
            tokens=_length,
            validate=(lambda: _validate(model, held_out, config)) if held_out else None,
            checkpoint=checkpoint,
        )


def fitting(generator: Generator, examples: Sequence[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """The (prompt, completion) that fit the model's context; how many don't is said on the terminal."""
    return [example for example, _ in _fitting(generator, examples, name)]


def _fitting(
    generator: Generator, examples: Sequence[tuple[str, str]], name: str
) -> list[tuple[tuple[str, str], tuple[Tokens, Tokens]]]:
    context = context_length(generator.model)
    rows = zip(examples, _tokens(generator, examples), strict=True)
    kept = [(example, row) for example, row in rows if _length(row) <= context]
    if len(kept) < len(examples):
        progress.console.print(
            f"  {len(examples) - len(kept)} of {len(examples)} {name} examples exceed the model's context of "
            f"{context} tokens: left out"
        )
    return kept


def _tokens(generator: Generator, examples: Sequence[tuple[str, str]]) -> list[tuple[Tokens, Tokens]]:
    prompts = encode_prompts(generator.tokenizer, [prompt for prompt, _ in examples])
    completions = encode_completions(generator.tokenizer, [completion for _, completion in examples])
    return list(zip(prompts, completions, strict=True))


def _encode(generator: Generator, examples: Sequence[tuple[str, str]]) -> list[tuple[Tokens, Tokens]]:
    rows = _tokens(generator, examples)
    context = context_length(generator.model)
    for number, row in enumerate(rows, 1):
        if _length(row) > context:
            start = examples[number - 1][0].strip()[:60]
            raise UserError(
                f"SFT example {number} ({start!r}...) has {_length(row)} tokens, the model's "
                f"context {context}; leave it out or use a model with a longer context"
            )
    return rows


def _length(row: tuple[Tokens, Tokens]) -> int:
    return len(row[0]) + len(row[1])


def _loss(model: PreTrainedModel, batch: list[tuple[Tokens, Tokens]], prompt_weight: float) -> Tensor:
    """Negative log-likelihood of the batch's tokens, summed with their weights."""
    # Padding on the right needs no attention mask: under the causal mask no token sees it.
    tokens, _ = pad_right([p + c for p, c in batch], 0, model.device)
    starts, lengths = np.array([(len(p), len(c)) for p, c in batch]).T[..., None]
    column = np.arange(1, tokens.shape[1])
    weights = (np.where(column < starts, prompt_weight, 1.0) * (column < starts + lengths)).ravel()
    states = model.base_model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
    places = np.flatnonzero(weights)  # what counts nothing needs no logits
    counted = to_device(torch.from_numpy(places), model.device)
    logprobs = token_logprobs(
        model.get_output_embeddings(), states.flatten(0, 1)[counted], tokens[:, 1:].flatten()[counted]
    )
    return -torch.dot(logprobs, to_device(torch.from_numpy(weights[places]).float(), model.device))


@torch.no_grad()
def _validate(model: PreTrainedModel, rows: list[tuple[Tokens, Tokens]], config: SFT) -> dict[str, float]:
    """Mean negative log-likelihood of a completion token over all of `rows`, nats."""
    size = config.batch_size
    total = sum(
        float(_loss(model, part, 0.0))
        for i in range(0, len(rows), size)
        for part in parts(rows[i : i + size], _length, config.tokens_at_once)
    )
    return {"validation_loss": total / sum(len(c) for _, c in rows)}
