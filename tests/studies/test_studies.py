"""Every study from end to end with the recipe `tiny-study`."""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rewardranker.cli.study import study
from rewardranker.errors import UserError
from rewardranker.recipe import load_recipe
from rewardranker.run import Run
from rewardranker.studies import peft
from rewardranker.studies.alignment import longer_sft
from rewardranker.studies.catalogue import STUDIES
from rewardranker.studies.seed import Seed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("isolation")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all studies: they share what a seed begins with."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those in which `peft` measures memory the first is real; the others' work is done here.

    Each would take seconds to import torch.
    """
    asked = list[Any]()

    def run(command: Any, *, input: str, check: bool, **options: Any) -> Any:
        asked.append(command)
        if len(asked) == 1:
            return subprocess.run(command, input=input, check=check, **options)
        out = StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out):
            patch.setattr(sys, "stdin", StringIO(input))
            peft.train_a_few()
        return subprocess.CompletedProcess(command, 0, out.getvalue())

    monkeypatch.setattr(peft, "subprocess", SimpleNamespace(run=run, PIPE=subprocess.PIPE))


FEWER = {"table1": ["sft.epochs=5"]}
"""table1 trains generators of three sizes, of which the largest takes longest: five epochs, not eight."""


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_measures_all_its_arms_and_says_what_it_found(name: str, directory: Path) -> None:
    settings = FEWER.get(name, [])
    study(name, seeds=1, budget=None, directory=directory, small=True, assignments=settings)
    made = STUDIES[name](load_recipe("tiny-study", tuple(settings)))
    summary = json.loads((directory / name / f"{name}.json").read_text())
    assert summary["failed"] == [] and summary["incomplete"] == {}
    assert [arm["name"] for arm in summary["arms"]] == [arm.name for arm in made.arms]
    assert len(summary["findings"]) > len(summary["differences"]) > 0
    assert all(arm["cost"]["cpu_s"] > 0 for arm in summary["arms"])
    page = (directory / name / f"{name}.md").read_text()
    assert page.startswith(f"# {made.question}\n")
    assert f"rewardranker study {name} --seeds 1 --small" in page
    assert "<svg" in (directory / name / f"{name}.html").read_text()


def test_longer_sft_of_no_epochs_is_refused_with_the_setting(tmp_path: Path) -> None:
    recipe = load_recipe("tiny-study", ("evaluation.longer_sft_epochs=0",))
    with pytest.raises(UserError, match=r"evaluation\.longer_sft_epochs"):
        longer_sft(Seed(recipe, Run(tmp_path)))


def test_an_arm_pays_only_for_what_it_needs(directory: Path) -> None:
    study("cost", seeds=1, budget=None, directory=directory, small=True)
    arms = json.loads((directory / "cost" / "cost.json").read_text())["arms"]
    tokens = {arm["name"]: arm["cost"]["tokens"] for arm in arms}
    assert tokens["SFT"] < tokens["RFT 1"] < tokens["RFT 1 + ranker 1"]
    assert tokens["RFT 2"] < tokens["RFT 2 + ranker 2"]  # RFT learns from verdicts
