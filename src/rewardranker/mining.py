"""From executed candidates to preference groups: initial, hard negatives, new positives, and their controls.

Paper, stage D: the aligned policy samples the training problems again, everything is executed, and what the
current ranker scores high but fails (hard negatives) joins the training data, in the full variant together
with the new passing programs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.preference import WRONG, KnownPrograms, PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Mining, Variant


@dataclass(frozen=True, slots=True)
class MinedProgram:
    """One program that mining added, with where it came from: a row of mined.parquet."""

    problem_id: str
    text: str
    kind: Literal["hard negative", "random negative", "new positive"]
    policy: str
    """Who sampled it."""
    index: int
    """Which of that policy's candidates it was."""
    score: float
    """What the current ranker gave it."""
    rank: int
    """Its place, from 1, among its problem's distinct candidates by that score."""
    reason: str
    """Why it failed; empty for positives."""


@dataclass(frozen=True, slots=True)
class _Scored:
    candidate: ExecutedCandidate
    score: float
    rank: int


_Sides: TypeAlias = tuple[Problem, list[_Scored], list[_Scored]]


def solved_and_failed(candidates: Iterable[ExecutedCandidate]) -> set[str]:
    """Problems with a candidate that passed and one that failed."""
    passed, failed = set(), set()
    for c in candidates:
        if c.passed:
            passed.add(c.problem_id)
        elif c.strict_status in WRONG:
            failed.add(c.problem_id)
    return passed & failed


def initial_groups(
    problems: Sequence[Problem], candidates: Sequence[ExecutedCandidate]
) -> list[PreferenceGroup]:
    """One group for each problem that has a program that passed and one that failed.

    A problem's reference program counts among those that passed.
    """
    known = _known(problems, candidates)
    return [
        known[p.id].group(p.id, p.prompt, "initial")
        for p in problems
        if known[p.id].passed and known[p.id].failed
    ]


def mine(
    problems: Sequence[Problem],
    earlier: Sequence[ExecutedCandidate],
    sampled: Sequence[ExecutedCandidate],
    scores: Sequence[float],
    config: Mining,
    *,
    variant: Variant,
    source: str,
    seed: int,
) -> tuple[list[PreferenceGroup], list[MinedProgram]]:
    """Groups to add to the ranker's training data, and the programs in them that are new.

    A failed candidate is a **hard negative** when the current ranker scores it high: with threshold "rank",
    when it is among the `config.top` best-scored distinct candidates of its problem; with "passing", when it
    scores at least what some passing candidate of its problem does. What each variant adds, a problem:

    - hardnegatives: hard negatives, against the passing programs known before;
    - random: as many failures, drawn uniformly from all that were sampled, against the same;
    - mix: as many failures, the better-scored half of the hard ones and a draw from the others;
    - selftraining: hard negatives against new passing programs (those known before where there are none;
      failures known before where nothing failed now);
    - fresh: like selftraining with failures drawn uniformly; with samples of the SFT policy in place of the
      aligned policy's it is the control for "just more samples".

    With `config.match` all variants add the same number of groups, as many as the poorest of them could,
    drawn at random, so that they can be compared. (hardnegatives and random have the same problems by
    construction.)

    Args:
        problems: the problems that were sampled.
        earlier: all executed candidates known before.
        sampled: the new executed candidates.
        scores: the current ranker's raw score of each of `sampled`.
        config: thresholds and caps.
        variant: what to add.
        source: name of the groups' source, such as "selftraining-1".
        seed: decides every random draw.
    """
    known = _known(problems, earlier)
    for c in sampled:
        if c.passed:
            known[c.problem_id].failed.pop(c.text, None)
    ranked = _ranked(sampled, scores)
    rng = Random(seed)
    plain: list[_Sides] = []  # problem, hard negatives, random negatives (or a mix)
    full: list[_Sides] = []  # problem, new positives, negatives
    for problem in problems:
        before, now = known[problem.id], ranked.get(problem.id, [])
        failed = [s for s in now if not s.candidate.passed and s.candidate.text not in before]
        hard = [s for s in failed if _is_hard(s, now, config)][: config.max_per_side]
        chance = rng.sample(failed, len(hard))
        if variant == "mix":
            kept = hard[: _half(hard)]
            chance = kept + rng.sample([s for s in failed if s not in kept], len(hard) - len(kept))
        positives = [s for s in now if s.candidate.passed and s.candidate.text not in before]
        positives = rng.sample(positives, min(len(positives), config.max_per_side))
        if hard and before.passed:
            plain.append((problem, hard, chance))
        negatives = chance if variant == "fresh" else hard
        if (positives or before.passed) and (negatives or before.failed) and (positives or negatives):
            full.append((problem, positives, negatives))
    size = min(len(plain), len(full)) if config.match else max(len(plain), len(full))
    groups: list[PreferenceGroup] = []
    mined: list[MinedProgram] = []
    if variant in ("selftraining", "fresh"):
        kind: Literal["hard negative", "random negative"] = (
            "random negative" if variant == "fresh" else "hard negative"
        )
        for problem, positives, negatives in _draw(full, size, rng):
            before = known[problem.id]
            chosen = _sources(positives) or before.passed
            rejected = _sources(negatives) or before.failed
            groups.append(_group(problem, chosen, rejected, source))
            mined += _mined(positives, "new positive") + _mined(negatives, kind)
    else:
        for problem, hard, chance in _draw(plain, size, rng):
            negatives = hard if variant == "hardnegatives" else chance
            groups.append(_group(problem, known[problem.id].passed, _sources(negatives), source))
            hard_ones = {"hardnegatives": len(negatives), "mix": _half(negatives)}.get(variant, 0)
            mined += _mined(negatives[:hard_ones], "hard negative")
            mined += _mined(negatives[hard_ones:], "random negative")
    return groups, mined


