"""Selectors: which of a problem's candidates to hand out, and how often that one is correct.

Every function returns curves [P, n]: entry k - 1 is the expected correctness of the selected candidate when
k of the n candidates are seen, the mean over k-subsets with ties drawn uniformly.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rewardranker.evaluation.metrics import Floats, best_of_k_curve

Bools = NDArray[np.bool_]

EXACT_MAJORITY = 12
"""Up to so many candidates, `majority` visits every subset (2^12 - 1 = 4,095)."""
MONTE_CARLO_SUBSETS = 256
"""Beyond, so many random subsets for each k."""


def sample(correct: Bools) -> Floats:
    """A random candidate: pass@1 for every k."""
    return best_of_k_curve(np.zeros(correct.shape), correct)


def by_score(scores: Floats, correct: Bools) -> Floats:
    """The highest-scored candidate: by a ranker, or by mean log-probability.

    Args:
        scores: [P, n] higher is better.
        correct: [P, n].
    """
    return best_of_k_curve(scores, correct)


def oracle(correct: Bools) -> Floats:
    """A correct candidate where there is one: pass@k."""
    return best_of_k_curve(correct, correct)


def _subsets(n: int, k: int, rng: np.random.Generator) -> Bools:
    """Membership [subsets, n] of k-subsets of n candidates: all of them, or random ones when n is large."""
    if n <= EXACT_MAJORITY:
        chosen = np.array(list(combinations(range(n), k)))
    else:
        chosen = np.argsort(rng.random((MONTE_CARLO_SUBSETS, n)), axis=1)[:, :k]
    member = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(member, chosen, True, axis=1)
    return member


def majority(behaviour: list[list[str]], correct: Bools, seed: int = 0) -> Floats:
    """A random member of the largest group of candidates that behave alike; largest groups that tie share it.

    As in self-consistency and AlphaCode's clustering (arXiv:2203.07814, section 4.6). A candidate without a
    behaviour ("") is a group of its own. Exact up to `EXACT_MAJORITY` candidates a problem; beyond, k of n
    subsets are `MONTE_CARLO_SUBSETS` seeded random ones, except k = n, which is always exact.

    Args:
        behaviour: [P][n] what each candidate returned on the problem's probe.
        correct: [P, n].
    """
    P, n = correct.shape
    group = np.array([[row[i] or f"\0{i}" for i in range(n)] for row in behaviour], dtype=object)
    same = group[:, :, None] == group[:, None, :]  # [P, n, n], symmetric
    rng = np.random.default_rng(seed)
    curve = np.empty((P, n))
    for k in range(1, n + 1):
        member = _subsets(n, k, rng) if k < n else np.ones((1, n), dtype=bool)
        for p in range(P):
            votes = (member @ same[p].astype(float)) * member  # [subsets, n] size of each member's group
            top = votes == votes.max(1, keepdims=True)  # tied groups are equally large: all members alike
            curve[p, k - 1] = ((top * correct[p]).sum(1) / top.sum(1)).mean()
    return curve
