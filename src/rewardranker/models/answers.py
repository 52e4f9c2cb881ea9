"""Candidates for problems from a server; every answer is on disk as soon as it came."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import nan
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.models.upstream import Upstream, UpstreamChoice, UpstreamError
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.extraction import Extracted, chat_question, extract_candidate
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import read_rows


class Answers:
    """What a server gave to each question, in a file of JSON lines that is added to, a choice a line.

    Args:
        path: it may be there from an attempt that was interrupted, even in the middle of a line.

    Raises:
        UserError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, list[UpstreamChoice]] = {}
        self._asked: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)
        for where, row in read_rows(path):
            try:
                self._known.setdefault(row.pop("question"), []).append(UpstreamChoice(**row))
            except (TypeError, KeyError) as e:
                raise UserError(f"{where}: not an answer of a server; move this file away") from e

    def of(self, question: str) -> list[UpstreamChoice]:
        """The choices for `question` so far."""
        self._asked.add(question)
        return self._known.setdefault(question, [])

    def add(self, question: str, choices: Sequence[UpstreamChoice]) -> None:
        """Keep `choices`, and write them."""
        self.of(question).extend(choices)
        lines = (json.dumps({"question": question, **asdict(choice)}) + "\n" for choice in choices)
        self._file.write("".join(lines).encode())
        self._file.flush()

    def close(self, *, done: bool) -> None:
        """Remove the file when `done`, unless it has answers to questions that were not asked this time."""
        self._file.close()
        if (done and self._known.keys() <= self._asked) or not self.path.stat().st_size:
            self.path.unlink()


@dataclass(frozen=True, slots=True)
class Drawn:
    """A candidate that a server proposed."""

    temperature: float
    candidate: Candidate
    whole: bool = False
    """Its text stands for the prompt too: a chat's answer that did not continue it."""


@contextmanager
def kept_answers(out: Path) -> Iterator[Answers]:
    """The answers for what will be written to `out`, kept in a file beside it until the block succeeds."""
    answers = Answers(out.with_name(f"{out.name}.answers.jsonl"))
    done = False
    try:
        yield answers
        done = True
    finally:
        answers.close(done=done)


def sample_remote(
    upstream: Upstream,
    problems: Sequence[Problem],
    answers: Answers,
    *,
    n: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    at_once: int,
    greedy: bool = False,
    chat: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Drawn]:
    """`n` continuations of each prompt, cut at the problem's stop tokens.

    What `answers` has is not asked for. After the first error nothing more is begun; what is under way is
    waited for, and kept.

    Args:
        upstream: the server; closed in the end.
        problems: whose prompts are continued.
        answers: where the server's choices are kept.
        n: candidates a problem.
        temperature: they are sampled at.
        max_new_tokens: of a candidate.
        seed: decides the seeds that are sent, each problem's and candidate's own.
        at_once: problems that are asked for at the same time.
        greedy: one candidate at temperature 0 for each problem, too.
        chat: ask for the program in a chat, and take it out of the answer (`extract_candidate`).
        on_progress: called with the number of candidates as they come, known ones first.

    Raises:
        UpstreamError: with the problem, and where the answers are kept.
    """
    draws = [(p, temperature, n) for p in problems]
    if greedy:
        draws += [(p, 0.0, 1) for p in problems]

    def question(p: Problem, t: float) -> str:
        asked = [upstream.model, p.id, p.prompt, p.stop_tokens, t, max_new_tokens, seed, chat]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    if on_progress is not None:
        on_progress(sum(min(k, len(answers.of(question(p, t)))) for p, t, k in draws))
    asyncio.run(
        _ask_all(
            upstream,
            [(p, t, k, question(p, t)) for p, t, k in draws],
            answers,
            max_new_tokens=max_new_tokens,
            at_once=at_once,
            chat=chat,
            on_progress=on_progress,
        )
    )
    return [
        _drawn(p, t, i, choice, upstream.model, chat)
        for p, t, k in draws
        for i, choice in enumerate(answers.of(question(p, t))[:k])
    ]


async def _ask_all(
    upstream: Upstream,
    draws: Sequence[tuple[Problem, float, int, str]],
    answers: Answers,
    *,
    max_new_tokens: int,
    at_once: int,
    chat: bool,
    on_progress: Callable[[int], None] | None,
) -> None:
    gate = asyncio.Semaphore(at_once)
    failed: list[tuple[str, UpstreamError]] = []

    async def ask(problem: Problem, temperature: float, n: int, question: str) -> None:
        def keep(choices: Sequence[UpstreamChoice]) -> None:
            answers.add(question, choices)
            if on_progress is not None:
                on_progress(len(choices))

        n_known = len(answers.of(question))
        if n_known >= n:
            return
        async with gate:
            if failed:
                return
            try:
                # Those that are known may be any of their request: what is still to come has other seeds.
                seed = int(hashlib.sha256(f"{question}{n_known}".encode()).hexdigest()[:7], 16)
                turn = {"role": "user", "content": chat_question(problem.prompt)}
                ask_for = (
                    partial(upstream.chat, [turn]) if chat else partial(upstream.complete, problem.prompt)
                )
                await ask_for(
                    n=n - n_known,
                    temperature=temperature,
                    max_tokens=max_new_tokens,
                    stop=() if chat else problem.stop_tokens,  # an answer holds prose and other code, too
                    seed=seed,
                    on_choices=keep,
                )
            except UpstreamError as e:
                failed.append((problem.id, e))

    async with upstream:
        await asyncio.gather(*(ask(*draw) for draw in draws))
    if failed:
        problem_id, error = failed[0]
        kept = f"what was answered is kept in {answers.path}: the same command asks only for the rest"
        raise UpstreamError(f"problem {problem_id}: {error}\n{kept}", error.status) from error


def _drawn(
    problem: Problem, temperature: float, index: int, choice: UpstreamChoice, policy: str, chat: bool
) -> Drawn:
    found = extract_candidate(choice.text, problem) if chat else Extracted(problem.truncate(choice.text))
    candidate = Candidate(
        problem_id=problem.id,
        index=index,
        text=found.text,
        logprob_sum=nan if choice.logprob_sum is None else choice.logprob_sum,
        n_tokens=choice.n_tokens or 0,
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        policy=policy,
    )
    return Drawn(temperature, candidate, found.whole)
