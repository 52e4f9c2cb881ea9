"""What the processes that a benchmark has started take."""

import contextlib
import os
from pathlib import Path

from rewardranker.execution.sandbox.leftovers import children


def descendants(pid: int) -> list[int]:
    """The processes that `pid` has started, and those that they have started."""
    return [p for child in children(pid) for p in (child, *descendants(child))]


def cpu_s() -> float:
    """CPU seconds of this process, of its descendants, and of those that ended and were reaped."""
    ticks = 0
    for pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(x) for x in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
