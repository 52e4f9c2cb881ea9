"""RewardRanker: problems with tests in; a ranker that picks right programs and a generator aligned to it out.

The names below are loaded when first used, so that `import rewardranker` stays light (no torch).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    # Problems, and programs that answer them.
    "Problem": "rewardranker.problems.problem",
    "Candidate": "rewardranker.problems.candidate",
    "PreferenceGroup": "rewardranker.problems.preference",
    "load_problems": "rewardranker.problems.loaders",
    "extract_candidate": "rewardranker.problems.extraction",
    "extract_program": "rewardranker.problems.extraction",
    "parses": "rewardranker.problems.syntax",
    # Execution.
    "Program": "rewardranker.execution.program",
    "Verdict": "rewardranker.execution.verdict",
    "execute": "rewardranker.execution.pool",
    # Models.
    "Generator": "rewardranker.models.generator",
    "Ranker": "rewardranker.models.scores",
    "Score": "rewardranker.models.scores",
    "Calibration": "rewardranker.models.scores",
    "RewardRanker": "rewardranker.models.ranker",
    "SequenceRanker": "rewardranker.models.sequence",
    "RemoteRanker": "rewardranker.models.remote_ranker",
    "load_ranker": "rewardranker.models.load",
    "fit_calibration": "rewardranker.training.calibration",
    # Selection.
    "RankedCandidate": "rewardranker.evaluation.best_of_n",
    "BestOfN": "rewardranker.evaluation.best_of_n",
    "rank_candidates": "rewardranker.evaluation.best_of_n",
    "best_of_n": "rewardranker.evaluation.best_of_n",
    # Selectors, measured on candidates that exist.
    "read_existing": "rewardranker.evaluation.existing",
    "judge_candidates": "rewardranker.evaluation.judging",
    "compare_selectors": "rewardranker.evaluation.selection",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rewardranker' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
