"""`rewardranker study`: a question of the paper's, answered with several seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardranker.cli.options import SetOption

if TYPE_CHECKING:
    from rewardranker.recipe import Recipe


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which study; without one they are listed.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many, counted from the recipe's own.")] = 5,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MINUTES", help="Begin nothing new after so long; 0: write the page only."
        ),
    ] = None,
    directory: Annotated[
        Path, typer.Option("--dir", help="Of all studies: what they share is made once.")
    ] = Path("runs/studies"),
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="What is varied, a shipped name or a path; default micro-study, for table1 micro-table1.",
        ),
    ] = "",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
    small: Annotated[
        bool, typer.Option("--small", help="Recipe tiny-study: seconds to minutes; results mean nothing.")
    ] = False,
) -> None:
    """Measure every arm of a study with every seed; write its page, with tables, plots and findings.

    A study that was stopped goes on where it was; two processes with the same command share the seeds.

    Example: rewardranker study negatives --seeds 5 --budget 120
    """
    import torch

    from rewardranker.errors import UserError
    from rewardranker.recipe import load_recipe
    from rewardranker.studies.catalogue import RECIPES, STUDIES
    from rewardranker.studies.page import write_page
    from rewardranker.studies.study import run_study

    usual = RECIPES.get(name, "micro-study")
    recipe = "tiny-study" if small else recipe or usual
    config = load_recipe(recipe, tuple(assignments))
    if not name:
        for known, study_of in STUDIES.items():
            typer.echo(f"{known:<13} {study_of(config).question}")
        return
    if name not in STUDIES:
        raise UserError(f"no study is called {name!r}; there are {', '.join(STUDIES)}")
    if config.threads:
        torch.set_num_threads(config.threads)
    found = STUDIES[name](config)
    budget_s = None if budget is None else 60 * budget
    results = run_study(found, config, directory, name, seeds=seeds, budget_s=budget_s)
    if not results.found and not results.failed and (directory / name / f"{name}.json").exists():
        raise UserError(f"{directory / name}: no results of this recipe and code; its page is left as it is")
    words = ["rewardranker study", name, f"--seeds {seeds}"]
    words += ["--small"] if small else [f"--recipe {recipe}"] if recipe != usual else []
    words += [f"--set '{assignment}'" for assignment in assignments]
    told = _page_of_another(directory / name / f"{name}.json", config)
    page = write_page(found, results, config, directory, name, " ".join(words))
    typer.echo(page.read_text("utf-8"))
    typer.echo(f"{page}\n{page.with_suffix('.html')}{told}", err=True)


def _page_of_another(path: Path, config: "Recipe") -> str:
    """How to have the page back that stands there, where it is of another recipe; empty otherwise."""
    import json

    from rewardranker.files import read_text

    page = json.loads(read_text(path)) if path.exists() else {}
    if not page or page["recipe"] == config.model_dump(mode="json", exclude_none=True):
        return ""
    return f"\nIn place of the page of another recipe; its results are kept: {page['command']} --budget 0"
