"""What `run` and `demo` share: the loop, then the table and the page."""

from pathlib import Path
from typing import Any

from rewardranker.recipe import Recipe


def run_and_show(recipe: Recipe, directory: Path, neighbours: list[dict[str, Any]] | None = None) -> None:
    """Run the loop, print the table, write the report and say where it is."""
    from rich.console import Console

    from rewardranker.loop import Loop
    from rewardranker.report.page import write_report
    from rewardranker.report.table import findings, table

    metrics = Loop(recipe, directory).execute()
    page = write_report(directory, neighbours or [])
    console = Console()
    console.print(table(metrics))
    for line in findings(metrics):
        console.print(line)
    for neighbour in neighbours or []:
        console.print(f"\nBeside it, a run that came with the package ({neighbour['command']}):")
        console.print(table(neighbour))
    console.print(
        f"\nReport: {page}   Metrics: {directory / 'metrics.json'}   Took {metrics['wall_s']:.0f} s"
    )
