"""Nothing in a training step assumes the CPU, or waits for a GPU: models on torch's device "meta".

Tensors there have a shape and no content: to be made a number, a list or as long as their content says, for
which the host would have to wait for a GPU, is refused. That none is mixed with the CPU's is looked at here.
"""

import copy
import random
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import make_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    masking_utils,
)

from rewardranker.models import prefix
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import WAYS, completion_logprobs, completion_states
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import PPO, Compute, Head, Reward
from rewardranker.training import reward, sft
from rewardranker.training.epochs import _accumulate
from rewardranker.training.ppo import _Batch, _Critic, _Experience, _update

META = torch.device("meta")
PROMPTS = [[5, 6, 7], [8, 9]]
COMPLETIONS = [[10, 11, 2], [12, 2], [13, 14, 15, 2]]
OWNERS = [0, 0, 1]
OPTIMIZER: Any = SimpleNamespace(accumulate=lambda loss: loss.backward(), step=lambda: None)
"""AdamW's fused kernel, which `Optimizer` takes, isn't there on "meta"."""


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices, but copies; numbers belong to every device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        found = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim}
        assert len(found) <= 1 or "copy" in func.__name__, f"{func} of tensors on {found}"
        return func(*args, **kwargs or {})


@pytest.fixture(autouse=True)
def one_device(monkeypatch) -> Iterator[None]:
    # Else transformers looks at masks once a forward, to leave them out where they mask nothing.
    monkeypatch.setattr(masking_utils, "is_tracing", lambda *_: True)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none on "meta"
    with OneDevice():
        yield


@pytest.fixture
def generator(tokenizer) -> Generator:
    return Generator(on_meta(AutoModelForCausalLM, make_model(tokenizer).config), tokenizer)


def make_ranker(generator: Generator, head: Head) -> RewardRanker:
    if head == "likelihood":
        return RewardRanker(generator.model, generator.tokenizer, head)
    config = copy.deepcopy(generator.model.config)
    config.num_labels = 1
    return RewardRanker(on_meta(AutoModelForSequenceClassification, config), generator.tokenizer, head)


def on_meta(kind: Any, config: PreTrainedConfig) -> PreTrainedModel:
    with META:
        model = kind.from_config(config)
    model.set_attn_implementation("sdpa")
    return model


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prompts", [PROMPTS, [[5, 6], [7, 8]]], ids=["padded", "of one length"])
def test_completion_states(generator, prompts, way) -> None:
    states = completion_states(generator.model.base_model, prompts, COMPLETIONS, OWNERS, way)
    assert states.device == META
    assert states.shape == (3 + 9, 32)
    states.sum().backward()


def test_log_probabilities_in_parts(generator, monkeypatch) -> None:
    monkeypatch.setattr(prefix, "LOGITS", 2 * len(generator.tokenizer))
    logprobs, mask = completion_logprobs(generator.model, PROMPTS, COMPLETIONS, OWNERS, 0.7)
    assert logprobs.device == mask.device == META
    logprobs.sum().backward()


def test_a_step_of_sft(generator) -> None:
    rows = [(PROMPTS[owner], row) for owner, row in zip(OWNERS, COMPLETIONS, strict=True)]
    losses = (sft._loss(generator.model, part, 0.1) for part in (rows[:2], rows[2:]))
    assert _accumulate(OPTIMIZER, losses).device == META


@pytest.mark.parametrize(("head", "lm_weight"), [("likelihood", 0.0), ("scalar", 0.1), ("scalar-mean", 0.0)])
def test_a_step_of_the_ranker(generator, head, lm_weight) -> None:
    ranker = make_ranker(generator, head)
    groups = [reward._Group(str(i), p, COMPLETIONS[:2], COMPLETIONS[2:], 1.0) for i, p in enumerate(PROMPTS)]
    config = Reward(head=head, lm_weight=lm_weight, centering=0.01)
    assert _accumulate(OPTIMIZER, [reward._loss(ranker, groups, config)]).device == META


@pytest.mark.parametrize("advantage", ["gae", "rloo"])
def test_an_update_of_ppo(generator, advantage) -> None:
    config = PPO(advantage=advantage, samples=2, minibatch=2, epochs=1, tokens_at_once=8)
    batch = _Batch(PROMPTS, [*COMPLETIONS, COMPLETIONS[0]], [0, 0, 1, 1])
    old, mask = completion_logprobs(generator.model, PROMPTS, batch.completions, batch.owners)
    old = old.detach()
    critic = _Critic(make_ranker(generator, "scalar"), Compute()) if advantage == "gae" else None
    means = _update(
        _Experience(batch, mask, old, torch.ones_like(old), torch.zeros_like(old), torch.ones_like(old)),
        config,
        random.Random(0),
        policy=generator,
        critic=critic,
        actor_optimizer=OPTIMIZER,
        critic_optimizer=OPTIMIZER if critic else None,
    )
    assert all(mean is None or mean.device == META for mean in means.values())
