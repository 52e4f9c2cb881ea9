"""`rewardranker execute`: run programs in sandboxes and write their verdicts."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import OutOption, check_out


def execute(
    programs: Annotated[
        Path,
        typer.Argument(
            metavar="PROGRAMS", help="JSONL rows with id, language and program; .gz; - for stdin."
        ),
    ],
    out: OutOption,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.01, help="Seconds a program may take.")
    ] = 3.0,
    memory_mb: Annotated[
        int, typer.Option("--memory", min=64, help="MB that each process of it may use.")
    ] = 512,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Sandboxes side by side; 0: as many as suit the machine.")
    ] = 0,
) -> None:
    """Run programs in sandboxes: the input's rows, in order, with the verdict's fields added.

    Example: rewardranker execute programs.jsonl -o verdicts.jsonl --timeout 3
    """
    from collections import Counter

    from rich.table import Table

    from rewardranker import progress
    from rewardranker.execution import pool
    from rewardranker.execution.records import read_programs, write_verdicts

    if str(out) != "-":
        check_out(out)
    read = read_programs(programs)
    for fault in read.faults:
        typer.echo(fault, err=True)
    with progress.task("execute", len(read.rows)) as bar:
        verdicts = pool.execute(
            read.programs(),
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            workers=workers,
            on_progress=bar.advance,
        )
    write_verdicts(out, read.rows, verdicts)

    table = Table("status", "programs", "exit code 0")
    for status, n in Counter(v.strict_status for v in verdicts).most_common():
        exited_0 = sum(v.exit_code == 0 for v in verdicts if v.strict_status == status)
        table.add_row(status, str(n), str(exited_0))
    progress.console.print(table)
    if read.faults:
        typer.echo(f"{len(read.faults)} rows were skipped; the others are in {out}", err=True)
        raise typer.Exit(2)
