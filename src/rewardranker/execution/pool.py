"""`execute` and `Pool`: many untrusted programs, a few sandboxes.

Example:
    >>> verdicts = execute([Program("python", "assert 1 + 1 == 2"), Program("python", "assert 1 + 1 == 3")])
    >>> [(v.strict_status, v.reason) for v in verdicts]
    [('passed', ''), ('failed', 'AssertionError')]
"""

import os
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Self

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.execution.backends import NAMESPACES, Sandbox, find_backend
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.compilers.compiler import COMPILE_S, Built, Compiler, CompilerFailedError
from rewardranker.execution.compilers.prebuilt import prepare
from rewardranker.execution.languages.language import Language
from rewardranker.execution.program import Program
from rewardranker.execution.selftest import check_isolation
from rewardranker.execution.slot import Outcome, SlotFailedError
from rewardranker.execution.steps import Compile, Run, Steps, judged
from rewardranker.execution.verdict import Verdict
from rewardranker.execution.work import Task, Work

__all__ = ["Pool", "Program", "execute", "run"]

_SLOTS_PER_CORE = 2  # a program that sleeps leaves its core to another slot
_MAX_OPEN = 16
"""Programs in work for each slot, when those that are here wait for compilers while slots are idle."""

_MAX_STARTS = 3
"""Compilers of a language that fail to start, one after the other, before it is compiled without."""


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
        memory_mb: int = 2048,
        workers: int = 0,
        isolation: str = NAMESPACES,
    ) -> None:
        self._timeout_s, self._memory_mb = timeout_s, memory_mb
        self._size = workers or _SLOTS_PER_CORE * len(os.sched_getaffinity(0))
        self._isolation, self._new_sandbox = isolation, find_backend(isolation)
        self.slots: list[Sandbox] = []
        self._compilers: list[Compiler] = []
        self._prepared: dict[str, bool] = {}
        self._n_failed_starts: Counter[str] = Counter()
        self._fill()
        try:
            check_isolation(self.slots[0])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandboxes and every process in them."""
        while self.slots:
            self.slots.pop().close()
        while self._compilers:
            self._compilers.pop().close()

    def run(
        self, programs: Iterable[Program], *, in_order: bool = False
    ) -> Generator[tuple[int, Verdict], None, None]:
        """Run `programs`; yield (index in `programs`, verdict), each index once.

        Verdicts come as programs end, or `in_order`. Programs are taken from the iterable as slots get free,
        and at most 1,000 before the oldest of them has been yielded, so `programs` may be endless.

        Identical programs are run once. A program whose sandbox fails is run again in another, at most twice;
        then its status is "error". One call at a time.
        """
        for slot in [s for s in self.slots if not s.is_alive()]:
            self.discard(slot)
        self._fill()
        call = _Call(self, programs)
        try:
            while True:
                yield from call.work.finished(in_order=in_order)
                call.take()
                call.send()
                if not call.work.n_given:
                    yield from call.work.finished(in_order=in_order)
                    return
                call.receive()
        finally:
            call.close()

    def steps(self, program: Program, language: Language) -> Steps:
        """What is to be done with `program`."""
        timeout_s = program.timeout_s or self._timeout_s
        memory_mb = program.memory_mb or self._memory_mb
        return judged(program, language, timeout_s, memory_mb, is_prepared=self._is_prepared(language))

    def compiler(self, language: Language, running: "_Running") -> Compiler | None:
        """An idle compiler, or a new one that must get ready; None if as many as there may be are at work."""
        for compiler in [c for c in self._compilers if c.is_worn and c not in running]:
            self.discard(compiler)
        compilers = [c for c in self._compilers if c.language is language]
        for compiler in compilers:
            if compiler not in running:
                return compiler
        if len(compilers) == (len(os.sched_getaffinity(0)) + 1) // 2:
            return None
        self._compilers.append(Compiler(language))
        return self._compilers[-1]

    def _is_prepared(self, language: Language) -> bool:
        """Whether what makes this language's compiler faster is there; makes it when first asked."""
        if language.prebuilt is None or self._isolation != NAMESPACES:
            return False
        if language.name not in self._prepared:
            try:
                prepare(language)
                self._prepared[language.name] = True
            except UserError as e:
                self._compile_cold(language, e)
        return self._prepared[language.name]

    def gets_ready(self, compiler: Compiler) -> bool:
        """Let `compiler` get ready; False if its language is compiled without from now on."""
        language = compiler.language
        try:
            compiler.wait_until_ready()
            self._n_failed_starts[language.name] = 0
        except CompilerFailedError as e:
            self._n_failed_starts[language.name] += 1
            if self._n_failed_starts[language.name] == _MAX_STARTS:
                self._compile_cold(language, e)
        return self._prepared[language.name]

    def _compile_cold(self, language: Language, why: Exception) -> None:
        progress.console.print(f"{language.name} is compiled slowly: {why}", markup=False, soft_wrap=True)
        self._prepared[language.name] = False

    def _fill(self) -> None:
        """Start slots until there are as many as there should be."""
        new = []
        try:
            while len(self.slots) < self._size:
                new.append(self._new_sandbox())
                self.slots.append(new[-1])
            for slot in new:
                slot.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def successor(self, slot: Sandbox) -> Sandbox:
        """A new slot in place of `slot`."""
        self.discard(slot)
        self._fill()
        return self.slots[-1]

    def discard(self, worker: Sandbox | Compiler) -> None:
        """End it."""
        if isinstance(worker, Compiler):
            self._compilers.remove(worker)
        else:
            self.slots.remove(worker)
        worker.close()


