"""`RewardRanker`: a model that scores completions of a prompt, and orders them."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.files import atomic_directory, read_text
from rewardranker.models.checkpoints import (
    check_logits,
    free_memory,
    fused_attention,
    load_checkpoint,
    prefer_fast_kernels,
    seeded,
)
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import completion_logprobs, completion_states
from rewardranker.models.scores import Calibration, Score, ranked
from rewardranker.models.tokens import Tokens, context_length, encode_completions, encode_prompts
from rewardranker.recipe import Head

__all__ = ["Calibration", "RewardRanker", "Score", "model_card"]

_SETTINGS = "rewardranker.json"
_UNCALIBRATED = Calibration()
_TOKENS_AT_ONCE = 2048
"""Of prompts and completions that are scored together: more is slower on a CPU."""
_GPU_TOKENS_AT_ONCE = 1 << 16
"""On a GPU, as far as its memory reaches."""
_MEMORY = 0.5
"""Of a GPU's free memory, for what is scored together."""


def check_head(config: PreTrainedConfig, head: Head) -> None:
    """Refuse a head that no ranker of a generator's architecture can have.

    Raises:
        UserError: the head is linear, and transformers has no sequence classifier of this architecture.
    """
    if head != "likelihood" and type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise UserError(
            f"reward.head is {head!r}, but transformers has no sequence classifier of the type "
            f"{config.model_type!r}; set reward.head to 'likelihood', or give another model"
        )


