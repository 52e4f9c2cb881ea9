"""The engine: arms and seeds are worked through in an order that leaves whole seeds behind, and kept."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.evaluation.metrics import Floats
from rewardranker.files import digests, write_json
from rewardranker.recipe import Recipe, changed
from rewardranker.run import InUseError, Run
from rewardranker.studies.seed import Measured, Seed

MEASURES = {
    "greedy": "greedy",
    "sample": "one sample",
    "logprob": "best of n by log-prob",
    "ranker": "best of n by the ranker",
    "oracle": "pass@n",
    "answer": "the answer",
}
"""Ways of answering a test problem, in the order of tables."""
_CODE = digests(Path(__file__).parent)
"""As it was imported."""


class Point(NamedTuple):
    """Where an arm stands in a plot."""

    axis: str
    """What the x axis is, with its unit; arms of one axis share a plot."""
    x: float
    line: str = "all"


@dataclass(frozen=True)
class Arm:
    """One of the things that a study compares."""

    name: str
    measure: Callable[[Seed], Measured]
    against: tuple[str, ...] = ()
    """The arms that it is compared with."""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Study:
    """A question, and the arms whose differences answer it."""

    text: str
    """The question; after an empty line what is compared and what is held equal: the module's docstring."""
    arms: tuple[Arm, ...]
    claims: tuple[str, ...]
    """Measures (of `MEASURES`) whose differences between arms are findings."""
    within: tuple[tuple[str, str], ...] = ()
    """Pairs of measures whose difference within an arm is a finding: what the ranker adds to greedy."""

    @property
    def question(self) -> str:
        """In one line."""
        return self.text.partition("\n\n")[0]

    @property
    def about(self) -> str:
        """A paragraph."""
        return " ".join(self.text.partition("\n\n")[2].split())


@dataclass(frozen=True)
class Result:
    """What an arm came to with one seed, and what every stage that it needs has cost."""

    seed: int
    arm: str
    solved: dict[str, Floats]
    numbers: dict[str, float]
    curves: dict[str, list[float]]
    stages: list[dict[str, Any]]
    """stage, key, and the fields of `rewardranker.run.Cost`."""


@dataclass(frozen=True)
class Results:
    """All that is known of a study."""

    seeds: tuple[int, ...]
    """Those asked for."""
    found: dict[tuple[int, str], Result]
    """By seed and arm."""
    failed: dict[tuple[int, str], str]
    """Why an arm could not be measured."""


def run_study(
    study: Study, recipe: Recipe, directory: Path, name: str, *, seeds: int, budget_s: float | None = None
) -> Results:
    """Measure every arm with every seed, the first seed's arms first; what is there already is read.

    Each result is a file as soon as it exists, so a study that was stopped, or whose budget was used up, goes
    on where it was. Seeds that another process works on are left to it: two processes share the seeds of one
    command between them.

    Args:
        study: what to measure.
        recipe: of all arms; seeds count from its own.
        directory: for all studies: seeds/ holds what they share, NAME/results/ what was measured.
        name: of the study.
        seeds: how many.
        budget_s: after so many seconds no further arm is begun; 0: none at all.
    """
    deadline = np.inf if budget_s is None else time.monotonic() + budget_s
    failed: dict[tuple[int, str], str] = {}
    recipes = {seed: changed(recipe, seed=seed) for seed in range(recipe.seed, recipe.seed + seeds)}

    def path(seed: int, arm: Arm) -> Path:
        return directory / name / "results" / f"{seed}-{study.arms.index(arm)}.json"

    def known(seed: int) -> dict[tuple[int, str], Result]:
        key = _key(recipes[seed])
        read = [_read(path(seed, arm), key, arm) for arm in study.arms]
        return {(seed, result.arm): result for result in read if result is not None}

    for seed, of_seed in recipes.items():
        found = known(seed)
        missing = [arm for arm in study.arms if (seed, arm.name) not in found]
        if not missing or time.monotonic() >= deadline:
            continue
        try:
            run = Run(directory / "seeds" / f"{recipe.name}-{seed}", side_by_side=True)
        except InUseError:
            progress.console.print(f"seed {seed}: another process is working on it; left to that")
            continue
        for arm in missing:
            if time.monotonic() >= deadline:
                break
            progress.console.print(f"[bold]{name}, seed {seed}: {arm.name}[/]")
            run.stages.clear()
            try:
                measured = arm.measure(Seed(of_seed, run))
            except UserError as e:
                progress.console.print(f"  not measured: {e}", markup=False)
                failed[seed, arm.name] = str(e)
                continue
            stages = [{"stage": s.name, "key": s.key, **vars(s.cost)} for s in run.stages]
            result = Result(seed, arm.name, measured.solved, measured.numbers, measured.curves, stages)
            _write(path(seed, arm), _key(of_seed), result)
        run.close()
    # Read at the end: another process may have measured what was left to it.
    every = {key: result for seed in recipes for key, result in known(seed).items()}
    return Results(tuple(recipes), every, failed)


def _key(recipe: Recipe) -> str:
    """Of what decides results: those of another recipe, or of other code of studies, are measured again.

    That is quick where their stages are still there.
    """
    settings = {**recipe.model_dump(mode="json"), "execution": recipe.execution.decisive()}
    return hashlib.sha256(json.dumps([settings, _CODE], sort_keys=True).encode()).hexdigest()[:16]


def _write(path: Path, key: str, result: Result) -> None:
    solved = {name: [round(float(x), 6) for x in values] for name, values in result.solved.items()}
    write_json(path, {"key": key, **vars(result), "solved": solved})


def _read(path: Path, key: str, arm: Arm) -> Result | None:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    if data.pop("key") != key or data["arm"] != arm.name:
        return None
    data["solved"] = {name: np.array(values) for name, values in data["solved"].items()}
    return Result(**data)
