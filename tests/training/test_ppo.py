import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import Calibration, RewardRanker
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.models.tokens import encode_prompts
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import PLAIN, PPO, SFT, Compute, Reward
from rewardranker.training import ppo
from rewardranker.training.losses import adapted_kl_weight, kl_k1, token_rewards
from rewardranker.training.ppo import _Batch, _Critic, _why_to_stop, train_ppo
from rewardranker.training.reward import train_reward
from rewardranker.training.sft import train_sft

QUICK = {"iterations": 12, "prompts": 10, "samples": 12, "minibatch": 60, "learning_rate": 1e-3, "kl": 0.02}


@pytest.fixture(scope="module")
def trained_policy(untrained, examples) -> Generator:
    policy = untrained.copy()
    guesses = [(p, c.replace(c[-2], d)) for p, c in examples for d in "0123456789"]
    train_sft(policy, guesses + 6 * examples, SFT(epochs=30, batch_size=32, learning_rate=5e-3), seed=1)
    return policy


@pytest.fixture(scope="module")
def trained_ranker(trained_policy, examples) -> RewardRanker:
    digits = [completion for _, completion in examples]
    groups = [
        PreferenceGroup(p, p, (c,), tuple(d for d in digits if d != c), ("",), ("",) * 9, "initial")
        for p, c in examples
    ]
    config = Reward(epochs=60, groups_per_batch=10, max_per_side=9, learning_rate=5e-3, validation=0.0)
    return train_reward(trained_policy, groups, config, seed=1)[0]


@pytest.fixture
def policy(trained_policy) -> Generator:
    """Knows the form of the answers, and copies the number some of the time."""
    return trained_policy.copy()


@pytest.fixture
def ranker(trained_ranker) -> RewardRanker:
    """Knows every wrong digit of every problem."""
    return trained_ranker.copy()


def right(policy: Generator, problems) -> float:
    drawn = policy.sample(problems, n=20, temperature=1, max_new_tokens=8, seed=5, policy="", batch_size=200)
    return float(np.mean([c.text == f"    return {c.problem_id[-1]}\n" for c in drawn]))


@pytest.mark.parametrize("advantage", ["gae", "rloo"])
def test_it_raises_score_and_pass_rate(policy, ranker, problems, advantage) -> None:
    before = {k: v.clone() for k, v in ranker.model.state_dict().items()}
    history = train_ppo(
        policy, ranker, problems, PPO(advantage=advantage, check_every=6, **QUICK), seed=1, max_new_tokens=8,
        pass_rate=lambda current: right(current, problems),
    )  # fmt: skip
    assert [row["round"] for row in history] == list(range(13))
    assert history[-1]["score"] > history[0]["score"] + 0.2
    assert history[-1]["pass"] > history[0]["pass"] + 0.1
    assert [row["round"] for row in history if row["pass"] is not None] == [0, 6, 12]
    assert history[0]["kl"] == pytest.approx(0, abs=1e-5)  # the policy is its own reference at the start
    assert history[-1]["kl"] > 0.01
    assert all(row["approx_kl"] >= 0 and 0 <= row["clip_fraction"] <= 1 for row in history[:-1])
    assert history[-1]["approx_kl"] is None
    assert (history[0]["value_loss"] is None) == (advantage == "rloo")
    assert all(torch.equal(v, before[k]) for k, v in ranker.model.state_dict().items())
    assert not policy.model.training


@given(
    st.floats(0.3, 3.0),
    st.sampled_from(
        [PLAIN, Compute(lora_rank=2), Compute(precision="bfloat16"), Compute(gradient_checkpointing=True)]
    ),
    st.integers(0, 2**32),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_kl_of_every_token_is_0_at_step_0(generator, problems, temperature, compute, seed) -> None:
    seen = []

    def watch(logprobs, reference):
        seen.append(kl_k1(logprobs, reference))
        return seen[-1]

    ranker = RewardRanker.from_generator(generator, "likelihood", 0)
    config = PPO(iterations=1, prompts=3, samples=2, minibatch=6, temperature=temperature)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo, "kl_k1", watch)
        history = train_ppo(
            generator.copy(), ranker, problems, config, seed=seed, max_new_tokens=4, compute=compute
        )
    assert (seen[0] == 0).all()
    assert history[0]["kl"] == 0
    assert (seen[1] != 0).any()  # there is something that could be seen


