"""`Generator`: a causal language model that proposes candidates."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Cache, PreTrainedModel, PreTrainedTokenizerBase

from rewardranker.errors import UserError
from rewardranker.files import atomic_directory
from rewardranker.models.cache import repeat_with_room
from rewardranker.models.checkpoints import (
    decoding_kernels,
    free_memory,
    load_checkpoint,
    prefer_fast_kernels,
)
from rewardranker.models.tokens import (
    CODE_END,
    Tokens,
    context_length,
    encode_prompts,
    is_chat,
    pad_left,
    positions,
    set_prompt_form,
    to_device,
)
from rewardranker.problems.candidate import Candidate, FinishReason
from rewardranker.problems.problem import Problem
from rewardranker.recipe import PromptForm

_KEEP = 0.8
"""Finished rows leave a batch together, once no more than this share of its rows is alive."""
_LOOK = {"cuda": 8}
"""Tokens between looks at which rows have ended, else 1: to look, the host must wait for a GPU."""
_ROWS = 512
"""Decoded together on a CPU, where more are no faster."""
_ENDINGS = 64
"""Sets of stop tokens that are prepared for the vocabulary at a time; each takes a byte a token."""
_MEMORY = 0.5
"""Of a GPU's free memory, for rows that are decoded together."""
_DRAW_BYTES = 32
"""To draw a token, for each entry of the vocabulary: logits, probabilities and their sums in float64."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion with the tokens it was sampled as."""

    problem: int
    """Which of the problems given."""
    index: int
    """0 to n - 1 among the rollouts of its problem."""
    prompt_ids: Tokens
    ids: Tokens
    """The sampled tokens, the end or stop token included."""
    logprobs: list[float]
    """Of each sampled token, at the sampling temperature (at 1 for greedy), nats."""
    text: str
    """The completion, cut before the stop token."""
    finish_reason: FinishReason


