"""`rewardranker compare`: two evaluations of the same problems, problem by problem."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder that `evaluate` wrote.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another of the same problems, or the same folder.")],
    selector: Annotated[
        str, typer.Option(help="The selector of A, and of B unless that has its own.")
    ] = "sample",
    selector_b: Annotated[str, typer.Option(help="The selector of B.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all flips.")] = False,
) -> None:
    """A minus B: paired 95 % interval, McNemar's test, and the problems that flipped.

    Example: rewardranker compare tuned base --selector ranker

    Example: rewardranker compare result result --selector ranker --selector-b majority
    """
    import json

    from rewardranker.evaluation.comparison import compare_outcomes, read_outcomes

    selector_b = selector_b or selector
    names = f"{a} ({selector})", f"{b} ({selector_b})"
    found = compare_outcomes(read_outcomes(a, selector), read_outcomes(b, selector_b), names=names)
    if as_json:
        typer.echo(json.dumps({"folder_a": str(a), "folder_b": str(b), **found.as_json()}, indent=2))
        return
    low, high = found.ci95
    typer.echo(f"A  {names[0]}: {100 * found.a:.1f} % of {found.problems:,} problems")
    typer.echo(f"B  {names[1]}: {100 * found.b:.1f} %")
    typer.echo(
        f"A - B  {100 * found.difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}); "
        f"McNemar p = {found.p_value:.3g}"
    )
    for title, flips in (("only A solves", found.only_a), ("only B solves", found.only_b)):
        typer.echo(f"{title} {len(flips)}:")
        for flip in flips:
            typer.echo(f"  {flip.problem_id}  {flip.a:.2f} against {flip.b:.2f}")
