"""How a prompt and its completions become tokens, and what a model says of each completion token.

One convention for training, sampling and scoring: the sequence is

    [bos, if the tokenizer has one] + tokens(prompt) + tokens(completion) + [eos]

with prompt and completion tokenised separately, so that the same completion has the same tokens under
every prompt and whether it was sampled or read from a file.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rewardranker.errors import UserError

Tokens = list[int]


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Tokens]:
    if not texts:
        return []
    # A text that spells "<eos>" is text: it must never become the token.
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
    return list(encoded["input_ids"])


def encode_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[Tokens]:
    """Tokens of each prompt, beginning with bos where the tokenizer has one.

    Raises:
        UserError: a prompt has no token at all.
    """
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    encoded = [start + ids for ids in _tokens(tokenizer, prompts)]
    if not all(encoded):
        raise UserError("a prompt is empty, and the tokenizer has no bos token to start from")
    return encoded


def encode_completions(tokenizer: PreTrainedTokenizerBase, completions: Sequence[str]) -> list[Tokens]:
    """Tokens of each completion, ending with eos."""
    return [[*ids, tokenizer.eos_token_id] for ids in _tokens(tokenizer, completions)]


def context_length(model: PreTrainedModel) -> int:
    """Most tokens the model takes: its config's max_position_embeddings."""
    return int(model.config.get_text_config().max_position_embeddings)


def pad_right(rows: Sequence[Tokens], value: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack rows of unequal length.

    Returns:
        tokens [N, T], filled with `value` on the right, and mask [N, T], True on the rows' own tokens.
    """
    lengths = torch.tensor([len(row) for row in rows])
    tokens = pad_sequence(
        [torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True, padding_value=value
    )
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    return tokens.to(device), mask.to(device)


def pad_left(rows: Sequence[Tokens], value: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """As `pad_right`, but filled on the left, so that the last column holds every row's last token."""
    tokens, mask = pad_right([row[::-1] for row in rows], value, device)
    return tokens.flip(1), mask.flip(1)


def positions(mask: Tensor) -> Tensor:
    """Position of each token among its row's own, [N, T] from mask [N, T]; 0 under padding on the left."""
    return (mask.long().cumsum(1) - 1).clamp_(min=0)


def continuation_states(
    module: PreTrainedModel, prompts: Sequence[Tokens], continuations: Sequence[Tokens], owners: Sequence[int]
) -> Tensor:
    """What `module` makes of the prompt's last token and of every continuation token; gradients flow.

    Each prompt is computed once, however many continuations it has: their rows attend to its cached keys
    and values. The result is that of the whole sequences one by one, to rounding.

    Args:
        module: a causal language model, or its backbone.
        prompts: P prompts, none of them empty.
        continuations: N rows of tokens.
        owners: the prompt of each continuation, N numbers in 0 .. P - 1.

    Returns:
        [N, 1 + T, D] where T is the longest continuation: logits (D = vocabulary) of a language model,
        hidden states of a backbone. Column 0 belongs to the prompt's last token, column t to the t-th
        continuation token; columns beyond a row's own length are meaningless.
    """
    device = module.device
    prompt_tokens, prompt_mask = pad_left(prompts, 0, device)
    owner = torch.tensor(owners, device=device)
    only_last = {"logits_to_keep": 1} if module.get_output_embeddings() is not None else {}
    first = module(
        input_ids=prompt_tokens,
        attention_mask=prompt_mask.long(),
        position_ids=positions(prompt_mask),
        use_cache=True,
        **only_last,
    )
    states = _states(first)[:, -1:].index_select(0, owner)
    if not any(continuations):
        return states
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
    )
    return torch.cat([states, _states(rest)], dim=1)


def _states(output: object) -> Tensor:
    states: Tensor = output.logits if hasattr(output, "logits") else output.last_hidden_state  # type: ignore[attr-defined]
    return states


def completion_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[Tokens],
    completions: Sequence[Tokens],
    owners: Sequence[int],
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities, in nats, of the completions' tokens given their prompts; gradients flow.

    Arguments are those of `continuation_states`; no completion is empty.

    Returns:
        log-probabilities [N, T], 0 on padding, and mask [N, T], True on the completions' tokens.
    """
    tokens, mask = pad_right(completions, 0, model.device)
    logits = continuation_states(model, prompts, [row[:-1] for row in completions], owners).float()
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    picked = logprobs.gather(-1, tokens[..., None])[..., 0]
    return picked * mask, mask
