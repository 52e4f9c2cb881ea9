"""`Engine`: the thread that owns the models, and the batches that requests share in it.

A model's kernels are chosen by settings of the process (`rewardranker.models.checkpoints`), and a fast
tokenizer takes one caller at a time; so one thread does all that needs either, and requests wait for it in
turn. What waits behind the oldest request and fits into its batch is computed with it.
"""

import threading
from asyncio import wrap_future
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator, Rollout
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.remote_ranker import NoAnswerError, RemoteRanker
from rewardranker.models.scores import Ranker, Score
from rewardranker.models.sequence import SequenceRanker
from rewardranker.models.tokens import CODE_END, Tokens, context_length, encode_chat, encode_prompts, is_chat
from rewardranker.problems.problem import Problem
from rewardranker.serving.errors import RankerAwayError, RankerError

_CHARACTERS = 1 << 14
"""Of prompts and candidates that are scored together, some thousand tokens: more are hardly faster, and who
is in a batch waits for all of it."""
_ROWS = 64
"""Of candidates that are sampled together on a CPU; the keys and values of each take memory."""

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a ranker says of a prompt's completions."""

    scores: list[Score]
    """In the order of the completions."""
    tokens: int | None
    """Of prompt and completions, as the ranker reads them; None: it doesn't tell."""


@dataclass(eq=False, slots=True)
class _Scoring:
    prompt: str
    completions: tuple[str, ...]
    future: "Future[Scored]" = field(default_factory=Future)

    @property
    def size(self) -> int:
        return len(self.prompt) + sum(map(len, self.completions))


@dataclass(eq=False, slots=True)
class _Sampling:
    prompt: str | Messages
    key: str
    stop: tuple[str, ...]
    n: int
    temperature: float
    max_tokens: int
    future: "Future[list[Rollout]]" = field(default_factory=Future)

    @property
    def size(self) -> int:
        return self.n


_Job = _Scoring | _Sampling


def _alike(one: _Job, other: _Job) -> bool:
    """Whether they can be computed together."""
    if isinstance(one, _Scoring) or isinstance(other, _Scoring):
        return type(one) is type(other)
    return (one.n, one.temperature, one.max_tokens) == (other.n, other.temperature, other.max_tokens)


