"""`PreferenceGroup`: the right and the wrong programs of one problem, what rankers learn from."""

from dataclasses import dataclass, field

WRONG = ("failed", "syntax_error", "timeout")
"""Verdicts that say so; of "unavailable" and "error" nobody knows."""


@dataclass(frozen=True, slots=True)
class PreferenceGroup:
    """Right and wrong completions of the same problem; every (chosen, rejected) pair is a comparison."""

    problem_id: str
    prompt: str
    chosen: tuple[str, ...]
    """Completions that passed, distinct."""
    rejected: tuple[str, ...]
    """Completions that failed, distinct."""
    chosen_sources: tuple[str, ...]
    """Where each of `chosen` came from: "reference", "sft", "aligned-1", ..."""
    rejected_sources: tuple[str, ...]
    """Likewise for `rejected`."""
    source: str
    """What put the group together: "initial", "selftraining-1", "hardnegatives-1", "random-1", a file."""
    weight: float = 1.0
    """Weight of the group's mean pair loss."""

    def __post_init__(self) -> None:
        if len(self.chosen) != len(self.chosen_sources) or len(self.rejected) != len(self.rejected_sources):
            raise ValueError(f"{self.problem_id}: every completion needs its source")


@dataclass(frozen=True, slots=True)
class KnownPrograms:
    """The distinct programs of one problem whose verdict is known, in the order they were met.

    What passed once is right, whatever is said of it later: a busy machine may have timed it out.
    """

    passed: dict[str, str] = field(default_factory=dict)
    """Program -> where it came from, first."""
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, text: str, strict_status: str, source: str) -> None:
        """Take up one program; of a verdict that doesn't say right or wrong nothing is known."""
        if strict_status == "passed":
            self.passed.setdefault(text, source)
            self.failed.pop(text, None)
        elif strict_status in WRONG and text not in self.passed:
            self.failed.setdefault(text, source)

    def __contains__(self, text: object) -> bool:
        return text in self.passed or text in self.failed

    def group(self, problem_id: str, prompt: str, source: str) -> PreferenceGroup:
        """All of them as one group."""
        return PreferenceGroup(
            problem_id=problem_id,
            prompt=prompt,
            chosen=tuple(self.passed),
            rejected=tuple(self.failed),
            chosen_sources=tuple(self.passed.values()),
            rejected_sources=tuple(self.failed.values()),
            source=source,
        )
