"""`execute` and `Pool`: many untrusted programs, a few sandboxes.

Example:
    >>> verdicts = execute([Program("python", "assert 1 + 1 == 2"), Program("python", "assert 1 + 1 == 3")])
    >>> [(v.strict_status, v.reason) for v in verdicts]
    [('passed', ''), ('failed', 'AssertionError')]
"""

import hashlib
import os
import selectors
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Self

from rewardranker.execution.backends import NAMESPACES, Sandbox, find_backend
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.judging import not_run
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.program import Program
from rewardranker.execution.selftest import check_isolation
from rewardranker.execution.slot import SlotFailedError
from rewardranker.execution.steps import Run, Steps, judged
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.tests import CallTests

__all__ = ["Pool", "Program", "execute", "run"]

_SLOTS_PER_CORE = 2  # a program that sleeps leaves its core to another slot
_MAX_ATTEMPTS = 3
_MAX_AHEAD = 1000
"""Programs that may be taken from the caller before the oldest of them has its verdict."""
_MAX_KNOWN = 20_000
"""Verdicts kept for programs that come again."""


@dataclass(eq=False)
class _Task:
    """A program that has no verdict yet."""

    program: Program
    language: Language
    identity: bytes
    indices: list[int]
    """Its places among the programs of the call."""
    n_attempts: int = 0
    steps: Steps = field(init=False)


