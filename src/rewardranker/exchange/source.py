"""What is exported: a run's tables, or one table of candidates or preferences."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.files import read_text
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.preferences import load_preferences
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import read_rows
from rewardranker.recipe import load_recipe
from rewardranker.tables import parquet_rows, read_table


@dataclass(frozen=True)
class Source:
    """Tables, and what is known of how they were made."""

    name: str
    problems: Mapping[str, Problem]
    """By id; empty where only groups are given."""
    candidates: tuple[Path, ...]
    """Tables of executed candidates, in the order they were sampled. Those of the first make groups."""
    groups: tuple[PreferenceGroup, ...]
    """Groups that are there ready-made."""
    made: str
    """How the labels were made, in Markdown."""
    scores: Mapping[tuple[str, str, int], tuple[float, str]] = field(default_factory=dict)
    """(folder of its table, problem, index) -> score and the ranker that gave it."""


def open_source(path: Path, problems: Path | None) -> Source:
    """What is at `path`.

    Args:
        path: a run directory, a table of executed candidates, or anything that `load_preferences` reads.
        problems: the problems of the candidates or groups; a run has its own.

    Raises:
        UserError: it is nothing of these, or candidates come without their problems or verdicts.
    """
    if (path / "recipe.toml").is_file():
        if problems is not None:
            raise UserError(f"{path}: is a run, which has its own problems; leave out --problems")
        return _run(path)
    known = {p.id: p for p in load_problems(problems)} if problems else {}
    if not path.is_dir() and not path.name.endswith((".tar.gz", ".tgz")):
        where, first = next(read_rows(path), ("", {}))
        if "strict_status" in first:
            if not known:
                raise UserError(f"{path}: give the problems that these are candidates of: --problems FILE")
            return Source(path.name, known, (path,), (), _EXECUTED)
        if {"text", "n_tokens"} <= first.keys() or "task_id" in first:
            raise UserError(f"{where}: no verdict; run it first: rewardranker execute {path} -o OUT")
    try:
        groups = load_preferences(path)
    except UserError as e:
        hint = "; nor is it a run directory, which has a recipe.toml" if path.is_dir() else ""
        raise UserError(f"{e}{hint}") from e
    return Source(path.name, known, (), tuple(groups), _READY_MADE)


def _run(path: Path) -> Source:
    recipe = load_recipe(str(path / "recipe.toml"))
    iterations = range(1, recipe.iterations)
    later = "sample-sft" if recipe.variant == "fresh" else "sample"
    tables = [
        path / stage / "candidates.parquet" for stage in ("0-sample", *(f"{i}-{later}" for i in iterations))
    ]
    there = tuple(table for table in tables if table.is_file())
    if not there or there[0] != tables[0]:
        raise UserError(f"{path}: nothing sampled in this run yet; let it go on: rewardranker run")
    groups: list[PreferenceGroup] = []
    scores: dict[tuple[str, str, int], tuple[float, str]] = {}
    for i in iterations:
        if (mined := path / f"{i}-mine").is_dir():
            groups += read_table(mined / "groups.parquet", PreferenceGroup)
            for row in parquet_rows(mined / "mined.parquet"):
                scores[f"{i}-{later}", row["problem_id"], row["index"]] = (row["score"], f"{i}-reward")
    problems = {p.id: p for p in load_problems(path / "problems" / "problems.parquet")}
    return Source(path.name, problems, there, tuple(groups), _of_run(path, recipe.execution), scores)


_VERDICTS = """\
Every candidate was executed with its problem's tests in a sandbox of RewardRanker. `strict_status` is the
strict verdict: `passed` says that the program ran to its end, so exit code 0 before the tests had run is no
pass. `status` is what MultiPL-E's evaluator would say. A program that passed once counts as right; of the
verdicts `unavailable` and `error` nothing is known, and such programs are in the table of candidates only.
Programs with the source `reference` are the problems' own.
"""

_EXECUTED = f"""{_VERDICTS}
The table does not say which versions and limits the verdicts were made with: **fill in** the version of
rewardranker, the time and memory limits.
"""

_READY_MADE = """\
Right and wrong programs were taken as given from the source; nothing was executed for this export. **Fill
in** how they were judged: by which tests, with which versions and limits.
"""


def _of_run(path: Path, execution: Any) -> str:
    settings = {k: v for k, v in execution.model_dump().items() if k != "workers"}
    made = json.loads(read_text(path / "environment.json"))
    rows = {**settings, "python": made["python"], "rewardranker": made["packages"]["rewardranker"]}
    rows |= {"platform": made["platform"], "seed": made["seed"]}
    table = "".join(f"| `{name}` | {value} |\n" for name, value in rows.items())
    return f"{_VERDICTS}\n| made with | |\n| --- | --- |\n{table}"
