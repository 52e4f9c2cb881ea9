"""Preference data from and to files: this project's Parquet, TRL's JSON lines, DebugBench."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from rewardranker.errors import UserError
from rewardranker.files import write_jsonl
from rewardranker.problems.debugbench import read_debugbench
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.rows import Record, read_rows, validate
from rewardranker.tables import read_table


class Pair(Record):
    """A row of TRL's preference format, plain or conversational; further fields are ignored, as TRL does."""

    prompt: str
    chosen: str
    rejected: str
    problem_id: str | None = None
    chosen_source: str | None = None
    rejected_source: str | None = None
    source: str | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @field_validator("prompt", "chosen", "rejected", mode="before")
    @classmethod
    def _text(cls, value: Any, info: ValidationInfo) -> Any:
        """The text of a one-message conversation."""
        if not isinstance(value, list):
            return value
        role = "user" if info.field_name == "prompt" else "assistant"
        if len(value) != 1 or not isinstance(value[0], dict) or value[0].get("role") != role:
            raise ValueError(
                f"a conversation must be one message with role {role!r}; join or drop the others"
            )
        return value[0].get("content")


@dataclass
class _Group:
    where: str
    pair: Pair
    chosen: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)


def load_preferences(path: Path | str, language: str | None = None) -> list[PreferenceGroup]:
    """Read right and wrong programs, grouped by problem.

    Formats: `.parquet` as `rewardranker mine` writes it; TRL's prompt / chosen / rejected as JSON lines or
    a JSON list; DebugBench as a folder, a .tar.gz or one of its files. TRL rows are grouped by `problem_id`
    where they have one, else by prompt.

    Args:
        path: the file or folder.
        language: of a data set of several languages (DebugBench), only this one; None: all. The other
            formats don't say in which language their programs are.

    Raises:
        UserError: it can't be read, or isn't as its format says; the message names file, line and field.
    """
    path = Path(path)
    if path.is_dir() or path.name.endswith((".tar.gz", ".tgz")):
        return read_debugbench(path, language)
    if path.suffix != ".parquet":
        rows = read_rows(path)
        where, first = next(rows, ("", {}))
        if "buggy_code" in first:
            return read_debugbench(path, language)
    if path.suffix == ".parquet":
        return read_table(path, PreferenceGroup)
    if not first:
        raise UserError(f"{path}: no preferences in it")
    if "chosen" not in first:
        raise UserError(
            f"{where}: not a known format of preferences (its fields: {', '.join(first)}). Known: "
            "TRL's (prompt, chosen, rejected), DebugBench (slug, oracle_code, buggy_code)"
        )
    return _grouped(((where, first), *rows), path.name)


def _grouped(rows: Iterable[tuple[str, dict[str, Any]]], name: str) -> list[PreferenceGroup]:
    groups: dict[tuple[str, str], _Group] = {}
    for where, row in rows:
        pair = validate(Pair, row, where)
        key = (pair.problem_id or f"prompt-{_digest(pair.prompt)}", pair.source or name)
        group = groups.setdefault(key, _Group(where, pair))
        for what in ("prompt", "weight"):
            if getattr(pair, what) != getattr(group.pair, what):
                raise UserError(f"{where}: {what} differs from {group.where}, which has the same problem_id")
        group.chosen.setdefault(pair.chosen, pair.chosen_source or name)
        group.rejected.setdefault(pair.rejected, pair.rejected_source or name)
        if both := group.chosen.keys() & group.rejected.keys():
            raise UserError(
                f"{where}: this problem's {min(both)!r:.60} is both chosen and rejected; remove one"
            )
    return [
        PreferenceGroup(
            problem_id=problem_id,
            prompt=group.pair.prompt,
            chosen=tuple(group.chosen),
            rejected=tuple(group.rejected),
            chosen_sources=tuple(group.chosen.values()),
            rejected_sources=tuple(group.rejected.values()),
            source=source,
            weight=group.pair.weight,
        )
        for (problem_id, source), group in groups.items()
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_preferences(path: Path, groups: Iterable[PreferenceGroup]) -> None:
    """Write every (chosen, rejected) pair as a row of TRL's preference format, atomically.

    Sources and weights come along as further fields. A group that lacks one of the two sides has no pairs
    and leaves no row.
    """
    rows = [
        {
            "prompt": group.prompt,
            "chosen": chosen,
            "rejected": rejected,
            "problem_id": group.problem_id,
            "chosen_source": chosen_source,
            "rejected_source": rejected_source,
            "source": group.source,
            "weight": group.weight,
        }
        for group in groups
        for chosen, chosen_source in zip(group.chosen, group.chosen_sources, strict=True)
        for rejected, rejected_source in zip(group.rejected, group.rejected_sources, strict=True)
    ]
    write_jsonl(path, rows)
