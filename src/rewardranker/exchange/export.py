"""Writes a source as a folder that `datasets.load_dataset` and TRL's trainers take as it is."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.exchange.card import Contents, card
from rewardranker.exchange.rows import ROWS, Form, SharedCandidate
from rewardranker.exchange.source import Source, open_source
from rewardranker.files import read_lines, whole_directory
from rewardranker.problems.candidate import FinishReason
from rewardranker.problems.completions import candidate_rows, say_left_out
from rewardranker.problems.preference import KnownPrograms, PreferenceGroup
from rewardranker.problems.preferences import pair_rows
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import Record, validate
from rewardranker.tables import TableWriter, count_parquet, table_schema


class _Row(Record):
    """What is read of a candidate's row."""

    problem_id: str
    text: str
    whole: bool | None = None
    strict_status: str
    status: str | None = None
    reason: str | None = None
    policy: str | None = None
    index: int | None = None
    temperature: float | None = None
    logprob_sum: float | None = None
    n_tokens: int | None = None
    finish_reason: FinishReason | None = None
    score: float | None = None
    probability: float | None = None


Format: TypeAlias = Literal["parquet", "jsonl"]


def export(
    path: Path,
    out: Path,
    *,
    forms: Sequence[Form] = (),
    file_format: Format = "parquet",
    problems: Path | None = None,
    pairs: int | None = None,
    limit: int | None = None,
    seed: int = 1,
) -> Contents:
    """Write what is at `path` as a data set with a card; return what is in it.

    Problems for evaluation only (MultiPL-E's) are left out with all their programs, and counted. Problems of
    the split development make the split validation, those of test the split test, all others train.

    Args:
        path: a run directory, a table of executed candidates (JSON lines or Parquet), or anything that
            `load_preferences` reads.
        out: the folder to write; it must not exist yet.
        forms: what to write; empty: all that the source has.
        file_format: of every file, since `datasets` reads all files of a folder by one reader.
        problems: the problems of a table.
        pairs: in the form preference, at most so many pairs of a problem, drawn at random; None: all.
        limit: only the first so many problems.
        seed: decides which pairs are drawn.

    Raises:
        UserError: the source can't be read, or nothing in it may be exported.
    """
    source = open_source(path, problems)
    if Form.CANDIDATES in forms and not source.candidates:
        raise UserError(f"{path}: holds groups, no candidates; choose another form than candidates")
    wanted = forms or tuple(f for f in Form if source.candidates or f != Form.CANDIDATES)
    contents = Contents(source.name, source.made, checked=bool(source.problems))
    with whole_directory(out) as folder:
        with _Files(folder, wanted, file_format, contents) as files:
            _Export(source, files, contents, pairs, limit, seed).write()
        if not contents.rows:
            left_out = contents.left_out()
            why = f"all are {left_out}" if left_out else f"nothing that makes a row of {', '.join(wanted)}"
            raise UserError(f"{path}: nothing to export: {why}")
        (folder / "README.md").write_text(card(contents), "utf-8")
    return contents


class _Lines:
    """A file of JSON lines that is written as its rows come."""

    def __init__(self, path: Path, row_type: type[Any]) -> None:
        self._names = table_schema(row_type).names
        # As in tables, ? for half of a surrogate pair, which UTF-8 can't say.
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="\n")

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(
            json.dumps({name: row[name] for name in self._names}, ensure_ascii=False, allow_nan=False) + "\n"
        )

    def close(self) -> None:
        self._file.close()


