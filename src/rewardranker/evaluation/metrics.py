"""Metrics as pure functions of arrays. P problems, n candidates a problem; rates are shares from 0 to 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of k candidates is correct, drawn without replacement from n with c correct.

    1 - C(n - c, k) / C(n, k), the unbiased estimator of Chen et al. 2021 (arXiv:2107.03374, section 2.1).

    Returns:
        The chance, or NaN when n < k: too few candidates to say.

    Example:
        >>> pass_at_k(n=10, c=3, k=1)
        0.3
    """
    if not 0 <= c <= n or k < 1:
        raise ValueError(f"pass_at_k needs 0 <= c <= n and k >= 1, got n={n}, c={c}, k={k}")
    if n < k:
        return math.nan
    total = math.comb(n, k)
    return (total - math.comb(n - c, k)) / total


def best_of_k_curve(scores: ArrayLike, correct: ArrayLike) -> Floats:
    """Expected correctness of the highest-scored of k candidates, for every k from 1 to n.

    The mean over all k-subsets of the n candidates, so it has no sampling noise of its own. A candidate with
    `below` lower scores and `upto` scores no higher is picked from C(upto, k) - C(below, k) subsets, shared
    with those that it ties with; equal scores are thus a uniform draw. Oracle scores give pass@k, constant
    scores pass@1.

    Args:
        scores: [..., n] higher is better; no NaN.
        correct: [..., n] 0 or 1 (shares are allowed).

    Returns:
        [..., n]; entry k - 1 is best-of-k.

    Example:
        >>> best_of_k_curve([0.1, 0.9], [1, 0])
        array([0.5, 0. ])
    """
    s, a = np.asarray(scores, dtype=float), np.asarray(correct, dtype=float)
    if s.shape != a.shape or not s.ndim or not s.shape[-1]:
        raise ValueError(
            f"scores {s.shape} and correct {a.shape} must have the same, non-empty shape [..., n]"
        )
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    n = s.shape[-1]
    below = (s[..., None, :] < s[..., :, None]).sum(-1)  # [..., n]
    upto = (s[..., None, :] <= s[..., :, None]).sum(-1)
    # chosen[i, k - 1]: share of the k-subsets that lie within a given set of i candidates.
    chosen = np.array([[math.comb(i, k) / math.comb(n, k) for k in range(1, n + 1)] for i in range(n + 1)])
    picked = (chosen[upto] - chosen[below]) / (upto - below)[..., None]  # [..., n, k]
    curve: Floats = (a[..., None] * picked).sum(-2)
    return curve


