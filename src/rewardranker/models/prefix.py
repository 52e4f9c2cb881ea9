"""One forward for all completions of a prompt: the prompt is computed once, and its completions as branches.

Three ways to the same states, to rounding, and the choice between them by what each computes:

- "naive": every completion in a row of its own, with its prompt. What the others are tested against.
- "cached": a row for each prompt, then one for each completion, which attends to its prompt's cached keys and
  values.
- "tree": a row for each prompt with its completions behind it, one after the other; a mask lets each see the
  prompt and itself only, and its positions go on from the prompt's.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rewardranker.models.checkpoints import fused_attention
from rewardranker.models.tokens import Tokens, pad_left, pad_right, positions, to_device

Way = Literal["naive", "cached", "tree"]
WAYS: tuple[Way, ...] = get_args(Way)

LOGITS = 1 << 24
"""Logits held at once, of all tokens together: 64 MB in float32."""
_GPU_LOGITS = 1 << 27
"""On a GPU, which takes few rows at a time no faster than many: 512 MB."""


class Work(NamedTuple):
    """What a way computes."""

    tokens: int
    """Rows times columns: each goes through every matrix of the model."""
    pairs: int
    """Of a query and a key, in each layer."""
    passes: int
    """Times that the layers are gone through."""

    def cost(self, module: PreTrainedModel) -> float:
        """Multiply-adds of a forward; what is no product of matrices counts as those that take as long."""
        config = module.config.get_text_config()
        parameters = sum(p.numel() for p in module.parameters()) - config.vocab_size * config.hidden_size
        a_layer = 2 * config.hidden_size * self.pairs * _ATTENTION + _PASS * self.passes
        return float(self.tokens * parameters + config.num_hidden_layers * a_layer)


_ATTENTION = 1.25
"""Multiply-adds of a matrix that take as long as one of attention; fitted to benchmarks/prefix.py, on CPU."""
_PASS = 2e8
"""Going through a layer at all takes as long as so many multiply-adds; likewise."""
_EAGER_BYTES = 32 << 20
"""Attention weights of a layer beyond which small models compute them fused too."""


def logits_at_once(device: torch.device) -> int:
    """How many numbers `token_logprobs` holds at once on a device."""
    return _GPU_LOGITS if device.type == "cuda" else LOGITS


def works(
    prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> dict[Way, Work]:
    """What each way would compute, padding included; arguments as of `completion_states`."""
    lengths = [len(row) for row in prompts]
    whole = max(lengths[owner] + len(row) for owner, row in zip(owners, continuations, strict=True))
    longest = max(map(len, continuations))
    prompt = max(lengths)
    rows = list(lengths)
    for owner, row in zip(owners, continuations, strict=True):
        rows[owner] += len(row)
    tree, n = max(rows), len(continuations)
    return {
        "naive": Work(n * whole, n * whole**2, 1),
        "cached": Work(
            len(prompts) * prompt + n * longest,
            len(prompts) * prompt**2 + n * longest * (prompt + longest),
            2,
        ),
        "tree": Work(len(prompts) * tree, len(prompts) * tree**2, 1),
    }


def cheapest(
    module: PreTrainedModel, prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> Way:
    """The way that costs least, among those that `module` can go; arguments as of `completion_states`.

    `python benchmarks/prefix.py` measures how often that is the fastest, and what is lost where it isn't.
    """
    costs = {way: work.cost(module) for way, work in works(prompts, continuations, owners).items()}
    config = module.config.get_text_config()
    # Flash attention takes no mask; ALiBi (Falcon's) and the windows of GPT-Neo go by columns, not positions.
    by_columns = getattr(config, "alibi", False) or hasattr(config, "window_size")
    if by_columns or "flash" in (module.config._attn_implementation or ""):
        del costs["tree"]
    if module.training and getattr(module, "is_gradient_checkpointing", False):  # it keeps no cache then
        del costs["cached"]
    window = getattr(config, "sliding_window", None)
    if window is not None and max(map(len, prompts)) + max(map(len, continuations)) >= window:
        return "naive"  # a mask of ours would undo the window, and a cache has forgotten what is outside
    return min(costs, key=lambda way: costs[way])


def completion_states(
    module: PreTrainedModel,
    prompts: Sequence[Tokens],
    continuations: Sequence[Tokens],
    owners: Sequence[int],
    way: Way | None = None,
) -> Tensor:
    """What a model's backbone makes of each continuation, after its prompt; gradients flow.

    Args:
        module: the backbone (`base_model`) of a causal decoder.
        prompts: P prompts, none of them empty.
        continuations: N rows of tokens, which may be empty.
        owners: the prompt of each continuation, N numbers in 0 .. P - 1.
        way: how; None: the cheapest.

    Returns:
        [M, D] hidden states, M = N + the number of all tokens of the continuations. For each continuation in
        turn: the state of its prompt's last token, then those of its own.
    """
    way = way or cheapest(module, prompts, continuations, owners)
    if way == "naive":
        return _naive(module, prompts, continuations, owners)
    if way == "cached":
        return _cached(module, prompts, continuations, owners)
    return _tree(module, prompts, continuations, owners)


def _naive(
    module: PreTrainedModel, prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> Tensor:
    # Padding on the right needs no attention mask: under the causal mask no token sees it.
    rows = [prompts[owner] + row for owner, row in zip(owners, continuations, strict=True)]
    tokens, _ = pad_right(rows, 0, module.device)
    states = module(input_ids=tokens, use_cache=False).last_hidden_state
    column = np.arange(tokens.shape[1])
    starts, ends = np.array([len(prompts[owner]) - 1 for owner in owners]), np.array(list(map(len, rows)))
    return _rows(states, (column >= starts[:, None]) & (column < ends[:, None]))


def _cached(
    module: PreTrainedModel, prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> Tensor:
    device = module.device
    prompt_tokens, prompt_mask = pad_left(prompts, 0, device)
    owner = to_device(torch.tensor(owners), device)
    padded = len(set(map(len, prompts))) > 1
    first = module(
        input_ids=prompt_tokens,
        attention_mask=prompt_mask.long() if padded else None,  # without one there are faster kernels
        position_ids=positions(prompt_mask),
        use_cache=True,
    )
    states = first.last_hidden_state[:, -1:].index_select(0, owner)
    if not any(continuations):
        last: Tensor = states[:, 0]
        return last
    cache = first.past_key_values
    cache.batch_select_indices(owner)
    tokens, mask = pad_right(continuations, 0, device)
    lengths = prompt_mask.sum(1)[owner]
    rest = module(
        input_ids=tokens,
        attention_mask=torch.cat([prompt_mask[owner], mask], dim=1).long(),
        position_ids=lengths[:, None] + torch.arange(tokens.shape[1], device=device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    ends = np.array([1 + len(row) for row in continuations])
    return _rows(torch.cat([states, rest], dim=1), np.arange(1 + tokens.shape[1]) < ends[:, None])


def _tree(
    module: PreTrainedModel, prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> Tensor:
    device = module.device
    rows = [list(prompt) for prompt in prompts]
    places = [list(range(len(prompt))) for prompt in prompts]
    branches = [[0] * len(prompt) for prompt in prompts]
    wanted: list[list[int]] = []  # where each continuation's states lie, in its row
    for number, (owner, continuation) in enumerate(zip(owners, continuations, strict=True), 1):
        start, end = len(prompts[owner]), len(rows[owner])
        wanted.append([start - 1, *range(end, end + len(continuation))])
        rows[owner] += continuation
        places[owner] += range(start, start + len(continuation))
        branches[owner] += [number] * len(continuation)
    tokens, _ = pad_right(rows, 0, device)
    position, _ = pad_right(places, 0, device)
    branch, _ = pad_right(branches, -1, device)  # padding is a branch of its own
    wide = tokens.shape[1]
    column = torch.arange(wide, device=device)
    seen = (branch[:, None, :] == branch[:, :, None]) | (branch[:, None, :] == 0)
    seen = (seen & (column <= column[:, None]))[:, None]
    config = module.config.get_text_config()
    weights = seen.numel() * config.num_attention_heads * module.dtype.itemsize
    with fused_attention(module) if weights > _EAGER_BYTES else nullcontext():
        states: Tensor = module(
            input_ids=tokens, attention_mask=_mask(module, seen), position_ids=position, use_cache=False
        ).last_hidden_state
    index = [owner * wide + place for owner, places_ in zip(owners, wanted, strict=True) for place in places_]
    return states.flatten(0, 1).index_select(0, to_device(torch.tensor(index), device))


def _mask(module: PreTrainedModel, seen: Tensor) -> Tensor:
    """`seen` [B, 1, T, T] in the form that the attention of `module` takes."""
    if module.config._attn_implementation != "eager":
        return seen
    lowest = torch.finfo(module.dtype).min
    return torch.zeros(seen.shape, dtype=module.dtype, device=seen.device).masked_fill_(~seen, lowest)


def _rows(states: Tensor, wanted: NDArray[np.bool_]) -> Tensor:
    """The states [M, D] of [N, T, D] at the M places where `wanted` [N, T] is True.

    They are found on the host, which would have to wait for a GPU to tell how many there are.
    """
    index = to_device(torch.from_numpy(np.flatnonzero(wanted)), states.device)
    return states.flatten(0, 1).index_select(0, index)


def completion_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    completions: Sequence[Tokens],
    owners: Sequence[int],
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities, in nats, of the completions' tokens given their prompts; gradients flow.

    Prompts are computed once for all their completions.

    Args:
        model: a causal language model.
        prompts: P prompts, none of them empty.
        completions: N completions, none of them empty.
        owners: the prompt of each completion, N numbers in 0 .. P - 1.
        temperature: logits are divided by it.

    Returns:
        log-probabilities [N, T], 0 on padding, and mask [N, T], True on the completions' tokens.
    """
    shortened = [row[:-1] for row in completions]
    states = completion_states(model.base_model, prompts, shortened, owners)
    targets = to_device(torch.tensor([token for row in completions for token in row]), model.device)
    logprobs = token_logprobs(model.get_output_embeddings(), states, targets, temperature)
    rows = torch.split(logprobs, [len(row) for row in completions])
    padded = pad_sequence(list(rows), batch_first=True)
    lengths = to_device(torch.tensor([len(row) for row in completions]), model.device)
    return padded, torch.arange(padded.shape[1], device=model.device) < lengths[:, None]


