"""The engine: arms and seeds are worked through in an order that leaves whole seeds behind, and kept."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.evaluation.metrics import Floats
from rewardranker.files import digest, digests, read_text, write_text
from rewardranker.recipe import Recipe, changed
from rewardranker.run import InUseError, Run, processor
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
_CODE = {path.stem: path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py")}
"""As it was imported."""
_IMPORT = re.compile(r"^from rewardranker\.studies\.(\w+) import", re.MULTILINE)


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
    processor: str
    """What it was measured on."""


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

    Each result is kept as soon as it exists, so a study that was stopped, or whose budget was used up, goes
    on where it was, from another machine's results too. Seeds that another process works on are left to it:
    two processes share the seeds of one command between them.

    Args:
        study: what to measure.
        recipe: of all arms; seeds count from its own.
        directory: for all studies: seeds/ holds what they share, NAME/results/ what was measured, a file a
            seed.
        name: of the study.
        seeds: how many.
        budget_s: after so many seconds no further arm is begun; 0: none at all.
    """
    deadline = np.inf if budget_s is None else time.monotonic() + budget_s
    recipes = {seed: changed(recipe, seed=seed) for seed in range(recipe.seed, recipe.seed + seeds)}

    keys = _keys(recipes, name)

    def path(seed: int) -> Path:
        return directory / name / "results" / f"{seed}-{keys[seed]}.json.gz"

    for seed, of_seed in recipes.items():
        found, failed = read_results(path(seed))
        others = [p.name for p in sorted(path(seed).parent.glob(f"{seed}-*.json.gz")) if p != path(seed)]
        if not found and others:
            told = f"seed {seed}: {', '.join(others)} left out: of another recipe, or of other code"
            progress.console.print(told, highlight=False)
        missing = [arm for arm in study.arms if arm.name not in found]
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
                failed[arm.name] = str(e)
            else:
                failed.pop(arm.name, None)
                stages = [{"stage": s.name, "key": s.key, **vars(s.cost)} for s in run.stages]
                found[arm.name] = Result(
                    seed, arm.name, measured.solved, measured.numbers, measured.curves, stages, processor()
                )
            _write(path(seed), found, failed)
        run.close()
    # Read at the end: another process may have measured what was left to it.
    names = {arm.name for arm in study.arms}
    read = {seed: read_results(path(seed)) for seed in recipes}
    return Results(
        tuple(recipes),
        {
            (seed, arm): result
            for seed, (found, _) in read.items()
            for arm, result in found.items()
            if arm in names
        },
        {
            (seed, arm): why
            for seed, (_, failed) in read.items()
            for arm, why in failed.items()
            if arm in names
        },
    )


def read_results(path: Path) -> tuple[dict[str, Result], dict[str, str]]:
    """A seed's results by arm, and why arms could not be measured; neither without a file.

    Raises:
        UserError: the file can't be read.
    """
    if not path.exists():
        return {}, {}
    data = json.loads(read_text(path))
    for row in data["results"]:
        row["solved"] = {measure: np.array(values) for measure, values in row["solved"].items()}
    return {row["arm"]: Result(**row) for row in data["results"]}, data["failed"]


def _write(path: Path, results: dict[str, Result], failed: dict[str, str]) -> None:
    rows = [
        {**vars(r), "solved": {name: [round(float(x), 6) for x in v] for name, v in r.solved.items()}}
        for r in results.values()
    ]
    write_text(path, json.dumps({"results": rows, "failed": failed}, allow_nan=False))


def _keys(recipes: dict[int, Recipe], name: str) -> dict[int, str]:
    """Of what decides each seed's results: those of another recipe, or of other code, are measured again.

    That is quick where their stages are still there. Code is what arms are made of; the engine, pages and
    other studies may change. Files count by their content.
    """
    modules, todo = set[str](), [name, "seed"]
    while todo:
        if (module := todo.pop()) in _CODE and module not in modules | {"study"}:
            modules.add(module)
            todo += _IMPORT.findall(_CODE[module])
    code = [_CODE[module] for module in sorted(modules)]
    source = next(iter(recipes.values()))
    checkpoint = source.generator.checkpoint
    inputs = [
        [digest(Path(file)) for file in source.problems.files],
        digests(Path(checkpoint)) if checkpoint and Path(checkpoint).is_dir() else {},
    ]

    def key(recipe: Recipe) -> str:
        settings = {**recipe.model_dump(mode="json"), "execution": recipe.execution.decisive()}
        del settings["problems"]["files"], settings["generator"]["checkpoint"]
        content = json.dumps([settings, inputs, code], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    return {seed: key(recipe) for seed, recipe in recipes.items()}
