"""Preference data from and to files: this project's Parquet, TRL's formats, DebugBench."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from rewardranker.errors import UserError
from rewardranker.files import write_jsonl
from rewardranker.problems.debugbench import read_debugbench
from rewardranker.problems.preference import KnownPrograms, PreferenceGroup
from rewardranker.problems.rows import Record, read_rows, validate
from rewardranker.tables import parquet_columns, read_table


class _Answered(Record):
    """A prompt with answers, plain or conversational as in TRL; further fields are ignored, as TRL does."""

    prompt: str
    problem_id: str | None = None
    source: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, row: dict[str, Any]) -> dict[str, Any]:
        """The texts of one-turn conversations; the question may stand before each answer as well."""
        row = dict(row)
        if isinstance(asked := row.get("prompt"), list):
            if _roles(asked) != ["user"]:
                raise ValueError(
                    "prompt: a conversation must be one message with role 'user'; join or drop the others"
                )
            row["prompt"] = asked[0].get("content")
        for name in _ANSWERS:
            if not isinstance(answer := row.get(name), list):
                continue
            roles = _roles(answer)
            if roles not in (["assistant"], ["user", "assistant"]):
                raise ValueError(
                    f"{name}: a conversation must be one message with role 'assistant', or one with role "
                    f"'user' and its answer; this one is {', '.join(map(str, roles)) or 'empty'}: leave the "
                    "row out, or make one prompt of what comes before the last answer"
                )
            row[name] = answer[-1].get("content")
            if (
                len(answer) == 2
                and row.setdefault("prompt", question := answer[0].get("content")) != question
            ):
                raise ValueError(f"{name}: the user's message is not the prompt")
        if "prompt" not in row:
            raise ValueError("prompt: field required; where it ends within the answers can't be told")
        return row


_ANSWERS = ("chosen", "rejected", "completion")


def _roles(conversation: list[Any]) -> list[Any]:
    return [message.get("role") if isinstance(message, dict) else None for message in conversation]


class Pair(_Answered):
    """A row of TRL's preference format."""

    chosen: str
    rejected: str
    chosen_source: str | None = None
    rejected_source: str | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Labelled(_Answered):
    """A row of TRL's unpaired preference format."""

    completion: str
    label: bool
    completion_source: str | None = None


class GroupRow(Record):
    """A `PreferenceGroup` as a line of JSON."""

    problem_id: str
    prompt: str
    chosen: list[str]
    rejected: list[str]
    chosen_sources: list[str]
    rejected_sources: list[str]
    source: str
    weight: float

    @model_validator(mode="after")
    def _sourced(self) -> "GroupRow":
        if len(self.chosen) != len(self.chosen_sources) or len(self.rejected) != len(self.rejected_sources):
            raise ValueError("every program needs its source")
        return self

    def group(self) -> PreferenceGroup:
        """The row as a group."""
        return PreferenceGroup(
            problem_id=self.problem_id,
            prompt=self.prompt,
            chosen=tuple(self.chosen),
            rejected=tuple(self.rejected),
            chosen_sources=tuple(self.chosen_sources),
            rejected_sources=tuple(self.rejected_sources),
            source=self.source,
            weight=self.weight,
        )


class Executed(Record):
    """A row of an exported table of candidates, which has their prompts."""

    problem_id: str
    prompt: str
    text: str
    strict_status: str
    policy: str = ""


@dataclass
class _Group:
    where: str
    pair: Pair
    chosen: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)


def load_preferences(path: Path | str, language: str | None = None) -> list[PreferenceGroup]:
    """Read right and wrong programs, grouped by problem.

    Formats: Parquet as `rewardranker mine` writes it; TRL's preference (prompt, chosen, rejected) and
    unpaired preference (prompt, completion, label) formats and exported candidates as JSON lines, a JSON
    list or Parquet; a folder that `rewardranker export` wrote, of which the split train is read; DebugBench
    as a folder, a .tar.gz or one of its files. TRL's rows are grouped by `problem_id` where they have one,
    else by prompt.

    Args:
        path: the file or folder.
        language: of a data set of several languages (DebugBench), only this one; None: all. The other
            formats are read whole.

    Raises:
        UserError: it can't be read, or isn't as its format says; the message names file, line and field.
    """
    path = Path(path)
    if path.is_dir() and (file := _exported(path)):
        path = file
    if path.is_dir() or path.name.endswith((".tar.gz", ".tgz")):
        return read_debugbench(path, language)
    if path.suffix == ".parquet" and "chosen_sources" in parquet_columns(path):
        return read_table(path, PreferenceGroup)
    rows = read_rows(path)
    where, first = next(rows, ("", {}))
    if not first:
        raise UserError(f"{path}: no preferences in it")
    if "buggy_code" in first:
        return read_debugbench(path, language)
    every = itertools.chain([(where, first)], rows)
    for fields, grouped in _FORMATS:
        if fields <= first.keys():
            return grouped(every, path)
    hint = "; candidates need their problems, see rewardranker mine" if "strict_status" in first else ""
    raise UserError(
        f"{where}: not a known format of preferences (its fields: {', '.join(first)}{hint}). Known: "
        "TRL's (prompt, chosen, rejected; or prompt, completion, label), DebugBench (slug, oracle_code, "
        "buggy_code)"
    )


