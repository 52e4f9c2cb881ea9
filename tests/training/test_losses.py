import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rewardranker.training.losses import (
    adapted_kl_weight,
    bradley_terry_group,
    centering_group,
    generalized_advantages,
    kl_k1,
    kl_k3,
    leave_one_out_advantages,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)

seeds = st.integers(0, 2**32 - 1)


def arrays(seed: int, n: int = 4, length: int = 5, count: int = 3):
    """`count` random [n, length] arrays and a mask of random row lengths, at least 1."""
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(n, length, generator=generator, dtype=torch.float64) for _ in range(count)]
    lengths = torch.randint(1, length + 1, (n,), generator=generator)
    return *values, torch.arange(length) < lengths[:, None]


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_a_groups_loss_and_gradient_are_those_of_its_pairs(seed: int, a: int, b: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randn(a, generator=generator, dtype=torch.float64, requires_grad=True)
    rejected = torch.randn(b, generator=generator, dtype=torch.float64, requires_grad=True)
    group = bradley_terry_group(chosen, rejected)
    gradients = torch.autograd.grad(group, (chosen, rejected))
    pairs = sum(-torch.log(torch.sigmoid(c - r)) for c in chosen for r in rejected) / (a * b)
    torch.testing.assert_close(group, pairs)
    torch.testing.assert_close(gradients, torch.autograd.grad(pairs, (chosen, rejected)))
    plain = np.mean([-math.log(special.expit(c - r)) for c in chosen.tolist() for r in rejected.tolist()])
    assert group.item() == pytest.approx(plain)


def test_bradley_terry_does_not_overflow() -> None:
    loss = bradley_terry_group(torch.tensor([-1e4]), torch.tensor([1e4]))
    assert loss.item() == pytest.approx(2e4)


def test_kl_estimators_have_the_true_mean() -> None:
    torch.manual_seed(0)
    p, q = torch.randn(2, 7, dtype=torch.float64).log_softmax(-1)
    true = float((p.exp() * (p - q)).sum())
    for estimator in (kl_k1, kl_k3):
        assert float((p.exp() * estimator(p, q)).sum()) == pytest.approx(true)
    assert (kl_k3(p, q) >= 0).all()
    assert (kl_k1(p, p) == 0).all()


@given(seeds)
def test_whitened_values_have_mean_0_and_variance_1(seed: int) -> None:
    values, mask = arrays(seed, count=1)
    if mask.sum() < 2:
        return
    white = whiten(values, mask)
    inside = values[mask].numpy()
    np.testing.assert_allclose(
        white[mask].numpy(), (inside - inside.mean()) / inside.std(), rtol=1e-4, atol=1e-6
    )
    assert (white[~mask] == 0).all()


@given(seeds)
def test_token_rewards_put_the_score_on_the_last_token(seed: int) -> None:
    kl, mask = arrays(seed, count=1)
    scores = torch.arange(1.0, 5.0, dtype=torch.float64)
    found = token_rewards(scores, kl, mask, 0.05)
    for i in range(4):
        length = int(mask[i].sum())
        expected = [-0.05 * float(kl[i, t]) for t in range(length)]
        expected[-1] += float(scores[i])
        np.testing.assert_allclose(found[i, :length], expected)
        assert (found[i, length:] == 0).all()


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_advantages_equal_a_plain_loop_over_each_row(seed: int, gamma: float, lam: float) -> None:
    rewards, values, mask = arrays(seed, count=2)
    advantages, returns = generalized_advantages(rewards * mask, values, mask, gamma, lam)
    for i in range(4):
        length = int(mask[i].sum())
        r, v = rewards[i, :length].tolist(), [*values[i, :length].tolist(), 0.0]
        delta = [r[t] + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):  # the definition: a discounted sum of what follows
            expected = sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length))
            assert float(advantages[i, t]) == pytest.approx(expected, abs=1e-9)
            assert float(returns[i, t]) == pytest.approx(expected + v[t], abs=1e-9)
        assert (advantages[i, length:] == 0).all()
        assert (returns[i, length:] == 0).all()


def test_with_lambda_1_returns_are_the_rewards_that_follow() -> None:
    rewards, values, mask = arrays(3, count=2)
    _, returns = generalized_advantages(rewards * mask, values, mask, 1.0, 1.0)
    expected = (rewards * mask).flip(1).cumsum(1).flip(1) * mask
    torch.testing.assert_close(returns, expected)


def test_leave_one_out() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    expected = [[1 - 4, 2 - 3.5, 6 - 1.5], [-1.5, -1.5, 3.0]]
    torch.testing.assert_close(leave_one_out_advantages(rewards), torch.tensor(expected))


@given(seeds)
def test_policy_loss_equals_a_plain_loop(seed: int) -> None:
    logprobs, old, advantages, mask = arrays(seed)
    loss, clipped = policy_loss(logprobs, old, advantages, mask, 0.2)
    expected, outside = 0.0, 0
    for i, t in zip(*torch.nonzero(mask, as_tuple=True), strict=True):
        ratio, advantage = math.exp(logprobs[i, t] - old[i, t]), float(advantages[i, t])
        bounded = min(max(ratio, 0.8), 1.2)
        expected += max(-advantage * ratio, -advantage * bounded)
        outside += -advantage * bounded > -advantage * ratio
    assert float(loss) == pytest.approx(expected)
    assert int(clipped) == outside


def test_policy_gradient_at_ratio_1_is_reinforce() -> None:
    logprobs, advantages, mask = arrays(1, count=2)
    logprobs.requires_grad_()
    loss, clipped = policy_loss(logprobs, logprobs.detach(), advantages, mask, 0.2)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    torch.testing.assert_close(gradient, -advantages * mask)
    assert int(clipped) == 0


@given(seeds)
def test_value_loss_equals_a_plain_loop(seed: int) -> None:
    values, old, returns, mask = arrays(seed)
    expected = 0.0
    for i, t in zip(*torch.nonzero(mask, as_tuple=True), strict=True):
        v, o, r = float(values[i, t]), float(old[i, t]), float(returns[i, t])
        near = min(max(v, o - 0.2), o + 0.2)
        expected += 0.5 * max((v - r) ** 2, (near - r) ** 2)
    assert float(value_loss(values, old, returns, mask, 0.2)) == pytest.approx(expected)


def test_the_kl_weight_is_adapted_by_ziegler() -> None:
    assert adapted_kl_weight(0.1, 6.0, 6.0, 256) == 0.1
    assert adapted_kl_weight(0.1, 60.0, 6.0, 1000) == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    assert adapted_kl_weight(0.1, 5.7, 6.0, 1000) == pytest.approx(0.1 * (1 - 0.05 * 0.1))


def test_margin_and_centering() -> None:
    chosen, rejected = torch.tensor([2.0, 1.0]), torch.tensor([0.0])
    pairs = [math.log1p(math.exp(-(lead - 0.5))) for lead in (2.0, 1.0)]
    assert float(bradley_terry_group(chosen, rejected, 0.5)) == pytest.approx(sum(pairs) / 2)
    assert float(centering_group(chosen, rejected)) == pytest.approx((4 + 1) / 2)
