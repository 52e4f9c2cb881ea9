"""RewardRanker: problems with tests in; a ranker that picks right programs and a generator aligned to it out.

The names below are loaded when first used, so that `import rewardranker` stays light (no torch).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Problem": "rewardranker.problems.problem",
    "Candidate": "rewardranker.problems.candidate",
    "PreferenceGroup": "rewardranker.problems.preference",
    "load_problems": "rewardranker.problems.loaders",
    "Program": "rewardranker.execution.program",
    "Verdict": "rewardranker.execution.verdict",
    "execute": "rewardranker.execution.pool",
    "Generator": "rewardranker.models.generator",
    "RewardRanker": "rewardranker.models.ranker",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rewardranker' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