def _half(programs: Sequence[_Scored]) -> int:
    return (len(programs) + 1) // 2


def _is_hard(scored: _Scored, of_problem: Sequence[_Scored], config: Mining) -> bool:
    if config.threshold == "rank":
        return scored.rank <= config.top
    passing = [s.score for s in of_problem if s.candidate.passed]
    return bool(passing) and scored.score >= min(passing)


def _known(
    problems: Iterable[Problem], candidates: Iterable[ExecutedCandidate]
) -> Mapping[str, KnownPrograms]:
    known: dict[str, KnownPrograms] = defaultdict(KnownPrograms)
    for problem in problems:
        if problem.reference is not None:
            known[problem.id].add(problem.reference, "passed", "reference")
    for c in candidates:
        known[c.problem_id].add(c.text, c.strict_status, c.policy)
    return known


def _ranked(candidates: Sequence[ExecutedCandidate], scores: Sequence[float]) -> dict[str, list[_Scored]]:
    """The distinct candidates of each problem, best score first."""
    distinct: dict[str, dict[str, tuple[ExecutedCandidate, float]]] = defaultdict(dict)
    for candidate, score in zip(candidates, scores, strict=True):
        if candidate.passed or candidate.strict_status in WRONG:
            distinct[candidate.problem_id].setdefault(candidate.text, (candidate, score))
    return {
        problem_id: [
            _Scored(candidate, score, rank)
            for rank, (candidate, score) in enumerate(sorted(found.values(), key=lambda pair: -pair[1]), 1)
        ]
        for problem_id, found in distinct.items()
    }


def _group(
    problem: Problem, chosen: Mapping[str, str], rejected: Mapping[str, str], source: str
) -> PreferenceGroup:
    return PreferenceGroup(
        problem_id=problem.id,
        prompt=problem.prompt,
        chosen=tuple(chosen),
        rejected=tuple(rejected),
        chosen_sources=tuple(chosen.values()),
        rejected_sources=tuple(rejected.values()),
        source=source,
    )


def _sources(programs: Sequence[_Scored]) -> dict[str, str]:
    return {s.candidate.text: s.candidate.policy for s in programs}


def _mined(
    programs: Sequence[_Scored], kind: Literal["hard negative", "random negative", "new positive"]
) -> list[MinedProgram]:
    return [
        MinedProgram(
            problem_id=s.candidate.problem_id,
            text=s.candidate.text,
            kind=kind,
            policy=s.candidate.policy,
            index=s.candidate.index,
            score=s.score,
            rank=s.rank,
            reason=s.candidate.reason,
        )
        for s in programs
    ]


def _draw(groups: list[_Sides], size: int, rng: Random) -> list[_Sides]:
    """At most `size` of `groups`, drawn at random, in their order."""
    return [groups[i] for i in sorted(rng.sample(range(len(groups)), min(size, len(groups))))]
