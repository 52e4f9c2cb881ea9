"""Does a small generator with a ranker beat a larger generator, in eight languages?

The rows of the paper's Table 1 in miniature. Small, middle and large generators are trained on the same
reference programs and answer greedily; the others answer with the best of n by a ranker that started from
the middle generator. Rankers choose among an aligned policy's samples: by PPO, as in the paper, or by RFT,
the cheap neighbour. In the second iteration what was mined from policy 1's samples joins the groups: hard
negatives alone, or new positives too. Each task of the test is asked in every language, and counts once in
intervals. CPU seconds a problem are what an answer takes: to sample, and to score where a ranker chooses.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rewardranker.errors import UserError
from rewardranker.evaluation.language_table import LANGUAGES
from rewardranker.evaluation.metrics import Floats
from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Stage
from rewardranker.stages.alignment import ppo_stage
from rewardranker.stages.problems import test_problems
from rewardranker.studies.seed import Measured, Seed, learning_curve
from rewardranker.studies.study import Arm, Study

SMALL, LARGE = (0.5, -1), (2.0, 1)
"""Factor of the recipe's width and layers more than it has: with micro-table1 about a third and five times as
many parameters, embeddings left out a sixth and five times."""


def sized(seed: Seed, size: tuple[float, int]) -> Seed:
    """With a smaller or a larger generator than the recipe's, the middle one."""
    decoder = seed.decoder("generators of other sizes")
    factor, layers = size
    widths = {
        name: max(1, round(factor * getattr(decoder, name))) for name in ("hidden", "heads", "intermediate")
    }
    return seed.changed(generator={"decoder": {**widths, "layers": max(1, decoder.layers + layers)}})


def generator(name: str, size: tuple[float, int] | None = None) -> Callable[[Seed], Measured]:
    """A generator's greedy answers, and its loss on development problems: whether it has converged."""

    def measure(seed: Seed) -> Measured:
        policy = (sized(seed, size) if size else seed).sft()
        found = _row(seed, policy, name, None)
        found.curves = learning_curve(policy)
        return found

    return measure


def small_and_middle(seed: Seed) -> Measured:
    """The small generator, aligned with the middle ranker, which then chooses."""
    return _row(seed, seed.ppo(start=sized(seed, SMALL).sft()), "small-aligned-1", seed.ranker())


def ranker_alone(seed: Seed) -> Measured:
    """The middle generator as SFT left it, and the ranker's choice among its samples."""
    return _row(seed, seed.sft(), "sft", seed.ranker())


def middle_and_middle(seed: Seed) -> Measured:
    """One iteration."""
    return _row(seed, seed.ppo(), "aligned-1", seed.ranker())


def rft_and_middle(seed: Seed) -> Measured:
    """One iteration with RFT in PPO's place."""
    return _row(seed, seed.rft(), "rft-1", seed.ranker())


def two_iterations(variant: str) -> Callable[[Seed], Measured]:
    """Mined from policy 1's samples; ranker 2 starts from it, policy 2 from the SFT policy."""

    def measure(seed: Seed) -> Measured:
        policy, varied = seed.ppo(), seed.changed(variant=variant)
        new = seed.sample("1-sample", policy, "aligned-1", seed.recipe.mining.n)
        mined = varied.mine(1, seed.ranker(), [seed.sampled()], new)
        ranker = seed.ranker(2, start=policy, mined=[mined])
        aligned = ppo_stage(seed.run, seed.recipe, 2, seed.sft(), ranker, seed.problems())
        return _row(seed, aligned, "aligned-2", ranker)

    return measure


def _row(seed: Seed, policy: Stage, name: str, ranker: Stage | None) -> Measured:
    """A row of the table: each task's mean over languages; percent a language; seconds a problem."""
    problems = test_problems(seed.problems())
    found = seed.measured(seed.tested(policy, name), ranker)
    answer: Floats = found.solved["greedy" if ranker is None else "ranker"]
    languages = list(dict.fromkeys(p.language for p in problems))
    if [p.language for p in problems] != languages * (len(problems) // len(languages)):
        raise UserError("the rows pair languages by task: every test problem must be there in every language")
    numbers = {
        LANGUAGES.get(language, language): 100
        * float(answer[[p.language == language for p in problems]].mean())
        for language in languages
    }
    numbers["average"] = float(np.mean(list(numbers.values())))
    numbers["CPU s a problem"] = _seconds(seed, problems, policy, ranker)
    tasks = {measure: values.reshape(-1, len(languages)).mean(1) for measure, values in found.solved.items()}
    return Measured({"answer": answer.reshape(-1, len(languages)).mean(1), **tasks}, numbers)


def _seconds(seed: Seed, problems: list[Problem], policy: Stage, ranker: Stage | None) -> float:
    """CPU seconds to sample a problem's candidates and to score them; one, greedily, without a ranker."""
    settings, sampling = seed.recipe.evaluation, seed.recipe.sampling

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        model = Generator.from_pretrained(policy.path / "model")
        judge = RewardRanker.from_pretrained(ranker.path / "model") if ranker else None
        prompts = {p.id: p.prompt for p in problems}
        start = time.process_time()
        drawn = model.sample(
            problems,
            n=settings.n if judge else 1,
            temperature=settings.temperature if judge else 0,
            max_new_tokens=sampling.max_new_tokens,
            seed=seed.recipe.seed,
            policy="timed",
            batch_size=sampling.batch_size,
        )
        if judge:
            judge.score([prompts[c.problem_id] for c in drawn], [c.text for c in drawn])
        cost.tokens += sum(c.n_tokens for c in drawn)
        write_json(folder / "seconds.json", (time.process_time() - start) / len(problems))

    config = [settings.n, settings.temperature, sampling.max_new_tokens, sampling.batch_size, len(problems)]
    inputs = [policy, *([ranker] if ranker else [])]
    stage = seed.run.stage("test-time", work, config=config, inputs=inputs)
    return float(json.loads((stage.path / "seconds.json").read_text()))


def study(_: Recipe) -> Study:
    """The rows of the table."""
    small, middle, large, one = "small", "middle", "large", "middle + middle"
    return Study(
        __doc__ or "",
        (
            Arm(small, generator("sft-small", SMALL)),
            Arm(middle, generator("sft"), (small,)),
            Arm(large, generator("sft-large", LARGE), (middle,)),
            Arm("small + middle", small_and_middle, (small, middle)),
            Arm("middle + middle without PPO", ranker_alone, (middle, large)),
            Arm(one, middle_and_middle, (middle, large)),
            Arm("2 iterations, hard negatives", two_iterations("hardnegatives"), (one, large)),
            Arm("2 iterations, self-training", two_iterations("selftraining"), (one, large)),
            Arm("RFT in PPO's place, 1 iteration", rft_and_middle, (one, large)),
        ),
        claims=("answer",),
        within=(("ranker", "logprob"),),
    )
