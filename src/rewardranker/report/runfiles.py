"""The small files that a run leaves, as JSON."""

import json
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.files import read_text


def read_json(path: Path) -> Any:
    """A file of the run.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.exists():
        raise UserError(
            f"{path}: no such file; the report needs a finished run (`rewardranker run` goes on with it)"
        )
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as e:
        raise UserError(
            f"{path}:{e.lineno}: not JSON ({e.msg}); remove it and run `rewardranker run` again"
        ) from e


def by_iteration(run_dir: Path, stage: str, file: str) -> dict[int, Any]:
    """Content of <i>-<stage>/<file> by i, for those that are there."""
    found = {}
    for path in run_dir.glob(f"*-{stage}/{file}"):
        number = path.parent.name.partition("-")[0]
        if number.isdigit():
            found[int(number)] = read_json(path)
    return dict(sorted(found.items()))
