"""`rewardranker demo`: the whole loop on two CPU cores."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Run directory.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option("--seed")] = 1,
) -> None:
    """Run the micro recipe: offline, on CPU, in minutes; print the table, write the report.

    Stopped at any moment, the same command goes on where it was.
    """
    import json

    from rewardranker.cli.finish import run_and_show
    from rewardranker.recipe import load_recipe, shipped_results

    neighbours = [json.loads(path.read_text()) for path in shipped_results()]
    run_and_show(load_recipe("micro", (f"seed={seed}",)), directory, neighbours)
