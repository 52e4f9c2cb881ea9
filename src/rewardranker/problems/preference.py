"""`PreferenceGroup`: the right and the wrong programs of one problem, what rankers learn from."""

from dataclasses import dataclass


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
