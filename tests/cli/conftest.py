"""The command line as users call it, on twenty micro problems and a decoder of one layer."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from rewardranker.problems.micro.generate import micro_problems
from rewardranker.problems.problem import Problem
from rewardranker.recipe import MicroProblems

SIZES = MicroProblems(reference=12, pool=4, development=2, test=4, step_weights=(1,))
SMALL = {
    "generator.decoder.hidden": 32,
    "generator.decoder.layers": 1,
    "generator.decoder.vocabulary": 400,
    "sft.epochs": 3,
    "reward.epochs": 1,
    "ppo.iterations": 1,
    "ppo.prompts": 4,
    "ppo.samples": 2,
    "sampling.max_new_tokens": 24,
    "evaluation.n": 3,
    "evaluation.bootstrap": 50,
    "execution.workers": 1,
}
SETTINGS = [
    "--recipe",
    "tiny",
    *(word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")),
]


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Settings for seconds."""
    return SETTINGS


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class Workshop:
    """Files that a user would have, and what the commands made of them."""

    folder: Path
    problems: list[Problem]
    results: dict[str, Any]

    def __getattr__(self, name: str) -> Path:
        (found,) = (p for p in self.folder.iterdir() if p.name.split(".")[0] == name)
        return found

    def rows(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in getattr(self, name).read_text().splitlines()]


@pytest.fixture(scope="session")
def workshop(
    isolation: None, rewardranker: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    """Every stage command, one after the other, each on what those before it wrote."""
    folder = tmp_path_factory.mktemp("workshop")
    problems = micro_problems(SIZES, seed=1)
    write_rows(folder / "problems.jsonl", [asdict(p) for p in problems if p.split != "test"])
    test = write_rows(folder / "test.jsonl", [asdict(p) for p in problems if p.split == "test"])
    known = [p for p in problems if p.reference is not None]
    write_rows(
        folder / "pairs.jsonl",
        [
            {"prompt": p.prompt, "chosen": p.reference, "rejected": other.reference, "problem_id": p.id}
            for p, other in zip(known, known[1:] + known[:1], strict=True)
        ],
    )
    sft, ranker, aligned = folder / "sft", folder / "ranker", folder / "aligned"
    samples, executed = folder / "samples.jsonl", folder / "executed.jsonl"
    commands: list[tuple[object, ...]] = [
        ("train-sft", folder / "problems.jsonl", *SETTINGS, "-o", sft),
        (
            "sample",
            folder / "problems.jsonl",
            "--generator",
            sft,
            "-n",
            4,
            "--max-new-tokens",
            24,
            "-o",
            samples,
        ),
        ("execute", samples, "-o", executed, "--workers", 1),
        ("train-reward", folder / "pairs.jsonl", "--generator", sft, *SETTINGS, "-o", ranker),
        ("mine", folder / "problems.jsonl", executed, "--ranker", ranker, "-o", folder / "groups.parquet"),
        ("rank", folder / "problems.jsonl", samples, "--ranker", ranker, "-o", folder / "ranked.jsonl"),
        (
            "train-ppo",
            folder / "problems.jsonl",
            "--generator",
            sft,
            "--ranker",
            ranker,
            *SETTINGS,
            "-o",
            aligned,
        ),
        (
            "evaluate",
            test,
            "--generator",
            aligned,
            "--ranker",
            ranker,
            *SETTINGS,
            "-o",
            folder / "evaluation",
        ),
    ]
    results = {}
    for command in commands:
        name = str(command[0])
        results[name] = rewardranker(*command)
        assert results[name].code == 0, f"{name}: {results[name].err}"
    return Workshop(folder, problems, results)
