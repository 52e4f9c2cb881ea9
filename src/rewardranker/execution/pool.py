"""`execute` and `Pool`: many untrusted programs, a few sandboxes.

Example:
    >>> verdicts = execute([Program("python", "assert 1 + 1 == 2"), Program("python", "assert 1 + 1 == 3")])
    >>> [(v.strict_status, v.reason) for v in verdicts]
    [('passed', ''), ('failed', 'AssertionError')]
"""

import os
import secrets
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Self

from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.judging import judge, not_run
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.program import Program
from rewardranker.execution.sandbox.server import Job
from rewardranker.execution.selftest import check_isolation
from rewardranker.execution.slot import Slot, SlotFailedError, longest_s
from rewardranker.execution.verdict import Verdict

__all__ = ["Pool", "Program", "execute", "run"]

_SLOTS_PER_CORE = 2  # a program that sleeps leaves its core to another slot
_MAX_ATTEMPTS = 3


class Pool:
    """Warm sandboxes that run programs side by side.

    Args:
        timeout_s: wall-clock seconds a program may take to run; time it waits for a busy CPU does not count,
            nor does what a compiler takes.
        memory_mb: memory that each process of a program may use.
        workers: sandboxes; 0: as many as suit the machine.

    Raises:
        UserError: this machine can't isolate programs; nothing is ever run without isolation.

    Example:
        >>> with Pool(timeout_s=1.0) as pool:
        ...     for index, verdict in pool.run([Program("python", "print(6 * 7)")]):
        ...         print(index, verdict.strict_status, verdict.stdout.strip())
        0 passed 42
    """

    def __init__(self, *, timeout_s: float = 3.0, memory_mb: int = 512, workers: int = 0) -> None:
        self._timeout_s, self._memory_mb = timeout_s, memory_mb
        self._size = workers or _SLOTS_PER_CORE * len(os.sched_getaffinity(0))
        self._slots: list[Slot] = []
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

    def run(self, programs: Sequence[Program]) -> Iterator[tuple[int, Verdict]]:
        """Run `programs`; yield (index in `programs`, verdict) as they end, each index once.

        Identical programs are run once. A program whose sandbox fails is run again in another, at most twice;
        then its status is "error". One call at a time.
        """
        positions: dict[Program, list[int]] = {}
        for i, program in enumerate(programs):
            language = find_language(program.language)
            name = language.name if language else program.language
            positions.setdefault(Program(name, program.source), []).append(i)
        waiting: deque[Program] = deque()
        for program, indices in positions.items():
            if why := _unavailable(program):
                yield from ((i, not_run("unavailable", why)) for i in indices)
            else:
                waiting.append(program)
        for program, verdict in self._run_distinct(waiting):
            yield from ((i, verdict) for i in positions[program])

    def _run_distinct(self, waiting: deque[Program]) -> Iterator[tuple[Program, Verdict]]:
        for slot in [s for s in self._slots if not s.is_alive()]:
            self._discard(slot)
        self._fill()
        attempts: Counter[Program] = Counter()
        idle = list(self._slots)
        running: dict[Slot, tuple[Program, float]] = {}  # with the time at which the slot must have answered
        selector = selectors.DefaultSelector()
        try:
            while waiting or running:
                while waiting and idle:
                    slot, program = idle.pop(), waiting.popleft()
                    attempts[program] += 1
                    language = _language(program)
                    longest = longest_s(self._timeout_s, builds=bool(language.build))
                    running[slot] = program, time.monotonic() + longest
                    self._send(slot, language, program.source)
                    selector.register(slot, selectors.EVENT_READ)
                for slot in _answered(selector, running):
                    selector.unregister(slot)
                    program, _ = running.pop(slot)
                    verdict = self._verdict(slot, program, is_last_attempt=attempts[program] == _MAX_ATTEMPTS)
                    idle.append(self._successor(slot) if slot.is_worn else slot)
                    if verdict is None:
                        waiting.append(program)
                    else:
                        yield program, verdict
        finally:
            selector.close()
            for slot in running:  # the caller stopped in the middle: no late answer may reach the next call
                self._discard(slot)

    def _fill(self) -> None:
        """Start slots until there are as many as there should be."""
        new = []
        try:
            while len(self._slots) < self._size:
                new.append(Slot())
                self._slots.append(new[-1])
            for slot in new:
                slot.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _send(self, slot: Slot, language: Language, source: str) -> None:
        if not language.run:
            slot.send(_encoded(source), self._timeout_s, self._memory_mb)
            return
        key = secrets.token_hex(16)
        files = {name: _encoded(text) for name, text in language.files(source, key).items()}
        job = Job(
            files=[(name, len(content)) for name, content in files.items()],
            build=list(language.build),
            run=[part.replace("{memory_mb}", str(self._memory_mb)) for part in language.run],
            environment=dict(language.environment),
            reserves_memory=language.reserves_memory,
            key=key,
            sends_key=not language.key_is_in_files,
        )
        slot.send(b"".join(files.values()), self._timeout_s, self._memory_mb, job)

    def _verdict(self, slot: Slot, program: Program, *, is_last_attempt: bool) -> Verdict | None:
        """The verdict on `program`, which `slot` was sent; None if the slot failed and it must run again."""
        try:
            outcome = slot.receive()
        except SlotFailedError as e:
            slot.is_worn = True
            return not_run("error", f"{e}, {_MAX_ATTEMPTS} times") if is_last_attempt else None
        return judge(_language(program), outcome, self._timeout_s, self._memory_mb)

    def _successor(self, slot: Slot) -> Slot:
        self._discard(slot)
        self._fill()
        return self._slots[-1]

    def _discard(self, slot: Slot) -> None:
        self._slots.remove(slot)
        slot.close()


def run(
    programs: Sequence[Program],
    *,
    timeout_s: float = 3.0,
    memory_mb: int = 512,
    workers: int = 0,
    cache: VerdictCache | None = None,
) -> Generator[tuple[int, Verdict], None, None]:
    """Run `programs` in sandboxes of their own; yield (index, verdict) as they end, each index once.

    Arguments and errors as of `Pool`. Verdicts that `cache` knows come first; the others are added to it.
    """
    waiting = []
    for i, program in enumerate(programs):
        verdict = cache.find(program, timeout_s, memory_mb) if cache is not None else None
        if verdict is None:
            waiting.append(i)
        else:
            yield i, verdict
    if not waiting:
        return
    with Pool(timeout_s=timeout_s, memory_mb=memory_mb, workers=workers) as pool:
        for j, verdict in pool.run([programs[i] for i in waiting]):
            if cache is not None:
                cache.add(programs[waiting[j]], timeout_s, memory_mb, verdict)
            yield waiting[j], verdict


def execute(
    programs: Sequence[Program],
    *,
    timeout_s: float = 3.0,
    memory_mb: int = 512,
    workers: int = 0,
    cache: VerdictCache | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """Run `programs` in sandboxes of their own; their verdicts, in order.

    Arguments and errors as of `run`; `on_progress` is called with the number of programs that just ended.
    """
    verdicts: dict[int, Verdict] = {}
    ended = run(programs, timeout_s=timeout_s, memory_mb=memory_mb, workers=workers, cache=cache)
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
    if missing := language.missing(program.source):
        return f"{language.name} needs {missing[0].name}: {missing[0].install}"
    return ""


def _language(program: Program) -> Language:
    language = find_language(program.language)
    assert language is not None
    return language


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _answered(selector: selectors.BaseSelector, running: Mapping[Slot, tuple[Program, float]]) -> list[Slot]:
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
