"""Which problems the page shows: a few of each kind that says something about the ranker."""

import difflib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem


@dataclass(frozen=True, slots=True)
class Program:
    """A distinct program among one problem's candidates."""

    text: str
    count: int
    """Candidates with this very text."""
    status: str
    reason: str
    stderr: str
    mean_logprob: float
    score: float | None
    """Raw score of the newest ranker; None when no ranker scored this policy."""
    probability: float | None
    first_score: float | None
    """Raw score of ranker 1; None when there is none or no other."""

    @property
    def passed(self) -> bool:
        """Correct by the strict rule."""
        return self.status == "passed"


@dataclass(frozen=True, slots=True)
class Case:
    """One problem with its distinct candidates, best score first."""

    problem: Problem
    programs: tuple[Program, ...]

    @property
    def top(self) -> Program:
        """What the ranker picks (without a ranker: what the log-probability picks)."""
        return self.programs[0]

    @property
    def likeliest(self) -> Program:
        """What the mean log-probability picks."""
        return max(self.programs, key=lambda p: p.mean_logprob)

    @property
    def first_pick(self) -> Program:
        """What ranker 1 picks; the same as `top` when there is no other ranker."""
        return max(self.programs, key=lambda p: -math.inf if p.first_score is None else p.first_score)

    def difference(self) -> list[str]:
        """Diff from a failing pick to the best-scored program that passes; empty without such a pair."""
        passing = next((p for p in self.programs if p.passed), None)
        if self.top.passed or passing is None:
            return []
        before, after = (p.text.rstrip("\n").split("\n") for p in (self.top, passing))
        lines = difflib.unified_diff(before, after, lineterm="", n=99)
        return list(lines)[3:]  # without the file names and the line numbers


KINDS: dict[str, Callable[[Case], bool]] = {
    "The ranker is right where log-probability is wrong": lambda c: c.top.passed and not c.likeliest.passed,
    "Log-probability is right where the ranker is wrong": lambda c: c.likeliest.passed and not c.top.passed,
    "The newest ranker is right where ranker 1 was wrong": lambda c: c.top.passed and not c.first_pick.passed,
    "The pick is wrong though a candidate passes": lambda c: (
        not c.top.passed and any(p.passed for p in c.programs)
    ),
    "No candidate passes": lambda c: not any(p.passed for p in c.programs),
    "The pick is right": lambda c: c.top.passed,
}
"""Title -> whether a case is of that kind, the most telling first; a case is of the first that fits."""


def _programs(
    candidates: Sequence[EvaluatedCandidate],
    scores: Mapping[tuple[int, str, int], ScoredCandidate],
    newest: int | None,
) -> tuple[Program, ...]:
    by_text: dict[str, list[EvaluatedCandidate]] = defaultdict(list)
    for candidate in candidates:
        by_text[candidate.text].append(candidate)
    programs = []
    for text, same in by_text.items():
        first = same[0]
        score = scores.get((newest or 0, first.problem_id, first.index))
        first_score = scores.get((1, first.problem_id, first.index)) if newest != 1 else None
        programs.append(
            Program(
                text=text,
                count=len(same),
                status=first.strict_status,
                reason=first.reason,
                stderr=first.stderr,
                mean_logprob=first.mean_logprob,
                score=score.raw if score else None,
                probability=score.probability if score else None,
                first_score=first_score.raw if first_score else None,
            )
        )
    return tuple(sorted(programs, key=lambda p: p.mean_logprob if p.score is None else p.score, reverse=True))


def choose_cases(
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
    scores: Sequence[ScoredCandidate],
    *,
    policy: str,
    temperature: float,
    count: int,
    seed: int,
) -> dict[str, list[Case]]:
    """`count` problems (or all) with `policy`'s candidates at `temperature`, by kind, drawn with `seed`.

    Kinds take turns, so that a rare one is not crowded out by a common one.
    """
    scored = {(s.ranker, s.problem_id, s.index): s for s in scores if s.policy == policy}
    newest = max((ranker for ranker, _, _ in scored), default=None)
    by_problem: dict[str, list[EvaluatedCandidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=lambda c: c.index):
        if candidate.policy == policy and candidate.temperature == temperature:
            by_problem[candidate.problem_id].append(candidate)
    found: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for problem in Random(seed).sample(problems, len(problems)):
        if problem.id in by_problem:
            case = Case(problem, _programs(by_problem[problem.id], scored, newest))
            found[next(kind for kind, fits in KINDS.items() if fits(case))].append(case)
    chosen: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    left = count
    while left and any(found.values()):
        for kind, cases in found.items():
            if cases and left:
                chosen[kind].append(cases.pop(0))
                left -= 1
    return {kind: cases for kind, cases in chosen.items() if cases}
