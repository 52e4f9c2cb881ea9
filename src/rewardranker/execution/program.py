"""`Program`: a source to run and the language to run it in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """One whole program; identical programs are run once and share their verdict."""

    language: str
    """Name or alias as in `rewardranker doctor`: "python", "py", ..."""
    source: str
