"""What an unfinished training stage needs to go on: tensors and plain data, in the stage's `Checkpoint`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rewardranker.run import Checkpoint


def load_state(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """What was saved last, on the CPU; None if nothing was. What was spent is added to the stage's cost."""
    if checkpoint is None or not checkpoint.path.is_file():
        return None
    saved = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
    checkpoint.go_on_from(saved["cost"])
    state: dict[str, Any] = saved["state"]
    return state


def save_state(checkpoint: Checkpoint | None, state: Callable[[], dict[str, Any]]) -> None:
    """Write what `state` returns, atomically, if it is time."""
    if checkpoint is None or not checkpoint.is_due():
        return
    with checkpoint.writing() as temporary:
        torch.save({"state": state(), "cost": vars(checkpoint.spent())}, temporary)


def random_state() -> list[Tensor]:
    """Of torch's global generators: the CPU's, and that of the GPU in use."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def set_random_state(state: list[Tensor]) -> None:
    """Go on from where `random_state` was taken; on another kind of device its generator stays as it is."""
    torch.set_rng_state(state[0])
    if len(state) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[1])


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training changes, by name; `load_state_dict(..., strict=False)` takes them."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
