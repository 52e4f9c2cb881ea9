"""The loop that SFT, RFT and the ranker share: epochs of batches; it goes on where it was killed."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rewardranker import progress
from rewardranker.models.checkpoints import seeded
from rewardranker.recipe import SFT, Reward
from rewardranker.run import Checkpoint
from rewardranker.training.batches import batches, parts
from rewardranker.training.divergence import refuse_divergence
from rewardranker.training.optimizer import Optimizer
from rewardranker.training.state import (
    load_state,
    random_state,
    save_state,
    set_random_state,
    trained_weights,
)

Item = TypeVar("Item")

_LOOK = 10
"""Steps between looks at the loss, on a GPU: to look, the host must wait for it."""


def train_epochs(
    model: nn.Module,
    items: Sequence[Item],
    loss: Callable[[list[Item], int], Tensor],
    settings: SFT | Reward,
    *,
    name: str,
    seed: int,
    order: random.Random,
    batch_size: int,
    weight: Callable[[Item], float],
    tokens: Callable[[Item], int],
    draw: Callable[[Item], Item] = lambda item: item,
    validate: Callable[[], dict[str, float]] | None = None,
    patience: int = 0,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place.

    A step's gradient is that of the sum of its items' losses over the sum of their weights, whether they are
    computed together or in parts of at most `settings.tokens_at_once` tokens.

    Args:
        model: its parameters that require gradients are trained.
        loss: sum over some items of a batch, each times its weight; also gets the epoch, from 1.
        name: shown beside the progress.
        seed: decides dropout.
        order: decides the order, and draws.
        weight: of an item.
        tokens: of an item, computed in a forward.
        draw: what of an item is looked at, anew each epoch.
        validate: measures, after each epoch.
        patience: stop after so many epochs without a lower `validation_loss`, and go back to the best; 0: no.
        checkpoint: where to go on from, and where to leave what is needed for that.

    Returns:
        a row an epoch: epoch from 1, loss (mean over its steps), tokens (computed), and what `validate`
        measured.

    Raises:
        UserError: one of these numbers is NaN or infinite; what `checkpoint` held is removed.
    """
    steps_an_epoch = math.ceil(len(items) / batch_size)
    steps = settings.epochs * steps_an_epoch
    optimizer = Optimizer(
        model.parameters(),
        learning_rate=settings.learning_rate,
        steps=steps,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
    )
    device = next(model.parameters()).device
    history: list[dict[str, float]] = []
    losses: list[Tensor] = []
    best: dict[str, Tensor] | None = None
    n_tokens = n_done = 0  # tokens and steps of this epoch
    epoch_order = order.getstate()

    with progress.task(name, total=steps) as bar, seeded(seed):
        if (state := load_state(checkpoint)) is not None:
            model.load_state_dict(state["model"], strict=False)
            optimizer.load_state_dict(state["optimizer"])
            history, losses, best = state["history"], list(state["losses"].to(device)), state["best"]
            n_tokens, n_done, epoch_order = state["tokens"], state["done"], state["epoch_order"]
            set_random_state(state["dropout"])
            bar.advance(len(history) * steps_an_epoch + n_done)

        def save() -> dict[str, Any]:
            return {
                "model": trained_weights(model),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "losses": torch.stack(losses) if losses else torch.empty(0),
                "best": best,
                "tokens": n_tokens,
                "done": n_done,
                "epoch_order": epoch_order,
                "order": order.getstate(),
                "dropout": random_state(),
            }

        while len(history) < settings.epochs:
            model.train()
            order.setstate(epoch_order)
            planned = batches(items, batch_size, tokens, order)
            if n_done:
                assert state is not None
                order.setstate(state["order"])
            for batch in planned[n_done:]:
                drawn = [draw(item) for item in batch]
                total = sum(map(weight, drawn))
                epoch = len(history) + 1
                computed = parts(drawn, tokens, settings.tokens_at_once)
                losses.append(_accumulate(optimizer, (loss(part, epoch) / total for part in computed)))
                optimizer.step()
                n_tokens += sum(map(tokens, drawn))
                n_done += 1
                looks = device.type != "cuda" or n_done % _LOOK == 0
                bar.advance(note=f"loss {float(losses[-1]):.3f}" if looks else "")
                save_state(checkpoint, save)
            model.eval()
            row = {
                "epoch": len(history) + 1.0,
                "loss": float(torch.stack(losses).mean()),
                "tokens": n_tokens,
                **(validate() if validate is not None else {}),
            }
            history.append(row)
            refuse_divergence(
                row,
                f"epoch {len(history)}",
                f"[{type(settings).__name__.lower()}] learning_rate",  # sections are called as their classes
                checkpoint,
            )
            losses, n_tokens, n_done, epoch_order = [], 0, 0, order.getstate()
            if patience:
                lowest = min(range(len(history)), key=lambda i: history[i]["validation_loss"])
                if lowest == len(history) - 1:
                    best = {key: value.clone() for key, value in trained_weights(model).items()}
                elif len(history) - 1 - lowest >= patience:
                    break
    if best is not None:
        model.load_state_dict(best, strict=False)
    return history


def _accumulate(optimizer: Optimizer, losses: Iterable[Tensor]) -> Tensor:
    """Add the gradients of `losses`, one after the other, to that of the next step; returns their sum."""
    found = []
    for loss in losses:
        optimizer.accumulate(loss)
        found.append(loss.detach())
    return torch.stack(found).sum()
