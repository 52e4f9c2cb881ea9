"""Progress that is always visible: bars with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)
_LINE_EVERY_S = 10.0
_current_stage = ""


class Task:
    """One piece of work of known length; made by `task`."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self.name, self.total, self.done, self.note = name, total, 0, ""
        self._bar = bar
        self._id = bar.add_task(name, total=total, note="") if bar else None
        self._start = self._last_line = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done; `note` is shown beside the bar (a loss, a rate)."""
        self.done += n
        self.note = note or self.note
        if self._bar is not None and self._id is not None:
            self._bar.update(self._id, advance=n, note=self.note)
        elif time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            elapsed = self._last_line - self._start
            left = elapsed * (self.total - self.done) / max(self.done, 1)
            sys.stderr.write(f"{self.name}  {self.done}/{self.total}  {left:.0f} s left  {self.note}\n")
            sys.stderr.flush()


@contextmanager
def task(name: str, total: int) -> Iterator[Task]:
    """Show the progress of `total` units of work.

    Example:
        >>> with task("scoring", total=2) as bar:
        ...     for _ in range(2):
        ...         bar.advance()
    """
    label = f"{_current_stage} · {name}" if _current_stage else name
    if not console.is_terminal:
        yield Task(label, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Task(label, total, bar)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Name the stage that the tasks inside belong to."""
    global _current_stage  # noqa: PLW0603 - the terminal is one, so is the stage shown on it
    previous, _current_stage = _current_stage, name
    try:
        yield
    finally:
        _current_stage = previous
