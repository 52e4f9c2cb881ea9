"""Options that several commands share, and the check of where they write."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardranker.errors import UserError

if TYPE_CHECKING:
    from rewardranker.models.upstream import Upstream

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting of the recipe, e.g. --set sft.epochs=10."
    ),
]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="Shipped name or path; settings are taken from it.")
]
GeneratorOption = Annotated[Path, typer.Option("--generator", help="Folder of a Hugging Face causal LM.")]
RankerOption = Annotated[Path, typer.Option("--ranker", help="Folder of a ranker that train-reward saved.")]
ProblemsArgument = Annotated[
    Path, typer.Argument(metavar="PROBLEMS", help="HumanEval, MBPP, MultiPL-E or own rows.")
]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="Where to write.")]
UpstreamOption = Annotated[
    str,
    typer.Option(
        "--upstream",
        metavar="URL",
        help="A server with OpenAI's interface that samples instead, up to and with /v1. A key is taken from "
        "OPENAI_API_KEY.",
    ),
]
ModelOption = Annotated[str, typer.Option("--model", help="What the server calls the model.")]
RequestsOption = Annotated[
    int, typer.Option("--requests", min=1, help="Requests to the server at the same time.")
]
PatienceOption = Annotated[
    float, typer.Option("--patience", min=1, help="Seconds that the server may take for one answer.")
]
SeedOption = Annotated[int, typer.Option("--seed")]


def open_upstream(url: str, model: str, requests: int, patience_s: float) -> "Upstream":
    """The server of the options above.

    Raises:
        UserError: there is no --model, or the URL is none.
    """
    from asyncio import Semaphore

    from rewardranker.models.upstream import Upstream

    if not model:
        raise UserError(f"--upstream {url} needs --model NAME: what the server calls the model")
    return Upstream(url, model, limit=Semaphore(requests), read_timeout_s=patience_s)


def check_out(out: Path, *, folder: bool = False) -> None:
    """Refuse a place that can't be written to before any work is done for it.

    Args:
        out: what will be written; its folders are made then.
        folder: it will be a folder, which must not exist yet; a file is replaced.

    Raises:
        UserError: with what is in the way.
    """
    if folder and out.exists():
        raise UserError(f"{out}: exists already; choose another folder or remove it")
    if out.is_dir():
        raise UserError(f"{out}: is a folder; give the name of a file")
    device = out.absolute().is_relative_to("/dev") and not out.absolute().is_relative_to("/dev/shm")
    if device or (out.exists() and not out.is_file()):  # the file is renamed into its place
        raise UserError(f"{out}: is not an ordinary file; give the name of one, or of none yet")
    parent = next(p for p in out.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"{out}: cannot be written, for {parent} is not a folder that you may write to")
