"""Best of N: candidates are sampled, what they are worth is found out, and the best come first."""

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from rewardranker.evaluation.best_of_n import ranker_input, ranking_key
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.models.scores import Score
from rewardranker.problems.extraction import Extracted, extract_candidate, extract_program
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem
from rewardranker.problems.syntax import LIMIT_S, candidate_parses
from rewardranker.serving.engine import Engine
from rewardranker.serving.errors import RequestError
from rewardranker.serving.schemas import CandidateReport, ChatRequest, CompletionRequest
from rewardranker.serving.sources import Sample, Sampled, Source
from rewardranker.serving.visible import VisibleTests

_UNRANKED = ("tools", "functions", "logprobs", "top_logprobs", "echo", "audio", "prediction")
"""Fields that ask for something else than texts that can be ranked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample and what was found out about it."""

    sample: Sample
    program: str
    score: Score
    parses: bool | None
    visible: bool | None
    reason: str

    @property
    def place(self) -> tuple[bool, bool, float]:
        """Candidates in this order are the best first."""
        return ranking_key(self.score.raw, self.parses, self.visible)

    def report(self, rank: int) -> CandidateReport:
        """As it is told."""
        fits = math.isfinite(self.score.raw)
        return CandidateReport(
            rank=rank,
            text=self.sample.text,
            program=self.program,
            score=self.score.raw if fits else None,
            probability=self.score.probability,
            parses=self.parses,
            visible=self.visible,
            reason=self.reason,
            finish_reason=self.sample.finish_reason,
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """All candidates, best first."""

    candidates: list[Candidate]
    sampled: Sampled
    winners: int
    """So many of them are the answer."""
    refusal: str | None
    """Why there is no answer; None: there is."""


class BestOf:
    """Answers requests with the best of several candidates.

    Args:
        source: samples them.
        engine: scores them.
        tests: runs the tests that a request shows.
        best_of: candidates, where a request doesn't say.
    """

    def __init__(self, source: Source, engine: Engine, tests: VisibleTests, best_of: int) -> None:
        self.source = source
        self._engine, self._tests, self._best_of = engine, tests, best_of

    async def choose(self, request: ChatRequest | CompletionRequest) -> Chosen:
        """Sample, judge and order.

        Raises:
            RequestError: the request asks for what can't be, or sampling failed.
            UserError: it can't be ranked.
        """
        count = self._count(request)
        problem = self._problem(request)
        judged: list[asyncio.Task[list[Candidate]]] = []
        try:
            async with asyncio.TaskGroup() as group:
                sampled = await self.source.sample(
                    request,
                    count,
                    lambda some: judged.append(group.create_task(self._judged(request, problem, some))),
                )
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        candidates = sorted((c for task in judged for c in task.result()), key=lambda c: c.place)
        return Chosen(candidates, sampled, request.n or 1, _refusal(request, candidates[0]))

    def _count(self, request: ChatRequest | CompletionRequest) -> int:
        """How many candidates; checks the request."""
        for field in _UNRANKED:
            if request.extra.get(field):
                raise RequestError(400, f"{field} can't be had with best-of-N; leave it out", field)
        self.source.check(request)
        if request.min_confidence is not None and not self._engine.is_calibrated:
            raise RequestError(400, "min_confidence needs a ranker with a calibration", "min_confidence")
        wanted, greedy = request.n or 1, request.temperature == 0
        count = request.best_of or (wanted if greedy else max(wanted, self._best_of))
        if count < wanted:
            raise RequestError(400, f"best_of is {count}, less than n, which is {wanted}", "best_of")
        if greedy and count > 1:
            message = (
                "temperature 0 gives one candidate only; leave out n and best_of, or raise the temperature"
            )
            raise RequestError(400, message, "temperature")
        return count

    def _problem(self, request: ChatRequest | CompletionRequest) -> Problem:
        try:
            language = canonical_language(request.language)
        except ValueError as e:
            raise RequestError(400, str(e), "language") from e
        if isinstance(request, CompletionRequest):
            prompt = request.text
        elif request.ranker_prompt is not None:
            prompt = request.ranker_prompt
        else:
            prompt = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
            if not prompt:
                raise RequestError(400, "there is no text of a user to rank candidates for", "messages")
        return Problem("request", language, prompt, request.visible_tests or "")

    async def _judged(
        self, request: ChatRequest | CompletionRequest, problem: Problem, samples: Sequence[Sample]
    ) -> list[Candidate]:
        texts = [sample.text for sample in samples]
        programs = await asyncio.to_thread(self._extracted, request, problem, texts)
        scores, verdicts = await together(
            self._engine.score(
                problem.prompt,
                [ranker_input(problem, e.text, e.whole, self._engine.ranker) for e, _ in programs],
            ),
            self._visible(problem, [e if parses is not False else None for e, parses in programs]),
        )
        return [
            Candidate(sample, program.text, score, parses, _passed(v), _reason(parses, v))
            for sample, (program, parses), score, v in zip(samples, programs, scores, verdicts, strict=True)
        ]

    def _extracted(
        self, request: ChatRequest | CompletionRequest, problem: Problem, texts: Sequence[str]
    ) -> list[tuple[Extracted, bool | None]]:
        """Each text's program, and whether it parses."""
        if self.source.continues(request):
            found = [Extracted(text) for text in texts]
        elif isinstance(request, ChatRequest) and request.ranker_prompt is not None:
            found = [extract_candidate(text, problem) for text in texts]
        else:
            found = [Extracted(extract_program(text, problem.language), whole=True) for text in texts]
        deadline = time.monotonic() + LIMIT_S
        return [(e, candidate_parses(problem, e.text, e.whole, deadline=deadline)) for e in found]

    async def _visible(self, problem: Problem, programs: Sequence[Extracted | None]) -> list[Verdict | None]:
        """What the visible tests say of each program; None: not run."""
        if not problem.tests:
            return [None] * len(programs)
        wanted = [Program(problem.language, e.program(problem)) for e in programs if e is not None]
        verdicts = iter(await self._tests.run(wanted))
        return [None if e is None else next(verdicts) for e in programs]


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of all; the first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _passed(verdict: Verdict | None) -> bool | None:
    if verdict is None or verdict.strict_status in ("unavailable", "error"):
        return None
    return verdict.passed


def _reason(parses: bool | None, verdict: Verdict | None) -> str:
    if parses is False:
        return "it does not parse"
    if _passed(verdict) is False and verdict is not None:
        return f"visible tests: {verdict.reason}"
    return ""


def _refusal(request: ChatRequest | CompletionRequest, best: Candidate) -> str | None:
    least, probability = request.min_confidence, best.score.probability
    if least is None or probability is None:
        return None
    if best.reason:
        return f"no candidate will do; of the best one: {best.reason}"
    if probability >= least:
        return None
    return (
        f"the best candidate is right with probability {probability:.2f}, less than min_confidence {least:g}"
    )
