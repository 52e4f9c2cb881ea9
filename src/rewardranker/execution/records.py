"""Files of programs to run, and of the same rows with their verdicts."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.files import read_text, write_jsonl

STANDARD_STREAM = Path("-")
_FIELDS = ("id", "language", "program")


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """The rows of a file of programs."""

    rows: list[dict[str, Any]]
    """Rows with id, language and program; what else they hold is carried through."""
    faults: list[str]
    """One message for each row that can't be run, with file and line."""

    def programs(self) -> list[Program]:
        """The programs of `rows`, in order."""
        return [Program(row["language"], row["program"]) for row in self.rows]


def read_programs(path: Path) -> ProgramFile:
    """Read JSON lines with the fields id, language and program (gzip by the name .gz, "-" for stdin).

    Raises:
        UserError: the file can't be read at all; a bad row is kept out and told of in `faults` instead.
    """
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(line))
        except ValueError as e:
            faults.append(f"{path}:{number}: {e}")
    return ProgramFile(rows, faults)


def write_verdicts(path: Path, rows: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> None:
    """Write each row with the fields of its verdict added, atomically ("-" for stdout)."""
    judged = [{**row, **asdict(verdict)} for row, verdict in zip(rows, verdicts, strict=True)]
    if path == STANDARD_STREAM:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in judged)
    else:
        write_jsonl(path, judged)


def _read(path: Path) -> str:
    if path != STANDARD_STREAM:
        return read_text(path)
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as e:
        raise UserError(f"stdin: not UTF-8 text ({e})") from e


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as e:
        raise ValueError(f"not JSON ({e.msg} at column {e.colno})") from e
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, found {type(row).__name__}")
    for name in _FIELDS:
        if name not in row:
            raise ValueError(f'no field "{name}"')
    for name in ("language", "program"):
        if not isinstance(row[name], str):
            raise ValueError(f'field "{name}" must be a string, not {type(row[name]).__name__}')
    return row
