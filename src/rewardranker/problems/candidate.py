"""`Candidate`: one sampled program for a problem."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["eos", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion that a policy proposed for a problem."""

    problem_id: str
    index: int
    """0 to n - 1 among the candidates of this problem by this policy."""
    text: str
    """The completion, cut before the stop token."""
    logprob_sum: float
    """Sum over its tokens of log p(token) at the temperature it was sampled with (at 1 for greedy), nats."""
    n_tokens: int
    """Tokens that were sampled, the end token included."""
    finish_reason: FinishReason
    """eos: the model ended it; stop: a stop token was reached; length: the token limit was."""
    policy: str
    """Who proposed it: "sft", "sft-longer", "aligned-1", a model's name, ..."""

    @property
    def mean_logprob(self) -> float:
        """Log-probability a token, the baseline that needs no ranker."""
        return self.logprob_sum / max(self.n_tokens, 1)


@dataclass(frozen=True, slots=True)
class ExecutedCandidate:
    """A candidate with what execution said of it: a row of the run directory's candidate tables."""

    problem_id: str
    index: int
    text: str
    logprob_sum: float
    n_tokens: int
    finish_reason: str
    policy: str
    status: str
    strict_status: str
    reason: str

    @property
    def passed(self) -> bool:
        """Right by the strict rule."""
        return self.strict_status == "passed"
