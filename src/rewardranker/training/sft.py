"""Stage A: supervised fine-tuning on (prompt, right program)."""

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.tokens import Tokens, context_length, encode_completions, encode_prompts, pad_right
from rewardranker.recipe import SFT
from rewardranker.training.batches import batches
from rewardranker.training.losses import weighted_cross_entropy
from rewardranker.training.optimizer import Optimizer, dropout_seed


def train_sft(
    generator: Generator,
    examples: Sequence[tuple[str, str]],
    config: SFT,
    *,
    seed: int,
    validation: Sequence[tuple[str, str]] = (),
) -> list[dict[str, float]]:
    """Fit `generator` to (prompt, completion) examples, in place.

    Returns:
        one row an epoch: epoch from 1, loss (mean over the epoch's batches of the weighted loss that is
        minimised), and with `validation` also validation_loss (mean negative log-likelihood of a completion
        token, end included, nats).

    Raises:
        UserError: no example, or one that is longer than the model's context.
    """
    if not examples:
        raise UserError(
            "SFT has no example: no problem has a reference program (or, for RFT, a passing candidate)"
        )
    rows = _encode(generator, examples)
    held_out = _encode(generator, validation)
    model, order = generator.model, random.Random(seed)
    steps = config.epochs * math.ceil(len(rows) / config.batch_size)
    optimizer = Optimizer(
        model.parameters(),
        learning_rate=config.learning_rate,
        steps=steps,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
    )
    history = []
    with progress.task("SFT", total=steps) as bar, dropout_seed(seed):
        for epoch in range(1, config.epochs + 1):
            model.train()
            losses = []
            for batch in batches(rows, config.batch_size, lambda row: len(row[0]) + len(row[1]), order):
                loss = _loss(model, batch, config.prompt_loss_weight)
                optimizer.step(loss)
                losses.append(loss.detach())
                bar.advance(note=f"loss {loss.item():.3f}")
            model.eval()
            row = {"epoch": float(epoch), "loss": float(torch.stack(losses).mean())}
            if held_out:
                row["validation_loss"] = _validation_loss(model, held_out, config.batch_size)
            history.append(row)
    return history


def _encode(generator: Generator, examples: Sequence[tuple[str, str]]) -> list[tuple[Tokens, Tokens]]:
    prompts = encode_prompts(generator.tokenizer, [prompt for prompt, _ in examples])
    completions = encode_completions(generator.tokenizer, [completion for _, completion in examples])
    context = context_length(generator.model)
    for number, (p, c) in enumerate(zip(prompts, completions, strict=True), 1):
        if len(p) + len(c) > context:
            start = examples[number - 1][0].strip()[:60]
            raise UserError(
                f"SFT example {number} ({start!r}...) has {len(p) + len(c)} tokens, the model's "
                f"context {context}; leave it out or use a model with a longer context"
            )
    return list(zip(prompts, completions, strict=True))


def _loss(model: PreTrainedModel, batch: list[tuple[Tokens, Tokens]], prompt_weight: float) -> Tensor:
    """Weighted mean negative log-likelihood of the batch's tokens."""
    # Padding on the right needs no attention mask: under the causal mask no token sees it.
    tokens, mask = pad_right([p + c for p, c in batch], 0, model.device)
    starts = torch.tensor([len(p) for p, _ in batch], device=model.device)
    column = torch.arange(1, tokens.shape[1], device=model.device)
    weights = torch.where(column < starts[:, None], prompt_weight, 1.0) * mask[:, 1:]
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return weighted_cross_entropy(logits, tokens[:, 1:], weights)


@torch.no_grad()
def _validation_loss(model: PreTrainedModel, rows: list[tuple[Tokens, Tokens]], size: int) -> float:
    """Mean negative log-likelihood of a completion token over all of `rows`, nats."""
    total = 0.0
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        total += float(_loss(model, batch, 0.0)) * sum(len(c) for _, c in batch)
    return total / sum(len(c) for _, c in rows)
