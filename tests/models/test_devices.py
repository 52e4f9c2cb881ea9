"""The code that runs on a GPU, on tensors that pretend to be on one.

Fake tensors have a shape and a device and no content: they refuse to be mixed with those of another device,
and to be made a number or a list, for which the host would have to wait for the GPU.
"""

import random
from collections.abc import Iterator

import pytest
import torch
from tiny import make_model
from torch._subclasses.fake_tensor import FakeTensorMode

from rewardranker.models import prefix
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import WAYS, completion_logprobs, completion_states
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import PPO, Compute, Reward
from rewardranker.training import reward, sft
from rewardranker.training.epochs import _accumulate
from rewardranker.training.optimizer import Optimizer
from rewardranker.training.ppo import _Batch, _Critic, _Experience, _optimizer, _update

PROMPTS = [[5, 6, 7], [8, 9]]
COMPLETIONS = [[10, 11, 2], [12, 2], [13, 14, 15, 2]]
OWNERS = [0, 0, 1]


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("cuda", 0)


@pytest.fixture
def generator(gpu, tokenizer) -> Generator:
    return Generator(make_model(tokenizer).to(gpu), tokenizer)


@pytest.mark.parametrize("way", WAYS)
def test_completion_states(gpu, generator, way) -> None:
    states = completion_states(generator.model.base_model, PROMPTS, COMPLETIONS, OWNERS, way)
    assert states.device == gpu
    assert states.shape == (3 + 9, 32)
    states.sum().backward()


def test_log_probabilities_in_parts(gpu, generator, monkeypatch) -> None:
    monkeypatch.setattr(prefix, "_GPU_LOGITS", 2 * len(generator.tokenizer))
    logprobs, mask = completion_logprobs(generator.model, PROMPTS, COMPLETIONS, OWNERS, 0.7)
    assert logprobs.device == mask.device == gpu
    logprobs.sum().backward()


def test_a_step_of_sft(generator) -> None:
    rows = [(PROMPTS[owner], row) for owner, row in zip(OWNERS, COMPLETIONS, strict=True)]
    step(generator.model, [sft._loss(generator.model, part, 0.1) for part in (rows[:2], rows[2:])])


@pytest.mark.parametrize(("head", "lm_weight"), [("likelihood", 0.0), ("scalar", 0.1), ("scalar-mean", 0.0)])
def test_a_step_of_the_ranker(generator, head, lm_weight) -> None:
    ranker = RewardRanker.from_generator(generator, head, seed=0)
    groups = [reward._Group(str(i), p, COMPLETIONS[:2], COMPLETIONS[2:], 1.0) for i, p in enumerate(PROMPTS)]
    config = Reward(head=head, lm_weight=lm_weight, centering=0.01)
    step(ranker.model, [reward._loss(ranker, groups, config)])


@pytest.mark.parametrize("advantage", ["gae", "rloo"])
def test_an_update_of_ppo(gpu, generator, advantage) -> None:
    config = PPO(advantage=advantage, samples=2, minibatch=2, epochs=1, tokens_at_once=8)
    batch = _Batch(PROMPTS, [*COMPLETIONS, COMPLETIONS[0]], [0, 0, 1, 1])
    old, mask = completion_logprobs(generator.model, PROMPTS, batch.completions, batch.owners)
    old = old.detach()
    critic = None
    if advantage == "gae":
        critic = _Critic(RewardRanker.from_generator(generator, "scalar", seed=0), Compute())
    optimizers = [
        _optimizer(list(model.parameters()), 1e-3, 4, config) if model else None
        for model in (generator.model, critic)
    ]
    means = _update(
        _Experience(batch, mask, old, torch.ones_like(old), torch.zeros_like(old), torch.ones_like(old)),
        config,
        random.Random(0),
        policy=generator,
        critic=critic,
        actor_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
    )
    assert all(mean is None or mean.device == gpu for mean in means.values())


def step(model, losses) -> None:
    optimizer = Optimizer(
        model.parameters(), learning_rate=1e-3, steps=2, warmup=0.5, weight_decay=0.1, max_grad_norm=1.0
    )
    assert _accumulate(optimizer, losses).device == model.device
    optimizer.step()
