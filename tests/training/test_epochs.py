"""Training that was killed goes on as if it had not been, bit by bit; parts of a batch add up."""

from contextlib import contextmanager

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from rewardranker.errors import UserError
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import PLAIN, PPO, RFT, SFT, Compute, Reward
from rewardranker.run import Checkpoint, Cost
from rewardranker.training.ppo import train_ppo
from rewardranker.training.reward import train_reward
from rewardranker.training.sft import train_sft


class KilledError(Exception):
    pass


class Mortal(Checkpoint):
    """Saves whenever it can, and kills its process's training after the n-th time."""

    def __init__(self, path, n):
        super().__init__(path, Cost(), every_s=0.0)
        self.n = n

    def is_due(self):
        return True

    @contextmanager
    def writing(self):
        with super().writing() as path:
            yield path
        self.n -= 1
        if self.n == 0:
            raise KilledError


def with_kills(train, path, every):
    """What `train(checkpoint)` returns when it is killed again and again; and how often it was."""
    kills = 0
    while True:
        torch.manual_seed(kills)  # another process: torch's own generator stands elsewhere
        try:
            return train(Mortal(path, every)), kills
        except KilledError:
            kills += 1


def sft(generator, examples, compute=PLAIN):
    config = SFT(epochs=3, batch_size=4, learning_rate=5e-3)

    def train(checkpoint):
        trained = generator.copy()
        trained.model.config.attention_dropout = 0.2
        for layer in trained.model.model.layers:
            layer.self_attn.attention_dropout = 0.2
        history = train_sft(
            trained, examples, config, seed=1, validation=examples, checkpoint=checkpoint, compute=compute
        )
        return history, trained.model.state_dict()

    return train


def reward(generator, groups, compute=PLAIN, **settings):
    config = Reward(
        epochs=4, groups_per_batch=3, max_per_side=1, learning_rate=5e-3, validation=0.3, **settings
    )

    def train(checkpoint):
        ranker, report = train_reward(
            generator, groups, config, seed=1, checkpoint=checkpoint, compute=compute
        )
        return report, ranker.model.state_dict()

    return train


def ppo(generator, groups, problems, advantage, compute=PLAIN):
    ranker = RewardRanker.from_generator(generator, "likelihood", 0)
    config = PPO(
        advantage=advantage,
        iterations=3,
        prompts=6,
        samples=3,
        minibatch=9,
        learning_rate=1e-3,
        kl_target=0.01,
    )

    def train(checkpoint):
        policy = generator.copy()
        history = train_ppo(
            policy,
            ranker.copy(),
            problems,
            config,
            seed=1,
            max_new_tokens=6,
            pass_rate=lambda _: 0.5,
            checkpoint=checkpoint,
            compute=compute,
        )
        return history, policy.model.state_dict()

    return train


ADAPTERS = Compute(lora_rank=2, lora_dropout=0.2)


@pytest.mark.parametrize(
    "stage",
    [
        *("sft", "sft, adapters", "reward", "reward, adapters", "reward, early stop"),
        *("ppo, gae", "ppo, gae, adapters", "ppo, rloo"),
    ],
)
@pytest.mark.parametrize("every", [1, 3])
def test_killed_training_equals_training_in_one_go(
    generator, examples, groups, problems, tmp_path, stage, every
) -> None:
    train = {
        "sft": lambda: sft(generator, examples),
        "sft, adapters": lambda: sft(generator, examples, ADAPTERS),
        "reward": lambda: reward(generator, groups),
        "reward, adapters": lambda: reward(generator, groups, ADAPTERS),
        "reward, early stop": lambda: reward(generator, groups, patience=1),
        "ppo, gae": lambda: ppo(generator, groups, problems, "gae"),
        "ppo, gae, adapters": lambda: ppo(generator, groups, problems, "gae", ADAPTERS),
        "ppo, rloo": lambda: ppo(generator, groups, problems, "rloo"),
    }[stage]()
    told, weights = train(None)
    # One that dies at its first checkpoint each time would never get further than the first two.
    (told_again, weights_again), kills = with_kills(train, tmp_path / "checkpoint", every)
    assert kills > 1
    assert told_again == told
    assert weights_again.keys() == weights.keys()
    assert all(torch.equal(weights[key], weights_again[key]) for key in weights)


def test_early_stop_keeps_the_best(generator, groups) -> None:
    report, weights = reward(generator, groups, patience=1)(None)
    losses = [row["validation_loss"] for row in report["history"]]
    lowest = losses.index(min(losses))
    assert len(losses) in (4, lowest + 2)
    until = Reward(epochs=4, groups_per_batch=3, max_per_side=1, learning_rate=5e-3, validation=0.3)
    if lowest < len(losses) - 1:
        other, _ = train_reward(generator, groups, until, seed=1)
        assert not all(torch.equal(weights[k], v) for k, v in other.model.state_dict().items())


@pytest.mark.parametrize("tokens", [1, 60])
def test_parts_of_a_batch_add_up(generator, examples, groups, problems, tokens) -> None:
    def trained(tokens_at_once):
        generators = generator.copy()
        train_sft(
            generators,
            examples,
            SFT(epochs=1, batch_size=5, learning_rate=1e-3, tokens_at_once=tokens_at_once),
            seed=1,
        )
        config = Reward(epochs=1, groups_per_batch=5, learning_rate=1e-3, tokens_at_once=tokens_at_once)
        ranker, _ = train_reward(generators, groups, config, seed=1)
        steps = PPO(iterations=1, prompts=6, samples=3, minibatch=9, tokens_at_once=tokens_at_once)
        policy = generators.copy()
        train_ppo(policy, ranker, problems, steps, seed=1, max_new_tokens=6)
        return [*generators.model.parameters(), *ranker.model.parameters(), *policy.model.parameters()]

    for one, other in zip(trained(0), trained(tokens), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)