class Generator:
    """A causal language model and its tokenizer.

    The tokenizer must have an eos token and a pad token that differs from it. The model may be on any
    device; inputs follow it.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        prefer_fast_kernels(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._endings: dict[tuple[str, ...], Tensor] = {}  # the last used are the last

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str,
        prompt: PromptForm | None = None,
        system: str = "",
        *,
        dtype: torch.dtype | None = None,
    ) -> "Generator":
        """Load any Hugging Face causal language model from a local folder; nothing is downloaded.

        It computes on the GPU where there is one.

        Args:
            path: the folder.
            prompt: how the model is shown prompts; None: as the folder says that `save` wrote, else
                "completion".
            system: content of the system turn, for "chat".
            dtype: of the weights; None: as the folder has them on a GPU, float32 on a CPU.

        Raises:
            UserError: the folder holds no causal language model with a tokenizer, or no chat template.
        """
        model, tokenizer = load_checkpoint(Path(path), AutoModelForCausalLM, dtype)
        set_prompt_form(tokenizer, prompt, system)
        return cls(model, tokenizer)

    def save(self, path: Path) -> None:
        """Write a Hugging Face model folder, atomically; `path` must not exist yet.

        How the model is shown prompts is in it (see `rewardranker.models.tokens`).
        """
        with atomic_directory(path) as temporary:
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)

    def copy(self) -> "Generator":
        """The same generator with weights of its own."""
        return Generator(copy.deepcopy(self.model), self.tokenizer)

    def rows_at_once(self, problems: Sequence[Problem], max_new_tokens: int) -> int:
        """Rows to decode together: 512 on a CPU; on a GPU what half of its free memory has room for."""
        model = self.model
        if model.device.type != "cuda":
            return _ROWS
        config = model.config.get_text_config()
        longest = max(map(len, encode_prompts(self.tokenizer, [p.prompt for p in problems])))
        heads = config.num_attention_heads
        key_heads = getattr(config, "num_key_value_heads", None) or heads
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads) * key_heads
        cached = 2 * config.num_hidden_layers * width * model.dtype.itemsize * (longest + max_new_tokens)
        row = cached + _DRAW_BYTES * config.vocab_size
        return max(1, int(_MEMORY * free_memory(model.device) / row))

    def sample(
        self,
        problems: Sequence[Problem],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        policy: str,
        batch_size: int,
        on_batch: Callable[[list[Candidate]], None] | None = None,
    ) -> list[Candidate]:
        """Draw `n` candidates a problem, ordered by problem and index.

        The candidates of a problem depend on `seed`, its id and its prompt only: not on its neighbours, nor
        on `batch_size`; the first k of n are those that n = k gives. (Rounding differs from batch to batch,
        so a draw that falls within a millionth of a boundary may differ too.)

        Args:
            temperature: 0 is greedy, with n = 1.
            max_new_tokens: a candidate ends there, or where the model's context does, with "length".
            policy: recorded in the candidates.
            batch_size: rows decoded together.
            on_batch: called with the candidates of each batch, as soon as they are there.

        Raises:
            UserError: a prompt leaves no room in the model's context; names the problem.
        """
        drawn: list[tuple[int, Candidate]] = []
        for rollouts in self.rollouts(
            problems,
            n=n,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            batch_size=batch_size,
        ):
            batch = [
                Candidate(
                    problem_id=problems[r.problem].id,
                    index=r.index,
                    text=r.text,
                    logprob_sum=sum(r.logprobs),
                    n_tokens=len(r.ids),
                    finish_reason=r.finish_reason,
                    policy=policy,
                )
                for r in rollouts
            ]
            drawn += zip((r.problem for r in rollouts), batch, strict=True)
            if on_batch is not None:
                on_batch(batch)
        drawn.sort(key=lambda d: (d[0], d[1].index))
        return [candidate for _, candidate in drawn]

    def rollouts(
        self,
        problems: Sequence[Problem],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        batch_size: int,
        prompt_ids: Sequence[Tokens] | None = None,
    ) -> Iterator[list[Rollout]]:
        """As `sample`, with the tokens; yields one list a batch, shortest prompts first.

        `prompt_ids`, where they are given, are what the model is shown in place of the problems' prompts.
        """
        if temperature == 0 and n != 1:
            raise ValueError("greedy decoding gives one candidate a problem")
        prompts = list(prompt_ids or encode_prompts(self.tokenizer, [p.prompt for p in problems]))
        if prompt_ids is None and is_chat(self.tokenizer):
            problems = [replace(p, stop_tokens=(*p.stop_tokens, CODE_END)) for p in problems]
        context = context_length(self.model)
        for problem, ids in zip(problems, prompts, strict=True):
            if len(ids) >= context:
                raise UserError(
                    f"problem {problem.id}: its prompt has {len(ids)} tokens, the model's context {context}, "
                    "no room for a completion; leave the problem out or use a model with a longer context"
                )
        order = sorted(range(len(problems)), key=lambda i: len(prompts[i]))
        together = max(1, batch_size // n)
        for start in range(0, len(order), together):
            batch = order[start : start + together]
            noise = np.stack([_noise(seed, problems[i].id, n, max_new_tokens) for i in batch])
            for first in range(0, n, batch_size):  # more than one turn only where n exceeds batch_size
                last = min(first + batch_size, n)
                with decoding_kernels(self.model):
                    rows = self._decode(
                        [prompts[i] for i in batch],
                        [problems[i] for i in batch],
                        torch.from_numpy(noise[:, first:last]),
                        temperature,
                    )
                yield [
                    Rollout(batch[b], first + j, prompts[batch[b]], *row)
                    for (b, j), row in zip(np.ndindex(len(batch), last - first), rows, strict=True)
                ]

    @torch.inference_mode()
    def _decode(
        self, prompts: list[Tokens], problems: list[Problem], noise: Tensor, temperature: float
    ) -> list[tuple[Tokens, list[float], str, FinishReason]]:
        """Decode P x n rows together; noise [P, n, T] in [0, 1) decides every draw."""
        model, device = self.model, self.model.device
        n, limit = noise.shape[1], noise.shape[2]
        noise = to_device(noise.flatten(0, 1), device)
        cache, logits, mask, length = self._read(prompts, n, limit)
        padded = len(set(map(len, prompts))) > 1
        context = context_length(model)
        room = (context - length).clamp_(max=limit)
        eos = torch.tensor(self._eos_ids(), device=device)
        endings = self._may_end(problems, n)
        look = _LOOK.get(device.type, 1)

        total = len(length)
        tokens = torch.zeros(total, limit, dtype=torch.long, device=device)
        logprobs = torch.zeros(total, limit, device=device)
        counts = torch.zeros(total, dtype=torch.long, device=device)
        saw_eos = torch.zeros(total, dtype=torch.bool, device=device)
        stopped: set[int] = set()  # candidates that a stop token ended
        watched: list[Tensor] = []  # since the last look: rows whose token may have completed a stop token
        rows = torch.arange(total, device=device)  # which candidate each row of the batch is
        alive = torch.ones(total, dtype=torch.bool, device=device)  # of the rows of the batch
        for t in range(limit):
            token, logprob = _draw(logits.float(), noise[rows, t], temperature)
            tokens[rows, t], logprobs[rows, t] = token, logprob
            counts[rows] += alive
            ended = alive & torch.isin(token, eos)
            saw_eos[rows] |= ended
            if endings is not None:
                watched.append(endings[0][endings[1][rows], token] & alive & ~ended)
            alive = alive & ~ended & (room[rows] > t + 1)
            if (t + 1) % look == 0 or t + 1 == limit:
                for i, count in self._stopped(watched, t + 1, rows, tokens, problems):
                    row = int(rows[i])
                    stopped.add(row)
                    alive[i], counts[row] = False, count
                watched.clear()
                left = int(alive.sum())
                if left == 0:
                    break
                if left <= _KEEP * len(rows):
                    keep = torch.nonzero(alive).flatten()
                    rows, mask, token, length, alive = (x[keep] for x in (rows, mask, token, length, alive))
                    cache.batch_select_indices(keep)
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            output = model(
                input_ids=token[:, None],
                attention_mask=mask if padded else None,
                position_ids=(length + t).clamp_(max=context - 1)[:, None],  # rows that have ended go on
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits[:, -1]

        ids = [row[:count] for row, count in zip(tokens.tolist(), counts.tolist(), strict=True)]
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        reasons: list[FinishReason] = [
            "stop" if i in stopped else "eos" if eos else "length" for i, eos in enumerate(saw_eos.tolist())
        ]
        return [
            (row, kept[: len(row)], problems[i // n].truncate(text), reason)
            for i, (row, kept, text, reason) in enumerate(
                zip(ids, logprobs.tolist(), texts, reasons, strict=True)
            )
        ]

    def _read(self, prompts: list[Tokens], n: int, limit: int) -> tuple[Cache, Tensor, Tensor, Tensor]:
        """What is known before the first token of P x n rows is drawn: cache, logits, mask, lengths.

        A prompt's keys and values are computed once and then repeated for its n rows.
        """
        device = self.model.device
        prompt_tokens, prompt_mask = pad_left(prompts, 0, device)
        padded = len(set(map(len, prompts))) > 1
        output = self.model(
            input_ids=prompt_tokens,
            attention_mask=prompt_mask.long() if padded else None,  # without one there are faster kernels
            position_ids=positions(prompt_mask),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        if device.type == "cuda":  # buffers that grow would leave its memory in pieces
            repeat_with_room(cache, n, limit)
        else:
            repeat_with_room(cache, n)
        mask = prompt_mask.long().repeat_interleave(n, dim=0)
        return cache, output.logits[:, -1].repeat_interleave(n, dim=0), mask, mask.sum(1)

    def _stopped(
        self, watched: list[Tensor], done: int, rows: Tensor, tokens: Tensor, problems: list[Problem]
    ) -> Iterator[tuple[int, int]]:
        """Rows that a stop token has ended, each with the number of its tokens until then.

        Args:
            watched: for each of the last tokens the rows that it may have ended.
            done: tokens drawn.
            rows: which candidate each row is.
            tokens: of all candidates.
            problems: of all candidates, which are as many for each.
        """
        if not watched:
            return
        n, found = len(tokens) // len(problems), -1
        for i, step in torch.nonzero(torch.stack(watched, 1)).tolist():
            if i == found:
                continue
            row, count = int(rows[i]), done - len(watched) + step + 1
            text = self._text(tokens[row, :count].tolist())
            if any(stop in text for stop in problems[row // n].stop_tokens):
                found = i
                yield i, count

    def _text(self, ids: Tokens) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _eos_ids(self) -> list[int]:
        """The tokenizer's end token, and those that the model's generation config adds."""
        config = getattr(self.model, "generation_config", None)
        more = getattr(config, "eos_token_id", None)
        more = [] if more is None else [more] if isinstance(more, int) else list(more)
        return sorted({self.tokenizer.eos_token_id, *more})

    def _may_end(self, problems: list[Problem], n: int) -> tuple[Tensor, Tensor] | None:
        """Which tokens can complete a stop token: table [S, vocabulary], and each row's line in it [P * n].

        Only after such a token is a row's text decoded and searched.
        """
        kinds = list(dict.fromkeys(p.stop_tokens for p in problems))
        if kinds == [()]:
            return None
        table = torch.stack([self._ending(stops) for stops in kinds]).to(self.model.device)
        line = torch.tensor([kinds.index(p.stop_tokens) for p in problems], device=self.model.device)
        return table, line.repeat_interleave(n)

    def _ending(self, stops: tuple[str, ...]) -> Tensor:
        """`_ends_in`, kept for the next batch; a server's clients have ever other stop tokens."""
        found = self._endings.pop(stops, None)
        self._endings[stops] = self._ends_in(stops) if found is None else found
        if len(self._endings) > _ENDINGS:
            del self._endings[next(iter(self._endings))]
        return self._endings[stops]

    def _ends_in(self, stops: tuple[str, ...]) -> Tensor:
        """[vocabulary]: True for tokens that contain a stop or its rest, or are part of a character."""
        rests = tuple(stop[k:] for stop in stops for k in range(1, len(stop)))
        before = self.tokenizer("a", add_special_tokens=False)[
            "input_ids"
        ]  # some tokenizers strip a leading space
        skip = len(self._text(before))
        size = self.model.get_output_embeddings().weight.shape[0]
        ids = [[*before, i] for i in range(min(size, len(self.tokenizer)))]
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = [
            text[skip:].startswith(rests) or "\ufffd" in text or any(stop in text[skip:] for stop in stops)
            for text in texts
        ]
        return torch.tensor(found + [False] * (size - len(found)))


def _noise(
    seed: int, problem_id: str, n: int, length: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Uniform numbers in [0, 1), [n, length], that depend on nothing but the arguments."""
    digest = hashlib.blake2b(f"{seed}/{problem_id}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    return generator.random((n, length))


def _draw(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Tokens [N] and log-probabilities [N] by inverse transform of uniform [N]; logits are [N, V]."""
    if temperature == 0:
        token = logits.argmax(-1)
        return token, torch.log_softmax(logits, dim=-1).gather(1, token[:, None])[:, 0]
    probabilities = torch.softmax(logits / temperature, dim=-1)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    threshold = uniform[:, None] * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=logits.shape[1] - 1)
    return token[:, 0], probabilities.gather(1, token)[:, 0].log()
