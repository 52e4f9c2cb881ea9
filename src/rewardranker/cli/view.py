"""`rewardranker view`: the report of a run or an evaluation in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    run: Annotated[Path, typer.Argument(help="Directory of a run (runs/demo), or of an evaluation.")],
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="OTHER", help="Another on the same problems to show beside it."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser too.")] = False,
) -> None:
    """Serve a run's viewer on this machine only, until interrupted.

    RUN/report/index.html can be opened without a server too; what lies beside it belongs to it. Of what
    `evaluate` wrote it is made now. With --compare the viewer is written anew, to RUN/report-with-OTHER, and
    has a view of both: paired differences with intervals, McNemar's test, and the problems that flipped.

    Example: rewardranker view runs/demo --compare runs/micro-2
    """
    import signal
    import webbrowser

    from rewardranker.errors import UserError
    from rewardranker.report.attempts import is_evaluation
    from rewardranker.report.page import report_folder, write_report
    from rewardranker.report.server import report_server

    if compare is not None or is_evaluation(run):
        try:
            typer.echo(f"{write_report(run, other=compare)}")
        except PermissionError as e:
            raise UserError(f"{e.filename}: you may not write there; copy {run}, and view that") from e
    with report_server(run, port, report=report_folder(run, compare).name) as server:
        interrupts: list[int] = []  # KeyboardInterrupt, raised in Python's own tidying up, would be ignored
        signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        typer.echo(f"{url}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(url)
        server.timeout = 0.5
        while not interrupts:
            server.handle_request()
        typer.echo("")