LEAN = {
    "lora": Compute(lora_rank=4),
    "bfloat16": Compute(precision="bfloat16"),
    "lora, bfloat16": Compute(lora_rank=4, precision="bfloat16"),
    "gradient checkpointing": Compute(gradient_checkpointing=True),
    "all": Compute(lora_rank=4, precision="bfloat16", gradient_checkpointing=True),
}


@pytest.mark.parametrize("name", LEAN)
def test_every_stage_learns_however_it_computes(generator, examples, groups, problems, name) -> None:
    compute = LEAN[name]
    names = {n for n, _ in generator.model.named_parameters()}
    config = SFT(epochs=40, batch_size=10, learning_rate=5e-3)
    history = train_sft(generator, examples, config, seed=1, compute=compute)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    reward = Reward(head="scalar", epochs=20, groups_per_batch=5, learning_rate=3e-3, validation=0.0)
    ranker, report = train_reward(generator, groups, reward, seed=1, compute=compute)
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]
    scores = ranker.score([g.prompt for g in groups], [g.chosen[0] for g in groups])
    steps = PPO(iterations=2, prompts=6, samples=3, minibatch=9)
    rows = train_ppo(generator, ranker, problems, steps, seed=1, max_new_tokens=6, compute=compute)
    assert abs(rows[0]["kl"]) < 1e-2  # the reference is what it started from
    assert {n for n, _ in generator.model.named_parameters()} == names
    again = ranker.score([g.prompt for g in groups], [g.chosen[0] for g in groups])
    assert scores == pytest.approx(again, abs=0.05 if compute.precision == "bfloat16" else 1e-6)


def test_gradient_checkpointing_changes_no_gradient(generator, examples, groups, problems) -> None:
    def trained(compute):
        model = generator.copy()
        train_sft(model, examples, SFT(epochs=2, batch_size=5), seed=1, compute=compute)
        ranker, _ = train_reward(model, groups, Reward(epochs=1, groups_per_batch=5), seed=1, compute=compute)
        steps = PPO(iterations=1, prompts=6, samples=3, minibatch=9)
        train_ppo(model, ranker, problems, steps, seed=1, max_new_tokens=6, compute=compute)
        return [*model.model.parameters(), *ranker.model.parameters()]

    for one, other in zip(trained(PLAIN), trained(LEAN["gradient checkpointing"]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("stage", ["sft", "rft", "reward", "ppo"])
def test_training_that_diverges_is_told_of_and_leaves_no_checkpoint(
    generator, examples, groups, problems, tmp_path, stage
) -> None:
    rate = {"epochs": 3, "learning_rate": 1e38}
    checkpoint = Checkpoint(tmp_path / "checkpoint", Cost(), every_s=0.0)

    def train() -> None:
        if stage == "sft":
            train_sft(generator, examples, SFT(batch_size=5, **rate), seed=1, checkpoint=checkpoint)
        elif stage == "rft":
            train_sft(generator, examples, RFT(batch_size=5, **rate), seed=1, checkpoint=checkpoint)
        elif stage == "reward":
            config = Reward(groups_per_batch=4, validation=0.3, patience=1, **rate)
            train_reward(generator, groups, config, seed=1, checkpoint=checkpoint)
        else:
            ranker = RewardRanker.from_generator(generator, "likelihood", 0)
            config = PPO(iterations=3, prompts=6, samples=3, minibatch=9, **rate)
            train_ppo(generator, ranker, problems, config, seed=1, max_new_tokens=6, checkpoint=checkpoint)

    with pytest.raises(UserError, match=rf"(nan|inf) in (epoch|round) \d.*lower \[{stage}\] learning_rate"):
        train()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", ["sft", "reward", "ppo"])
def test_what_is_only_measured_is_computed_in_parts_too(generator, examples, groups, problems, stage) -> None:
    measured = []

    def note(module, args) -> None:
        learns = torch.is_grad_enabled() or torch.is_inference_mode_enabled()  # or samples and scores
        if isinstance(module, torch.nn.Embedding) and not learns:
            measured.append(args[0].numel())

    def train(tokens_at_once):
        measured.clear()
        if stage == "sft":
            config = SFT(epochs=1, batch_size=10, tokens_at_once=tokens_at_once)
            rows = train_sft(generator.copy(), examples, config, seed=1, validation=examples)
        elif stage == "reward":
            config = Reward(epochs=1, groups_per_batch=16, validation=0.9, tokens_at_once=tokens_at_once)
            _, report = train_reward(generator, groups, config, seed=1)
            rows = [*report["history"], report["calibration"]]
        else:
            ranker = RewardRanker.from_generator(generator, "likelihood", 0)
            config = PPO(iterations=1, prompts=6, samples=3, minibatch=18, tokens_at_once=tokens_at_once)
            rows = train_ppo(generator.copy(), ranker, problems, config, seed=1, max_new_tokens=6)
        return [{k: v for k, v in row.items() if v is not None} for row in rows], max(measured)

    handle = register_module_forward_pre_hook(note)
    try:
        (whole, together), (same, most), (parts, one) = train(0), train(10_000), train(1)
    finally:
        handle.remove()
    assert (same, most) == (whole, together)
    assert 3 * one < together
    for row, other in zip(parts, whole, strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-4)
