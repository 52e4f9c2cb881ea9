"""Rows of a data file with the place each came from, and their validation."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from rewardranker.errors import UserError
from rewardranker.files import json_fault, read_jsonl, read_lines, read_text
from rewardranker.problems.problem import Problem
from rewardranker.tables import parquet_rows

Model = TypeVar("Model", bound=BaseModel)


class Record(BaseModel):
    """Base of the row formats: types are taken at their word (no "3" for 3)."""

    model_config = ConfigDict(strict=True)


class ProblemRow(Record, ABC):
    """One row of a file of problems: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")

    @abstractmethod
    def problem(self) -> Problem | None:
        """The row as a `Problem`; None: it has no tests."""


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) for a JSONL file, a JSON list (either may be .gz) or a Parquet table.

    `where` names the file and the line, item or row, for messages. All but JSON lists are read as they are
    needed, never whole.

    Raises:
        UserError: the file can't be read, or one of its rows isn't an object.
    """
    if path.suffix == ".parquet":
        for number, row in enumerate(parquet_rows(path), 1):
            yield f"{path}: row {number}", row
        return
    begin = next((line for line in map(str.lstrip, read_lines(path)) if line), "")
    if begin.startswith("["):
        yield from parse_rows(read_text(path), str(path))
        return
    for number, row in read_jsonl(path):
        yield f"{path}:{number}", row


def parse_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) for a JSON list of objects; `name` is what messages call the file.

    Raises:
        UserError: the text isn't JSON, or one of the items isn't an object.
    """
    for number, item in enumerate(parse_json(text, name), 1):
        if not isinstance(item, dict):
            raise UserError(f"{name}: item {number}: expected a JSON object, found {type(item).__name__}")
        yield f"{name}: item {number}", item


def parse_json(text: str, name: str) -> Any:
    """`text` as one JSON document; `name` is what messages call the file.

    Raises:
        UserError: it isn't JSON, or none that Python reads.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        where = f"{name}:{e.lineno}" if isinstance(e, json.JSONDecodeError) else name
        raise UserError(f"{where}: {json_fault(e)}") from e


def validate(model: type[Model], row: dict[str, Any], where: str) -> Model:
    """`row` as a `model`.

    Raises:
        UserError: naming `where` and every field that is missing, unknown or of the wrong kind.
    """
    try:
        return model.model_validate(row)
    except ValidationError as e:
        raise UserError(f"{where}: " + "; ".join(map(_fault, e.errors()))) from e


def _fault(error: ErrorDetails) -> str:
    message = {
        "missing": "field required",
        "extra_forbidden": "unknown field; remove or rename it",
    }.get(error["type"], error["msg"].removeprefix("Value error, "))
    return ": ".join(filter(None, (".".join(map(str, error["loc"])), message)))
