"""What evaluation keeps of every candidate: its own, which `rewardranker.tables` writes, or a file's."""

from dataclasses import dataclass
from typing import Literal

from rewardranker.execution.program import Program
from rewardranker.problems.problem import Problem


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
    whole: bool = False
    """`text` stands for the problem's prompt too."""
    failed_test: int | None = None
    """The first test that it failed, from 0, where tests are judged from outside."""

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
    """Comparable among candidates of one problem only; -inf: the ranker could not read it."""
    probability: float
    """Calibrated chance that the candidate is correct; NaN: the ranker is not calibrated."""


@dataclass(frozen=True, slots=True)
class ExistingCandidate:
    """One candidate and what its file says of it."""

    problem_id: str
    index: int
    """0 to n - 1 among its problem's, in the order of the file."""
    text: str
    """The completion; the program without its tests where `whole`. Untrusted."""
    whole: bool = False
    label: str = ""
    """The status that the file gives: passed, failed, syntax_error, timeout, ...; empty: none."""
    policy: str = ""
    temperature: float | None = None
    """What it was sampled at; 0: greedy; None: not known."""
    logprob_sum: float | None = None
    n_tokens: int = 0
    score: float | None = None
    """A ranker's, as `rewardranker rank` writes it; higher is better."""
    probability: float | None = None
    """Likewise, calibrated."""

    def program(self, problem: Problem, judge: Literal["inside", "outside"] = "inside") -> Program:
        """What judges it by the tests of `problem`; see `Program.of`."""
        return Program.of(problem, self.text, judge, whole=self.whole)
