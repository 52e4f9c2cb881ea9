"""Public data sets by name, through the `datasets` library."""

import os
import re
from collections.abc import Iterator
from typing import Any

from rewardranker.errors import UserError

PUBLIC: dict[str, dict[str, Any]] = {
    "humaneval": {"path": "openai/openai_humaneval", "split": "test"},
    "humaneval+": {"path": "evalplus/humanevalplus", "split": "test"},
    "mbpp": {"path": "google-research-datasets/mbpp", "name": "full", "split": "test"},
    "mbpp+": {"path": "evalplus/mbppplus", "split": "test"},
    "codecontests": {"path": "deepmind/code_contests", "split": "test"},
    # That of codeparrot itself is a script, which `datasets` runs no more.
    "apps": {"path": "codeparrot/apps", "name": "all", "split": "test", "revision": "refs/convert/parquet"},
    "livecodebench": {
        "path": "json",
        "data_files": "hf://datasets/livecodebench/code_generation_lite/test*.jsonl",
        "split": "train",  # what `datasets` calls files without a split
    },
}
"""What `datasets.load_dataset` is asked for."""
_MULTIPL_E = re.compile(r"multipl-e:(humaneval|mbpp):([a-z.+#_]+)")


def is_public(name: str) -> bool:
    """Whether `name` is one of `PUBLIC`, or multipl-e:humaneval:LANGUAGE, or multipl-e:mbpp:LANGUAGE."""
    return name in PUBLIC or _MULTIPL_E.fullmatch(name) is not None


def public_rows(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, row) for a public data set, downloaded once unless HF_HUB_OFFLINE is set.

    Raises:
        UserError: `datasets` isn't installed, or the data set can't be had; the message says what to do.
    """
    try:
        import datasets
    except ImportError as e:
        raise UserError(
            f"{name}: public data sets are loaded by `datasets`, which is missing: "
            "pip install 'rewardranker[datasets]'; or give a local file"
        ) from e
    if matched := _MULTIPL_E.fullmatch(name):
        asked = {"path": "nuprl/MultiPL-E", "name": "-".join(matched.groups()), "split": "test"}
    else:
        asked = PUBLIC[name]
    try:
        rows = datasets.load_dataset(**asked)
    except (OSError, ValueError, RuntimeError) as e:
        place = asked.get("data_files", asked["path"])
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        what = (
            "it is not in the cache, and HF_HUB_OFFLINE is set: unset it"
            if offline
            else "load it where there is a network, which keeps it in the cache"
        )
        why = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(
            f"{name}: {place} can't be loaded ({why}); {what}, or download it elsewhere and give the file "
            "(JSON lines or Parquet) in place of the name"
        ) from e
    for number, row in enumerate(rows, 1):
        yield f"{name}: row {number}", dict(row)
