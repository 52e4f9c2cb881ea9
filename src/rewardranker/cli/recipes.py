"""`rewardranker recipes ls | show | cp` and `rewardranker validate`."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import SetOption

recipes = typer.Typer(help="The recipes that come with the package.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A name that `recipes ls` prints.")]


def _shipped(name: str) -> Path:
    from rewardranker.errors import UserError
    from rewardranker.recipe import shipped

    found = shipped()
    if name not in found:
        raise UserError(f"{name}: no shipped recipe of that name; there are: {', '.join(found)}")
    return found[name]


@recipes.command("ls")
def ls() -> None:
    """List the shipped recipes."""
    from rewardranker.recipe import load_recipe, shipped

    width = max(map(len, shipped()))
    for name in shipped():
        typer.echo(f"{name:{width}}  {load_recipe(name).description}")


@recipes.command("show")
def show(name: NameArgument) -> None:
    """Print a shipped recipe."""
    typer.echo(_shipped(name).read_text(), nl=False)


@recipes.command("cp")
def cp(
    name: NameArgument, to: Annotated[Path, typer.Argument(help="File to write; must not exist.")]
) -> None:
    """Copy a shipped recipe to a file of your own, to change it."""
    from rewardranker.errors import UserError
    from rewardranker.files import atomic_path

    if to.exists():
        raise UserError(f"{to}: exists already; choose another name")
    text = _shipped(name).read_text()
    with atomic_path(to) as temporary:
        temporary.write_text(text)
    typer.echo(f"wrote {to}; run it: rewardranker run {to}")


def validate(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or path of a .toml file.")],
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Check a recipe; print every error at once."""
    from rewardranker.recipe import load_recipe, missing_inputs

    parsed = load_recipe(recipe, tuple(assignments))
    typer.echo(f"{parsed.name}: valid")
    for line in missing_inputs(parsed):
        typer.echo(f"to run it here: {line}", err=True)