class RewardRanker:
    """A language model that scores (prompt, completion).

    Args:
        model: a causal language model for head "likelihood"; a sequence classifier with one label whose
            linear head is named `score`, as the decoders of transformers have it, for the others.
        tokenizer: its tokenizer; pad and eos differ.
        head: "likelihood": the score is the mean log-probability of the completion's tokens, end included,
            under the ranker's own weights. "scalar": a linear head on the last token, the end.
            "scalar-mean": the mean of a linear head over the completion's tokens, end included.
        calibration: from training.
    """

    reads_programs = False
    """It scores what follows the prompt."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        head: Head,
        calibration: Calibration = _UNCALIBRATED,
    ) -> None:
        prefer_fast_kernels(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.head = head
        self.calibration = calibration

    @classmethod
    def from_generator(
        cls, generator: Generator, head: Head, seed: int, dtype: torch.dtype = torch.float32
    ) -> "RewardRanker":
        """An untrained ranker with a copy of the generator's weights, on its device.

        A scalar head starts from normal numbers of standard deviation 1 / sqrt(hidden + 1), drawn with
        `seed` (Huang et al. 2024, "The N+ implementation details of RLHF with PPO").

        Args:
            generator: isn't changed.
            dtype: of the weights of a ranker with a scalar head; the others keep the generator's.

        Raises:
            UserError: there is no such head for the generator's architecture.
        """
        if head == "likelihood":
            check_logits(generator.model)
            return cls(copy.deepcopy(generator.model), generator.tokenizer, head)
        config = copy.deepcopy(generator.model.config)
        check_head(config, head)
        config.num_labels = 1
        with seeded(seed), generator.model.device:  # where drawing billions of weights takes no time
            model = AutoModelForSequenceClassification.from_config(config, dtype=dtype)
            torch.nn.init.normal_(model.score.weight, std=(model.score.in_features + 1) ** -0.5)
        model.base_model.load_state_dict(generator.model.base_model.state_dict())
        return cls(model.to(generator.model.device), generator.tokenizer, head)

    @classmethod
    def from_pretrained(cls, path: Path | str, *, dtype: torch.dtype | None = None) -> "RewardRanker":
        """Load what `save` wrote; it computes on the GPU where there is one.

        Args:
            path: the folder.
            dtype: of the weights; None: as the folder has them on a GPU, float32 on a CPU.

        Raises:
            UserError: the folder holds no ranker.
        """
        path = Path(path)
        if not (path / _SETTINGS).is_file():
            raise UserError(
                f"{path}: no ranker here ({_SETTINGS} is missing); `rewardranker train-reward` makes one"
            )
        try:
            settings = json.loads(read_text(path / _SETTINGS))
            head, calibration = settings["head"], Calibration(**settings["calibration"])
        except (json.JSONDecodeError, KeyError, TypeError) as e:
            raise UserError(f"{path / _SETTINGS}: not the settings of a ranker ({e})") from e
        if head not in get_args(Head):
            raise UserError(
                f"{path / _SETTINGS}: head is {head!r}; expected one of {', '.join(get_args(Head))}"
            )
        auto_class = AutoModelForCausalLM if head == "likelihood" else AutoModelForSequenceClassification
        model, tokenizer = load_checkpoint(path, auto_class, dtype)
        check_logits(model)
        return cls(model, tokenizer, head, calibration)

    def save(self, path: Path, report: Mapping[str, Any] | None = None) -> None:
        """Write a Hugging Face model folder with a `rewardranker.json`, atomically; `path` must not exist.

        `report`, as of `train_reward`, is what its model card (README.md) says of it.

        Plain transformers loads it: a scalar ranker as `AutoModelForSequenceClassification`, whose one logit
        for the tokens of prompt + completion + eos (see `rewardranker.models.tokens`) is the raw score.
        """
        with atomic_directory(path) as temporary:
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)
            settings = {"head": self.head, "calibration": asdict(self.calibration)}
            (temporary / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            (temporary / "README.md").write_text(model_card(self, report), encoding="utf-8")

    def copy(self) -> "RewardRanker":
        """The same ranker with weights of its own."""
        return RewardRanker(copy.deepcopy(self.model), self.tokenizer, self.head, self.calibration)

    def forward(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens], owners: Sequence[int]
    ) -> Tensor:
        """Raw scores [N] of N completions (eos included) of P prompts; gradients flow.

        Arguments are those of `rewardranker.models.prefix.completion_logprobs`.
        """
        if self.head == "likelihood":
            logprobs, mask = completion_logprobs(self.model, prompts, completions, owners)
            return logprobs.sum(1) / mask.sum(1)
        states = completion_states(self.model.base_model, prompts, completions, owners)
        return self.pooled(states, [len(row) for row in completions])

    def pooled(self, states: Tensor, lengths: Sequence[int]) -> Tensor:
        """Raw scores [N] from the states [M, D] of `completion_states`, for completions of `lengths`."""
        rows = torch.split(states, [1 + length for length in lengths])
        if self.head == "scalar":
            rows = tuple(row[-1] for row in rows)
        else:
            rows = tuple(row[1:].mean(0) for row in rows)
        # In float32 whatever the model is in: bfloat16 has too few digits to tell candidates apart.
        with torch.autocast(states.device.type, enabled=False):
            scores: Tensor = torch.stack(rows).float() @ self.model.score.weight[0].float()
        return scores

    @torch.inference_mode()
    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        tokens_at_once: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Raw scores [N] of N completions, each of the prompt at the same place.

        A score depends on its own prompt and completion only, to rounding. Repeated pairs are computed once,
        and so are the prompts that completions share.

        A completion that doesn't fit the model's context with its prompt gets -inf, the lowest score there
        is: nothing is ever cut. How many did not fit is said on the terminal.

        Args:
            tokens_at_once: of prompts and completions computed together, at most, unless one alone has more;
                None: what suits the device.
            on_progress: called after each batch with the number of completions it settled.
        """
        places: dict[str, dict[str, list[int]]] = {}
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            places.setdefault(prompt, {}).setdefault(completion, []).append(i)
        prompt_ids = encode_prompts(self.tokenizer, list(places))
        pairs = [(p, text) for p, texts in enumerate(places.values()) for text in texts]
        completion_ids = encode_completions(self.tokenizer, [text for _, text in pairs])
        where = [found for texts in places.values() for found in texts.values()]
        context = context_length(self.model)
        fits = [
            len(prompt_ids[p]) + len(ids) <= context
            for (p, _), ids in zip(pairs, completion_ids, strict=True)
        ]
        scores = np.full(len(prompts), -np.inf)
        if not all(fits):
            left_out = sum(len(found) for found, fit in zip(where, fits, strict=True) if not fit)
            progress.console.print(
                f"  {left_out} of {len(prompts)} completions exceed the ranker's context of {context} tokens "
                "with their prompt: they rank last"
            )
            if on_progress is not None:
                on_progress(left_out)
        if tokens_at_once is None:
            tokens_at_once = self._tokens_at_once()
        order = sorted(
            (k for k in range(len(pairs)) if fits[k]),
            key=lambda k: (len(prompt_ids[pairs[k][0]]), pairs[k][0]),
        )
        with fused_attention(self.model):
            for batch in _batches(order, pairs, prompt_ids, completion_ids, tokens_at_once):
                owners = [pairs[k][0] for k in batch]
                row = {p: i for i, p in enumerate(dict.fromkeys(owners))}
                found_scores = self.forward(
                    [prompt_ids[p] for p in row], [completion_ids[k] for k in batch], [row[p] for p in owners]
                )
                for k, value in zip(batch, found_scores.tolist(), strict=True):
                    scores[where[k]] = value
                if on_progress is not None:
                    on_progress(sum(len(where[k]) for k in batch))
        return scores

    def count_tokens(self, prompt: str, completions: Sequence[str]) -> int:
        """Tokens of a prompt, which is read once for all, and of its completions with their ends."""
        prompts = encode_prompts(self.tokenizer, [prompt])
        return sum(map(len, prompts)) + sum(map(len, encode_completions(self.tokenizer, completions)))

    def _tokens_at_once(self) -> int:
        if self.model.device.type != "cuda":
            return _TOKENS_AT_ONCE
        config = self.model.config.get_text_config()
        hidden = config.hidden_size
        width = 8 * hidden + 4 * (getattr(config, "intermediate_size", None) or 4 * hidden)  # of a layer
        room = _MEMORY * free_memory(self.model.device) / (width * self.model.dtype.itemsize)
        return max(1, min(_GPU_TOKENS_AT_ONCE, int(room)))

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of being right, for raw scores of any shape."""
        return self.calibration.probability(raw)

    def rank(self, prompt: str, completions: Sequence[str]) -> list[tuple[int, Score]]:
        """(index, score) of each completion, best first; equal scores keep their order.

        What doesn't fit the model's context comes last, with a raw score of -inf.
        """
        raw = self.score([prompt] * len(completions), completions)
        return ranked(raw, self.probability(raw))


def _batches(
    order: Sequence[int],
    pairs: Sequence[tuple[int, str]],
    prompts: Sequence[Tokens],
    completions: Sequence[Tokens],
    most: int,
) -> Iterator[list[int]]:
    """`order` in runs of at most `most` tokens, a prompt counted once for its completions in a run."""
    batch: list[int] = []
    tokens = 0
    for k in order:
        prompt = pairs[k][0]
        known = bool(batch) and pairs[batch[-1]][0] == prompt
        more = len(completions[k]) + (0 if known else len(prompts[prompt]))
        if batch and tokens + more > most:
            yield batch
            batch, tokens, more = [], 0, len(completions[k]) + len(prompts[prompt])
        batch.append(k)
        tokens += more
    if batch:
        yield batch


_METRICS = {
    "auc": "AUC, over all pairs of a right and a wrong program of a problem",
    "pairwise_accuracy": "pairwise accuracy, mean over problems",
    "ece": "expected calibration error of the probability, cross-fitted",
}
_READS = {
    "likelihood": "the mean log-probability of the program's tokens, end token included, under this model",
    "scalar": "the one logit at the end token",
    "scalar-mean": "the mean of the one logit over the program's tokens, end token included",
}


def model_card(ranker: RewardRanker, report: Mapping[str, Any] | None = None) -> str:
    """What the folder of a ranker says about itself: Markdown with the front matter of model cards.

    Args:
        ranker: the one in the folder.
        report: of its training, as `train_reward` returns it.
    """
    known = dict(report or {})
    task = "text-generation" if ranker.head == "likelihood" else "text-classification"
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {task}",
        "tags: [reward-model, code, rewardranker]",
        "---",
        "",
        "# A ranker of programs",
        "",
        "It scores a program for a problem: of several programs for the same problem, the one with the",
        f"highest score is most likely right. The raw score is {_READS[ranker.head]}, of the tokens",
        "`[bos, if there is one] + prompt + program + [eos]`, prompt and program tokenised separately.",
        "",
        f"- parameters: {ranker.model.num_parameters():,} ({type(ranker.model).__name__})",
        f"- context: {context_length(ranker.model)} tokens",
        f"- P(right) = sigmoid({ranker.calibration.slope:.6g} * raw + {ranker.calibration.intercept:.6g})",
        "",
    ]
    if known:
        lines += [
            "## Training",
            "",
            f"Bradley-Terry loss on {known['groups']} groups of right and wrong programs of "
            f"{known['train_problems']} problems, {len(known['history'])} epochs.",
            "",
            f"## On {known['validation_problems']} problems held out",
            "",
        ]
        lines += [
            f"- {what}: {known[name]:.3f}" for name, what in _METRICS.items() if known.get(name) is not None
        ]
        if known.get("pairwise_accuracy_ci95"):
            low, high = known["pairwise_accuracy_ci95"]
            lines.append(f"- its 95 % interval over problems: {low:.3f} to {high:.3f}")
        lines.append("")
    lines += [
        "## Use",
        "",
        "```python",
        "from pathlib import Path",
        "from rewardranker.models.ranker import RewardRanker",
        "",
        'RewardRanker.from_pretrained(Path("FOLDER")).rank(prompt, programs)',
        "```",
        "",
    ]
    if ranker.head == "scalar":
        lines += [
            "Plain transformers: `AutoModelForSequenceClassification`, whose `logits[:, 0]` is the score.",
            "",
        ]
    return "\n".join(lines)
