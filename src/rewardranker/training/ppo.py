"""Stage C: the generator is aligned with the ranker by proximal policy optimisation."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rewardranker import memory, progress
from rewardranker.errors import UserError
from rewardranker.models.generator import Generator, Rollout
from rewardranker.models.lora import (
    add_adapters,
    checkpoint_layers,
    prepared,
    take_off_adapters,
    without_adapters,
)
from rewardranker.models.prefix import completion_logprobs, completion_states
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import same_prompt_form, to_device
from rewardranker.problems.problem import Problem
from rewardranker.recipe import PLAIN, PPO, Compute
from rewardranker.run import Checkpoint
from rewardranker.training.batches import parts
from rewardranker.training.divergence import refuse_divergence
from rewardranker.training.losses import (
    adapted_kl_weight,
    generalized_advantages,
    kl_k1,
    kl_k3,
    leave_one_out_advantages,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from rewardranker.training.optimizer import Optimizer
from rewardranker.training.state import load_state, save_state, trained_weights

_RATES = "[ppo] learning_rate or critic_learning_rate"


class _Critic:
    """The value of each state of a completion: the ranker's backbone with a linear head that starts at 0."""

    def __init__(self, ranker: RewardRanker, compute: Compute, seed: int = 0) -> None:
        if compute.lora_rank:  # adapters on the ranker itself, off while it scores
            add_adapters(ranker.model, compute, seed)
        else:
            ranker = ranker.copy()
        self.backbone = ranker.model.base_model
        hidden = self.backbone.config.get_text_config().hidden_size
        self.head = nn.Linear(hidden, 1, device=self.backbone.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def parameters(self) -> list[nn.Parameter]:
        return [*self.backbone.parameters(), *self.head.parameters()]

    def state_dict(self) -> dict[str, Any]:
        return {"backbone": trained_weights(self.backbone), "head": self.head.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.backbone.load_state_dict(state["backbone"], strict=False)
        self.head.load_state_dict(state["head"])

    def values(self, batch: "_Batch") -> Tensor:
        """[N, T]: the value before each token of the completions is chosen."""
        shortened = [row[:-1] for row in batch.completions]
        states = completion_states(self.backbone, batch.prompts, shortened, batch.owners)
        with torch.autocast(states.device.type, enabled=False):  # advantages are small differences of values
            values = self.head(states.float())[:, 0].split([len(row) for row in batch.completions])
        return pad_sequence(list(values), batch_first=True)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rollouts side by side; the n of a prompt follow one another."""

    prompts: list[list[int]]
    completions: list[list[int]]
    owners: list[int]

    @property
    def tokens(self) -> list[int]:
        """Of each prompt, with its completions."""
        counts = [len(prompt) for prompt in self.prompts]
        for owner, completion in zip(self.owners, self.completions, strict=True):
            counts[owner] += len(completion)
        return counts

    def in_parts(self, most: int, compute: "Callable[[_Batch], Tensor]") -> Tensor:
        """What `compute` finds [N, T], 0 on padding, of at most `most` tokens at a time; 0: of all."""
        cut = parts(range(len(self.prompts)), self.tokens.__getitem__, most)
        return pad_sequence([row for some in cut for row in compute(self.take(some)[0])], batch_first=True)

    def take(self, prompts: Sequence[int]) -> "tuple[_Batch, Tensor]":
        """The rollouts of some of the prompts, and their rows [M] in this batch, on the CPU."""
        number = {p: i for i, p in enumerate(prompts)}
        rows = [row for p in prompts for row, owner in enumerate(self.owners) if owner == p]
        taken = _Batch(
            [self.prompts[p] for p in prompts],
            [self.completions[r] for r in rows],
            [number[self.owners[r]] for r in rows],
        )
        return taken, torch.tensor(rows)


@dataclass(frozen=True, slots=True)
class _Experience:
    """A round's rollouts with everything that the updates need; tensors are [N, T]."""

    batch: _Batch
    mask: Tensor
    old: Tensor
    advantages: Tensor
    values: Tensor | None
    returns: Tensor | None


def train_ppo(
    policy: Generator,
    ranker: RewardRanker,
    problems: Sequence[Problem],
    config: PPO,
    *,
    seed: int,
    max_new_tokens: int,
    pass_rate: Callable[[Generator], float] | None = None,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> list[dict[str, Any]]:
    """Raise the ranker's score of what `policy` samples, in place, while it stays near where it started.

    Each round samples completions, scores them (normalised with the ranker's calibration, clamped), charges
    every token its KL to the policy at the start, and takes clipped steps (Schulman et al. 2017; details as
    in Huang et al. 2024). Dropout is off throughout.

    Args:
        policy: trained in place.
        ranker: gives the reward; isn't changed. With a critic it must share the policy's tokenizer, and be
            shown prompts in the same form.
        problems: where prompts come from; all are used before one comes again.
        config: sizes and rates; the learning rates fall to 0 along a cosine.
        seed: decides prompts, samples, order and how adapters start.
        max_new_tokens: longest completion.
        pass_rate: measures the true pass rate of a policy, every `check_every` rounds, at the start and end.
        checkpoint: where to go on from if this was begun, and where to leave what is needed for that.
        compute: precision, adapters, what is kept for the backward pass. With adapters the policy without
            them is the reference, and the ranker with others the critic: two copies of the weights, not four.

    Returns:
        one row for each number of rounds done, 0 to `iterations` (fewer when it was stopped, which the last
        row's `stopped` tells: KL above `max_kl`, or a score that rises while the pass rate falls). Of the
        round's rollouts: round; score (mean raw score of those that fit the ranker's context, None without
        any), reward (mean normalised score, `missing_eos` for those that did not end), kl (mean over
        completions, summed over tokens, nats), entropy (estimate, mean over tokens, nats), length (mean
        tokens), ended (share that ended in time), tokens (computed), pass (None where not measured). Of the
        update that followed: clip_fraction, approx_kl (mean over tokens, between old and new policy),
        value_loss; None where there was no update, or no critic.

    Raises:
        UserError: no problem; leave-one-out advantages with a single sample a prompt; a critic from a
            ranker with another tokenizer than the policy's, or another form of prompts; or training diverges.
    """
    if not problems:
        raise UserError("PPO has no problem to sample for: the run has neither pool nor reference problems")
    if config.advantage == "rloo" and config.samples == 1:
        raise UserError("[ppo] advantage = 'rloo' compares samples of a prompt: set samples to 2 or more")
    if config.advantage == "gae" and ranker.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise UserError(
            "[ppo] advantage = 'gae' needs a ranker with the policy's tokenizer, for its critic starts from "
            "the ranker and reads the policy's tokens; train the ranker from this policy, or use 'rloo'"
        )
    if config.advantage == "gae" and not same_prompt_form(ranker.tokenizer, policy.tokenizer):
        raise UserError(
            "[ppo] advantage = 'gae' needs a ranker that is shown prompts in the policy's form, for its "
            "critic reads the policy's tokens (generator.prompt or generator.system differ); train the "
            "ranker from this policy, or use 'rloo'"
        )
    with prepared(policy.model, compute, seed):
        history = _train(
            _Training(policy, ranker, problems, config, seed, compute), max_new_tokens, pass_rate, checkpoint
        )
    take_off_adapters(ranker.model, merge=False)
    return history


def _train(
    training: "_Training",
    max_new_tokens: int,
    pass_rate: Callable[[Generator], float] | None,
    checkpoint: Checkpoint | None,
) -> list[dict[str, Any]]:
    config = training.config
    if (state := load_state(checkpoint)) is not None:
        training.load_state_dict(state)
    with progress.task("PPO", total=config.iterations) as bar:
        bar.advance(training.n_done)
        while True:
            if training.experience is None:
                row = training.roll_out(max_new_tokens)
                row["stopped"] = row["pass"] = None
                refuse_divergence(row, f"round {row['round']}", _RATES, checkpoint)
                last = row["round"] == config.iterations or row["kl"] > config.max_kl
                if pass_rate is not None and (last or row["round"] % config.check_every == 0):
                    row["pass"] = pass_rate(training.policy)
                    progress.console.print(
                        f"  PPO, round {row['round']}: score {_shown(row['score'])}, "
                        f"true pass rate {row['pass']:.3f}, KL {row['kl']:.2f}"
                    )
                row["stopped"] = _why_to_stop(training.history, config)
                if row["stopped"]:
                    progress.console.print(f"  PPO stopped: {row['stopped']}", markup=False)
                if last or row["stopped"]:
                    return training.history
                save_state(checkpoint, training.state_dict)
            row = training.update()
            refuse_divergence(row, f"round {row['round']}", _RATES, checkpoint)
            bar.advance(note=f"score {_shown(row['score'])}  KL {row['kl']:.2f}")
            save_state(checkpoint, training.state_dict)
            memory.give_back()


class _Training:
    """Everything that changes while PPO runs."""

    def __init__(
        self,
        policy: Generator,
        ranker: RewardRanker,
        problems: Sequence[Problem],
        config: PPO,
        seed: int,
        compute: Compute,
    ) -> None:
        self.policy, self.ranker, self.compute = policy, ranker, compute
        self.reference = policy if compute.lora_rank else policy.copy()
        """With adapters the policy itself, without them: one copy of the weights."""
        self.critic = _Critic(ranker, compute, seed) if config.advantage == "gae" else None
        self.problems, self.config, self.seed = problems, config, seed
        self.prompts = min(config.prompts, len(problems))
        steps = config.iterations * config.epochs * -(-self.prompts // _prompts_a_step(config))
        self.actor_optimizer = _optimizer(
            list(policy.model.parameters()), config.learning_rate, steps, config
        )
        self.critic_optimizer = (
            None
            if self.critic is None
            else _optimizer(self.critic.parameters(), config.critic_learning_rate, steps, config)
        )
        self.rng = random.Random(f"ppo/{seed}")
        self.kl_weight = config.kl
        self.history: list[dict[str, Any]] = []
        self.left: list[int] = []
        """Problems that were not drawn since all were."""
        self.experience: _Experience | None = None
        """Of the round whose update is to come."""

    @property
    def n_done(self) -> int:
        """Rounds whose update is done."""
        return len(self.history) - (self.experience is not None)

    def roll_out(self, max_new_tokens: int) -> dict[str, Any]:
        """Sample for the next problems and score that; the round's row, which is also in the history."""
        done = len(self.history)
        while len(self.left) < self.prompts:
            self.left = [*self.rng.sample(range(len(self.problems)), len(self.problems)), *self.left]
        drawn = [self.problems[self.left.pop()] for _ in range(self.prompts)]
        seed = self.seed * 1_000_003 + done
        rollouts = _roll_out(self.policy, drawn, self.config, max_new_tokens, seed)
        self.experience, row = _evaluate(
            drawn,
            rollouts,
            self.config,
            self.kl_weight,
            policy=self.policy,
            reference=self.reference,
            ranker=self.ranker,
            critic=self.critic,
        )
        self.history.append({"round": done, **row})
        return self.history[-1]

    def update(self) -> dict[str, Any]:
        """Learn from what was sampled; the round's row."""
        assert self.experience is not None
        row = self.history[-1]
        with _checkpointed(self.policy.model, self.critic and self.critic.backbone, self.compute):
            means = _update(
                self.experience,
                self.config,
                self.rng,
                policy=self.policy,
                critic=self.critic,
                actor_optimizer=self.actor_optimizer,
                critic_optimizer=self.critic_optimizer,
            )
        row |= {name: None if mean is None else float(mean) for name, mean in means.items()}
        if self.config.kl_target:
            n = len(self.experience.batch.completions)
            self.kl_weight = adapted_kl_weight(self.kl_weight, row["kl"], self.config.kl_target, n)
        self.experience = None
        return row

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on as if nothing had happened."""
        state = {
            "policy": trained_weights(self.policy.model),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "history": self.history,
            "left": self.left,
            "kl_weight": self.kl_weight,
            "experience": None if self.experience is None else asdict(self.experience),
            "rng": self.rng.getstate(),
        }
        if self.critic is not None and self.critic_optimizer is not None:
            state["critic"] = self.critic.state_dict()
            state["critic_optimizer"] = self.critic_optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.policy.model.load_state_dict(state["policy"], strict=False)
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        if self.critic is not None and self.critic_optimizer is not None:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.history, self.left, self.kl_weight = state["history"], state["left"], state["kl_weight"]
        if (experience := state["experience"]) is not None:
            device = self.policy.model.device
            tensors = {k: v.to(device) for k, v in experience.items() if isinstance(v, Tensor)}
            self.experience = _Experience(**{**experience, **tensors, "batch": _Batch(**experience["batch"])})
        self.rng.setstate(state["rng"])


@contextmanager
def _checkpointed(
    policy: PreTrainedModel, critic: PreTrainedModel | None, compute: Compute
) -> Iterator[None]:
    """Training mode without dropout, if activations are to be computed again: only in that mode they are."""
    models = [m for m in (policy, critic) if m is not None] if compute.gradient_checkpointing else []
    dropouts: list[tuple[nn.Module, str, float]] = []
    for model in models:
        for module in model.modules():
            # StarCoder2 has attention_dropout, residual_dropout and embedding_dropout, none of them a module.
            names = [n for n, v in vars(module).items() if n.endswith("dropout") and isinstance(v, float)]
            for name in ["p"] if isinstance(module, nn.Dropout) else names:
                dropouts.append((module, name, getattr(module, name)))
                setattr(module, name, 0.0)
        checkpoint_layers(model)
        model.train()
    yield
    for model in models:
        model.eval()
        model.gradient_checkpointing_disable()
    for module, name, share in dropouts:
        setattr(module, name, share)


def _why_to_stop(history: Sequence[dict[str, Any]], config: PPO) -> str | None:
    """Why the last round must be the last, as far as what was measured tells; None: it need not."""
    row = history[-1]
    if row["kl"] > config.max_kl:
        return f"its KL to where it started is {row['kl']:.1f} nats, above max_kl = {config.max_kl:g}"
    measured = [r for r in history if r["pass"] is not None and r["score"] is not None]
    if not measured or measured[-1] is not row or not config.max_pass_drop:
        return None
    first = measured[0]
    if row["score"] > first["score"] and row["pass"] < first["pass"] - config.max_pass_drop:
        return (
            f"it hacks its reward: the score rose from {first['score']:.2f} to {row['score']:.2f} while "
            f"the share of programs that pass fell from {first['pass']:.2f} to {row['pass']:.2f}; raise "
            "ppo.kl, lower ppo.learning_rate, or train the ranker on more problems"
        )
    return None


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.2f}"


def _prompts_a_step(config: PPO) -> int:
    """A prompt's samples stay in one minibatch, where they share its computation."""
    return max(1, config.minibatch // config.samples)


def _optimizer(parameters: list[nn.Parameter], rate: float, steps: int, config: PPO) -> Optimizer:
    return Optimizer(
        parameters,
        learning_rate=rate,
        steps=steps,
        warmup=0.0,
        weight_decay=0.0,
        max_grad_norm=config.max_grad_norm,
        eps=1e-5,
    )


def _roll_out(
    policy: Generator, problems: Sequence[Problem], config: PPO, max_new_tokens: int, seed: int
) -> list[Rollout]:
    """Rollouts ordered by prompt; prompts in order of length."""
    batches = policy.rollouts(
        problems,
        n=config.samples,
        temperature=config.temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
        batch_size=policy.rows_at_once(problems, max_new_tokens),
    )
    return [rollout for batch in batches for rollout in batch]


@torch.no_grad()
def _evaluate(
    problems: Sequence[Problem],
    rollouts: Sequence[Rollout],
    config: PPO,
    kl_weight: float,
    *,
    policy: Generator,
    reference: Generator,
    ranker: RewardRanker,
    critic: _Critic | None,
) -> tuple[_Experience, dict[str, Any]]:
    """Scores, KL, values and advantages of a round's rollouts, and the row that describes them."""
    numbers = {problem: i for i, problem in enumerate(dict.fromkeys(r.problem for r in rollouts))}
    prompts = {r.problem: r.prompt_ids for r in rollouts}
    batch = _Batch(
        [prompts[p] for p in numbers], [r.ids for r in rollouts], [numbers[r.problem] for r in rollouts]
    )

    def logprobs(model: PreTrainedModel) -> Tensor:
        return batch.in_parts(
            config.tokens_at_once,
            lambda b: completion_logprobs(model, b.prompts, b.completions, b.owners, config.temperature)[0],
        )

    old = logprobs(policy.model)
    with without_adapters(reference.model):
        base = logprobs(reference.model)
    kl = kl_k1(old, base)
    lengths = to_device(torch.tensor([len(row) for row in batch.completions]), old.device)
    mask = torch.arange(old.shape[1], device=old.device) < lengths[:, None]

    with without_adapters(ranker.model):
        raw = ranker.score([problems[r.problem].prompt for r in rollouts], [r.text for r in rollouts])
    ended = np.array([r.finish_reason != "length" for r in rollouts])
    normal = np.clip(
        (raw - ranker.calibration.mean) / ranker.calibration.std, -config.reward_clip, config.reward_clip
    )
    scores = torch.tensor(np.where(ended, normal, config.missing_eos), dtype=old.dtype, device=old.device)
    values = returns = None
    if critic is not None:
        values = batch.in_parts(config.tokens_at_once, critic.values)
        rewards = token_rewards(scores, kl, mask, kl_weight)
        advantages, returns = generalized_advantages(rewards, values, mask, config.gamma, config.lam)
    else:
        total = (scores - kl_weight * kl.sum(1)).view(len(numbers), config.samples)
        advantages = leave_one_out_advantages(total).view(-1, 1) * mask
    tokens = int(mask.sum())
    read = raw[~np.isneginf(raw)]
    row = {
        "score": float(read.mean()) if len(read) else None,
        "reward": float(scores.mean()),
        "kl": float(kl.sum(1).mean()),
        "entropy": -float(old.sum()) / tokens,
        "length": tokens / len(rollouts),
        "ended": float(ended.mean()),
        "tokens": tokens + sum(map(len, batch.prompts)),
        "clip_fraction": None,
        "approx_kl": None,
        "value_loss": None,
    }
    return _Experience(batch, mask, old, whiten(advantages, mask), values, returns), row


def _update(
    experience: _Experience,
    config: PPO,
    rng: random.Random,
    *,
    policy: Generator,
    critic: _Critic | None,
    actor_optimizer: Optimizer,
    critic_optimizer: Optimizer | None,
) -> dict[str, Tensor | None]:
    """Some passes over a round's rollouts in minibatches; returns means over tokens.

    A minibatch's loss is its sum over tokens divided by the round's mean number of tokens a minibatch, so
    that every token of the round counts alike.

    Sums stay tensors: to make a number of one, the host would wait for a GPU to have done all before it.
    """
    count, minibatch = len(experience.batch.prompts), _prompts_a_step(config)
    tokens = sum(map(len, experience.batch.completions))
    per_step = tokens / -(-count // minibatch)
    prompt_tokens = experience.batch.tokens
    device = experience.old.device
    clipped, shift, value = torch.zeros(3, dtype=torch.float64, device=device)
    seen = 0
    for _ in range(config.epochs):
        order = rng.sample(range(count), count)
        for start in range(0, count, minibatch):
            step_shift, step_seen = torch.zeros((), dtype=torch.float64, device=device), 0
            step = order[start : start + minibatch]
            for part in parts(step, prompt_tokens.__getitem__, config.tokens_at_once):
                batch, rows = experience.batch.take(part)
                rows = to_device(rows, device)
                new, mask = completion_logprobs(
                    policy.model, batch.prompts, batch.completions, batch.owners, config.temperature
                )
                wide = mask.shape[1]
                old, advantages = experience.old[rows, :wide], experience.advantages[rows, :wide]
                loss, outside = policy_loss(new, old, advantages, mask, config.clip)
                actor_optimizer.accumulate(loss / per_step)
                clipped += outside
                step_shift += (kl_k3(old, new.detach()) * mask).sum()
                step_seen += sum(map(len, batch.completions))
                if critic is not None and critic_optimizer is not None:
                    assert experience.values is not None and experience.returns is not None
                    estimate, target = experience.values[rows, :wide], experience.returns[rows, :wide]
                    loss = value_loss(critic.values(batch), estimate, target, mask, config.value_clip)
                    critic_optimizer.accumulate(config.value_weight * loss / per_step)
                    value += loss.detach()
            shift, seen = shift + step_shift, seen + step_seen
            if config.max_update_kl and float(step_shift) > config.max_update_kl * step_seen:
                actor_optimizer.drop()
            else:
                actor_optimizer.step()
            if critic_optimizer is not None:
                critic_optimizer.step()
    return {
        "clip_fraction": clipped / seen,
        "approx_kl": shift / seen,
        "value_loss": None if critic is None else value / seen,
    }
