"""One seed of a study: the stages that its arms share, and what is measured of a policy and a ranker."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from rewardranker.errors import UserError
from rewardranker.evaluation import metrics, selectors
from rewardranker.evaluation.metrics import Floats
from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.evaluation.summary import Policy
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Decoder, Recipe, changed
from rewardranker.run import Checkpoint, Cost, Run, Stage
from rewardranker.stages.alignment import ppo_stage, rft_stage
from rewardranker.stages.evaluation import test_stage
from rewardranker.stages.mining import mine_stage
from rewardranker.stages.problems import problems_stage, test_problems
from rewardranker.stages.reward import reward_stage
from rewardranker.stages.sampling import sample_stage
from rewardranker.stages.sft import sft_stage
from rewardranker.tables import read_table, write_table


@dataclass
class Measured:
    """What an arm came to with one seed."""

    solved: dict[str, Floats] = field(default_factory=dict)
    """[P] share of each test problem's answers that is right, by way of answering (a key of
    `rewardranker.studies.study.MEASURES`)."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What else was measured, by its name with its unit."""
    curves: dict[str, list[float]] = field(default_factory=dict)
    """What was measured after each epoch of training, by its name with its unit."""


def learning_curve(sft: Stage) -> dict[str, list[float]]:
    """The loss on development problems after each epoch of an SFT, for `Measured.curves`: is it flat?"""
    history = json.loads((sft.path / "history.json").read_text())
    return {"validation loss, nats a token": [row["validation_loss"] for row in history]}