def test_same_seed_same_policy(policy, ranker, problems) -> None:
    config = PPO(**QUICK | {"iterations": 2})
    histories = [
        train_ppo(policy.copy(), ranker, problems, config, seed=s, max_new_tokens=8) for s in (1, 1, 2)
    ]
    assert histories[0] == histories[1] != histories[2]


def test_it_stops_when_it_has_moved_too_far(policy, ranker, problems) -> None:
    config = PPO(**QUICK | {"max_kl": 0.02, "learning_rate": 5e-3})
    history = train_ppo(policy, ranker, problems, config, seed=1, max_new_tokens=8, pass_rate=lambda _: 0.5)
    assert len(history) < 13
    assert history[-1]["kl"] > 0.02
    assert all(row["kl"] <= 0.02 for row in history[:-1])
    assert history[-1]["pass"] == 0.5


def test_scores_are_normalised_and_clamped_and_endless_rollouts_fined(policy, ranker, problems) -> None:
    raw = ranker.calibration
    ranker.calibration = Calibration(mean=raw.mean, std=raw.std / 1000)
    config = PPO(**QUICK | {"iterations": 1, "reward_clip": 2.0, "kl": 0.0, "missing_eos": -7.0})
    (row, _) = train_ppo(policy.copy(), ranker, problems, config, seed=1, max_new_tokens=8)
    (short, _) = train_ppo(policy.copy(), ranker, problems, config, seed=1, max_new_tokens=1)
    assert short["ended"] < 0.5 < row["ended"]
    assert short["length"] == 1.0
    for found in (row, short):
        fines = -7.0 * (1 - found["ended"])
        assert abs(found["reward"] - fines) <= 2.0 * found["ended"] + 1e-5


@pytest.mark.parametrize("room", [6, 0])
def test_what_exceeds_the_rankers_context_is_not_in_the_mean_score(
    policy, ranker, problems, examples, room, monkeypatch
) -> None:
    raw = []
    score = ranker.score
    monkeypatch.setattr(ranker, "score", lambda *texts: raw.append(score(*texts)) or raw[-1])
    prompt = len(encode_prompts(ranker.tokenizer, [examples[0][0]])[0])
    ranker.model.config.max_position_embeddings = prompt + room
    config = PPO(**QUICK | {"iterations": 1, "temperature": 2.0, "check_every": 1}, advantage="rloo")
    history = train_ppo(
        policy, ranker, problems, config, seed=1, max_new_tokens=8, pass_rate=lambda _: 1 - len(raw) / 2
    )
    assert all(np.isneginf(values).any() for values in raw)
    for row, values in zip(history, raw, strict=True):
        read = values[np.isfinite(values)]
        assert row["score"] == (pytest.approx(read.mean()) if room else None)
    json.dumps(history, allow_nan=False)


def test_a_round_without_a_score_is_no_sign_of_hacking() -> None:
    def row(score: float | None, passed: float | None) -> dict[str, float | None]:
        return {"score": score, "pass": passed, "kl": 0.0}

    config = PPO(max_pass_drop=0.1)
    assert _why_to_stop([row(None, 0.9), row(1.0, 0.5)], config) is None
    assert _why_to_stop([row(1.0, 0.9), row(None, 0.5)], config) is None
    assert _why_to_stop([row(1.0, 0.9), row(2.0, None)], config) is None
    found = _why_to_stop([row(None, 0.9), row(1.0, 0.8), row(None, None), row(1.5, 0.5)], config)
    assert found is not None and "rose from 1.00 to 1.50" in found