def _exported(folder: Path) -> Path | None:
    """The file to learn from in a folder that `rewardranker export` wrote: the one that says most."""
    forms = ("groups", "preference", "unpaired-preference", "candidates")
    files = [file for form in forms for file in sorted((folder / form).glob("*.*"))]
    training = [file for file in files if file.stem == "train"]
    if files and not training:
        raise UserError(
            f"{folder}: nothing in this data set is of the split train, so it is for choices and claims; to "
            f"learn from it nevertheless, give one of its files, such as {files[0]}"
        )
    return training[0] if training else None


def _of_labels(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> list[PreferenceGroup]:
    programs: dict[str, KnownPrograms] = {}
    prompts: dict[str, tuple[str, str]] = {}
    for where, row in rows:
        found = validate(Labelled, row, where)
        problem_id = found.problem_id or f"prompt-{_digest(found.prompt)}"
        _same_prompt(prompts, problem_id, found.prompt, where)
        known = programs.setdefault(problem_id, KnownPrograms())
        if found.completion in (known.failed if found.label else known.passed):
            raise UserError(
                f"{where}: this problem's {found.completion!r:.60} is both right and wrong; remove one"
            )
        verdict = "passed" if found.label else "failed"
        known.add(found.completion, verdict, found.completion_source or path.name)
    return _two_sided(programs, prompts, path)


def _of_candidates(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> list[PreferenceGroup]:
    programs: dict[str, KnownPrograms] = {}
    prompts: dict[str, tuple[str, str]] = {}
    for where, row in rows:
        found = validate(Executed, row, where)
        _same_prompt(prompts, found.problem_id, found.prompt, where)
        known = programs.setdefault(found.problem_id, KnownPrograms())
        known.add(found.text, found.strict_status, found.policy or path.name)
    return _two_sided(programs, prompts, path)


def _same_prompt(prompts: dict[str, tuple[str, str]], problem_id: str, prompt: str, where: str) -> None:
    before, first = prompts.setdefault(problem_id, (prompt, where))
    if before != prompt:
        raise UserError(f"{where}: prompt differs from {first}, which has the same problem_id")


def _two_sided(
    programs: dict[str, KnownPrograms], prompts: dict[str, tuple[str, str]], path: Path
) -> list[PreferenceGroup]:
    groups = [
        known.group(problem_id, prompts[problem_id][0], path.name)
        for problem_id, known in programs.items()
        if known.passed and known.failed
    ]
    if not groups:
        raise UserError(f"{path}: no problem has both a right and a wrong program: nothing to compare")
    return groups


def _of_groups(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> list[PreferenceGroup]:
    return [validate(GroupRow, row, where).group() for where, row in rows]


def _of_pairs(rows: Iterable[tuple[str, dict[str, Any]]], path: Path) -> list[PreferenceGroup]:
    name = path.name
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


_FORMATS = (
    ({"chosen_sources"}, _of_groups),
    ({"chosen"}, _of_pairs),
    ({"completion", "label"}, _of_labels),
    ({"prompt", "text", "strict_status"}, _of_candidates),
)
"""What the fields of the first row say a file is."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def pair_rows(group: PreferenceGroup, pairs: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
    """(chosen, rejected) pairs of a group as rows of TRL's preference format, with further fields.

    Args:
        group: the group.
        pairs: their numbers, which count the rejected programs of the first chosen one, then those of the
            second, ...; None: all.
    """
    n = len(group.rejected)
    for right, wrong in (divmod(k, n) for k in (range(len(group.chosen) * n) if pairs is None else pairs)):
        yield {
            "prompt": group.prompt,
            "chosen": group.chosen[right],
            "rejected": group.rejected[wrong],
            "problem_id": group.problem_id,
            "chosen_source": group.chosen_sources[right],
            "rejected_source": group.rejected_sources[wrong],
            "source": group.source,
            "weight": group.weight,
        }


def write_preferences(path: Path, groups: Iterable[PreferenceGroup]) -> None:
    """Write every (chosen, rejected) pair as a row of TRL's preference format, atomically.

    Sources and weights come along as further fields. A group that lacks one of the two sides has no pairs
    and leaves no row.
    """
    write_jsonl(path, [row for group in groups for row in pair_rows(group)])
