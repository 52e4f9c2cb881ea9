"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe, e.g. --set sft.epochs=10."),
]
RecipeOption = Annotated[str, typer.Option("--recipe", help="Shipped name or path; settings are taken from it.")]
GeneratorOption = Annotated[Path, typer.Option("--generator", help="Folder of a Hugging Face causal LM.")]
RankerOption = Annotated[Path, typer.Option("--ranker", help="Folder of a ranker that train-reward saved.")]
ProblemsArgument = Annotated[Path, typer.Argument(metavar="PROBLEMS", help="HumanEval, MBPP, MultiPL-E or own rows.")]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="Where to write.")]
SeedOption = Annotated[int, typer.Option("--seed")]
