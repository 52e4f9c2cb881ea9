import numpy as np
import pytest

from rewardranker.errors import UserError
from rewardranker.evaluation.best_of_n import best_of_n, rank_candidates
from rewardranker.execution.pool import execute
from rewardranker.models.scores import Calibration, ranked
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.problem import Problem

PROBLEM = Problem(
    "p",
    "python",
    "def f(x):\n",
    "assert f(2) == 4",
    ("\ndef",),
    "f",
    visible_tests="assert f(1) == 2",
)
RIGHT, WRONG, LUCKY, BROKEN = "    return x * 2", "    return x", "    return 2", "    return (x * 2"


class ByLength:
    """A ranker of one's own: the longer, the better."""

    def __init__(self, reads_programs=False, calibration=None):
        self.reads_programs = reads_programs
        self.calibration = calibration
        self.seen = []

    def score(self, prompts, completions, *, on_progress=None):
        self.seen += zip(prompts, completions, strict=True)
        return np.array([float(len(text)) for text in completions])

    def probability(self, raw):
        return None if self.calibration is None else self.calibration.probability(raw)

    def rank(self, prompt, completions):
        raw = self.score([prompt] * len(completions), completions)
        return ranked(raw, self.probability(raw))


class Fixed:
    """A sampler that draws what it was given."""

    def __init__(self, texts):
        self.texts = texts

    def sample(self, problems, *, n, temperature, max_new_tokens, seed, policy, batch_size):
        assert batch_size == n == len(self.texts)
        return [Candidate(problems[0].id, i, t, 0.0, 1, "eos", policy) for i, t in enumerate(self.texts)]


def test_what_does_not_parse_ranks_last_and_says_so():
    found = rank_candidates(PROBLEM, [WRONG, BROKEN + " " * 50, RIGHT, LUCKY], ByLength())
    assert [(c.rank, c.index, c.parses) for c in found] == [
        (1, 2, True),
        (2, 0, True),
        (3, 3, True),
        (4, 1, False),
    ]
    assert found[3].score > found[0].score  # it is said what the ranker thought
    assert all(c.visible is None and c.probability is None and not c.whole for c in found)


def test_equal_candidates_are_scored_once_and_all_ranked():
    ranker = ByLength(calibration=Calibration(slope=0.1))
    found = rank_candidates(PROBLEM, [WRONG, RIGHT, WRONG, RIGHT], ranker)
    assert ranker.seen == [(PROBLEM.prompt, WRONG), (PROBLEM.prompt, RIGHT)]
    assert [c.index for c in found] == [1, 3, 0, 2]
    assert found[0].probability == found[1].probability > found[2].probability == found[3].probability


def test_what_cannot_be_parsed_is_told_before_anything_is_scored(monkeypatch):
    def missing(*_):
        raise UserError("no grammar")

    monkeypatch.setattr("rewardranker.evaluation.best_of_n.candidate_parses", missing)
    ranker = ByLength()
    with pytest.raises(UserError, match="no grammar"):
        rank_candidates(PROBLEM, [RIGHT], ranker)
    assert ranker.seen == []


def test_what_fails_the_visible_tests_ranks_behind_what_passes(isolation):
    found = rank_candidates(PROBLEM, [WRONG + " " * 30, LUCKY, RIGHT, BROKEN], ByLength(), visible_tests=True)
    assert [(c.index, c.visible) for c in found] == [(2, True), (1, True), (0, False), (3, False)]
    assert execute([found[0].program(PROBLEM)])[0].passed


def test_chat_answers_are_ranked_by_their_programs(isolation):
    answers = [
        f"Sure!\n```python\ndef f(x):\n{RIGHT}\n```",
        f"```\n{WRONG}\n```",
        "def g(y):\n    pass\n" * 9,
    ]
    ranker = ByLength(reads_programs=True)
    found = rank_candidates(PROBLEM, answers, ranker, chat=True)
    assert [c.text for c in found if c.index < 2] == [f"{RIGHT}\n", f"{WRONG}\n"]
    assert ranker.seen[0] == (PROBLEM.prompt, f"{PROBLEM.prompt}{RIGHT}\n")
    whole = rank_candidates(PROBLEM, [f"```\nimport math\ndef f(x):\n{RIGHT}\n```"], ranker, chat=True)
    assert whole[0].whole and ranker.seen[-1] == (PROBLEM.prompt, whole[0].text)
    assert execute([whole[0].program(PROBLEM)])[0].passed


def test_the_best_of_n_is_chosen_where_it_is_sure_enough():
    sampler = Fixed([WRONG, RIGHT, BROKEN])
    ranker = ByLength(calibration=Calibration(slope=0.1))
    best = best_of_n(PROBLEM, sampler, ranker, n=3)
    assert best.choice == best.candidates[0] and best.choice.text == RIGHT
    sure = best.choice.probability
    assert sure == pytest.approx(1 / (1 + np.exp(-0.1 * len(RIGHT))))
    assert best_of_n(PROBLEM, sampler, ranker, n=3, min_confidence=sure).choice == best.choice
    unsure = best_of_n(PROBLEM, sampler, ranker, n=3, min_confidence=sure + 1e-6)
    assert unsure.choice is None and unsure.candidates == best.candidates
    broken = best_of_n(PROBLEM, Fixed([BROKEN]), ranker, n=1, min_confidence=0.0)
    assert broken.choice is None
    with pytest.raises(UserError, match="fit_calibration"):
        best_of_n(PROBLEM, sampler, ByLength(), n=3, min_confidence=0.5)