class _Call:
    """One call of `Pool.run`: programs in work, and where."""

    def __init__(self, pool: Pool, programs: Iterable[Program]) -> None:
        self.work = Work(programs)
        self._pool = pool
        self._idle = list(pool.slots)
        self._running = _Running()
        self._to_run: deque[tuple[Task, Run]] = deque()
        self._to_compile: deque[tuple[Task, Compile]] = deque()

    def take(self) -> None:
        """Begin with programs, as many as there is work for."""
        n_slots = len(self._pool.slots)
        while self.work.n_given < 2 * n_slots or (
            len(self._to_run) < len(self._idle) and self.work.n_given < _MAX_OPEN * n_slots
        ):
            task = self.work.next_task()
            if task is None:
                return
            task.steps = self._pool.steps(task.program, task.language)
            self._queue(task, next(task.steps))

    def send(self) -> None:
        """Give what waits to slots and compilers that are idle."""
        while self._idle and self._to_run:
            self._running.send(self._idle.pop(), *self._to_run.popleft())
        for task, step in [self._to_compile.popleft() for _ in range(len(self._to_compile))]:
            compiler = self._pool.compiler(task.language, self._running)
            if compiler is not None and compiler.is_ready:
                self._running.send(compiler, task, step)
                continue
            self._to_compile.append((task, step))
            if compiler is not None:
                self._running.start(compiler)

    def receive(self) -> None:
        """Wait for slots and compilers, and go on with what they have answered."""
        for worker, task in self._running.answered():
            if isinstance(worker, Compiler):
                if task is not None:
                    self._go_on(task, worker, _built(worker))
                elif not self._pool.gets_ready(worker):
                    self._stop_waiting_for(worker)
                continue
            assert task is not None
            try:
                step = self._next(task, worker, worker.receive())
            except SlotFailedError as e:
                self.work.retry(task, str(e))
                step = None
            if step is None:
                self._idle.append(self._pool.successor(worker) if worker.is_worn else worker)
            else:
                assert isinstance(step, Run)
                self._running.send(worker, task, step)

    def close(self) -> None:
        """Stop what is at work: no late answer may reach the next call."""
        for worker in self._running.close():
            self._pool.discard(worker)

    def _stop_waiting_for(self, compiler: Compiler) -> None:
        """Let the programs that wait for compilers like this one be compiled without."""
        for task, step in [self._to_compile.popleft() for _ in range(len(self._to_compile))]:
            if task.language is compiler.language:
                self._go_on(task, compiler, None)
            else:
                self._to_compile.append((task, step))

    def _go_on(self, task: Task, compiler: Compiler, built: Built | None) -> None:
        if step := self._next(task, compiler, built):
            self._queue(task, step)

    def _next(
        self, task: Task, worker: Sandbox | Compiler, came: Outcome | Built | None
    ) -> Run | Compile | None:
        """The next step of `task`, after what came of the last; None if it is judged."""
        try:
            return task.steps.send(came)
        except StopIteration as end:
            self.work.finish(task, replace(end.value, isolation=worker.isolation))
            return None

    def _queue(self, task: Task, step: Run | Compile) -> None:
        if isinstance(step, Compile):
            self._to_compile.append((task, step))
        else:
            self._to_run.append((task, step))


class _Running:
    """Slots and compilers at work, each with its task and the time at which it must have answered."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._work: dict[Sandbox | Compiler, tuple[Task | None, float]] = {}

    def __contains__(self, worker: Sandbox | Compiler) -> bool:
        return worker in self._work

    def start(self, compiler: Compiler) -> None:
        """It gets ready."""
        self._selector.register(compiler, selectors.EVENT_READ)
        self._work[compiler] = None, time.monotonic() + COMPILE_S

    def send(self, worker: Sandbox | Compiler, task: Task, step: Run | Compile) -> None:
        """Let `worker`, which is idle, do the next step of `task`."""
        self._selector.register(worker, selectors.EVENT_READ)
        if isinstance(worker, Compiler):
            assert isinstance(step, Compile)
            self._work[worker] = task, time.monotonic() + COMPILE_S
            worker.send(step.files)
        else:
            assert isinstance(step, Run)
            self._work[worker] = task, time.monotonic() + step.request.longest_s
            worker.send(*step)

    def answered(self) -> list[tuple[Sandbox | Compiler, Task | None]]:
        """Wait for workers that can be received from: they have answered, or hung and were killed."""
        earliest = min(deadline for _, deadline in self._work.values())
        ready = {key.fileobj for key, _ in self._selector.select(max(0.0, earliest - time.monotonic()))}
        answered = []
        for worker, (task, deadline) in list(self._work.items()):
            if worker not in ready:
                if time.monotonic() <= deadline:
                    continue
                worker.kill()
            self._selector.unregister(worker)
            del self._work[worker]
            answered.append((worker, task))
        return answered

    def close(self) -> list[Sandbox | Compiler]:
        """Stop watching; those that are still at work."""
        self._selector.close()
        return list(self._work)


def _built(compiler: Compiler) -> Built | None:
    """What `compiler` made of its program; None if it leaves that to the cold one."""
    try:
        return compiler.receive()
    except CompilerFailedError:
        return None


def run(
    programs: Sequence[Program],
    *,
    timeout_s: float = 3.0,
    memory_mb: int = 2048,
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
    memory_mb: int = 2048,
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