class Pool:
    """Warm sandboxes that run programs side by side.

    Args:
        timeout_s: wall-clock seconds a program may take to run; time it waits for a busy CPU does not count,
            nor does what a compiler takes.
        memory_mb: memory that a program may use: each of its processes and, within 64 MB, all together.
        workers: sandboxes; 0: as many as suit the machine.
        isolation: what kind of sandboxes, as of `backends.find_backend`.

    Raises:
        UserError: this machine can't isolate programs so; nothing is ever run with less than was asked for.

    Example:
        >>> with Pool(timeout_s=1.0) as pool:
        ...     for index, verdict in pool.run([Program("python", "print(6 * 7)")]):
        ...         print(index, verdict.strict_status, verdict.stdout.strip())
        0 passed 42
    """

    def __init__(
        self,
        *,
        timeout_s: float = 3.0,
        memory_mb: int = 512,
        workers: int = 0,
        isolation: str = NAMESPACES,
    ) -> None:
        self._timeout_s, self._memory_mb = timeout_s, memory_mb
        self._size = workers or _SLOTS_PER_CORE * len(os.sched_getaffinity(0))
        self._new_sandbox = find_backend(isolation)
        self._slots: list[Sandbox] = []
        self._fill()
        try:
            check_isolation(self._slots[0])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandboxes and every process in them."""
        while self._slots:
            self._slots.pop().close()

    def run(
        self, programs: Iterable[Program], *, in_order: bool = False
    ) -> Generator[tuple[int, Verdict], None, None]:
        """Run `programs`; yield (index in `programs`, verdict), each index once.

        Verdicts come as programs end, or `in_order`. Programs are taken from the iterable as slots get free,
        and at most 1,000 before the oldest of them has been yielded, so `programs` may be endless.

        Identical programs are run once. A program whose sandbox fails is run again in another, at most twice;
        then its status is "error". One call at a time.
        """
        for slot in [s for s in self._slots if not s.is_alive()]:
            self._discard(slot)
        self._fill()
        work = _Work(programs, self._timeout_s, self._memory_mb)
        idle = list(self._slots)
        running: dict[Sandbox, tuple[_Task, float]] = {}  # with the time at which the slot must have answered
        selector = selectors.DefaultSelector()

        def send(slot: Sandbox, task: _Task, step: Run) -> None:
            running[slot] = task, time.monotonic() + step.request.longest_s
            slot.send(*step)

        try:
            while True:
                yield from work.finished(in_order=in_order)
                while idle and (task := work.next_task()):
                    slot = idle.pop()
                    selector.register(slot, selectors.EVENT_READ)
                    send(slot, task, next(task.steps))
                if not running:
                    yield from work.finished(in_order=in_order)
                    return
                for slot in _answered(selector, running):
                    task, _ = running.pop(slot)
                    try:
                        send(slot, task, task.steps.send(slot.receive()))
                        continue
                    except SlotFailedError as e:
                        work.retry(task, str(e))
                    except StopIteration as end:
                        work.finish(task, replace(end.value, isolation=slot.isolation))
                    selector.unregister(slot)
                    idle.append(self._successor(slot) if slot.is_worn else slot)
        finally:
            selector.close()
            for slot in running:  # the caller stopped in the middle: no late answer may reach the next call
                self._discard(slot)

    def _fill(self) -> None:
        """Start slots until there are as many as there should be."""
        new = []
        try:
            while len(self._slots) < self._size:
                new.append(self._new_sandbox())
                self._slots.append(new[-1])
            for slot in new:
                slot.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _successor(self, slot: Sandbox) -> Sandbox:
        self._discard(slot)
        self._fill()
        return self._slots[-1]

    def _discard(self, slot: Sandbox) -> None:
        self._slots.remove(slot)
        slot.close()


class _Work:
    """The programs of one call: those to come, those that wait, and verdicts not yielded yet."""

    def __init__(self, programs: Iterable[Program], timeout_s: float, memory_mb: int) -> None:
        self._programs: Iterator[Program] = iter(programs)
        self._timeout_s, self._memory_mb = timeout_s, memory_mb
        self._again: deque[_Task] = deque()
        self._open: dict[bytes, _Task] = {}
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._verdicts: dict[int, Verdict] = {}
        self._n_taken = self._n_yielded = 0

    def finished(self, *, in_order: bool) -> Iterator[tuple[int, Verdict]]:
        """The verdicts that may be yielded now."""
        while self._verdicts:
            index = self._n_yielded if in_order else next(iter(self._verdicts))
            if index not in self._verdicts:
                return
            self._n_yielded += 1
            yield index, self._verdicts.pop(index)

    def next_task(self) -> _Task | None:
        """A program that must run; None if there is none now."""
        task = self._again.popleft() if self._again else self._new_task()
        if task is not None:
            task.n_attempts += 1
            limits = task.program.timeout_s or self._timeout_s, task.program.memory_mb or self._memory_mb
            task.steps = judged(task.program, task.language, *limits)
        return task

    def finish(self, task: _Task, verdict: Verdict) -> None:
        del self._open[task.identity]
        self._known[task.identity] = verdict
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        self._verdicts.update(dict.fromkeys(task.indices, verdict))

    def retry(self, task: _Task, why: str) -> None:
        """Run it again, unless that was tried often enough."""
        if task.n_attempts < _MAX_ATTEMPTS:
            self._again.append(task)
        else:
            self.finish(task, not_run("error", f"{why}, {_MAX_ATTEMPTS} times"))

    def _new_task(self) -> _Task | None:
        while self._n_taken - self._n_yielded < _MAX_AHEAD:
            program = next(self._programs, None)
            if program is None:
                return None
            index = self._n_taken
            self._n_taken += 1
            if why := _unavailable(program):
                self._verdicts[index] = not_run("unavailable", why)
                continue
            language = _language(program)
            identity = _identity(program, language)
            if identity in self._open:
                self._open[identity].indices.append(index)
            elif identity in self._known:
                self._verdicts[index] = self._known[identity]
            else:
                self._open[identity] = _Task(program, language, identity, [index])
                return self._open[identity]
        return None


def run(
    programs: Sequence[Program],
    *,
    timeout_s: float = 3.0,
    memory_mb: int = 512,
    workers: int = 0,
    isolation: str = NAMESPACES,
    cache: VerdictCache | None = None,
) -> Generator[tuple[int, Verdict], None, None]:
    """Run `programs` in sandboxes of their own; yield (index, verdict) as they end, each index once.

    Arguments and errors as of `Pool`. Verdicts that `cache` knows come first; the others are added to it.
    """
    waiting = []
    for i, program in enumerate(programs):
        verdict = cache.find(program, timeout_s, memory_mb, isolation) if cache is not None else None
        if verdict is None:
            waiting.append(i)
        else:
            yield i, verdict
    if not waiting:
        return
    with Pool(timeout_s=timeout_s, memory_mb=memory_mb, workers=workers, isolation=isolation) as pool:
        for j, verdict in pool.run([programs[i] for i in waiting]):
            if cache is not None:
                cache.add(programs[waiting[j]], timeout_s, memory_mb, verdict, isolation)
            yield waiting[j], verdict


def execute(
    programs: Sequence[Program],
    *,
    timeout_s: float = 3.0,
    memory_mb: int = 512,
    workers: int = 0,
    isolation: str = NAMESPACES,
    cache: VerdictCache | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """Run `programs` in sandboxes of their own; their verdicts, in order.

    Arguments and errors as of `run`; `on_progress` is called with the number of programs that just ended.
    """
    verdicts: dict[int, Verdict] = {}
    ended = run(
        programs,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        workers=workers,
        isolation=isolation,
        cache=cache,
    )
    with closing(ended):
        for index, verdict in ended:
            verdicts[index] = verdict
            if on_progress is not None:
                on_progress(1)
    return [verdicts[i] for i in range(len(programs))]


def _unavailable(program: Program) -> str:
    """Why `program` can't be run on this machine, and what to do about it; empty if it can."""
    language = find_language(program.language)
    if language is None:
        known = ", ".join(language.name for language in LANGUAGES)
        return f"programs in {program.language!r} can't be run here; known: {known}"
    if isinstance(program.tests, CallTests) and language.run:
        return f"tests by calls are for Python, not {language.name}"
    if missing := language.missing(program.source):
        return f"{language.name} needs {missing[0].name}: {missing[0].install}"
    return ""


def _language(program: Program) -> Language:
    language = find_language(program.language)
    assert language is not None
    return language


def _identity(program: Program, language: Language) -> bytes:
    what = repr(replace(program, language=language.name))
    return hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()


def _answered(selector: selectors.BaseSelector, running: dict[Sandbox, tuple[_Task, float]]) -> list[Sandbox]:
    """Wait for slots that can be received from: those with an answer, and those that hung and were killed."""
    earliest = min(deadline for _, deadline in running.values())
    ready = {key.fileobj for key, _ in selector.select(max(0.0, earliest - time.monotonic()))}
    answered = []
    for slot, (_, deadline) in running.items():
        if slot in ready:
            answered.append(slot)
        elif time.monotonic() > deadline:
            slot.kill()
            answered.append(slot)
    return answered
