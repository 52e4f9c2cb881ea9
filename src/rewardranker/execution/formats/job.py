"""`Job`: what one file or folder asks to run, and where the verdicts go; `RowsJob` for JSON lines."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.files import json_fault, write_text

STANDARD_STREAM = Path("-")

Line = tuple[str, dict[str, Any] | str]
"""File and line for messages; the row that stands there, or why there is none."""


class Job(ABC):
    """Programs to run; give `record` the verdict of each as it ends, then call `finish`."""

    timeout_s = 3.0
    """Seconds a program gets where the user doesn't say."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.outputs: list[Path] = []
        """Files that will be written ("-": stdout)."""
        self.faults: list[str] = []
        """One message, with its file and line, for each thing that isn't or wasn't run."""
        self.n_done_before = 0
        """Files that are not run because their results are there."""

    @abstractmethod
    def record(self, index: int, verdict: Verdict) -> None:
        """Take the verdict on `programs[index]`; any order, each index once."""

    @abstractmethod
    def finish(self) -> None:
        """Write what isn't written yet."""


class RowsJob(Job):
    """One program for each row of a JSONL file; the rows are written in their order, with more fields.

    Args:
        rows: with the program of each.
        faults: of the rows that were left out.
        out: file to write, "-" for stdout.
        fields: what a verdict adds to its row.
    """

    def __init__(
        self,
        rows: list[tuple[dict[str, Any], Program]],
        faults: list[str],
        out: Path,
        fields: Callable[[Verdict], dict[str, Any]],
    ) -> None:
        super().__init__()
        self.rows = [row for row, _ in rows]
        self.programs = [program for _, program in rows]
        self.outputs = [out]
        self.faults = faults
        self._fields = fields
        self._verdicts: dict[int, Verdict] = {}

    def record(self, index: int, verdict: Verdict) -> None:
        """Keep the verdict until all are there."""
        self._verdicts[index] = verdict

    def finish(self) -> None:
        """Write each row with the fields of its verdict added, atomically."""
        judged = ({**row, **self._fields(self._verdicts[i])} for i, row in enumerate(self.rows))
        # In ASCII: a program may hold half of a surrogate pair, which UTF-8 can't say.
        text = "".join(json.dumps(row) + "\n" for row in judged)
        (out,) = self.outputs
        if out == STANDARD_STREAM:
            sys.stdout.write(text)
        else:
            write_text(out, text)


def parse_lines(text: str, name: str) -> list[Line]:
    """What stands on each line that isn't blank; `name` is what messages call the text."""
    return [
        (f"{name}:{number}", _parse(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]


def _parse(line: str) -> dict[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        return json_fault(e)
    return row if isinstance(row, dict) else f"expected a JSON object, found {type(row).__name__}"
