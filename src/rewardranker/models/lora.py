"""Low-rank adapters (LoRA; Hu et al. 2021) on a model as transformers has it: added, switched off, merged."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from rewardranker.errors import UserError
from rewardranker.models.checkpoints import check_logits, default_device
from rewardranker.recipe import Compute


def weights_dtype(compute: Compute, *, trained: bool) -> torch.dtype:
    """What to load a model's weights in, so that a GPU never holds more digits of them than are used.

    bfloat16 if `compute` says so and they will only be read: in sampling and scoring, or under adapters. On a
    CPU float32: its kernels for bfloat16 are slow, and memory is there to convert them later.

    Args:
        compute: of the recipe.
        trained: whether the model will be trained (or copied and trained, as the ranker in PPO).
    """
    read = not trained or compute.lora_rank > 0
    in_half = compute.precision == "bfloat16" and default_device().type == "cuda"
    return torch.bfloat16 if read and in_half else torch.float32


def add_adapters(model: PreTrainedModel, config: Compute, seed: int = 0) -> None:
    """Freeze `model` and put trainable adapters on all its linear layers but heads; nothing without a rank.

    An adapter's product starts at 0: what the model computes is unchanged. `seed` decides the factor that
    doesn't start at 0. A head for sequence classification stays trainable as it is. With precision "bfloat16"
    the frozen weights are kept in it.

    Raises:
        UserError: peft is not installed.
    """
    if not config.lora_rank:
        return
    try:
        from peft import LoraConfig
    except ImportError as e:
        raise UserError("compute.lora_rank needs peft: pip install 'rewardranker[lora]'") from e
    heads = {"lm_head", "score"}
    names = {
        name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)
    }
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=sorted(names - heads),
    )
    with torch.random.fork_rng():  # peft draws from torch's global generator
        torch.manual_seed(seed)
        model.add_adapter(adapters)
    model.train(model.training)  # peft leaves what it adds in training mode, with dropout
    for name, parameter in model.named_parameters():
        is_adapter = "lora_" in name
        parameter.requires_grad_(is_adapter or name.startswith("score."))
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
        elif config.precision == "bfloat16":
            parameter.data = parameter.data.bfloat16()


@contextmanager
def without_adapters(model: PreTrainedModel) -> Iterator[None]:
    """The model as it was before its adapters, meanwhile: the same weights, no copy."""
    if not has_adapters(model):
        yield
        return
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()


@torch.no_grad()
def take_off_adapters(model: PreTrainedModel, *, merge: bool) -> None:
    """Take the adapters off, their products added to the layers they are on or not; nothing without any.

    All parameters require gradients again.
    """
    if not has_adapters(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            if merge:
                module.merge()
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module.get_base_layer())
    model._hf_peft_config_loaded = False
    del model.peft_config
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def has_adapters(model: PreTrainedModel) -> bool:
    """Whether `add_adapters` put some on."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Have `model` keep each layer's input only for the backward pass, while it is in training mode."""
    model.gradient_checkpointing_enable({"use_reentrant": False})


@contextmanager
def prepared(model: PreTrainedModel, config: Compute, seed: int = 0) -> Iterator[None]:
    """Have `model` train as `config` says; afterwards it is a plain model again, adapters merged.

    With adapters and precision "bfloat16" it is in bfloat16 then. `seed` decides how adapters start.

    Raises:
        UserError: a causal language model changes its logits after the head (`check_logits`).
    """
    check_logits(model)
    add_adapters(model, config, seed)
    if config.gradient_checkpointing:
        checkpoint_layers(model)
    in_half = config.precision == "bfloat16"
    # Without its cache, which would keep the first step's weights until the end of this block.
    with torch.autocast(model.device.type, torch.bfloat16, enabled=in_half, cache_enabled=False):
        yield
    if config.gradient_checkpointing:
        model.gradient_checkpointing_disable()
    if has_adapters(model):
        take_off_adapters(model, merge=True)
        if in_half:
            model.bfloat16()  # as its frozen weights are
