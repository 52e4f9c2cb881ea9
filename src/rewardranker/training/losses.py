"""Losses and advantages as pure functions; shapes in the docstrings, sources with the formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of -log p(target): sum(w * nll) / sum(w).

    Args:
        logits: [N, T, V].
        targets: [N, T] token ids; those of weight 0 may be anything in 0 .. V - 1.
        weights: [N, T], not negative, not all 0.
    """
    nll = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return torch.dot(nll, weights.flatten()) / weights.sum()
