"""`RewardRanker`: a model that scores completions of a prompt, and orders them."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewardranker.errors import UserError
from rewardranker.files import atomic_directory, read_text
from rewardranker.models.checkpoints import load_checkpoint, prefer_fast_kernels
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import completion_logprobs, completion_states
from rewardranker.models.tokens import Tokens, context_length, encode_completions, encode_prompts
from rewardranker.recipe import Head

_SETTINGS = "rewardranker.json"


@dataclass(frozen=True, slots=True)
class Score:
    """What a ranker says of one completion."""

    raw: float
    """Higher is better; comparable between completions of the same prompt."""
    probability: float
    """Calibrated probability that the completion is right."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What raw scores mean, measured when the ranker was trained."""

    slope: float = 1.0
    intercept: float = 0.0
    """P(right) = sigmoid(slope * raw + intercept) (Platt 1999), fitted on validation problems."""
    mean: float = 0.0
    std: float = 1.0
    """Of the raw scores of training candidates; PPO's reward is (raw - mean) / std."""


class RewardRanker:
    """A language model that scores (prompt, completion).

    Args:
        model: a causal language model for head "likelihood"; a sequence classifier with one label whose
            linear head is named `score`, as the decoders of transformers have it, for "scalar".
        tokenizer: its tokenizer; pad and eos differ.
        head: "likelihood": the score is the mean log-probability of the completion's tokens, end included,
            under the ranker's own weights. "scalar": a linear head on the last token, the end.
        calibration: from training.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        head: Head,
        calibration: Calibration = Calibration(),
    ) -> None:
        prefer_fast_kernels(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.head = head
        self.calibration = calibration

    @classmethod
    def from_generator(cls, generator: Generator, head: Head, seed: int) -> "RewardRanker":
        """An untrained ranker with a copy of the generator's weights.

        A scalar head starts from normal numbers of standard deviation 1 / sqrt(hidden + 1), drawn with
        `seed` (Huang et al. 2024, "The N+ implementation details of RLHF with PPO").
        """
        if head == "likelihood":
            return cls(copy.deepcopy(generator.model), generator.tokenizer, head)
        config = copy.deepcopy(generator.model.config)
        config.num_labels = 1
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
            torch.nn.init.normal_(model.score.weight, std=(model.score.in_features + 1) ** -0.5)
        model.base_model.load_state_dict(generator.model.base_model.state_dict())
        return cls(model.to(generator.model.device), generator.tokenizer, head)

    @classmethod
    def from_pretrained(cls, path: Path) -> "RewardRanker":
        """Load what `save` wrote.

        Raises:
            UserError: the folder holds no ranker.
        """
        if not (path / _SETTINGS).is_file():
            raise UserError(
                f"{path}: no ranker here ({_SETTINGS} is missing); `rewardranker train-reward` makes one"
            )
        try:
            settings = json.loads(read_text(path / _SETTINGS))
            head, calibration = settings["head"], Calibration(**settings["calibration"])
        except (json.JSONDecodeError, KeyError, TypeError) as e:
            raise UserError(f"{path / _SETTINGS}: not the settings of a ranker ({e})") from e
        classes = {"likelihood": AutoModelForCausalLM, "scalar": AutoModelForSequenceClassification}
        if head not in classes:
            raise UserError(f"{path / _SETTINGS}: head is {head!r}; expected one of {', '.join(classes)}")
        return cls(*load_checkpoint(path, classes[head]), head, calibration)

    def save(self, path: Path) -> None:
        """Write a Hugging Face model folder with a `rewardranker.json`, atomically; `path` must not exist.

        Plain transformers loads it: a scalar ranker as `AutoModelForSequenceClassification`, whose one logit
        for the tokens of prompt + completion + eos (see `rewardranker.models.tokens`) is the raw score.
        """
        with atomic_directory(path) as temporary:
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)
            settings = {"head": self.head, "calibration": asdict(self.calibration)}
            (temporary / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def copy(self) -> "RewardRanker":
        """The same ranker with weights of its own."""
        return RewardRanker(copy.deepcopy(self.model), self.tokenizer, self.head, self.calibration)

    def forward(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens], owners: Sequence[int]
    ) -> Tensor:
        """Raw scores [N] of N completions (eos included) of P prompts; gradients flow.

        Arguments are those of `rewardranker.models.tokens.completion_logprobs`.
        """
        lengths = torch.tensor([len(row) for row in completions], device=self.model.device)
        if self.head == "likelihood":
            logprobs, _ = completion_logprobs(self.model, prompts, completions, owners)
            return logprobs.sum(1) / lengths
        states = completion_states(self.model.base_model, prompts, completions, owners)
        last = (lengths + 1).cumsum(0) - 1
        scores: Tensor = self.model.score(states[last])[:, 0].float()
        return scores

    @torch.inference_mode()
    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        batch_size: int = 256,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Raw scores [N] of N completions, each of the prompt at the same place.

        A score depends on its own prompt and completion only, to rounding. Repeated pairs are computed once,
        and so are the prompts that completions share.

        Args:
            batch_size: completions computed together.
            on_progress: called after each batch with the number of completions it settled.

        Raises:
            UserError: a completion doesn't fit the model's context with its prompt: nothing is cut.
        """
        places: dict[str, dict[str, list[int]]] = {}
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            places.setdefault(prompt, {}).setdefault(completion, []).append(i)
        prompt_ids = encode_prompts(self.tokenizer, list(places))
        pairs = [(p, text) for p, texts in enumerate(places.values()) for text in texts]
        completion_ids = encode_completions(self.tokenizer, [text for _, text in pairs])
        where = [found for texts in places.values() for found in texts.values()]
        context = context_length(self.model)
        for (p, _), ids, found in zip(pairs, completion_ids, where, strict=True):
            if len(prompt_ids[p]) + len(ids) > context:
                raise UserError(
                    f"completion {found[0] + 1} of {len(prompts)}: {len(prompt_ids[p])} tokens of prompt and "
                    f"{len(ids)} of completion exceed the ranker's context of {context}; leave it out"
                )
        order = sorted(range(len(pairs)), key=lambda k: (len(prompt_ids[pairs[k][0]]), pairs[k][0]))
        scores = np.empty(len(prompts))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
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

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of being right, for raw scores of any shape."""
        z = self.calibration.slope * np.asarray(raw, dtype=np.float64) + self.calibration.intercept
        return np.asarray(np.exp(-np.logaddexp(0.0, -z)))

    def rank(self, prompt: str, completions: Sequence[str]) -> list[tuple[int, Score]]:
        """(index, score) of each completion, best first; equal scores keep their order.

        Raises:
            UserError: a completion doesn't fit the model's context.
        """
        raw = self.score([prompt] * len(completions), completions)
        probability = self.probability(raw)
        order = sorted(range(len(raw)), key=lambda i: -raw[i])
        return [(i, Score(float(raw[i]), float(probability[i]))) for i in order]
