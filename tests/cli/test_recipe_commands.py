"""recipes ls | show | cp, validate, run --dry-run, --help."""

import tomllib

import pytest

from rewardranker.recipe import load_recipe, shipped


def test_ls_names_every_recipe_with_what_it_is(rewardranker):
    result = rewardranker("recipes", "ls")
    assert result.code == 0
    for line, name in zip(result.out.splitlines(), shipped(), strict=True):
        assert line.split(None, 1) == [name, load_recipe(name).description]


@pytest.mark.parametrize("name", shipped())
def test_show_and_cp_give_the_recipe_as_shipped(rewardranker, tmp_path, name):
    shown = rewardranker("recipes", "show", name)
    assert shown.code == 0
    assert tomllib.loads(shown.out)["name"] == name
    to = tmp_path / "deep" / "mine.toml"
    copied = rewardranker("recipes", "cp", name, to)
    assert copied.code == 0 and str(to) in copied.out
    assert to.read_text() == shown.out
    assert rewardranker("validate", to).out == f"{name}: valid\n"


def test_dry_run_prints_recipe_and_estimate_and_writes_nothing(rewardranker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["--set", "seed=7", "--set", "align=rft+ppo", "--set", "problems.micro.reference=20"]
    result = rewardranker("run", "tiny", *settings, "--dry-run")
    assert result.code == 0, result.err
    recipe, estimate = result.out.split("Estimate for ")
    assert tomllib.loads(recipe)["seed"] == 7
    for stage in (
        "0-sft",
        "0-sample",
        "1-reward",
        "1-rft",
        "1-ppo",
        "1-mine",
        "2-ppo",
        "test-aligned-2",
        "evaluate",
    ):
        assert f"\n{stage} " in estimate
    assert list(tmp_path.iterdir()) == []


def test_help_of_every_command(rewardranker):
    top = rewardranker("--help")
    assert top.code == 0
    commands = ["demo", "run", "validate", "execute", "sample", "train-sft", "train-reward", "train-ppo"]
    commands += ["mine", "rank", "evaluate", "compare", "study", "view", "doctor", "recipes"]
    for command in commands:
        assert command in top.out
        shown = rewardranker(command, "--help")
        assert shown.code == 0 and "Usage" in shown.out


def test_an_unknown_command_or_option_is_a_usage_error(rewardranker):
    for words in (("nonsense",), ("validate",), ("validate", "tiny", "--nonsense")):
        result = rewardranker(*words)
        assert result.code == 2 and "Traceback" not in result.err
