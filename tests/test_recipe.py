import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from rewardranker.errors import UserError
from rewardranker.recipe import Recipe, changed, load_recipe, missing_inputs, shipped, to_toml

MINIMAL = 'name = "r"\n[problems.micro]\n[generator.decoder]\n'


def write(path: Path, text: str = MINIMAL) -> str:
    path.write_text(text)
    return str(path)


def error(recipe: str, *assignments: str) -> str:
    with pytest.raises(UserError) as e:
        load_recipe(recipe, assignments)
    return str(e.value)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_loads_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.description


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    text = """
    name = "../escape"
    iteration = 3
    [problems]
    [generator]
    checkpoint = "x"
    [generator.decoder]
    [sft]
    epochs = 0
    learning_rate = "fast"
    warmup = 1.5
    [ppo]
    clip = inf
    """
    path = write(tmp_path / "r.toml", text)
    message = error(path)
    assert message.startswith(f"{path}: 8 error(s)\n") and len(message.splitlines()) == 9
    for key in (
        "name",
        "iteration",
        "problems",
        "generator",
        "sft.epochs",
        "sft.learning_rate",
        "sft.warmup",
        "ppo.clip",
    ):
        assert f"\n  {key}: " in message
    assert "give either [problems.micro] or files" in message


def test_missing_sections_are_told(tmp_path: Path) -> None:
    message = error(write(tmp_path / "r.toml", ""))
    assert all(f"\n  {key}: Field required" in message for key in ("name", "problems", "generator"))


def test_shares_must_leave_problems_to_train_on(tmp_path: Path) -> None:
    text = 'name = "r"\n[problems]\nfiles = ["x"]\ntest = 0.9\n[generator.decoder]\n'
    assert "must leave problems to train on" in error(write(tmp_path / "r.toml", text))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("sft.epochs=3", ("sft", "epochs", 3)),
        ("ppo.kl=0.5", ("ppo", "kl", 0.5)),
        ("ppo.kl=1e-2", ("ppo", "kl", 0.01)),
        ("align=ppo", ("align", "ppo")),
        ('align="rft+ppo"', ("align", "rft+ppo")),
        ("problems.micro.pool=9", ("problems", "micro", "pool", 9)),
        ("evaluation.majority=false", ("evaluation", "majority", False)),
        (" sft.epochs = 3", ("sft", "epochs", 3)),
        ("description=a=b", ("description", "a=b")),
    ],
)
def test_assignments_win(tmp_path: Path, assignment: str, expected: tuple[Any, ...]) -> None:
    value: Any = load_recipe(write(tmp_path / "r.toml"), (assignment,))
    *path, wanted = expected
    for name in path:
        value = getattr(value, name)
    assert value == wanted


def test_the_last_assignment_wins(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path / "r.toml"), ("seed=1", "seed=2")).seed == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sft.epochs", "expected key=value, for example --set sft.epochs=10"),
        ("=3", "expected key=value"),
        ("seed.more=1", "seed is a value, not a section"),
        ("sft.epoch=3", "sft.epoch: Extra inputs are not permitted"),
        ("sft.epochs=many", "sft.epochs: Input should be a valid integer"),
    ],
)
def test_wrong_assignments(tmp_path: Path, assignment: str, message: str) -> None:
    assert message in error(write(tmp_path / "r.toml", "seed = 1\n" + MINIMAL), assignment)


def test_paths_are_relative_to_the_recipe_and_assigned_ones_to_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = '["a.jsonl", "/b.jsonl", "~/c.jsonl"]'
    text = f'name = "r"\n[problems]\nfiles = {files}\n[generator]\ncheckpoint = "../model"\n'
    path = write(tmp_path / "recipes" / "r.toml", text)
    recipe = load_recipe(path)
    assert recipe.problems.files == (f"{tmp_path}/recipes/a.jsonl", "/b.jsonl", f"{tmp_path}/home/c.jsonl")
    assert recipe.generator.checkpoint == f"{tmp_path}/recipes/../model"
    moved = load_recipe(path, ('problems.files=["a.jsonl"]', "generator.checkpoint=model"))
    assert moved.problems.files == (f"{tmp_path}/here/a.jsonl",)
    assert moved.generator.checkpoint == f"{tmp_path}/here/model"


def test_written_out_in_full_it_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path / "r.toml"), ("align=ppo", "sft.learning_rate=1e-5"))
    assert load_recipe(write(tmp_path / "full.toml", to_toml(recipe))) == recipe
    assert tomllib.loads(to_toml(recipe))["reward"]["epochs"] == recipe.reward.epochs


