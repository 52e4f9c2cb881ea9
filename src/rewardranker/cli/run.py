"""`rewardranker run`: the loop by a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import SetOption


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or path of a .toml file.")],
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
    directory: Annotated[Path | None, typer.Option("--dir", help="Run directory; default runs/NAME.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and an estimate; run nothing.")
    ] = False,
) -> None:
    """Run the loop: SFT, ranker, alignment, mining, again; evaluate; write table and report.

    A run that was stopped goes on where it was with the same command.

    Example: rewardranker run micro --set seed=2 --dir runs/micro-2
    """
    from rewardranker.errors import UserError
    from rewardranker.recipe import load_recipe, missing_inputs, to_toml

    parsed = load_recipe(recipe, tuple(assignments))
    if missing := missing_inputs(parsed):
        raise UserError("\n".join(missing))
    if dry_run:
        from rewardranker.estimate import estimate

        typer.echo(to_toml(parsed))
        typer.echo(estimate(parsed))
        return
    from rewardranker.cli.finish import run_and_show

    run_and_show(parsed, directory or Path("runs") / parsed.name)
