"""How a prompt and its completions become tokens.

One convention for training, sampling and scoring: the sequence is

    [bos, if the tokenizer has one] + tokens(prompt) + tokens(completion) + [eos]

with prompt and completion tokenised separately, so that the same completion has the same tokens under
every prompt and whether it was sampled or read from a file. An eos that is called bos as well (GPT-2,
StarCoder2) is none: those models' own tokenizers don't begin with it.

A model tuned to follow instructions is shown the prompt as a chat instead of [bos] + tokens(prompt):

    tokens(user turn with prompt, then the start of the assistant's turn and of a code block) + tokens(prompt)

so that a completion is what follows the prompt here, too; in sampling, the block's end is a stop token. How a
model is shown its prompts belongs to its tokenizer and is saved with it, under "rewardranker_prompt" in
tokenizer_config.json: generator, ranker and critic can't come to differ.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rewardranker.errors import UserError
from rewardranker.problems.extraction import chat_question
from rewardranker.recipe import PromptForm

Tokens = list[int]

CODE_END = "\n```"
"""Where a program that is shown as a chat ends."""

_CHAT = "rewardranker_prompt"
_HERE = "\ue000"
"""Stands for a prompt; a character of private use, which no template has."""


def set_prompt_form(tokenizer: PreTrainedTokenizerBase, form: PromptForm | None, system: str = "") -> None:
    """Decide how a model with this tokenizer is shown its prompts; written with the tokenizer.

    Args:
        tokenizer: changed in place.
        form: None: as it was saved; "completion" where nothing was.
        system: content of the system turn; empty: none, or what the chat template puts there.

    Raises:
        UserError: the tokenizer has no chat template, or it refuses such a chat.
    """
    if form == "completion":
        tokenizer.init_kwargs.pop(_CHAT, None)
    if form != "chat":
        return
    if tokenizer.chat_template is None:
        raise UserError(
            f"{tokenizer.name_or_path}: prompt is 'chat', but the tokenizer has no chat template; set "
            "generator.prompt to 'completion', or give the instruction-tuned model"
        )
    chat = [{"role": "system", "content": system}] if system else []
    chat.append({"role": "user", "content": chat_question(_HERE)})
    try:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    except TemplateError as e:
        raise UserError(
            f"{tokenizer.name_or_path}: the chat template refuses a chat of "
            f"{' and '.join(turn['role'] for turn in chat)} turn ({e}); set generator.system, or leave it out"
        ) from e
    if text.count(_HERE) != 1:
        raise UserError(f"{tokenizer.name_or_path}: the chat template does not show the user's turn once")
    before, after = text.split(_HERE)
    tokenizer.init_kwargs[_CHAT] = [before, f"{after}```\n"]


def is_chat(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer's model is shown its prompts as a chat."""
    return _CHAT in tokenizer.init_kwargs


def same_prompt_form(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether models with these tokenizers are shown a prompt as the same text."""
    return bool(one.init_kwargs.get(_CHAT) == other.init_kwargs.get(_CHAT))


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Tokens]:
    if not texts:
        return []
    # A text that spells "<eos>" is text: it must never become the token.
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
    return list(encoded["input_ids"])


def encode_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[Tokens]:
    """Tokens of each prompt as it is shown to the model.

    Raises:
        UserError: a prompt has no token at all.
    """
    if is_chat(tokenizer):
        before, between = (
            tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
            for text in tokenizer.init_kwargs[_CHAT]
        )
        shown = _tokens(tokenizer, [prompt.rstrip() for prompt in prompts])
        begun = _tokens(tokenizer, prompts)
        return [[*before, *a, *between, *b] for a, b in zip(shown, begun, strict=True)]
    bos = tokenizer.bos_token_id
    start = [] if bos in (None, tokenizer.eos_token_id) else [bos]
    encoded = [start + ids for ids in _tokens(tokenizer, prompts)]
    if not all(encoded):
        raise UserError("a prompt is empty, and the tokenizer has no bos token to start from")
    return encoded


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]]) -> Tokens:
    """Tokens of a chat by the tokenizer's template, up to where the assistant's next turn begins.

    What the messages say stays text, special tokens included: it can't end a turn.

    Raises:
        UserError: the tokenizer has no template, or it refuses these messages.
    """
    if tokenizer.chat_template is None:
        raise UserError("this model has no chat template: it takes prompts to continue, not chats")
    hidden = [{**m, "content": f"{_HERE}{i}{_HERE}"} for i, m in enumerate(messages)]
    try:
        text = tokenizer.apply_chat_template(hidden, tokenize=False, add_generation_prompt=True)
    except TemplateError as e:
        raise UserError(f"the model's chat template refuses these messages: {e}") from e
    return _encode_parts(tokenizer, text.split(_HERE), [m["content"] for m in messages])


def encode_whole_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]]) -> Tokens:
    """Tokens of the text that the tokenizer's template makes of a whole chat, as reward models are shown it.

    Only special tokens that the messages spell are tokens of another text: they can't end a turn.

    Raises:
        TemplateError: the template refuses these messages.
    """
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    spelt: list[str] = []

    def hide(found: re.Match[str]) -> str:
        spelt.append(found[0])
        return f"{_HERE}{len(spelt) - 1}{_HERE}"

    if any(token in m["content"] for m in messages for token in special):
        longest_first = sorted([*special, _HERE], key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)))
        messages = [{**m, "content": pattern.sub(hide, m["content"])} for m in messages]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return _encode_parts(tokenizer, text.split(_HERE) if spelt else [text], spelt)


def _encode_parts(tokenizer: PreTrainedTokenizerBase, parts: Sequence[str], said: Sequence[str]) -> Tokens:
    """Tokens of a text in parts; every second part is the number of what was `said` there, which is text."""
    ids: Tokens = []
    for place, part in enumerate(parts):
        is_said = bool(place % 2)
        shown = said[int(part)] if is_said else part
        ids += tokenizer(shown, add_special_tokens=False, split_special_tokens=is_said)["input_ids"]
    return ids


def encode_completions(tokenizer: PreTrainedTokenizerBase, completions: Sequence[str]) -> list[Tokens]:
    """Tokens of each completion, ending with eos."""
    return [[*ids, tokenizer.eos_token_id] for ids in _tokens(tokenizer, completions)]


def context_length(model: PreTrainedModel) -> int:
    """Most tokens the model takes: its config's max_position_embeddings.

    Raises:
        UserError: it has none.
    """
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if found is None:
        raise UserError(
            f"{model.name_or_path}: the config has no max_position_embeddings, the most tokens that the "
            "model takes; give a model that has it (BLOOM and MPT haven't)"
        )
    return int(found)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on `device`; the host does not wait for a GPU to have done what it was given before."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


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
    return to_device(tokens, device), to_device(mask, device)


def pad_left(rows: Sequence[Tokens], value: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """As `pad_right`, but filled on the left, so that the last column holds every row's last token."""
    tokens, mask = pad_right([row[::-1] for row in rows], value, device)
    return tokens.flip(1), mask.flip(1)


def positions(mask: Tensor) -> Tensor:
    """Position of each token among its row's own, [N, T] from mask [N, T]; 0 under padding on the left."""
    return (mask.long().cumsum(1) - 1).clamp_(min=0)