def test_the_critic_starts_from_the_ranker_at_value_0(ranker) -> None:
    critic = _Critic(ranker, PLAIN)
    batch = _Batch([[3, 4], [5]], [[6, 7, 2], [8, 2], [9, 2]], [0, 0, 1])
    assert critic.values(batch).shape == (3, 3)
    assert (critic.values(batch) == 0).all()
    for a, b in zip(critic.backbone.parameters(), ranker.model.base_model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a is not b


def test_taking_prompts_from_a_batch() -> None:
    batch = _Batch([[1], [2], [3]], [[10], [11], [20], [21], [30], [31]], [0, 0, 1, 1, 2, 2])
    taken, rows = batch.take([2, 0])
    assert taken == _Batch([[3], [1]], [[30], [31], [10], [11]], [0, 0, 1, 1])
    assert rows.tolist() == [4, 5, 0, 1]


def test_what_cannot_be_done_is_said(policy, ranker, problems) -> None:
    with pytest.raises(UserError, match="no problem"):
        train_ppo(policy, ranker, [], PPO(), seed=1, max_new_tokens=8)
    with pytest.raises(UserError, match="samples"):
        train_ppo(policy, ranker, problems, PPO(advantage="rloo", samples=1), seed=1, max_new_tokens=8)
    stranger = RewardRanker(ranker.model, train_tokenizer(["other"], 270), "likelihood")
    with pytest.raises(UserError, match="tokenizer"):
        train_ppo(policy, stranger, problems, PPO(), seed=1, max_new_tokens=8)


def test_it_stops_when_it_hacks_its_reward(policy, ranker, problems, capsys) -> None:
    falling = iter([0.6, 0.55, 0.4, 0.1])
    config = PPO(check_every=2, **QUICK)
    history = train_ppo(
        policy, ranker, problems, config, seed=1, max_new_tokens=8, pass_rate=lambda _: next(falling)
    )
    assert [row["pass"] for row in history if row["pass"] is not None] == [0.6, 0.55, 0.4]
    assert "hacks its reward" in history[-1]["stopped"]
    assert "hacks its reward" in capsys.readouterr().err
    assert all(row["stopped"] is None for row in history[:-1])


@pytest.mark.parametrize("target", [0.001, 5.0])
def test_the_kl_weight_follows_a_target(policy, ranker, problems, target, monkeypatch) -> None:
    weights, adaptations = [], []

    def adapted(*values: float) -> float:
        adaptations.append(values)
        return adapted_kl_weight(*values)

    def rewards(*values: Any) -> Tensor:
        weights.append(values[-1])
        return token_rewards(*values)

    monkeypatch.setattr(ppo, "adapted_kl_weight", adapted)
    monkeypatch.setattr(ppo, "token_rewards", rewards)
    config = PPO(**QUICK | {"kl_target": target, "iterations": 4, "kl": 0.5})
    history = train_ppo(policy, ranker, problems, config, seed=1, max_new_tokens=8)
    rounds = [(row["kl"], target, config.prompts * config.samples) for row in history[:-1]]
    assert [values[1:] for values in adaptations] == rounds  # by the KL that each round found
    assert weights[:-1] == [values[0] for values in adaptations]  # of the weight so far
    assert weights[1:] == [adapted_kl_weight(*values) for values in adaptations]


def test_steps_that_move_too_far_are_left_out(policy, ranker, problems) -> None:
    config = PPO(**QUICK | {"max_update_kl": 1e-12, "iterations": 2, "epochs": 2})
    history = train_ppo(policy, ranker, problems, config, seed=1, max_new_tokens=8)
    free = train_ppo(
        policy, ranker, problems, PPO(**QUICK | {"iterations": 2, "epochs": 2}), seed=1, max_new_tokens=8
    )
    assert history[0]["approx_kl"] < free[0]["approx_kl"]