class _Files(ExitStack):
    """A file for each form that is wanted and each split that has rows."""

    def __init__(self, folder: Path, wanted: Sequence[Form], file_format: Format, contents: Contents) -> None:
        super().__init__()
        self._folder, self._format, self._contents = folder, file_format, contents
        self.wanted = frozenset(wanted)
        self._writers: dict[tuple[Form, str], TableWriter | _Lines] = {}

    def write(self, form: Form, split: str, row: dict[str, Any]) -> None:
        writer = self._writers.get((form, split)) or self._open(form, split)
        writer.write(row)
        self._contents.rows[form, split] += 1

    def _open(self, form: Form, split: str) -> TableWriter | _Lines:
        (self._folder / form).mkdir(exist_ok=True)
        path = self._folder / form / f"{split}.{self._format}"
        self._contents.files[form, split] = path.relative_to(self._folder).as_posix()
        writer = (TableWriter if self._format == "parquet" else _Lines)(path, ROWS[form])
        self._writers[form, split] = writer
        self.callback(writer.close)
        return writer


@dataclass
class _Export:
    source: Source
    files: _Files
    contents: Contents
    pairs: int | None
    limit: int | None
    seed: int
    known: dict[str, KnownPrograms] = field(default_factory=dict)
    """The programs of each problem that is exported, in the order of the source."""
    prompts: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write every form that is wanted."""
        groups: list[PreferenceGroup] = []
        for number, table in enumerate(self.source.candidates):
            self._candidates(table)
            if number == 0:  # as the loop does: later samples are mined first
                groups += [
                    known.group(problem_id, self.prompts[problem_id], "initial")
                    for problem_id, known in self.known.items()
                    if known.passed and known.failed
                ]
        for group in self.source.groups:
            if self._exported(group.problem_id, self._prompt(group)):
                groups.append(group)
                for text, source in zip(group.chosen, group.chosen_sources, strict=True):
                    self.known[group.problem_id].add(text, "passed", source)
                for text, source in zip(group.rejected, group.rejected_sources, strict=True):
                    self.known[group.problem_id].add(text, "failed", source)
            else:
                self.contents.left_out_groups += group.problem_id in self.contents.left_out_problems
        self._groups(groups)
        self._programs()

    def _prompt(self, group: PreferenceGroup) -> str:
        """The group's prompt, which must be that of its problem."""
        problem = self.source.problems.get(group.problem_id)
        if problem is None and self.source.problems:
            raise UserError(
                f"{self.source.name}: problem {group.problem_id!r} is not in the problems file, so "
                "nobody can say whether it may be trained on"
            )
        prompt = problem.prompt if problem else self.prompts.get(group.problem_id, group.prompt)
        if prompt != group.prompt:
            raise UserError(
                f"{self.source.name}: problem {group.problem_id!r} has two prompts; give problems "
                "that differ ids that differ"
            )
        return prompt

    def _candidates(self, table: Path) -> None:
        """Write the candidates of one table, and take up what is known of their programs.

        Whole programs, which don't continue their prompts, are left out and counted on stderr.
        """
        keep = bool(self.files.wanted - {Form.CANDIDATES})
        left_out = 0
        with progress.task(f"read {table.parent.name}/{table.name}", _count(table)) as bar:
            for where, raw in candidate_rows(table, list(self.source.problems.values())):
                bar.advance()
                row = validate(_Row, raw, where)
                problem = self.source.problems[row.problem_id]
                if not self._exported(problem.id, problem.prompt):
                    self.contents.left_out_candidates += problem.evaluation_only
                    continue
                if row.whole:
                    left_out += 1
                    continue
                split = _split(problem)
                self.contents.verdicts[split, problem.language, row.strict_status] += 1
                if keep:
                    self.known[problem.id].add(row.text, row.strict_status, row.policy or table.stem)
                if Form.CANDIDATES in self.files.wanted:
                    self.files.write(Form.CANDIDATES, split, asdict(self._shared(row, problem, table)))
        say_left_out(table, left_out)

    def _shared(self, row: _Row, problem: Problem, table: Path) -> SharedCandidate:
        index = -1 if row.index is None else row.index
        found = self.source.scores.get((table.parent.name, row.problem_id, index))
        score, ranker = found or (row.score, None)
        about = row.model_dump(exclude={"whole"}) | {
            "language": problem.language,
            "prompt": problem.prompt,
            "score": score,
            "ranker": ranker,
            "status": row.status or row.strict_status,
            "reason": row.reason or "",
        }
        # JSON has no infinity: the score of what does not fit the ranker's context.
        unknown = {k: None for k, v in about.items() if isinstance(v, float) and not isfinite(v)}
        return SharedCandidate(**about | unknown)

    def _exported(self, problem_id: str, prompt: str) -> bool:
        """Whether this problem goes into the data set; takes it up when it is met first."""
        if problem_id in self.known:
            return True
        problem = self.source.problems.get(problem_id)
        if problem is not None and problem.evaluation_only:
            self.contents.left_out_problems.add(problem_id)
            return False
        if len(self.known) == self.limit:
            return False
        self.known[problem_id], self.prompts[problem_id] = KnownPrograms(), prompt
        self.contents.problems[self._where(problem_id)] += 1
        if problem is not None and problem.reference is not None and self.source.candidates:
            self.known[problem_id].add(problem.reference, "passed", "reference")
        return True

    def _where(self, problem_id: str) -> tuple[str, str]:
        """The split and the language of a problem."""
        problem = self.source.problems.get(problem_id)
        return ("train", "") if problem is None else (_split(problem), problem.language)

    def _groups(self, groups: Sequence[PreferenceGroup]) -> None:
        if Form.GROUPS in self.files.wanted:
            for group in groups:
                split, language = self._where(group.problem_id)
                self.files.write(Form.GROUPS, split, {**asdict(group), "language": language})
        if Form.PREFERENCE in self.files.wanted:
            drawn = _draw(groups, self.pairs, self.seed)
            with progress.task("write pairs", sum(map(len, drawn))) as bar:
                for group, pairs in zip(groups, drawn, strict=True):
                    split, language = self._where(group.problem_id)
                    for row in pair_rows(group, pairs):
                        self.files.write(Form.PREFERENCE, split, {**row, "language": language})
                        bar.advance()

    def _programs(self) -> None:
        for problem_id, known in self.known.items():
            split, language = self._where(problem_id)
            for programs, label in ((known.passed, True), (known.failed, False)):
                for text, source in programs.items():
                    row = {"prompt": self.prompts[problem_id], "completion": text}
                    about = {"problem_id": problem_id, "completion_source": source, "language": language}
                    if Form.UNPAIRED_PREFERENCE in self.files.wanted:
                        self.files.write(Form.UNPAIRED_PREFERENCE, split, {**row, "label": label, **about})
                    if label and Form.PROMPT_COMPLETION in self.files.wanted:
                        self.files.write(Form.PROMPT_COMPLETION, split, {**row, **about})


def _split(problem: Problem) -> str:
    """The name that data sets have for it."""
    return {"development": "validation", "test": "test"}.get(problem.split, "train")


def _draw(groups: Sequence[PreferenceGroup], most: int | None, seed: int) -> list[Sequence[int]]:
    """Which pairs of each group are written: all, or at most so many of a problem, over all its groups."""
    sizes = [len(group.chosen) * len(group.rejected) for group in groups]
    if most is None:
        return [range(size) for size in sizes]
    totals: Counter[str] = Counter()
    for group, size in zip(groups, sizes, strict=True):
        totals[group.problem_id] += size
    left = {
        # A generator for each problem, so that a problem's pairs don't depend on which others there are.
        problem_id: sorted(Random(f"{seed}/{problem_id}").sample(range(total), min(total, most)))
        for problem_id, total in totals.items()
    }
    drawn: list[Sequence[int]] = []
    for group, size in zip(groups, sizes, strict=True):
        numbers = left[group.problem_id]
        drawn.append([n for n in numbers if n < size])
        left[group.problem_id] = [n - size for n in numbers if n >= size]
    return drawn


def _count(table: Path) -> int:
    return count_parquet(table) if table.suffix == ".parquet" else sum(1 for _ in read_lines(table))
