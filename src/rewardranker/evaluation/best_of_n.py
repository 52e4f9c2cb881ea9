"""Best of N: candidates of a problem in the order in which to hand them out, and whether to hand one out."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.execution.pool import execute
from rewardranker.execution.program import Program
from rewardranker.files import encodable
from rewardranker.models.scores import Ranker
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.extraction import Extracted, extract_candidate
from rewardranker.problems.problem import Problem
from rewardranker.problems.syntax import candidate_parses


class Sampler(Protocol):
    """What draws candidates: `Generator`, or anything with this method."""

    def sample(
        self,
        problems: Sequence[Problem],
        *,
        n: int,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        policy: str,
        batch_size: int,
    ) -> list[Candidate]:
        """`n` candidates of each problem."""


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """One candidate, and what is known of it before its tests run."""

    rank: int
    """1 is the best."""
    index: int
    """Its place among those that were given."""
    text: str
    """What follows the problem's prompt; the program without its tests where `whole`."""
    whole: bool
    score: float
    """The ranker's, raw; -inf: it could not read the candidate."""
    probability: float | None
    """That it is right, calibrated; None: the ranker has no calibration."""
    parses: bool | None
    """False: a syntax error, so it ranks after all that parse. None: not judged in this language."""
    visible: bool | None
    """Whether it passes the tests that the problem shows; None: there are none, or they were not run."""

    def program(self, problem: Problem) -> Program:
        """What judges it, for `execute`."""
        return Program.of(problem, self.text, whole=self.whole)


@dataclass(frozen=True, slots=True)
class BestOfN:
    """The candidates of a problem, and the choice among them."""

    choice: RankedCandidate | None
    """The best one; None where it is not sure enough."""
    candidates: tuple[RankedCandidate, ...]
    """All of them, best first."""


def ranking_key(raw: float, parses: bool | None, visible: bool | None = None) -> tuple[bool, bool, float]:
    """Sorts candidates, best first: what fails a check comes after what doesn't, whatever its score."""
    return parses is False, visible is False, -raw


def ranker_input(problem: Problem, text: str, whole: bool, ranker: Ranker) -> str:
    """A candidate as `ranker` reads it: the whole program, or what follows the prompt."""
    return encodable(problem.prompt + text if ranker.reads_programs and not whole else text)


def score_all(
    ranker: Ranker, inputs: Sequence[tuple[str, str]], what: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a ranker says of many candidates; equal ones are scored once.

    Args:
        ranker: any.
        inputs: prompt and `ranker_input` of each.
        what: the progress bar's name; empty: none is shown.

    Returns:
        Raw scores, and calibrated probabilities, NaN without a calibration, of each.
    """
    unique = dict.fromkeys(inputs)
    with progress.task(what, len(unique)) if what else nullcontext() as bar:
        raw = ranker.score(
            [p for p, _ in unique], [t for _, t in unique], on_progress=bar.advance if bar else None
        )
    probability = ranker.probability(raw)
    place = {pair: i for i, pair in enumerate(unique)}
    places = [place[pair] for pair in inputs]
    return raw[places], np.full(len(places), np.nan) if probability is None else probability[places]


def rank_candidates(
    problem: Problem,
    candidates: Sequence[str],
    ranker: Ranker,
    *,
    chat: bool = False,
    visible_tests: bool = False,
    timeout_s: float = 10.0,
) -> list[RankedCandidate]:
    """Candidates best first: those that parse, of these those that pass the visible tests, by their scores.

    Args:
        problem: what they are for.
        candidates: completions of its prompt; untrusted.
        ranker: any; see `rewardranker.models.scores.Ranker`.
        chat: they are a chat's answers, of which the programs are taken (`extract_candidate`).
        visible_tests: run them on the problem's visible tests first, in the sandbox.
        timeout_s: that a program may take for these.

    Raises:
        UserError: tree-sitter's grammars, or a sandbox, are missing; the ranker could not be asked.
    """
    found = [extract_candidate(c, problem) if chat else Extracted(c) for c in candidates]
    visible: list[bool | None] | None = None
    shown = problem.by_visible_tests()
    if visible_tests and shown.has_tests:
        programs = [Program.of(shown, c.text, whole=c.whole) for c in found]
        verdicts = execute(programs, timeout_s=timeout_s)
        visible = [v.passed if v.strict_status not in ("unavailable", "error") else None for v in verdicts]
    return next(iter(rank_all([problem] * len(found), found, ranker, visible=visible).values()), [])


def rank_all(
    problems: Sequence[Problem],
    candidates: Sequence[Extracted],
    ranker: Ranker,
    *,
    visible: Sequence[bool | None] | None = None,
    syntax: bool = True,
    what: str = "",
) -> dict[str, list[RankedCandidate]]:
    """Candidates of many problems, each problem's best first, under the problems' ids.

    Args:
        problems: of each candidate.
        candidates: in any order; `RankedCandidate.index` is the place here.
        ranker: any.
        visible: whether each passes its problem's visible tests.
        syntax: check whether they parse.
        what: see `score_all`.
    """
    parses = [
        candidate_parses(problem, c.text, c.whole) if syntax else None
        for problem, c in zip(problems, candidates, strict=True)
    ]
    inputs = [
        (problem.prompt, ranker_input(problem, c.text, c.whole, ranker))
        for problem, c in zip(problems, candidates, strict=True)
    ]
    raw, probability = score_all(ranker, inputs, what)
    passes = [None] * len(candidates) if visible is None else visible
    groups: dict[str, list[int]] = {}
    for i, problem in enumerate(problems):
        groups.setdefault(problem.id, []).append(i)
    return {
        problem_id: [
            RankedCandidate(
                rank,
                i,
                candidates[i].text,
                candidates[i].whole,
                float(raw[i]),
                None if np.isnan(probability[i]) else float(probability[i]),
                parses[i],
                passes[i],
            )
            for rank, i in enumerate(
                sorted(group, key=lambda i: ranking_key(float(raw[i]), parses[i], passes[i])), 1
            )
        ]
        for problem_id, group in groups.items()
    }


def best_of_n(
    problem: Problem,
    sampler: Sampler,
    ranker: Ranker,
    *,
    n: int = 10,
    temperature: float = 1.0,
    max_new_tokens: int = 512,
    seed: int = 0,
    chat: bool = False,
    visible_tests: bool = False,
    min_confidence: float | None = None,
) -> BestOfN:
    """Sample `n` candidates and choose the best.

    Args:
        problem: what to solve.
        sampler: a `Generator`, or another.
        ranker: any.
        n: how many to sample.
        temperature: of sampling.
        max_new_tokens: of each candidate.
        seed: of sampling.
        chat: see `rank_candidates`.
        visible_tests: see `rank_candidates`.
        min_confidence: no choice is made below this probability of being right, nor of a candidate that does
            not parse or fails a visible test.

    Raises:
        UserError: as `rank_candidates`; or `min_confidence` is given, and the ranker has no calibration.
    """
    drawn = sampler.sample(
        [problem],
        n=n,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
        policy="",
        batch_size=n,
    )
    candidates = rank_candidates(
        problem, [c.text for c in drawn], ranker, chat=chat, visible_tests=visible_tests
    )
    best = candidates[0]
    if min_confidence is not None:
        if best.probability is None:
            raise UserError(
                "min_confidence needs a ranker with a calibration; rewardranker.fit_calibration makes one"
            )
        sure = best.probability >= min_confidence and best.parses is not False and best.visible is not False
        return BestOfN(best if sure else None, tuple(candidates))
    return BestOfN(best, tuple(candidates))