def best_of_k(scores: ArrayLike, correct: ArrayLike, k: int) -> float:
    """`best_of_k_curve` of one problem at one k; NaN when there are fewer than k candidates."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    curve = best_of_k_curve(scores, correct)
    return float(curve[k - 1]) if k <= len(curve) else math.nan


def first_correct(scores: ArrayLike, correct: ArrayLike) -> Floats:
    """Chance that the first correct candidate stands at each rank, highest score first, ties in random order.

    All ranking metrics that look for one right answer follow from it: its cumulative sum is ranked pass@k
    (any correct one among the k highest), its mean of 1 / rank the reciprocal rank.

    Args:
        scores: [n] of one problem's candidates; no NaN.
        correct: [n] bool.

    Returns:
        [n]; entry r - 1 belongs to rank r. It sums to 1, or to 0 where no candidate is correct.

    Example:
        >>> first_correct([2, 1, 1], [False, True, False])
        array([0. , 0.5, 0.5])
    """
    s, a = np.asarray(scores, dtype=float), np.asarray(correct, dtype=bool)
    chance = np.zeros(len(s))
    ahead = 0
    for value in np.unique(s)[::-1]:
        tied = a[s == value]
        size, right = len(tied), int(tied.sum())
        if right:  # the first of `right` among `size` in random order stands at place j
            total = math.comb(size, right)
            for j in range(1, size - right + 2):
                chance[ahead + j - 1] = math.comb(size - j, right - 1) / total
            break
        ahead += size
    return chance


def reciprocal_rank(scores: ArrayLike, correct: ArrayLike, at: int = 10) -> float:
    """Expected 1 / rank of the first correct candidate, 0 beyond rank `at` (MRR@at, one problem)."""
    chance = first_correct(scores, correct)[:at]
    return float((chance / np.arange(1, len(chance) + 1)).sum())


def ndcg(scores: ArrayLike, correct: ArrayLike, at: int = 10) -> float:
    """Normalised discounted cumulative gain of one problem's first `at` ranks, gains 0 or 1, discount log2.

    Järvelin and Kekäläinen 2002; candidates that tie share their gain, which is the mean over their orders.
    NaN without a correct candidate.
    """
    s, a = np.asarray(scores, dtype=float), np.asarray(correct, dtype=float)
    if not a.any():
        return math.nan
    _, group = np.unique(-s, return_inverse=True)
    gain = (np.bincount(group, a) / np.bincount(group))[np.sort(group)][:at]
    discount = 1 / np.log2(np.arange(2, len(gain) + 2))
    return float((gain * discount).sum() / discount[: int(a.sum())].sum())


def margin(scores: ArrayLike, correct: ArrayLike) -> float:
    """Mean score of one problem's correct candidates less that of its incorrect ones.

    NaN without both, or where a score is infinite.
    """
    s, a = np.asarray(scores, dtype=float), np.asarray(correct, dtype=bool)
    if not a.any() or a.all() or not np.isfinite(s).all():
        return math.nan
    return float(s[a].mean() - s[~a].mean())


def gap_closed(pass_1: float, best_of_k: float, pass_k: float) -> float:
    """Share of the way from a random pick (0) to a perfect one (1) that a selector goes.

    NaN when there is no way to go, negative for a selector that is worse than a random pick.
    """
    return (best_of_k - pass_1) / (pass_k - pass_1) if pass_k > pass_1 else math.nan


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Comparisons of a correct with an incorrect candidate of one problem; an equal score is half a win."""

    wins: Floats
    """[P] pairs in which the correct candidate scores higher."""
    pairs: Floats
    """[P] all pairs; 0 for problems with one kind of candidate only."""

    @property
    def auc(self) -> float:
        """Share of all pairs that are won: problems with many pairs count more. NaN without a pair."""
        total = float(self.pairs.sum())
        return float(self.wins.sum()) / total if total else math.nan

    @property
    def pairwise_accuracy(self) -> float:
        """Mean over problems with pairs of the share won: problems count alike. NaN without a pair."""
        some = self.pairs > 0
        return float((self.wins[some] / self.pairs[some]).mean()) if some.any() else math.nan

    @property
    def problems(self) -> int:
        """Problems with both a correct and an incorrect candidate."""
        return int((self.pairs > 0).sum())


def pair_counts(scores: ArrayLike, correct: ArrayLike) -> PairCounts:
    """Count the within-problem comparisons that `PairCounts.auc` and `.pairwise_accuracy` are made of.

    Pairs across problems are left out on purpose: a ranker only ever chooses among one problem's candidates,
    and knowing which problems are easy would lift an AUC over all candidates without helping that choice.

    Args:
        scores: [P, n] higher is better.
        correct: [P, n] bool.
    """
    s, a = np.asarray(scores, dtype=float), np.asarray(correct, dtype=bool)
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    return pair_counts_of_sides([(row[right], row[~right]) for row, right in zip(s, a, strict=True)])


def pair_counts_of_sides(sides: Sequence[tuple[Floats, Floats]]) -> PairCounts:
    """`pair_counts` of problems with any number of candidates.

    Args:
        sides: P times (scores of the correct [A], scores of the incorrect candidates [B]).
    """
    won = [
        (right[:, None] > wrong[None, :]) + 0.5 * (right[:, None] == wrong[None, :]) for right, wrong in sides
    ]
    return PairCounts(
        wins=np.array([float(w.sum()) for w in won]), pairs=np.array([float(w.size) for w in won])
    )


