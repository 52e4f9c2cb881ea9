"""`rewardranker export`: a data set or a model that others can load."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rewardranker.cli.options import OutOption, SeedOption, check_out
from rewardranker.exchange.export import Format
from rewardranker.exchange.rows import Form


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="For a data set a run directory, executed candidates, or preferences (groups of `mine`, "
            "TRL's, DebugBench); for a model its folder, or a run directory and --model.",
        ),
    ],
    out: OutOption,
    forms: Annotated[
        list[Form],
        typer.Option("--as", help="What to write; may be given several times. Default: all that there is."),
    ] = [],  # noqa: B006 - typer reads the default, nobody mutates it
    file_format: Annotated[
        Format, typer.Option("--format", help="Of every file: Parquet, or JSON lines.")
    ] = "parquet",
    problems: Annotated[
        Path | None, typer.Option("--problems", help="The problems of a table; a run has its own.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", help="At most so many pairs of a problem, drawn at random.", min=1),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Only the first so many problems.", min=1)
    ] = None,
    seed: SeedOption = 1,
    model: Annotated[
        Literal["ranker", "generator"] | None,
        typer.Option("--model", help="Write a run's last ranker, or the generator that it aligned last."),
    ] = None,
) -> None:
    """Write a data set with a card, for `datasets.load_dataset(FOLDER, FORM)` and TRL's trainers; or a model.

    Problems for evaluation only (MultiPL-E's) are left out of data sets and counted. A model becomes a
    Hugging Face folder that transformers loads with the same scores; how to serve and use it is printed.

    Example: rewardranker export runs/demo -o shared --as preference --as candidates --pairs 20

    Example: rewardranker export runs/demo --model ranker -o my-ranker
    """
    check_out(out, folder=True)
    if model is not None or (source / "config.json").is_file():
        _model(source, out, model)
        return
    from rich.console import Console
    from rich.table import Table

    from rewardranker.exchange.export import export as write

    contents = write(
        source,
        out,
        forms=forms,
        file_format=file_format,
        problems=problems,
        pairs=pairs,
        limit=limit,
        seed=seed,
    )
    table = Table("form", "split", "rows")
    for (form, split), n in contents.rows.items():
        table.add_row(form, split, f"{n:,}")
    Console().print(table)
    if left_out := contents.left_out():
        typer.echo(f"left out: {left_out}, whose licence forbids training on them", err=True)
    typer.echo(f"wrote {out}; its README.md has a licence to fill in before you share it", err=True)


def _model(source: Path, out: Path, kind: Literal["ranker", "generator"] | None) -> None:
    from rewardranker.models.export import export_model

    written = export_model(source, out, kind)
    typer.echo(written.use)
    head = f" (head {written.head})" if written.head else ""
    typer.echo(f"wrote {out}, a {written.kind}{head}; say in its README.md under which licence", err=True)
