"""What every training stage shares: AdamW under a cosine schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Optimizer:
    """AdamW with linear warmup, cosine decay to 0 and gradient clipping.

    Weight decay acts on matrices only, not on norms and biases.

    Args:
        parameters: what is trained; those that don't require gradients are left out.
        learning_rate: peak of the schedule.
        steps: number of `step` calls, after which the learning rate is 0.
        warmup: share of the steps over which the learning rate rises.
        max_grad_norm: the gradient's norm is scaled down to this.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        steps: int,
        warmup: float,
        weight_decay: float,
        max_grad_norm: float,
        eps: float = 1e-8,
    ) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        groups = [
            {"params": [p for p in self._parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in self._parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(groups, lr=learning_rate, eps=eps, fused=True)
        rise = max(1, round(steps * warmup))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adamw,
            lambda step: min((step + 1) / rise, (1 + math.cos(math.pi * min(step / steps, 1))) / 2),
        )
        self._max_grad_norm = max_grad_norm

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradient of `loss` to that of the next step."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> Tensor:
        """Take one step down the accumulated gradient; returns the gradient's norm before clipping.

        A tensor, which a GPU need not have computed yet.
        """
        norm = nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm)
        self._adamw.step()
        self._adamw.zero_grad()
        self._schedule.step()
        return norm

    def drop(self) -> None:
        """Count a step without taking it: the accumulated gradient is not to be followed."""
        self._adamw.zero_grad()
        self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on as if nothing had happened."""
        return {"adamw": self._adamw.state_dict(), "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._adamw.load_state_dict(state["adamw"])
        self._schedule.load_state_dict(state["schedule"])
