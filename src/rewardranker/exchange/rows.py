"""The rows of an exported data set: one dataclass for each form."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """What an export writes; the first three by TRL's names (huggingface.co/docs/trl/dataset_formats)."""

    PREFERENCE = "preference"
    UNPAIRED_PREFERENCE = "unpaired-preference"
    PROMPT_COMPLETION = "prompt-completion"
    GROUPS = "groups"
    CANDIDATES = "candidates"


@dataclass(frozen=True, slots=True)
class SharedPair:
    """A right and a wrong program of one problem."""

    prompt: str
    chosen: str
    rejected: str
    problem_id: str
    language: str
    """Empty where it is not known, here and below."""
    chosen_source: str
    rejected_source: str
    source: str
    weight: float


@dataclass(frozen=True, slots=True)
class SharedLabelled:
    """A program and whether it is right."""

    prompt: str
    completion: str
    label: bool
    problem_id: str
    language: str
    completion_source: str


@dataclass(frozen=True, slots=True)
class SharedCompletion:
    """A right program."""

    prompt: str
    completion: str
    problem_id: str
    language: str
    completion_source: str


@dataclass(frozen=True, slots=True)
class SharedGroup:
    """A `PreferenceGroup`."""

    problem_id: str
    language: str
    prompt: str
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    chosen_sources: tuple[str, ...]
    rejected_sources: tuple[str, ...]
    source: str
    weight: float


@dataclass(frozen=True, slots=True)
class SharedCandidate:
    """A sampled program; what the source doesn't say is null."""

    problem_id: str
    language: str
    prompt: str
    text: str
    policy: str | None
    index: int | None
    temperature: float | None
    logprob_sum: float | None
    n_tokens: int | None
    finish_reason: str | None
    status: str
    strict_status: str
    reason: str
    score: float | None
    """A ranker's; comparable among candidates of one problem and one ranker only."""
    probability: float | None
    """The same ranker's calibrated chance that the program is right."""
    ranker: str | None


ROWS: dict[Form, type[Any]] = {
    Form.PREFERENCE: SharedPair,
    Form.UNPAIRED_PREFERENCE: SharedLabelled,
    Form.PROMPT_COMPLETION: SharedCompletion,
    Form.GROUPS: SharedGroup,
    Form.CANDIDATES: SharedCandidate,
}
