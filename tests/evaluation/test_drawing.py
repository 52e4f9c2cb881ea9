from pathlib import Path

import pytest

from rewardranker.evaluation.drawing import drawn_candidates
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Sampling
from rewardranker.run import Checkpoint, Cost

PROBLEMS = [Problem(f"p{i}", "python", f"# {i}\n", "") for i in range(5)]
DRAWS = {1.0: 4, 0.0: 1}


class Dice:
    """A generator whose candidates depend on problem, index and seed alone; stops when told to."""

    def __init__(self, batches: int = 1000) -> None:
        self.batches, self.asked = batches, []

    def sample(self, problems, *, n, temperature, max_new_tokens, seed, policy, batch_size, on_batch):
        self.asked.append((temperature, [p.id for p in problems]))
        for problem in reversed(problems):  # as batches of equal lengths do, in an order of its own
            rows = [
                Candidate(problem.id, i, f"{problem.id}/{i}/{temperature}/{seed}", -0.1 * i, 3, "eos", policy)
                for i in range(n)
            ]
            for first in range(0, n, batch_size):
                if self.batches == 0:
                    raise KeyboardInterrupt
                self.batches -= 1
                on_batch(rows[first : first + batch_size])


class Eager(Checkpoint):
    """Written after every batch."""

    def is_due(self) -> bool:
        return True


def draw(generator: Dice, checkpoint: Checkpoint | None = None, batch_size: int = 4):
    sampling = Sampling(batch_size=batch_size)
    return drawn_candidates(
        generator, "sft", PROBLEMS, DRAWS, sampling=sampling, seed=3, checkpoint=checkpoint
    )


def test_by_temperature_problem_and_index() -> None:
    found = [(t, c.problem_id, c.index) for t, c in draw(Dice())]
    assert found == [(t, p.id, i) for t, n in DRAWS.items() for p in PROBLEMS for i in range(n)]


@pytest.mark.parametrize("batches", range(11))
@pytest.mark.parametrize("batch_size", [3, 4])
def test_an_interrupted_attempt_is_gone_on_from(batches: int, batch_size: int, tmp_path: Path) -> None:
    expected = draw(Dice())
    path = tmp_path / "checkpoint"
    first, second = Dice(batches), Dice()
    stopped = batches < (15 if batch_size == 3 else 10)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            draw(first, Eager(path, Cost()), batch_size)
    else:
        assert draw(first, Eager(path, Cost()), batch_size) == expected
    cost = Cost()
    assert draw(second, Eager(path, cost), batch_size) == expected
    whole = batches // (2 if batch_size == 3 else 1)  # a problem with some of its candidates is drawn anew
    assert second.asked[0] == (1.0, [p.id for p in PROBLEMS[: max(0, 5 - whole)]])
    if batches == 10 and batch_size == 4:
        assert second.asked[1] == (0.0, [])
    assert (cost.wall_s > 0) == (batches > 0)  # what the first attempt spent counts
