"""`SequenceRanker`: a scalar reward model that somebody else trained, as a ranker."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jinja2 import TemplateError
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.models.checkpoints import fused_attention, load_checkpoint, prefer_fast_kernels
from rewardranker.models.scores import Calibration, Score, ranked
from rewardranker.models.tokens import Tokens, context_length, encode_whole_chat, pad_right

_TOKENS_AT_ONCE = 2048
_GPU_TOKENS_AT_ONCE = 1 << 15


class SequenceRanker:
    """Any sequence classifier with one label: Skywork-Reward, CodeScaler, Themis, ...; AceCodeRM, too.

    It is shown what those are trained on: a chat whose user asks the prompt and whose assistant answers the
    program, by the tokenizer's chat template; without a template the pair (prompt, completion), as the
    tokenizer joins pairs. What they spell stays text: a program can't begin another turn. The score is the
    one logit of the last token, as it is: no activation.

    Args:
        model: with one label.
        tokenizer: its tokenizer.
        calibration: what its scores mean, see `rewardranker.fit_calibration`; None: not known.
        bias: added to the logit.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        calibration: Calibration | None = None,
        bias: float = 0.0,
    ) -> None:
        prefer_fast_kernels(model)
        self._bias = bias
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.calibration = calibration

    @classmethod
    def from_pretrained(
        cls, path: Path | str, *, dtype: torch.dtype | None = None, calibration: Calibration | None = None
    ) -> "SequenceRanker":
        """Load a local Hugging Face folder; it computes on the GPU where there is one.

        Args:
            path: the folder.
            dtype: of the weights; None: as the folder has them on a GPU, float32 on a CPU.
            calibration: what its scores mean; None: not known.

        Raises:
            UserError: the folder holds no sequence classifier, or one with several labels.
        """
        folder = Path(path)
        # AceCodeRM's head has another name, and a bias, which sequence classifiers have no place for.
        bias = _value_head_bias(folder)
        ace = {} if bias is None else {"num_labels": 1, "key_mapping": {r"^v_head\.summary\.": "score."}}
        model, tokenizer = load_checkpoint(folder, AutoModelForSequenceClassification, dtype, **ace)
        if model.config.num_labels != 1:
            raise UserError(f"{path}: has {model.config.num_labels} labels; a ranker has one, its score")
        return cls(model, tokenizer, calibration, bias or 0.0)

    @property
    def reads_programs(self) -> bool:
        """Whether the model is shown a chat, whose answer is a whole program."""
        return self.tokenizer.chat_template is not None

    @torch.inference_mode()
    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Raw scores [N]; see `rewardranker.models.scores.Ranker`.

        What doesn't fit the model's context gets -inf, and is said on the terminal: nothing is cut.

        Raises:
            UserError: the chat template refuses a chat of a user's and an assistant's turn.
        """
        pairs = list(dict.fromkeys(zip(prompts, completions, strict=True)))
        tokens = [self._tokens(prompt, completion) for prompt, completion in pairs]
        context = context_length(self.model)
        order = sorted(
            (k for k, ids in enumerate(tokens) if len(ids) <= context), key=lambda k: len(tokens[k])
        )
        if len(order) < len(pairs):
            progress.console.print(
                f"  {len(pairs) - len(order)} of {len(pairs)} pairs exceed the ranker's context of {context} "
                "tokens: they rank last"
            )
        found = dict.fromkeys(pairs, -np.inf)
        with fused_attention(self.model):
            for batch in self._batches(order, tokens):
                ids, mask = pad_right(
                    [tokens[k] for k in batch], self.tokenizer.pad_token_id, self.model.device
                )
                logits = self.model(input_ids=ids, attention_mask=mask).logits[:, 0].double().tolist()
                found.update((pairs[k], logit + self._bias) for k, logit in zip(batch, logits, strict=True))
                if on_progress is not None:
                    on_progress(len(batch))
        if on_progress is not None:
            on_progress(len(prompts) - len(order))  # those that don't fit, and the repeated ones
        return np.array([found[pair] for pair in zip(prompts, completions, strict=True)])

    def count_tokens(self, prompt: str, completions: Sequence[str]) -> int:
        """Tokens of a prompt and its completions, the prompt's once for each."""
        return sum(len(self._tokens(prompt, completion)) for completion in completions)

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Calibrated probability of being right, for raw scores of any shape; None: not calibrated."""
        return None if self.calibration is None else self.calibration.probability(raw)

    def rank(self, prompt: str, completions: Sequence[str]) -> list[tuple[int, Score]]:
        """(index, score) of each completion, best first; equal scores keep their order."""
        raw = self.score([prompt] * len(completions), completions)
        return ranked(raw, self.probability(raw))

    def _tokens(self, prompt: str, completion: str) -> Tokens:
        if not self.reads_programs:
            return list(self.tokenizer(prompt, completion, split_special_tokens=True)["input_ids"])
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        try:
            return encode_whole_chat(self.tokenizer, chat)
        except TemplateError as e:
            raise UserError(
                f"{self.tokenizer.name_or_path}: the chat template refuses a question and an answer: {e}"
            ) from e

    def _batches(self, order: Sequence[int], tokens: Sequence[Tokens]) -> list[list[int]]:
        """`order`, which is by length, in runs that are padded to at most so many tokens."""
        most = _GPU_TOKENS_AT_ONCE if self.model.device.type == "cuda" else _TOKENS_AT_ONCE
        batches: list[list[int]] = []
        for k in order:
            if not batches or (len(batches[-1]) + 1) * len(tokens[k]) > most:
                batches.append([])
            batches[-1].append(k)
        return batches


def _value_head_bias(folder: Path) -> float | None:
    """The bias of a head called v_head.summary, as in AceCoder and older trl; None: there is none."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as tensors:
                if "v_head.summary.bias" in tensors.keys():  # noqa: SIM118 - not a mapping
                    return float(tensors.get_tensor("v_head.summary.bias"))
        except SafetensorError as e:
            raise UserError(f"{file}: not readable as weights ({e}); a git-lfs pointer, or cut off?") from e
    return None
