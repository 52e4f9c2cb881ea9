"""What evaluation keeps of every candidate; `rewardranker.tables` writes these as Parquet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvaluatedCandidate:
    """One candidate of a policy on an evaluation problem, with its verdict.

    Candidates of one (policy, problem, temperature) are numbered 0 to n - 1 by `index`.
    """

    problem_id: str
    policy: str
    """Who proposed it: "sft", "sft-longer", "aligned-1", ..."""
    temperature: float
    """What it was sampled at; 0.0 is greedy."""
    index: int
    text: str
    """The completion. Untrusted."""
    logprob_sum: float
    """As in `rewardranker.problems.candidate.Candidate`, nats."""
    n_tokens: int
    finish_reason: str
    """eos, stop or length."""
    status: str
    """As MultiPL-E would judge it (`rewardranker.execution.verdict.Status`)."""
    strict_status: str
    """As we judge it; what every metric counts."""
    reason: str
    """One line for people; empty when passed."""
    stderr: str
    behaviour: str
    """What the problem's output probe printed; empty when there is none."""

    @property
    def passed(self) -> bool:
        """Correct by the strict rule."""
        return self.strict_status == "passed"

    @property
    def judged(self) -> bool:
        """False when no verdict could be had: the toolchain is missing or the sandbox failed."""
        return self.strict_status not in ("unavailable", "error")

    @property
    def mean_logprob(self) -> float:
        """Log-probability a token, nats."""
        return self.logprob_sum / max(self.n_tokens, 1)


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """What one ranker says of one candidate sampled at the evaluation's main temperature."""

    policy: str
    problem_id: str
    index: int
    ranker: int
    """Iteration of the ranker, from 1."""
    raw: float
    """Comparable among candidates of one problem only."""
    probability: float
    """Calibrated chance that the candidate is correct; NaN: the ranker has no calibration."""
