"""How a prompt and its completions become tokens.

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