def token_logprobs(
    head: nn.Module, states: Tensor, targets: Tensor, temperature: float = 1.0, logits: int | None = None
) -> Tensor:
    """Log-probabilities [M], in nats, of `targets` [M] after `states` [M, D]; gradients flow.

    Logits are held for some of the states at a time and computed again in the backward pass: never for the
    whole batch, which at a vocabulary of 100,000 takes more than the model.

    Args:
        head: from hidden states to logits, as of `get_output_embeddings()`.
        temperature: logits are divided by it.
        logits: numbers held at once; None: what suits the device.
    """
    logits = logits or logits_at_once(states.device)
    rows = max(1, logits // int(head.weight.shape[0]))  # type: ignore[index]
    if len(states) <= rows:
        return _log_softmax_at(head, states, targets, temperature)
    parts = zip(torch.split(states, rows), torch.split(targets, rows), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([_log_softmax_at(head, some, at, temperature) for some, at in parts])
    return torch.cat(
        [checkpoint(_log_softmax_at, head, some, at, temperature, use_reentrant=False) for some, at in parts]
    )


def _log_softmax_at(head: nn.Module, states: Tensor, targets: Tensor, temperature: float) -> Tensor:
    logits = head(states).float()
    return -F.cross_entropy(logits if temperature == 1 else logits / temperature, targets, reduction="none")
