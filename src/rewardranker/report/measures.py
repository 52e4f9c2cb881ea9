"""What the viewer's plots show beyond metrics.json: with intervals, from the candidates themselves.

Every interval is a 95 % bootstrap over problems, for one problem's candidates are not independent; one task
in several languages is drawn as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewardranker.evaluation import metrics
from rewardranker.evaluation.metrics import Floats
from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.report.attempts import Attempts

RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def _ratios(attempts: Sequence[Attempts], parts: Floats, wholes: Floats) -> list[Estimate | None]:
    """sum(parts) / sum(wholes) of each of B columns [P, B] with its interval; None where the whole is 0."""
    weights = metrics.clustered_weights([a.task for a in attempts], RESAMPLES, _SEED)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = (weights @ parts) / (weights @ wholes)
        value = parts.sum(0) / wholes.sum(0)
    found: list[Estimate | None] = []
    for column, whole in enumerate(wholes.sum(0)):
        if whole == 0:
            found.append(None)
            continue
        low, high = np.nanpercentile(resampled[:, column], [2.5, 97.5])
        found.append(Estimate(float(value[column]), float(low), float(high)))
    return found


def _correct(attempts: Attempts) -> Floats:
    return np.array([c.passed for c in attempts.sampled], dtype=float)


def ranked(attempts: Mapping[str, Attempts], ranker: int) -> list[Attempts]:
    """The problems that a ranker scored."""
    return [a for a in attempts.values() if ranker in a.scores]


def gap_closed(attempts: Sequence[Attempts], ranker: int) -> Estimate | None:
    """Share of the way from a random (0) to a perfect pick (1); None where there is no way to go."""
    parts, wholes = [], []
    for a in attempts:
        correct, scores = _correct(a), np.array(a.values(ranker))
        chance = correct.mean()
        parts.append([correct[scores == scores.max()].mean() - chance])  # equal scores are a uniform draw
        wholes.append([correct.max() - chance])
    return _ratios(attempts, np.array(parts), np.array(wholes))[0]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Candidates whose stated probability lies in one bin."""

    probability: float
    """Mean of what was stated."""
    correct: Estimate
    """Share that is correct."""
    count: int


def reliability(attempts: Sequence[Attempts], ranker: int, bins: int = 10) -> list[Reliability]:
    """A reliability diagram's points; the bins are those of `metrics.reliability`."""
    counts, right, stated = (np.zeros((len(attempts), bins)) for _ in range(3))
    for row, a in enumerate(attempts):
        p = np.array([s.probability for s in a.scores[ranker]])
        index = np.minimum((p * bins).astype(int), bins - 1)
        np.add.at(counts[row], index, 1.0)
        np.add.at(right[row], index, _correct(a))
        np.add.at(stated[row], index, p)
    return [
        Reliability(float(stated[:, b].sum() / counts[:, b].sum()), share, int(counts[:, b].sum()))
        for b, share in enumerate(_ratios(attempts, right, counts))
        if share is not None
    ]


def stated_and_true(attempts: Sequence[Attempts], ranker: int) -> tuple[Estimate, Estimate]:
    """Mean probability that the ranker states, and the share of candidates that is correct."""
    counts = np.array([[float(len(a.sampled))] for a in attempts])
    stated = np.array([[sum(s.probability for s in a.scores[ranker])] for a in attempts])
    right = np.array([[_correct(a).sum()] for a in attempts])
    (said,), (true,) = _ratios(attempts, stated, counts), _ratios(attempts, right, counts)
    assert said is not None and true is not None  # there is a candidate in every problem
    return said, true


def length(candidate: EvaluatedCandidate) -> int:
    """Tokens; of a candidate whose tokens nobody counted, characters."""
    return candidate.n_tokens or len(candidate.text)


@dataclass(frozen=True, slots=True)
class ByLength:
    """Candidates of about the same length, beside the others of their problem."""

    length: float
    """Mean length more than the problem's mean."""
    score: Estimate
    """Mean score above the problem's mean."""
    count: int


def score_by_length(
    attempts: Sequence[Attempts], ranker: int, *, passed: bool, bins: int = 8
) -> list[ByLength]:
    """Score against length, both less the mean of the problem's candidates of the same verdict.

    Comparing right with right and wrong with wrong programs leaves out that wrong ones may be longer: what
    remains is what the ranker pays for length itself. Bins hold about as many candidates each.
    """
    lengths, scores, compared = [], [], []
    for a in attempts:
        raw = np.array(a.values(ranker))
        chosen = [i for i, c in enumerate(a.sampled) if c.passed == passed and np.isfinite(raw[i])]
        if len(chosen) > 1:
            n = np.array([float(length(a.sampled[i])) for i in chosen])
            s = raw[chosen]
            lengths.append(n - n.mean())
            scores.append(s - s.mean())
            compared.append(a)
    if not lengths:
        return []
    pooled = np.concatenate(lengths)
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, bins + 1)))[1:-1]
    counts, total, longer = (np.zeros((len(lengths), len(edges) + 1)) for _ in range(3))
    for row, (n, s) in enumerate(zip(lengths, scores, strict=True)):
        index = np.searchsorted(edges, n, side="left")
        np.add.at(counts[row], index, 1.0)
        np.add.at(total[row], index, s)
        np.add.at(longer[row], index, n)
    return [
        ByLength(float(longer[:, b].sum() / counts[:, b].sum()), score, int(counts[:, b].sum()))
        for b, score in enumerate(_ratios(compared, total, counts))
        if score is not None
    ]


@dataclass(frozen=True, slots=True)
class Failure:
    """A program that fails though the ranker is sure of it."""

    problem_id: str
    probability: float
    reason: str


def sure_failures(attempts: Mapping[str, Attempts], ranker: int, most: int = 50) -> list[Failure]:
    """Each problem's failing candidate with the highest stated probability, the surest first."""
    found = []
    for problem_id, a in attempts.items():
        if ranker in a.scores:
            failing = [
                (s.probability, c.strict_status, c.reason)
                for s, c in zip(a.scores[ranker], a.sampled, strict=True)
                if not c.passed and c.judged
            ]
            if failing:
                probability, status, reason = max(failing)
                found.append(Failure(problem_id, probability, reason or status.replace("_", " ")))
    return sorted(found, key=lambda f: (-f.probability, f.problem_id))[:most]


def wilson(share: float, n: int) -> Estimate:
    """The 95 % Wilson score interval of a share of n (Wilson 1927)."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(share, float(middle - half), float(middle + half))