def brier(probability: ArrayLike, correct: ArrayLike) -> float:
    """Mean squared difference between probability and outcome (Brier 1950); 0 is perfect."""
    p, a = np.asarray(probability, dtype=float), np.asarray(correct, dtype=float)
    return float(((p - a) ** 2).mean())


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates whose probability lies in [low, high) (the last one: up to 1 itself)."""

    low: float
    high: float
    count: int
    probability: float
    """Mean predicted probability."""
    frequency: float
    """Share that is correct."""


def reliability(probability: ArrayLike, correct: ArrayLike, bins: int = 10) -> list[Bin]:
    """The bins of a reliability diagram, equally wide; empty bins are left out."""
    p, a = np.ravel(np.asarray(probability, dtype=float)), np.ravel(np.asarray(correct, dtype=float))
    if ((p < 0) | (p > 1) | np.isnan(p)).any():
        raise ValueError("a probability is outside 0 to 1")
    index = np.minimum((p * bins).astype(int), bins - 1)
    return [
        Bin(b / bins, (b + 1) / bins, int(inside.sum()), float(p[inside].mean()), float(a[inside].mean()))
        for b in range(bins)
        if (inside := index == b).any()
    ]


def ece(bins: list[Bin]) -> float:
    """Expected calibration error, mean |frequency - probability| (Guo et al. 2017, equation 3)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.frequency - b.probability) for b in bins) / total if total else math.nan


def within_problem_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson correlation of x and y [P, n] less each problem's means; NaN where one is constant."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def bootstrap_weights(problems: int, resamples: int, seed: int) -> Floats:
    """Weights [resamples, problems] of the problems in each bootstrap resample; rows sum to 1.

    `weights @ values` are the resampled means, so one draw serves every system measured on these problems.
    The problem is the unit: its candidates are not independent of one another.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples) / problems


def clustered_weights(clusters: Sequence[object], resamples: int, seed: int) -> Floats:
    """`bootstrap_weights` [resamples, P] where problems of one cluster are drawn together or not at all.

    One task in several languages is several problems whose outcomes go together
    (`rewardranker.problems.problem.task_of`): the task is the unit then. Without such it is the problem.
    """
    index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    drawn = bootstrap_weights(len(index), resamples, seed)
    if len(index) == len(clusters):
        return drawn
    weights: Floats = drawn[:, [index[cluster] for cluster in clusters]]
    weights /= weights.sum(1, keepdims=True)
    return weights


def interval(values: ArrayLike, weights: Floats) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `values` [P] (Efron & Tibshirani 1993, ch. 13)."""
    low, high = np.percentile(weights @ np.asarray(values, dtype=float), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_ci(values: ArrayLike, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean over problems, one value a problem."""
    array = np.asarray(values, dtype=float)
    return interval(array, bootstrap_weights(len(array), resamples, seed))


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """System a minus system b on the same problems."""

    difference: float
    standard_error: float
    """Of the mean, over the resamples."""
    ci95: tuple[float, float]
    better: int
    """Problems on which a does better."""
    worse: int
    """Problems on which a does worse."""
    problems: int


def paired_difference(a: ArrayLike, b: ArrayLike, weights: Floats) -> PairedDifference:
    """Compare two systems problem by problem.

    Args:
        a, b: [P] one value a problem, the same problems in the same order.
        weights: `bootstrap_weights` or `clustered_weights` for P problems.
    """
    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    error = float((weights @ d).std())
    # Two ways to one value may differ in the last bits; that is neither better nor worse.
    better, worse = int((d > 1e-9).sum()), int((d < -1e-9).sum())
    return PairedDifference(float(d.mean()), error, interval(d, weights), better, worse, len(d))


def flips(a: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
    """Which system alone solves each problem [P]: 1 the first, -1 the second, 0 both or neither.

    A system solves a problem when its choice is right more often than not: selectors that can't tell
    candidates apart, and samples, have shares between 0 and 1.
    """
    return (np.asarray(a) > 0.5).astype(np.int64) - (np.asarray(b) > 0.5)


def mcnemar_of_tasks(flipped: NDArray[np.int64], tasks: Sequence[object]) -> float:
    """`mcnemar` of `flips`; problems of one task are no independent evidence, so a task counts once.

    It falls to the system that alone solves more of its problems, or to neither.
    """
    _, index = np.unique(np.array(list(tasks), dtype=str), return_inverse=True)
    total = np.bincount(index, flipped)
    return mcnemar(int((total > 0).sum()), int((total < 0).sum()))


def mcnemar(better: int, worse: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947) that two systems solve equally many problems.

    Args:
        better: problems that only the first system solves.
        worse: problems that only the second one solves.

    Returns:
        Chance of a split at least as uneven if each of them fell to either side alike.

    Example:
        >>> mcnemar(8, 1)
        0.0390625
    """
    n = better + worse
    tail = sum(math.comb(n, i) for i in range(min(better, worse) + 1))
    p: float = 2 * tail / 2**n
    return min(1.0, p)
