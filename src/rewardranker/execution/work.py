"""`Work`: from programs to tasks that must run, and from their verdicts to those of all programs."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rewardranker.execution.judging import not_run
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.program import Program
from rewardranker.execution.steps import Steps
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.tests import CallTests

_MAX_ATTEMPTS = 3
_MAX_AHEAD = 1000
"""Programs that may be taken from the caller before the oldest of them has its verdict."""
_MAX_KNOWN = 20_000
"""Verdicts kept for programs that come again."""


@dataclass(eq=False)
class Task:
    """A program that has no verdict yet."""

    program: Program
    language: Language
    identity: bytes
    indices: list[int]
    """Its places among the programs of the call."""
    n_attempts: int = 0
    steps: Steps = field(init=False)


class Work:
    """The programs of one call: those to come, those that wait, and verdicts not yielded yet."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs: Iterator[Program] = iter(programs)
        self._again: deque[Task] = deque()
        self._open: dict[bytes, Task] = {}
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._verdicts: dict[int, Verdict] = {}
        self._n_taken = self._n_yielded = 0

    @property
    def n_given(self) -> int:
        """Tasks that were given out and not given back."""
        return len(self._open) - len(self._again)

    def finished(self, *, in_order: bool) -> Iterator[tuple[int, Verdict]]:
        """The verdicts that may be yielded now."""
        while self._verdicts:
            index = self._n_yielded if in_order else next(iter(self._verdicts))
            if index not in self._verdicts:
                return
            self._n_yielded += 1
            yield index, self._verdicts.pop(index)

    def next_task(self) -> Task | None:
        """A program that must run; None if there is none now."""
        task = self._again.popleft() if self._again else self._new_task()
        if task is not None:
            task.n_attempts += 1
        return task

    def finish(self, task: Task, verdict: Verdict) -> None:
        """Take the verdict of `task`."""
        del self._open[task.identity]
        self._known[task.identity] = verdict
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        self._verdicts.update(dict.fromkeys(task.indices, verdict))

    def retry(self, task: Task, why: str) -> None:
        """Run it again, unless that was tried often enough."""
        if task.n_attempts < _MAX_ATTEMPTS:
            self._again.append(task)
        else:
            self.finish(task, not_run("error", f"{why}, {_MAX_ATTEMPTS} times"))

    def _new_task(self) -> Task | None:
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
                self._open[identity] = Task(program, language, identity, [index])
                return self._open[identity]
        return None


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
