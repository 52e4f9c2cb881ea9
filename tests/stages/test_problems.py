"""What a run refuses before anything is trained."""

import json
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.languages import JAVA
from rewardranker.execution.languages.language import Tool
from rewardranker.recipe import Recipe, load_recipe
from rewardranker.run import Run
from rewardranker.stages.problems import problems_stage


def recipe_of(path: Path, language: str) -> Recipe:
    row = {"id": "p", "language": language, "prompt": "x", "tests": "y", "reference": "z"}
    path.write_text(json.dumps(row) + "\n")
    return load_recipe("small", (f'problems.files=["{path}"]',))


def test_problems_in_a_language_that_no_sandbox_runs(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "p.jsonl", "swift")
    with pytest.raises(UserError, match="programs in swift can't be run"):
        problems_stage(Run(tmp_path / "run"), recipe)


def test_a_toolchain_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tool, "is_here", lambda _: False)
    tool = JAVA.tools[0]
    with pytest.raises(UserError, match=f"java needs {tool.name}: .*{tool.install.split()[-1]}"):
        problems_stage(Run(tmp_path / "run"), recipe_of(tmp_path / "p.jsonl", "java"))
