"""What rankers say: raw scores, what they mean, and the interface that all rankers share. Needs no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Score:
    """What a ranker says of one completion."""

    raw: float
    """Higher is better; comparable between completions of the same prompt."""
    probability: float | None
    """Calibrated probability that the completion is right; None: the ranker has no calibration."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What raw scores mean, measured when the ranker was trained."""

    slope: float = 1.0
    intercept: float = 0.0
    """P(right) = sigmoid(slope * raw + intercept) (Platt 1999), fitted on validation problems."""
    mean: float = 0.0
    std: float = 1.0
    """Of the raw scores of training candidates; PPO's reward is (raw - mean) / std."""

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of being right, for raw scores of any shape; of -inf it is 0."""
        raw = np.asarray(raw, dtype=np.float64)
        unread = np.isneginf(raw)
        z = self.slope * np.where(unread, 0.0, raw) + self.intercept
        return np.where(unread, 0.0, np.exp(-np.logaddexp(0.0, -z)))


class Ranker(Protocol):
    """Scores completions of a prompt, and orders them.

    `RewardRanker` is one; so are `SequenceRanker`, for scalar reward models of others, and `RemoteRanker`,
    for servers. One of your own needs these members.
    """

    @property
    def reads_programs(self) -> bool:
        """Whether it scores whole programs, as an assistant answers; False: what follows the prompt."""

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Raw scores [N] of N completions, each of the prompt at the same place; -inf: it could not be read.

        Args:
            on_progress: called now and then with the number of completions that are settled.
        """

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Calibrated probability of being right, for raw scores of any shape; None: not calibrated."""

    def rank(self, prompt: str, completions: Sequence[str]) -> list[tuple[int, Score]]:
        """(index, score) of each completion, best first; equal scores keep their order."""


def ranked(raw: NDArray[np.float64], probability: NDArray[np.float64] | None) -> list[tuple[int, Score]]:
    """(index, score) of raw scores [N] and their probabilities, best first; equal ones keep their order."""
    return [
        (int(i), Score(float(raw[i]), None if probability is None else float(probability[i])))
        for i in np.argsort(-raw, kind="stable")
    ]
