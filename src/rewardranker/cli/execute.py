"""`rewardranker execute`: run programs in sandboxes and write their verdicts."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import check_out


def execute(
    programs: Annotated[
        Path,
        typer.Argument(
            metavar="PROGRAMS",
            help="JSONL rows with id, language and program; MultiPL-E's completions, a file or a folder; "
            "HumanEval's or EvalPlus' samples. - for JSONL from stdin; .gz is unpacked.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write, - for stdout; for MultiPL-E a folder. Completions and samples need none: "
            "<name>.results.json[.gz] and <file>_results.jsonl are written beside them.",
        ),
    ] = None,
    problems: Annotated[
        Path | None,
        typer.Option("--problems", help="The problems that samples are of, e.g. HumanEval.jsonl.gz."),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0.01, help="Seconds a program may take: 3, for MultiPL-E 15."),
    ] = None,
    memory_mb: Annotated[int, typer.Option("--memory", min=64, help="MB that a program may use.")] = 2048,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Sandboxes side by side; 0: as many as suit the machine.")
    ] = 0,
    isolation: Annotated[
        str,
        typer.Option(
            "--isolation",
            help="What keeps programs in: namespaces; landlock, weaker, where those are refused; "
            "or package.module:factory, a sandbox of your own.",
        ),
    ] = "namespaces",
    use_cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Reuse verdicts of earlier runs on this machine.")
    ] = True,
) -> None:
    """Run programs in sandboxes: the input's rows, in order, with the verdict's fields added.

    Rows and files that can't be run are told of and skipped, and the exit code is 2.

    Example: rewardranker execute programs.jsonl -o verdicts.jsonl --timeout 3
    """
    from collections import Counter
    from contextlib import closing

    from rich.table import Table

    from rewardranker import progress
    from rewardranker.errors import UserError
    from rewardranker.execution.cache import VerdictCache
    from rewardranker.execution.formats.job import STANDARD_STREAM
    from rewardranker.execution.formats.recognise import open_job
    from rewardranker.execution.pool import run

    job = open_job(programs, out=out, problems=problems)
    for place in job.outputs:
        if place != STANDARD_STREAM:
            check_out(place)
    for fault in job.faults:
        typer.echo(fault, err=True)
    if job.faults and not job.programs and not job.n_done_before:
        raise UserError(f"{programs}: none of its rows or files can be run; nothing was written")
    n_told = len(job.faults)
    cache = VerdictCache() if use_cache else None
    statuses: Counter[str] = Counter()
    exited_0: Counter[str] = Counter()
    verdicts = run(
        job.programs,
        timeout_s=job.timeout_s if timeout_s is None else timeout_s,
        memory_mb=memory_mb,
        workers=workers,
        isolation=isolation,
        cache=cache,
    )
    with progress.task("execute", len(job.programs)) as bar, closing(verdicts):
        for index, verdict in verdicts:
            job.record(index, verdict)
            statuses[verdict.strict_status] += 1
            exited_0[verdict.strict_status] += verdict.exit_code == 0
            bar.advance()
    job.finish()

    table = Table("status", "programs", "exit code 0")
    for status, n in statuses.most_common():
        table.add_row(status, str(n), str(exited_0[status]))
    progress.console.print(table)
    if job.n_done_before:
        typer.echo(f"{job.n_done_before} files have their results already", err=True)
    if cache is not None:
        if cache.hits:
            typer.echo(f"{cache.hits} verdicts are from the cache; --no-cache runs everything", err=True)
        cache.close()
    for fault in job.faults[n_told:]:
        typer.echo(fault, err=True)
    if job.faults:
        typer.echo(f"{len(job.faults)} rows or files were skipped; the others are written", err=True)
        raise typer.Exit(2)
