"""Candidates and scores of a run or an evaluation, by policy and problem: what the viewer shows."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.selection import Outcome
from rewardranker.problems.problem import Problem
from rewardranker.tables import read_table

PROBLEMS = Path("problems/problems.parquet")
CANDIDATES = Path("evaluate/candidates.parquet")
SCORES = Path("evaluate/scores.parquet")
OUTCOMES = Path("outcomes.parquet")
"""Of an evaluation, whose other tables lie beside it under the same names."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """One policy's candidates of one problem."""

    task: str
    """The problem's (`rewardranker.problems.problem.task_of`): intervals draw its languages together."""
    sampled: tuple[EvaluatedCandidate, ...]
    """At the main temperature, by index."""
    greedy: EvaluatedCandidate | None
    scores: Mapping[int, tuple[ScoredCandidate, ...]]
    """Of each ranker, in the order of `sampled`; a ranker that has not scored all of them is left out."""

    @property
    def newest(self) -> int | None:
        """The newest ranker that scored these; None when there is none."""
        return max(self.scores, default=None)

    @property
    def likelihood(self) -> bool:
        """Whether all have a log-probability; candidates that others sampled may have none."""
        return not any(math.isnan(c.logprob_sum) for c in self.sampled)

    def order(self, ranker: int | None) -> str:
        """What `values` are, for readers."""
        if ranker is not None:
            return f"ranker {ranker}"
        if self.likelihood:
            return "log-prob"
        return "majority" if any(c.behaviour for c in self.sampled) else "same text"

    def values(self, ranker: int | None) -> list[float]:
        """What the candidates are ordered by: a ranker's raw scores, without one the mean log-probability.

        Without that, how many candidates behave alike; where no behaviour is known, have the same text.
        """
        if ranker is not None:
            return [s.raw for s in self.scores[ranker]]
        if self.likelihood:
            return [c.mean_logprob for c in self.sampled]
        behave = any(c.behaviour for c in self.sampled)
        groups = [c.behaviour or f"\0{i}" if behave else c.text for i, c in enumerate(self.sampled)]
        votes = Counter(groups)
        return [float(votes[group]) for group in groups]

    def calibrated(self, ranker: int) -> bool:
        """Whether a ranker that scored these states probabilities."""
        return not math.isnan(self.scores[ranker][0].probability)

    def picked(self, ranker: int | None) -> EvaluatedCandidate:
        """The candidate with the highest value; the first of equals."""
        values = self.values(ranker)
        return self.sampled[max(range(len(values)), key=values.__getitem__)]


@dataclass(frozen=True, slots=True)
class RunAttempts:
    """All policies' candidates on the evaluation problems."""

    problems: tuple[Problem, ...]
    """Those with candidates."""
    policies: Mapping[str, Mapping[str, Attempts]]
    """By policy, in the order of evaluation, and by problem id; only what has samples."""
    outcomes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of an evaluation: how often each selector solves each problem, by its id."""


def is_evaluation(folder: Path) -> bool:
    """Whether `evaluate` wrote this folder; else it is a run's."""
    return (folder / OUTCOMES).is_file()


def read_attempts(run_dir: Path, temperature: float | None) -> RunAttempts | None:
    """What `run_dir`, or an evaluation, kept of its candidates at `temperature`; None when it kept none.

    Args:
        run_dir: of a run or an evaluation.
        temperature: of a run's; of an evaluation all that is not greedy beside others.

    Raises:
        UserError: a table is damaged, or an evaluation has none of its problems.
    """
    if is_evaluation(run_dir):
        return _read_evaluation(run_dir)
    if not (run_dir / PROBLEMS).exists() or not (run_dir / CANDIDATES).exists():
        return None
    problems = read_table(run_dir / PROBLEMS, Problem)
    candidates = read_table(run_dir / CANDIDATES, EvaluatedCandidate)
    scores = read_table(run_dir / SCORES, ScoredCandidate) if (run_dir / SCORES).exists() else []
    run = group_attempts(problems, candidates, scores, temperature)
    return run if run.policies else None


def _read_evaluation(folder: Path) -> RunAttempts:
    problems, candidates, scores = (folder / path.name for path in (PROBLEMS, CANDIDATES, SCORES))
    if not problems.is_file():
        raise UserError(f"{problems}: no such file; write it anew: rewardranker evaluate")
    run = group_attempts(
        read_table(problems, Problem),
        read_table(candidates, EvaluatedCandidate),
        read_table(scores, ScoredCandidate) if scores.is_file() else [],
        None,
    )
    outcomes: dict[str, dict[str, float]] = {}
    for row in read_table(folder / OUTCOMES, Outcome):
        outcomes.setdefault(row.selector, {})[row.problem_id] = row.value
    return replace(run, outcomes=outcomes)


def group_attempts(
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
    scores: Sequence[ScoredCandidate],
    temperature: float | None,
) -> RunAttempts:
    """Candidates at `temperature` and greedy ones, with their scores, by policy and problem.

    Without a temperature, candidates that aren't greedy; all, if all are.
    """
    only_greedy = all(c.temperature == 0 for c in candidates)
    sampled: dict[tuple[str, str], list[EvaluatedCandidate]] = defaultdict(list)
    greedy: dict[tuple[str, str], EvaluatedCandidate] = {}
    for c in candidates:
        chosen = only_greedy or c.temperature != 0
        if chosen if temperature is None else math.isclose(c.temperature, temperature):
            sampled[c.policy, c.problem_id].append(c)
        elif c.temperature == 0:
            greedy[c.policy, c.problem_id] = c
    said: dict[tuple[str, str], dict[int, dict[int, ScoredCandidate]]] = defaultdict(dict)
    for s in scores:
        said[s.policy, s.problem_id].setdefault(s.ranker, {})[s.index] = s
    policies: dict[str, dict[str, Attempts]] = {c.policy: {} for c in candidates}
    tasks = {p.id: p.task for p in problems}
    for key, found in sampled.items():
        found.sort(key=lambda c: c.index)
        scored = {
            ranker: tuple(by_index[c.index] for c in found)
            for ranker, by_index in sorted(said[key].items())
            if all(c.index in by_index for c in found)
        }
        policies[key[0]][key[1]] = Attempts(tasks[key[1]], tuple(found), greedy.get(key), scored)
    known = {problem_id for attempts in policies.values() for problem_id in attempts}
    shown = tuple(p for p in problems if p.id in known)
    return RunAttempts(shown, {name: found for name, found in policies.items() if found})