class Engine:
    """Scores and samples for many requests at once, on one thread.

    Awaiting tasks may be cancelled: what has not begun is dropped.

    Args:
        ranker: scores; its methods are called on the thread.
        generator: samples; None: `sample` isn't called.
        on_batch: called after each batch of scores, with the number of candidates in it, on the thread.

    Example:
        engine = Engine(RewardRanker.from_pretrained(Path("runs/demo/1-reward/model")))
        scores = await engine.score("def add(a, b):\\n", ["    return a + b\\n", "    return a - b\\n"])
    """

    def __init__(
        self,
        ranker: Ranker,
        generator: Generator | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.ranker, self._generator, self._on_batch = ranker, generator, on_batch
        self.is_calibrated = ranker.probability(np.zeros(1)) is not None
        """Whether scores come with probabilities."""
        self._rows = 0
        if generator is not None:
            whole = context_length(generator.model)
            self._rows = generator.rows_at_once([Problem("", "", "#", "")], whole)
            if generator.model.device.type != "cuda":
                self._rows = min(self._rows, _ROWS)
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what has been asked for and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    async def score(self, prompt: str, completions: Sequence[str]) -> list[Score]:
        """Scores of the completions of `prompt`, in their order.

        Raises:
            UserError: the ranker can't take this prompt.
        """
        return (await self.scored(prompt, completions)).scores

    async def scored(self, prompt: str, completions: Sequence[str]) -> Scored:
        """As `score`, with the tokens that were read."""
        job = _Scoring(prompt, tuple(completions))
        self._add(job)
        return await wrap_future(job.future)

    async def sample(
        self,
        prompt: str | Messages,
        *,
        key: str,
        n: int,
        temperature: float,
        max_tokens: int,
        stop: Sequence[str],
    ) -> list[Rollout]:
        """Draw `n` continuations of a prompt, or answers to a chat.

        Args:
            prompt: text to continue, or the messages of a chat for the tokenizer's template.
            key: what the draws depend on, beside the prompt.
            n: how many.
            temperature: 0 is greedy, with n = 1.
            max_tokens: of each, at most; the model's context may end it before.
            stop: texts before which a completion is cut.

        Raises:
            UserError: the prompt leaves no room in the model's context, or the template refuses the chat.
        """
        job = _Sampling(prompt, key, tuple(stop), n, temperature, max_tokens)
        self._add(job)
        return await wrap_future(job.future)

    def _add(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._jobs.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while jobs := self._next():
            jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            try:
                self._settle(jobs)
            except Exception as e:
                if len(jobs) == 1 or isinstance(e, RankerAwayError):  # again it would be the same
                    for job in jobs:
                        job.future.set_exception(e)
                else:
                    self._settle_each(jobs)

    def _next(self) -> list[Any]:
        """The oldest job, and those that can be computed with it; none when all is done and closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return []
            first = self._jobs[0]
            room = _CHARACTERS if isinstance(first, _Scoring) else self._rows
            taken: list[_Job] = []
            for job in self._jobs:
                if _alike(first, job) and (job is first or job.size <= room):
                    taken.append(job)
                    room -= job.size
            for job in taken:
                self._jobs.remove(job)
            return taken

    def _settle(self, jobs: Sequence[Any]) -> None:
        if not jobs:
            return
        results = self._scores(jobs) if isinstance(jobs[0], _Scoring) else self._rollouts(jobs)
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)

    def _settle_each(self, jobs: Sequence[Any]) -> None:
        """One of them can't be computed; the others must not suffer for it."""
        for job in jobs:
            try:
                self._settle([job])
            except Exception as e:
                job.future.set_exception(e)

    def _scores(self, jobs: Sequence[_Scoring]) -> list[Scored]:
        prompts = [job.prompt for job in jobs for _ in job.completions]
        try:
            raw = self.ranker.score(prompts, [c for job in jobs for c in job.completions])
        except NoAnswerError as e:
            raise RankerAwayError(str(e)) from e
        except UserError as e:
            if isinstance(self.ranker, RemoteRanker):  # nothing that a client could mend
                raise RankerError(str(e)) from e
            raise
        self._on_batch(len(raw))
        probability = self.ranker.probability(raw)
        known = [None] * len(raw) if probability is None else probability.tolist()
        scores = map(Score, raw.tolist(), known)
        return [Scored([next(scores) for _ in job.completions], self._count(job)) for job in jobs]

    def _count(self, job: _Scoring) -> int | None:
        if not isinstance(self.ranker, RewardRanker | SequenceRanker):
            return None
        return self.ranker.count_tokens(job.prompt, job.completions)

    def _rollouts(self, jobs: Sequence[_Sampling]) -> list[list[Rollout]]:
        assert self._generator is not None
        tokenizer, first = self._generator.tokenizer, jobs[0]
        problems, prompts = [], []
        for job in jobs:
            of_chat = is_chat(tokenizer) and isinstance(job.prompt, str)
            stop = (*job.stop, CODE_END) if of_chat else job.stop
            problems.append(Problem(job.key, "", "", "", stop_tokens=stop))
            prompts.append(self._tokens(job.prompt))
        found: list[list[Rollout]] = [[] for _ in jobs]
        for batch in self._generator.rollouts(
            problems,
            n=first.n,
            temperature=first.temperature,
            max_new_tokens=min(first.max_tokens, context_length(self._generator.model)),
            seed=0,
            batch_size=self._rows,
            prompt_ids=prompts,
        ):
            for rollout in batch:
                found[rollout.problem].append(rollout)
        return [sorted(rollouts, key=lambda r: r.index) for rollouts in found]

    def _tokens(self, prompt: str | Messages) -> Tokens:
        assert self._generator is not None
        tokenizer, context = self._generator.tokenizer, context_length(self._generator.model)
        if isinstance(prompt, str):
            ids = encode_prompts(tokenizer, [prompt])[0]
        else:
            ids = encode_chat(tokenizer, prompt)
        if len(ids) >= context:
            raise UserError(
                f"the prompt has {len(ids)} tokens, the model's context {context}: no room for a completion"
            )
        return ids
