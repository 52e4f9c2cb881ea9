"""Stage B: the ranker learns to score right programs above wrong ones of the same problem."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rewardranker.errors import UserError
from rewardranker.evaluation.metrics import Floats, bootstrap_ci, ece, pair_counts_of_sides, reliability
from rewardranker.models.generator import Generator
from rewardranker.models.lora import prepared, weights_dtype
from rewardranker.models.prefix import completion_states, token_logprobs
from rewardranker.models.ranker import Calibration, RewardRanker
from rewardranker.models.tokens import Tokens, context_length, encode_completions, encode_prompts, to_device
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import PLAIN, Compute, Reward
from rewardranker.run import Checkpoint
from rewardranker.training.batches import parts
from rewardranker.training.calibration import cross_fitted_probabilities, fit_platt
from rewardranker.training.epochs import train_epochs
from rewardranker.training.losses import bradley_terry_group, centering_group

_NORMALISE_ON = 4096
"""Training completions whose scores' mean and deviation are kept for PPO."""


@dataclass(frozen=True, slots=True)
class _Group:
    """A preference group as tokens."""

    problem_id: str
    prompt: Tokens
    chosen: list[Tokens]
    rejected: list[Tokens]
    weight: float

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.chosen + self.rejected))


def train_reward(
    start: Generator | RewardRanker,
    groups: Sequence[PreferenceGroup],
    config: Reward,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> tuple[RewardRanker, dict[str, Any]]:
    """Train a ranker with the Bradley-Terry loss on all pairs of each group.

    Every completion is computed once a step, and the prompt once for all its completions. A side of more
    than `max_per_side` completions is sampled anew each epoch. The loss of a batch is the mean of its
    groups' mean pair losses, by weight. Problems held out for validation (all groups of a problem stand on
    one side) give the metrics and the calibration of probabilities.

    Args:
        start: whose weights the ranker starts from; they are copied, `start` isn't changed.
        groups: what is compared; groups without a right or without a wrong completion are left out.
        config: head, sizes and rates. A ranker as `start` must have the same head.
        seed: decides the split, the order, the draws, dropout, a new scalar head and how adapters start.
        checkpoint: where to go on from if this was begun, and where to leave what is needed for that.
        compute: precision, adapters, what is kept for the backward pass.

    Returns:
        the ranker, and a report: history (a row an epoch: epoch, loss, tokens and, where there are validation
        problems, validation_loss and validation_auc), train_problems, validation_problems, groups (those
        trained on), left_out_one_sided (groups), left_out_too_long (completions beyond the context), tokens
        (computed in training), auc, pairwise_accuracy with its 95 % interval over problems, and ece on
        validation problems (None without any; ece by cross-fitting, None for a single problem), calibration
        (slope, intercept, mean, std).

    Raises:
        UserError: no group is left to train on, or training diverges.
    """
    if isinstance(start, RewardRanker):
        if start.head != config.head:
            raise UserError(
                f"[reward] head is {config.head!r}, but the ranker to start from has {start.head!r}"
            )
        ranker = start.copy()
    else:
        ranker = RewardRanker.from_generator(start, config.head, seed, weights_dtype(compute, trained=True))
    if config.lm_weight and not ranker.model.config.get_text_config().tie_word_embeddings:
        raise UserError(
            "[reward] lm_weight needs a model whose input and output embeddings are tied: set it to 0"
        )
    mean = RewardRanker(ranker.model, ranker.tokenizer, "scalar-mean") if config.mean_epochs else ranker
    usable, left_out = _encode(ranker, groups)
    train, validation = _split(usable, config.validation, random.Random(f"split/{seed}"))
    order = random.Random(f"order/{seed}")
    with prepared(ranker.model, compute, seed):
        history = train_epochs(
            ranker.model,
            train,
            lambda batch, epoch: _loss(mean if epoch <= config.mean_epochs else ranker, batch, config),
            config,
            name="ranker",
            seed=seed,
            order=order,
            batch_size=config.groups_per_batch,
            weight=lambda group: group.weight,
            tokens=lambda group: group.tokens,
            draw=lambda group: _draw(group, config.max_per_side, order),
            validate=(lambda: _validate(ranker, validation, config)) if validation else None,
            patience=config.patience if validation else 0,
            checkpoint=checkpoint,
        )
    report: dict[str, Any] = {
        "history": history,
        "train_problems": len({g.problem_id for g in train}),
        "validation_problems": len({g.problem_id for g in validation}),
        "groups": len(train),
        **left_out,
        "tokens": sum(int(row["tokens"]) for row in history),
        **_calibrate(ranker, train, validation, config, random.Random(f"normalise/{seed}")),
    }
    return ranker, report


def _encode(ranker: RewardRanker, groups: Sequence[PreferenceGroup]) -> tuple[list[_Group], dict[str, int]]:
    """Groups with both sides, as tokens, and counts of what is left out."""
    tokenizer, context = ranker.tokenizer, context_length(ranker.model)
    prompts = encode_prompts(tokenizer, [g.prompt for g in groups])
    completions = encode_completions(tokenizer, [text for g in groups for text in (*g.chosen, *g.rejected)])
    usable, too_long, one_sided = [], 0, 0
    following = iter(completions)
    for group, prompt in zip(groups, prompts, strict=True):
        sides = []
        for texts in (group.chosen, group.rejected):
            rows = [next(following) for _ in texts]
            sides.append([row for row in rows if len(prompt) + len(row) <= context])
            too_long += len(rows) - len(sides[-1])
        if all(sides) and group.weight > 0:
            usable.append(_Group(group.problem_id, prompt, sides[0], sides[1], group.weight))
        else:
            one_sided += 1
    if not usable:
        raise UserError(
            f"the ranker has nothing to compare: none of {len(groups)} preference groups has a right and "
            f"a wrong program ({too_long} programs exceed the model's context of {context} tokens); sample "
            "more candidates a problem, take easier or harder problems, or train the generator longer"
        )
    return usable, {"left_out_one_sided": one_sided, "left_out_too_long": too_long}


def _split(groups: list[_Group], share: float, rng: random.Random) -> tuple[list[_Group], list[_Group]]:
    """Groups for training and for validation; a problem is on one side, and training keeps at least one."""
    problems = list(dict.fromkeys(g.problem_id for g in groups))
    count = min(math.ceil(share * len(problems)), len(problems) - 1)
    held_out = set(rng.sample(problems, count))
    return (
        [g for g in groups if g.problem_id not in held_out],
        [g for g in groups if g.problem_id in held_out],
    )


def _draw(group: _Group, most: int, rng: random.Random) -> _Group:
    chosen, rejected = (
        rows if len(rows) <= most else rng.sample(rows, most) for rows in (group.chosen, group.rejected)
    )
    return _Group(group.problem_id, group.prompt, chosen, rejected, group.weight)


Sides = list[tuple[Tensor, Tensor]]


def _forward(
    ranker: RewardRanker, batch: Sequence[_Group], *, with_language: bool
) -> tuple[Sides, list[Tensor]]:
    """(chosen [A], rejected [B]) scores of each group, from one forward pass over all their completions.

    And, `with_language`, each group's mean negative log-likelihood of a token of its chosen completions.
    """
    completions = [row for g in batch for row in (*g.chosen, *g.rejected)]
    owners = [i for i, g in enumerate(batch) for _ in range(len(g.chosen) + len(g.rejected))]
    prompts = [g.prompt for g in batch]
    language: list[Tensor] = []
    if with_language:
        lengths = [len(row) for row in completions]
        states = completion_states(ranker.model.base_model, prompts, completions, owners)
        scores = ranker.pooled(states, lengths)
        rows = iter(torch.split(states, [1 + length for length in lengths]))
        weight = ranker.model.get_input_embeddings().weight  # which is the output's too
        head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        head.weight = weight
        for g in batch:
            chosen = torch.cat([next(rows)[:-1] for _ in g.chosen])
            for _ in g.rejected:
                next(rows)
            targets = to_device(torch.tensor([t for row in g.chosen for t in row]), chosen.device)
            language.append(-token_logprobs(head, chosen, targets).mean())
    else:
        scores = ranker.forward(prompts, completions, owners)
    sizes = [size for g in batch for size in (len(g.chosen), len(g.rejected))]
    sides = torch.split(scores, sizes)
    return list(zip(sides[::2], sides[1::2], strict=True)), language


def _loss(ranker: RewardRanker, batch: Sequence[_Group], config: Reward) -> Tensor:
    """Sum of the groups' losses, each times its group's weight."""
    sides, language = _forward(ranker, batch, with_language=config.lm_weight > 0)
    losses = torch.stack([_group_loss(*pair, config) for pair in sides])
    if config.lm_weight:
        losses = losses + config.lm_weight * torch.stack(language)
    weights = torch.tensor([g.weight for g in batch], dtype=losses.dtype)
    return torch.dot(losses, to_device(weights, losses.device))


def _group_loss(chosen: Tensor, rejected: Tensor, config: Reward) -> Tensor:
    loss = bradley_terry_group(chosen, rejected, config.margin)
    return loss + config.centering * centering_group(chosen, rejected) if config.centering else loss


@torch.no_grad()
def _group_scores(ranker: RewardRanker, groups: list[_Group], config: Reward) -> Sides:
    order = sorted(range(len(groups)), key=lambda i: groups[i].tokens)
    size = config.groups_per_batch
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for start in range(0, len(order), size):
        for part in parts(order[start : start + size], lambda i: groups[i].tokens, config.tokens_at_once):
            sides, _ = _forward(ranker, [groups[i] for i in part], with_language=False)
            found |= dict(zip(part, sides, strict=True))
    return [found[i] for i in range(len(groups))]


def _numpy(scored: list[tuple[Tensor, Tensor]]) -> list[tuple[Floats, Floats]]:
    return [(a.double().cpu().numpy(), b.double().cpu().numpy()) for a, b in scored]


def _validate(ranker: RewardRanker, groups: list[_Group], config: Reward) -> dict[str, float]:
    with torch.no_grad():
        scored = _group_scores(ranker, groups, config)
        loss = torch.stack([_group_loss(*sides, config) for sides in scored]).mean()
    return {"validation_loss": float(loss), "validation_auc": pair_counts_of_sides(_numpy(scored)).auc}


def _calibrate(
    ranker: RewardRanker, train: list[_Group], validation: list[_Group], config: Reward, rng: random.Random
) -> dict[str, Any]:
    """Give the ranker its calibration; returns the metrics on validation problems."""
    few = rng.sample(train, len(train))
    few = few[: max(1, _NORMALISE_ON * len(few) // sum(len(g.chosen) + len(g.rejected) for g in few))]
    raw = torch.cat([torch.cat(s) for s in _group_scores(ranker, few, config)]).double()
    calibration = {
        "slope": 1.0,
        "intercept": 0.0,
        "mean": float(raw.mean()),
        "std": float(raw.std(correction=0)) or 1.0,
    }
    metrics: dict[str, Any] = dict.fromkeys(("auc", "pairwise_accuracy", "pairwise_accuracy_ci95", "ece"))
    if validation:
        by_problem = _merge(validation)
        scored = _numpy(_group_scores(ranker, by_problem, config))
        counts = pair_counts_of_sides(scored)
        metrics |= {"auc": counts.auc, "pairwise_accuracy": counts.pairwise_accuracy}
        metrics["pairwise_accuracy_ci95"] = list(bootstrap_ci(counts.wins / counts.pairs))
        scores = np.concatenate([np.concatenate(sides) for sides in scored])
        labels = np.concatenate([np.repeat([True, False], [len(a), len(b)]) for a, b in scored])
        problems = np.repeat(np.arange(len(scored)), [len(a) + len(b) for a, b in scored])
        calibration["slope"], calibration["intercept"] = fit_platt(scores, labels)
        if len(scored) > 1:
            probability = cross_fitted_probabilities(scores, labels, problems)
            metrics["ece"] = ece(reliability(probability, labels))
    ranker.calibration = Calibration(**calibration)
    return {**metrics, "calibration": calibration}


def _merge(groups: list[_Group]) -> list[_Group]:
    """One group a problem, each completion once."""
    merged: dict[str, _Group] = {}
    for g in groups:
        known = merged.setdefault(g.problem_id, _Group(g.problem_id, g.prompt, [], [], 1.0))
        known.chosen.extend(row for row in g.chosen if row not in known.chosen)
        known.rejected.extend(row for row in g.rejected if row not in known.rejected)
    return list(merged.values())
