"""The problems of a run, each in a split; reference programs are verified in the sandbox."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.evaluation.judging import verdicts
from rewardranker.execution.languages import find_language
from rewardranker.execution.program import Program
from rewardranker.files import digest
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.micro.generate import micro_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.split import assign_splits, refuse_evaluation_only
from rewardranker.recipe import Execution, Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.tables import read_table, write_table


def problems_stage(run: Run, recipe: Recipe) -> Stage:
    """Make or read the problems, split them, leave out those whose reference program fails."""
    source, seed = recipe.problems, seed_for(recipe.seed, "problems")

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        if source.micro:
            problems = micro_problems(source.micro, recipe.seed)
        else:
            problems = assign_splits(load_problems(*source.files), source, seed)
        _refuse_missing_toolchains(problems)
        if source.verify_references:
            problems = _verified(problems, recipe.execution, cost)
        if not any(p.split == "reference" for p in problems):
            raise UserError(
                "no problem with a reference program is left to train on; SFT needs some (field "
                '`reference` of your problems, split "reference")'
            )
        if not any(p.split == "test" for p in problems):
            raise UserError("no problem has the split test; raise problems.test in the recipe")
        refuse_evaluation_only([p for p in problems if p.split != "test"])
        write_table(folder / "problems.parquet", Problem, problems)

    config = {
        **source.model_dump(mode="json"),
        "files": {file: digest(Path(file)) for file in source.files},
        "seed": recipe.seed,
        "execution": recipe.execution.decisive(),
    }
    return run.stage("problems", work, config=config)


def _refuse_missing_toolchains(problems: Sequence[Problem]) -> None:
    """Before anything is trained: programs that can't be run would all count as wrong."""
    lacking = []
    for name in dict.fromkeys(p.language for p in problems):
        language = find_language(name)
        if language is None:
            lacking.append(f"programs in {name} can't be run by any sandbox here: leave its problems out")
        else:
            lacking += [f"{language.name} needs {tool.name}: {tool.install}" for tool in language.missing("")]
    if lacking:
        raise UserError("\n".join(["some problems can't be executed on this machine:", *lacking]))


def _verified(problems: Sequence[Problem], execution: Execution, cost: Cost) -> list[Problem]:
    """`problems` without those whose reference fails; a few of the failures are printed."""
    known = [p for p in problems if p.reference is not None]
    programs = [Program.of(p, p.reference or "", execution.judge) for p in known]
    cost.executions += len(programs)
    found = verdicts(programs, execution, "references")
    wrong = {p.id: v for p, v in zip(known, found, strict=True) if not v.passed}
    progress.console.print(f"  {len(known) - len(wrong)} of {len(known)} reference programs pass their tests")
    for problem_id, verdict in list(wrong.items())[:5]:
        progress.console.print(
            f"  left out: {problem_id}: {verdict.strict_status} {verdict.reason}", markup=False
        )
    return [p for p in problems if p.id not in wrong]


def all_problems(stage: Stage) -> list[Problem]:
    """What the stage wrote."""
    return read_table(stage.path / "problems.parquet", Problem)


def training_problems(stage: Stage) -> list[Problem]:
    """The problems that the loop samples: the pool; without one, the problems with references."""
    problems = all_problems(stage)
    pool = [p for p in problems if p.split == "pool"]
    return pool or [p for p in problems if p.split == "reference"]


def test_problems(stage: Stage) -> list[Problem]:
    """The problems that claims are made on."""
    return [p for p in all_problems(stage) if p.split == "test"]


def references(
    problems: Sequence[Problem], split: Literal["reference", "development"]
) -> list[tuple[str, str]]:
    """Prompt and reference program of the problems of a split that have one."""
    return [(p.prompt, p.reference) for p in problems if p.split == split and p.reference is not None]