class Seed:
    """A recipe with one seed, and the run directory that all arms of all studies of this seed share.

    A stage that was computed is found again by what decides it (`rewardranker.run`), so every arm asks for
    all that it needs, from the problems on, and pays for what nobody needed before.
    """

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self.recipe, self.run = recipe, run

    def changed(self, **settings: Any) -> "Seed":
        """With other settings, as of `rewardranker.recipe.changed`, in the same directory."""
        return Seed(changed(self.recipe, **settings), self.run)

    def decoder(self, what: str) -> Decoder:
        """The decoder that the recipe trains from scratch, where an arm varies it (`what`, for the message).

        Raises:
            UserError: the recipe starts from a checkpoint.
        """
        if self.recipe.generator.decoder is None:
            raise UserError(f"{what} need [generator.decoder]: a checkpoint has one family and size")
        return self.recipe.generator.decoder

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What is asked for inside is none of the arm's cost."""
        before = list(self.run.stages)
        yield
        self.run.stages[:] = before

    def problems(self) -> Stage:
        """The problems of all splits."""
        return problems_stage(self.run, self.recipe)

    def sft(self) -> Stage:
        """Stage A: the SFT policy."""
        return sft_stage(self.run, self.recipe, self.problems())

    def sampled(self) -> Stage:
        """Candidates of the SFT policy for the training problems, executed."""
        return self.sample("0-sample", self.sft(), "sft", self.recipe.sampling.n)

    def sample(self, name: str, policy: Stage, policy_name: str, n: int) -> Stage:
        """`n` candidates of a policy for each training problem, executed."""
        return sample_stage(self.run, self.recipe, name, policy, policy_name, n=n, problems=self.problems())

    def ranker(self, i: int = 1, *, start: Stage | None = None, mined: Sequence[Stage] = ()) -> Stage:
        """Stage B: ranker `i`, of the SFT policy's samples and of what was mined; from the SFT policy."""
        return reward_stage(
            self.run, self.recipe, i, start or self.sft(), self.problems(), self.sampled(), mined
        )

    def rft(self, i: int = 1, sampled: Sequence[Stage] = ()) -> Stage:
        """Stage C: policy `i`, by RFT from the SFT policy, on its samples and further ones."""
        return rft_stage(self.run, self.recipe, i, self.sft(), self.problems(), [self.sampled(), *sampled])

    def ppo(self, i: int = 1, start: Stage | None = None) -> Stage:
        """Stage C: policy `i`, by PPO against ranker 1, from the SFT policy."""
        return ppo_stage(self.run, self.recipe, i, start or self.sft(), self.ranker(), self.problems())

    def mine(self, i: int, ranker: Stage, earlier: Sequence[Stage], new: Stage) -> Stage:
        """Stage D: what ranker `i` takes for right, and isn't, among the candidates `new`."""
        return mine_stage(self.run, self.recipe, i, ranker, self.problems(), earlier, new)

    def groups(
        self, name: str, make: Callable[[Cost], list[PreferenceGroup]], config: Any, inputs: Sequence[Stage]
    ) -> Stage:
        """Preference groups of one's own making, for `ranker(mined=...)`."""

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            write_table(folder / "groups.parquet", PreferenceGroup, make(cost))

        return self.run.stage(name, work, config=config, inputs=inputs)

    def tested(self, policy: Stage, name: str) -> Stage:
        """Stage E: a policy's candidates for the test problems, executed."""
        return test_stage(self.run, self.recipe, Policy(name, "aligned", 0), policy, self.problems())

    def measured(self, tested: Stage, ranker: Stage | None = None) -> Measured:
        """What the test problems' candidates come to, greedy, by every cheap selector and by a ranker."""
        correct, logprob, greedy = self.outcomes(tested)
        found = Measured(
            {
                "greedy": greedy,
                "sample": correct.mean(1),
                "logprob": selectors.by_score(logprob, correct)[:, -1],
                "oracle": correct.any(1).astype(float),
            }
        )
        if ranker is not None:
            scores = self.scores(ranker, tested)
            found.solved["ranker"] = selectors.by_score(scores, correct)[:, -1]
            auc = metrics.pair_counts(scores, correct).auc
            if not np.isnan(auc):  # no problem has right and wrong candidates
                found.numbers["AUC within problems"] = auc
        return found

    def outcomes(self, tested: Stage) -> tuple[selectors.Bools, Floats, Floats]:
        """[P, n] right or wrong, [P, n] mean log-probability, [P] whether the greedy answer is right."""
        row = {p.id: i for i, p in enumerate(test_problems(self.problems()))}
        shape = len(row), self.recipe.evaluation.n
        correct, logprob, greedy = np.zeros(shape, bool), np.zeros(shape), np.zeros(len(row))
        for c in read_table(tested.path / "candidates.parquet", EvaluatedCandidate):
            if c.temperature == self.recipe.evaluation.temperature:
                correct[row[c.problem_id], c.index] = c.passed
                logprob[row[c.problem_id], c.index] = c.mean_logprob
            elif c.temperature == 0:
                greedy[row[c.problem_id]] = c.passed
        return correct, logprob, greedy

    def scores(self, ranker: Stage, tested: Stage) -> Floats:
        """[P, n] what a ranker says of the test problems' candidates."""
        settings = self.recipe.evaluation

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            problems = test_problems(self.problems())
            prompts = {p.id: (i, p.prompt) for i, p in enumerate(problems)}
            candidates = [
                c
                for c in read_table(tested.path / "candidates.parquet", EvaluatedCandidate)
                if c.temperature == settings.temperature
            ]
            judge = RewardRanker.from_pretrained(
                ranker.path / "model", dtype=weights_dtype(self.recipe.compute, trained=False)
            )
            raw = judge.score([prompts[c.problem_id][1] for c in candidates], [c.text for c in candidates])
            scores = np.zeros((len(problems), settings.n))
            for c, score in zip(candidates, raw, strict=True):
                scores[prompts[c.problem_id][0], c.index] = score
            cost.tokens += sum(c.n_tokens for c in candidates)
            np.save(folder / "scores.npy", scores)

        stage = self.run.stage("score", work, config=settings.temperature, inputs=[ranker, tested])
        return cast(Floats, np.load(stage.path / "scores.npy"))
