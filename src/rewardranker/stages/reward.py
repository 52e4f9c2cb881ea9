"""Stage B: the ranker learns from right and wrong programs of the same problem (Bradley-Terry)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rewardranker import mining
from rewardranker.errors import UserError
from rewardranker.files import write_json
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import training_problems
from rewardranker.stages.sampling import candidates_of
from rewardranker.tables import read_table
from rewardranker.training.reward import train_reward


def reward_stage(
    run: Run,
    recipe: Recipe,
    i: int,
    start: Stage,
    problems: Stage,
    sampled: Stage | None,
    mined: Sequence[Stage],
) -> Stage:
    """Train ranker `i` on everything known so far.

    Args:
        run, recipe, i: whose stage it is.
        start: a policy, or a ranker with the likelihood head, whose weights it starts from.
        problems: of the run.
        sampled: candidates that the initial groups are made of; None: there are none.
        mined: stages that wrote further groups (`groups.parquet`).
    """
    settings, seed = recipe.reward, seed_for(recipe.seed, f"reward-{i}")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        groups: list[PreferenceGroup] = []
        if sampled is not None:
            candidates = candidates_of([sampled])
            training = training_problems(problems)
            if not mining.solved_and_failed(candidates):
                raise UserError(_no_groups(len(training), candidates))
            groups = mining.initial_groups(training, candidates)
        for stage in mined:
            groups += read_table(stage.path / "groups.parquet", PreferenceGroup)
        ranker, report = train_reward(
            Generator.from_pretrained(
                start.path / "model", dtype=weights_dtype(recipe.compute, trained=True)
            ),
            groups,
            settings,
            seed=seed,
            checkpoint=checkpoint,
            compute=recipe.compute,
        )
        cost.tokens += report.pop("tokens")
        ranker.save(folder / "model", report)
        write_json(folder / "report.json", report)

    config = [settings.model_dump(), recipe.compute.model_dump(), seed]
    inputs = [start, problems, *([sampled] if sampled is not None else []), *mined]
    return run.stage(f"{i}-reward", work, config=config, inputs=inputs)


def _no_groups(problems: int, candidates: Sequence[ExecutedCandidate]) -> str:
    """Why there is nothing to train a ranker on, and what to do."""
    passed = sum(c.passed for c in candidates)
    statuses = Counter(c.strict_status for c in candidates)
    counts = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
    if "unavailable" in statuses:
        advice = "install the toolchain that `rewardranker doctor` names"
    elif passed == 0:
        advice = (
            "the generator solved nothing: start from a stronger checkpoint (generator.checkpoint), give it "
            "more reference programs or epochs (sft.epochs), or draw more candidates (sampling.n)"
        )
    else:
        advice = (
            "no failure beside a success: raise sampling.n or sampling.temperature, or add harder problems"
        )
    return (
        "no problem has both a sampled program that passed and one that failed, so nothing to train a\n"
        "ranker on (reference programs against failures would teach it whose style is whose, not what is\n"
        "right).\n"
        f"  {problems} problems, {len(candidates)} candidates: {counts}\n  What to do: {advice}"
    )
