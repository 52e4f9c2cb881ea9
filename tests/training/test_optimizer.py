import math

import pytest
import torch
from torch import nn

from rewardranker.training.optimizer import Optimizer


def test_one_step_equals_adamw_on_the_clipped_gradient() -> None:
    weight, bias = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([1.0]))
    optimizer = Optimizer(
        [weight, bias], learning_rate=0.1, steps=4, warmup=0.5, weight_decay=0.2, max_grad_norm=1.0
    )
    optimizer.accumulate((weight * torch.tensor([[30.0, 0.0]])).sum())
    optimizer.accumulate((weight * torch.tensor([[0.0, 40.0]])).sum() + 0 * bias.sum())
    norm = float(optimizer.step())
    assert norm == pytest.approx(50.0)
    rate = 0.1 / 2  # first of two warmup steps
    expected = torch.tensor([[3.0, 4.0]]) * (1 - rate * 0.2) - rate  # Adam's first step is the sign
    torch.testing.assert_close(weight.data, expected)
    torch.testing.assert_close(bias.data, torch.tensor([1.0]))  # not a matrix: no decay


def test_the_rate_rises_and_falls_to_nothing() -> None:
    x = nn.Parameter(torch.zeros(1))
    optimizer = Optimizer([x], learning_rate=1.0, steps=20, warmup=0.2, weight_decay=0.0, max_grad_norm=1.0)
    moves = []
    for _ in range(20):
        before = x.item()
        optimizer.accumulate(x.sum())
        optimizer.step()  # a constant gradient: Adam moves by the learning rate
        moves.append(before - x.item())
    expected = [min((k + 1) / 4, (1 + math.cos(math.pi * k / 20)) / 2) for k in range(20)]
    assert moves == pytest.approx(expected, abs=1e-4)
