"""What does the ranker gain from more candidates, problems and parameters, and from more to choose from?

The ranker learns from the SFT policy's samples of the training problems and picks one of that policy's
samples of each test problem. One thing differs at a time: candidates a training problem, training problems,
the ranker's width (with an SFT of its own, whose samples are not used), and the number of candidates that it
picks from. Samples are the same throughout: the smaller sets are parts of the larger.
"""

from collections.abc import Callable
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.evaluation import selectors
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Stage
from rewardranker.stages.problems import training_problems
from rewardranker.stages.reward import reward_stage
from rewardranker.stages.sampling import candidates_of
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Point, Study
from rewardranker.tables import write_table


def part_of_samples(seed: Seed, n: int, share: float) -> Stage:
    """The first `n` candidates of the first `share` of the problems, at the cost of drawing these alone."""
    with seed.uncounted():
        whole = seed.sampled()

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        problems = training_problems(seed.problems())
        kept = {p.id for p in problems[: max(1, round(share * len(problems)))]}
        every = candidates_of([whole])
        candidates = [c for c in every if c.index < n and c.problem_id in kept]
        for name, spent in vars(whole.cost).items():
            setattr(cost, name, type(spent)(spent * len(candidates) / len(every)))
        write_table(folder / "candidates.parquet", ExecutedCandidate, candidates)

    return seed.run.stage("0-sample-part", work, config=[n, share], inputs=[whole])


def less_data(n: int | None = None, share: float = 1.0) -> Callable[[Seed], Measured]:
    """A ranker of fewer candidates or problems."""

    def measure(seed: Seed) -> Measured:
        tested, sft = seed.tested(seed.sft(), "sft"), seed.sft()
        part = part_of_samples(seed, n or seed.recipe.sampling.n, share)
        ranker = reward_stage(seed.run, seed.recipe, 1, sft, seed.problems(), part, [])
        return seed.measured(tested, ranker)

    return measure


def sized(factor: float) -> Callable[[Seed], Measured]:
    """A ranker of another width, with an SFT of its own; the samples are the same."""

    def measure(seed: Seed) -> Measured:
        decoder = seed.decoder("rankers of other sizes")
        size = {
            "hidden": round(factor * decoder.hidden),
            "intermediate": round(factor * decoder.intermediate),
        }
        wide = seed.changed(generator={"decoder": size})
        return seed.measured(seed.tested(seed.sft(), "sft"), seed.ranker(start=wide.sft()))

    return measure


def chosen_from(n: int) -> Callable[[Seed], Measured]:
    """The whole ranker's choice among the first `n` of the test candidates, in expectation."""

    def measure(seed: Seed) -> Measured:
        tested = seed.tested(seed.sft(), "sft")
        correct, logprob, greedy = seed.outcomes(tested)
        if n > correct.shape[1]:
            raise UserError(
                f"best of {n}: the recipe draws {correct.shape[1]} candidates; raise evaluation.n"
            )
        curves = {
            "ranker": selectors.by_score(seed.scores(seed.ranker(), tested), correct),
            "oracle": selectors.oracle(correct),
        }
        if n > 1:  # of one, all pick the same
            curves["logprob"] = selectors.by_score(logprob, correct)
        return Measured({"greedy": greedy, **{name: curve[:, n - 1] for name, curve in curves.items()}})

    return measure


def whole(seed: Seed) -> Measured:
    """Everything that the recipe has."""
    return seed.measured(seed.tested(seed.sft(), "sft"), seed.ranker())


_ALL = ("everything",)
_PROBLEMS, _CANDIDATES = "share of the training problems", "candidates a training problem"
_WIDTH, _CHOICE = "width of the ranker, times the generator's", "candidates to pick from"


def study(recipe: Recipe) -> Study:
    """Arms below the recipe's sizes, and a wider ranker."""
    n, k = recipe.sampling.n, recipe.evaluation.n
    return Study(
        __doc__ or "",
        (
            Arm(
                "everything",
                whole,
                (),
                (Point(_PROBLEMS, 1), Point(_CANDIDATES, n), Point(_WIDTH, 1), Point(_CHOICE, k)),
            ),
            *(
                Arm(f"{name} of the problems", less_data(share=x), _ALL, (Point(_PROBLEMS, x),))
                for name, x in (("an eighth", 0.125), ("a quarter", 0.25), ("half", 0.5))
            ),
            *(
                Arm(f"{i} candidates a problem", less_data(n=i), _ALL, (Point(_CANDIDATES, i),))
                for i in (2, 3)
                if i < n
            ),
            *(
                Arm(f"ranker {factor:g} times as wide", sized(factor), _ALL, (Point(_WIDTH, factor),))
                for factor in (0.5, 1.5)
            ),
            *(Arm(f"best of {i}", chosen_from(i), _ALL, (Point(_CHOICE, i),)) for i in (1, 2, 3, 5) if i < k),
        ),
        claims=("ranker",),
        within=(("ranker", "logprob"),),
    )
