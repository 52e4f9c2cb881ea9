"""Rows of whole programs: {"id", "language", "program"}, with or without tests beside the program.

What else they hold is carried through.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rewardranker.execution.formats.job import Line, RowsJob
from rewardranker.execution.languages import find_language
from rewardranker.execution.program import Program
from rewardranker.problems.row_tests import read_row_tests

_FIELDS = ("id", "language", "program")


def program_rows(lines: Sequence[Line], out: Path) -> RowsJob:
    """The job of running the rows of `lines`; a verdict adds its fields to its row.

    A row that can't be run is kept out and told of in the job's `faults`.
    """
    rows, faults = [], []
    for where, row in lines:
        if isinstance(row, str):
            faults.append(f"{where}: {row}")
        elif fault := _fault(row):
            faults.append(f"{where}: {fault}")
        else:
            try:
                rows.append((row, _program(row)))
            except ValueError as e:
                faults.append(f"{where}: {e}")
    return RowsJob(rows, faults, out, asdict)


def _program(row: dict[str, Any]) -> Program:
    found = read_row_tests(row)
    language = find_language(row["language"])
    prologue = found.prologue if language is not None and language.name == "python" else ""
    return Program(row["language"], prologue + row["program"], found.tests, found.timeout_s, found.memory_mb)


def _fault(row: dict[str, Any]) -> str:
    for name in _FIELDS:
        if name not in row:
            return f'no field "{name}"'
    for name in ("language", "program"):
        if not isinstance(row[name], str):
            return f'field "{name}" must be a string, not {type(row[name]).__name__}'
    return ""
