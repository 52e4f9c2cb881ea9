"""`Program`: a source to run and the language to run it in."""

from dataclasses import dataclass

from rewardranker.problems.tests import CallTests, StdinTests


@dataclass(frozen=True, slots=True)
class Program:
    """One whole program; identical programs are run once and share their verdict."""

    language: str
    """Name or alias as in `rewardranker doctor`: "python", "py", ..."""
    source: str
    tests: StdinTests | CallTests | None = None
    """Tests that are judged from outside; None: the source holds its own."""
    timeout_s: float | None = None
    """Seconds that it (or each of its runs on stdin) may take; None: as the pool says."""
    memory_mb: int | None = None
    """None: as the pool says."""