def test_a_recipe_lies_over_the_one_it_extends(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "over").mkdir()
    base = 'name = "b"\nseed = 3\n[problems]\nfiles = ["a.jsonl"]\n[generator.decoder]\n[sft]\nepochs = 2\n'
    write(tmp_path / "base" / "b.toml", base)
    over = 'extends = "../base/b.toml"\nname = "o"\n[sft]\nbatch_size = 4\n'
    recipe = load_recipe(write(tmp_path / "over" / "o.toml", over), ("sft.warmup=0",))
    assert (recipe.name, recipe.seed) == ("o", 3)
    assert (recipe.sft.epochs, recipe.sft.batch_size, recipe.sft.warmup) == (2, 4, 0)
    assert recipe.problems.files == (str(tmp_path / "base/a.jsonl"),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("generator.prompt=chat",), "a new decoder has no chat template"),
        (("generator.system=Hi",), "system needs prompt = 'chat'"),
        (("generator.prompt=talk",), "generator.prompt: Input should be 'completion' or 'chat'"),
    ],
)
def test_prompt_forms_that_do_not_go_with_a_decoder(
    tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    assert message in error(write(tmp_path / "r.toml"), *settings)


REAL = [name for name in shipped() if load_recipe(name).generator.checkpoint]


@pytest.mark.parametrize("name", REAL)
def test_recipes_of_real_models_say_what_they_need(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    files, model = missing_inputs(recipe)
    assert files.startswith("/path/to/problems.jsonl: ") and "--set 'problems.files=[" in files
    assert model.startswith("/path/to/") and "--set generator.checkpoint=FOLDER" in model
    assert recipe.generator.prompt == ("chat" if name.startswith("qwen") else "completion")
    (tmp_path / "p.jsonl").touch()
    settings = (f'problems.files=["{tmp_path}/p.jsonl"]', f"generator.checkpoint={tmp_path}")
    assert missing_inputs(load_recipe(name, settings)) == []


def test_there_are_recipes_of_three_families() -> None:
    assert {name.split("-")[0] for name in REAL} == {"deepseek", "qwen2.5", "starcoder2"}


def test_the_ppo_twin_differs_from_micro_in_its_alignment_alone() -> None:
    twin, micro = load_recipe("micro-ppo"), load_recipe("micro")
    named = {"name": "micro", "description": "", "align": "rft", "ppo": micro.ppo}
    assert twin.align == "ppo"
    assert twin.model_copy(update=named) == micro.model_copy(update=named)


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    assert "extends must be the name" in error(write(tmp_path / "a.toml", "extends = 3\n"))
    message = error(write(tmp_path / "b.toml", 'extends = "gone"\n'))
    assert f"{tmp_path}/b.toml: extends: {tmp_path}/gone: no such file" in message
    write(tmp_path / "c.toml", 'extends = "d.toml"\n')
    assert "extends itself by way of d.toml" in error(write(tmp_path / "d.toml", 'extends = "c.toml"\n'))


def test_heads_must_divide_the_width_evenly(tmp_path: Path) -> None:
    assert "even multiple of heads" in error(
        write(tmp_path / "r.toml"), "generator.decoder.hidden=18", "generator.decoder.heads=2"
    )


def test_what_is_no_recipe(tmp_path: Path) -> None:
    assert "no such file or shipped recipe; shipped: " in error("nonsense")
    assert "cannot read it" in error(str(tmp_path))
    assert "not TOML" in error(write(tmp_path / "r.toml", "name = "))
    (tmp_path / "b.toml").write_bytes(b"\xff")
    assert "not TOML" in error(str(tmp_path / "b.toml"))


def test_a_recipe_cannot_be_changed() -> None:
    recipe = load_recipe("micro")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 2  # type: ignore[misc]


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [f.annotation for f in model.model_fields.values()]
    return [
        model,
        *(s for t in inner if isinstance(t, type) and issubclass(t, BaseModel) for s in sections(t)),
    ]


def test_sections_are_documented() -> None:
    for section in sections(Recipe):
        assert section.__doc__


def test_a_changed_recipe_is_merged_and_checked() -> None:
    recipe = load_recipe("micro")
    other = changed(recipe, seed=5, sft={"epochs": 2})
    assert (other.seed, other.sft.epochs) == (5, 2)
    assert other.sft.batch_size == recipe.sft.batch_size and recipe.sft.epochs != 2
    with pytest.raises(ValidationError):
        changed(recipe, sft={"epochs": 0})
