"""Selectors: which of a problem's candidates to hand out, and how often that one is correct.

Every function returns curves [P, n]: entry k - 1 is the expected correctness of the selected candidate when
k of the n candidates are seen, the mean over k-subsets with ties drawn uniformly.
"""

from collections.abc import Sequence
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


def staged(stages: Sequence[Floats]) -> Floats:
    """One score [P, n] that orders by the first of `stages` and, among equals, by the next, and so on.

    Generate, prune, then rank (Orlanski et al. 2025, arXiv:2506.10056): cheap checks come first, the ranker
    last. A check prunes nothing where no candidate of those seen passes it.

    Args:
        stages: each [P, n], higher is better; checks as 0 and 1.

    Example:
        >>> staged([np.array([[0.0, 1.0, 1.0]]), np.array([[9.0, 2.0, 3.0]])])
        array([[0., 1., 2.]])
    """
    keys = np.stack(stages, axis=-1)  # [P, n, stages]
    score = np.empty(keys.shape[:2])
    for p, rows in enumerate(keys):
        _, place = np.unique(rows, axis=0, return_inverse=True)  # rows are sorted by their first column first
        score[p] = place.ravel()
    return score


def _highest(score: Floats, member: Bools) -> Bools:
    """Of the members [subsets, n], those with the highest score [n] in their subset."""
    seen = np.where(member, score, -np.inf)
    highest: Bools = member & (seen == seen.max(1, keepdims=True))
    return highest


def majority(
    behaviour: list[list[str]], correct: Bools, seed: int = 0, *, first: Floats | None = None
) -> Floats:
    """A random member of the largest group of candidates that behave alike; largest groups that tie share it.

    As in self-consistency and AlphaCode's clustering (arXiv:2203.07814, section 4.6). A candidate without a
    behaviour ("") is a group of its own. Exact up to `EXACT_MAJORITY` candidates a problem; beyond, k of n
    subsets are `MONTE_CARLO_SUBSETS` seeded random ones, except k = n, which is always exact.

    Args:
        behaviour: [P][n] what each candidate returned on the problem's probe.
        correct: [P, n].
        first: [P, n] only the candidates that are highest in this, among those seen, vote and are chosen:
            with the visible tests as 0 and 1, those that pass them, if any does.
    """
    P, n = correct.shape
    group = np.array([[row[i] or f"\0{i}" for i in range(n)] for row in behaviour], dtype=object)
    same = group[:, :, None] == group[:, None, :]  # [P, n, n], symmetric
    rng = np.random.default_rng(seed)
    curve = np.empty((P, n))
    for k in range(1, n + 1):
        member = _subsets(n, k, rng) if k < n else np.ones((1, n), dtype=bool)
        for p in range(P):
            voters = member if first is None else _highest(first[p], member)
            votes = (voters @ same[p].astype(float)) * voters  # [subsets, n] size of each voter's group
            top = votes == votes.max(1, keepdims=True)  # tied groups are equally large: all members alike
            curve[p, k - 1] = ((top * correct[p]).sum(1) / top.sum(1)).mean()
    return curve
