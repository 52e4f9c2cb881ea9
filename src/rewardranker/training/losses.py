"""Losses, KL estimates and advantages as pure functions; shapes in the docstrings, sources with the formulas.

Token arrays are [N, T]: N completions, T tokens of the longest; `mask` is True on a completion's own tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def bradley_terry_group(chosen: Tensor, rejected: Tensor, margin: float = 0.0) -> Tensor:
    """Mean over all pairs of -log sigmoid(chosen - rejected - margin).

    Bradley and Terry 1952; all comparisons of one prompt as one element: Ouyang et al. 2022 (InstructGPT),
    equation 1; margin: Touvron et al. 2023 (Llama 2), equation 2.

    Args:
        chosen: [A] scores of the right completions of one problem.
        rejected: [B] scores of its wrong completions.
        margin: what a right one should lead by.
    """
    return F.softplus(rejected[None, :] - chosen[:, None] + margin).mean()


def centering_group(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Mean over all pairs of (chosen + rejected)^2, which keeps scores near 0 (Eisenstein et al. 2023).

    Arguments as of `bradley_terry_group`.
    """
    return (chosen[:, None] + rejected[None, :]).square().mean()


def kl_k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """log pi - log pi_ref of each sampled token: unbiased for KL(pi || pi_ref), may be negative (any shape).

    Schulman 2020, "Approximating KL divergence", k1.
    """
    return logprobs - reference


def kl_k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """exp(-k1) - 1 + k1: unbiased for KL(pi || pi_ref), never negative (any shape). Schulman 2020, k3."""
    k1 = logprobs - reference
    return torch.expm1(-k1) + k1


def adapted_kl_weight(weight: float, kl: float, target: float, n: int, horizon: int = 10_000) -> float:
    """The next weight of the KL penalty: larger if `kl` was above `target`, smaller if below.

    weight * (1 + clip(kl / target - 1, -0.2, 0.2) * n / horizon); Ziegler et al. 2019, section 2.2.

    Args:
        kl: mean over completions of the last round, summed over tokens (nats).
        n: completions in that round.
    """
    return weight * (1 + min(max(kl / target - 1, -0.2), 0.2) * n / horizon)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the mask; 0 elsewhere. [N, T] -> [N, T]."""
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean).square() * mask).sum() / count
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_weight: float) -> Tensor:
    """-kl_weight * kl on every token, and the score on the last one (Ouyang et al. 2022).

    Args:
        scores: [N].
        kl: [N, T] KL estimate of each token.
        mask: [N, T], at least one token a row.
    """
    rewards = -kl_weight * kl * mask
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None].to(rewards.dtype))


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and returns (Schulman et al. 2016, equation 16).

    delta_t = r_t + gamma V_{t+1} - V_t; A_t = delta_t + gamma lam A_{t+1}; R_t = A_t + V_t. The value after
    the last token is 0: a completion is an episode.

    Args:
        rewards: [N, T].
        values: [N, T] the critic's value before each token is chosen.
        mask: [N, T], True up to each row's length.

    Returns:
        advantages [N, T] and returns [N, T], both 0 outside the mask.
    """
    advantages = torch.zeros_like(values)
    following_value = torch.zeros_like(values[:, 0])
    following_advantage = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        advantages[:, t] = (delta + gamma * lam * following_advantage) * mask[:, t]
        following_advantage, following_value = advantages[:, t], values[:, t] * mask[:, t]
    return advantages, (advantages + values) * mask


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """Each completion's reward less the mean reward of the other completions of its prompt: [P, n] -> [P, n].

    RLOO: Kool et al. 2019; Ahmadian et al. 2024. n is at least 2.
    """
    n = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * (n / (n - 1))


def policy_loss(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped loss, summed over tokens: max(-A rho, -A clip(rho, 1 - clip, 1 + clip)).

    Schulman et al. 2017, equation 7. rho = exp(log pi - log pi_old), its logarithm clamped to +-20.

    Args:
        logprobs: [N, T] under the policy that is trained.
        old: [N, T] under the policy that sampled.
        advantages: [N, T].
        mask: [N, T].

    Returns:
        the sum over tokens (the caller divides by its global token count), and the number of tokens whose
        ratio is clipped.
    """
    ratio = torch.exp((logprobs - old).clamp(-20, 20))
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return (torch.maximum(plain, clipped) * mask).sum(), ((clipped > plain) & mask).sum()


def value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Clipped value loss, summed over tokens: 1/2 max((V - R)^2, (V_old + clip(V - V_old, +-clip) - R)^2).

    As in OpenAI's PPO code (baselines, ppo2). All arrays are [N, T].
    """
    clipped = old + (values - old).clamp(-clip, clip)
    loss = torch.maximum((values - returns).square(), (clipped - returns).square())
    return 0.5 * (loss * mask).sum()
