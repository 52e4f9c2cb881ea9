"""A run's candidates and scores by policy and problem: what the viewer's pages are made of."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem
from rewardranker.tables import read_table

PROBLEMS = Path("problems/problems.parquet")
CANDIDATES = Path("evaluate/candidates.parquet")
SCORES = Path("evaluate/scores.parquet")


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

    def values(self, ranker: int | None) -> list[float]:
        """What the candidates are ordered by: a ranker's raw scores, without one the mean log-probability."""
        if ranker is None:
            return [c.mean_logprob for c in self.sampled]
        return [s.raw for s in self.scores[ranker]]

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


def read_attempts(run_dir: Path, temperature: float) -> RunAttempts | None:
    """What `run_dir` kept of its candidates at `temperature`; None when it has not kept any.

    Raises:
        UserError: a table is damaged.
    """
    if not (run_dir / PROBLEMS).exists() or not (run_dir / CANDIDATES).exists():
        return None
    problems = read_table(run_dir / PROBLEMS, Problem)
    candidates = read_table(run_dir / CANDIDATES, EvaluatedCandidate)
    scores = read_table(run_dir / SCORES, ScoredCandidate) if (run_dir / SCORES).exists() else []
    run = group_attempts(problems, candidates, scores, temperature)
    return run if run.policies else None


def group_attempts(
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
    scores: Sequence[ScoredCandidate],
    temperature: float,
) -> RunAttempts:
    """Candidates at `temperature` and greedy ones, with their scores, by policy and problem."""
    sampled: dict[tuple[str, str], list[EvaluatedCandidate]] = defaultdict(list)
    greedy: dict[tuple[str, str], EvaluatedCandidate] = {}
    for c in candidates:
        if math.isclose(c.temperature, temperature):
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
