"""Training that has diverged ends where that is seen, with what the user can do about it."""

import math
from collections.abc import Mapping
from typing import Any

from rewardranker.errors import UserError
from rewardranker.run import Checkpoint


def refuse_divergence(row: Mapping[str, Any], when: str, rate: str, checkpoint: Checkpoint | None) -> None:
    """Let a row of a stage's history pass whose numbers are all finite.

    Args:
        row: what was measured.
        when: such as "epoch 2".
        rate: the recipe's setting that is too high.
        checkpoint: removed otherwise, for its weights are spoilt.

    Raises:
        UserError: a number is NaN or infinite.
    """
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            if checkpoint is not None:
                checkpoint.remove()
            raise UserError(f"{name} is {value} in {when}, training has diverged: lower {rate}")
