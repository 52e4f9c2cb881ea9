"""`rewardranker doctor`: what is installed, and whether the sandbox and the languages work."""

import typer


def doctor() -> None:
    """Show versions, the state of the sandbox, and the languages whose programs can be run.

    Example: rewardranker doctor
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from rich.console import Console
    from rich.table import Table

    from rewardranker.errors import UserError
    from rewardranker.execution.backends import BUILT_IN, NAMESPACES
    from rewardranker.execution.languages import LANGUAGES
    from rewardranker.execution.pool import Pool

    table = Table("what", "state", "details")
    table.add_row("rewardranker", version("rewardranker"), "")
    table.add_row(
        "python", platform.python_version(), f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    for name in ("torch", "transformers"):
        try:
            table.add_row(name, version(name), "")
        except PackageNotFoundError:
            table.add_row(name, "missing", f"pip install {name}")
    working = []
    for isolation in BUILT_IN:
        try:
            Pool(workers=1, isolation=isolation).close()
            working.append(isolation)
            table.add_row(
                f"sandbox: {isolation}",
                "works",
                "self-test passed: no network, no host files, no other processes",
            )
        except UserError as e:
            table.add_row(f"sandbox: {isolation}", "does not work", str(e))
    lacking = [language.name for language in LANGUAGES if language.missing()]
    for language in LANGUAGES:
        missing = language.missing()
        commands = ["; ".join(dict.fromkeys(tool.install for tool in missing))] if missing else []
        if any(not tool.needed_by for tool in missing):
            table.add_row(language.name, "missing", *commands)
            continue
        needed_by_some = [f"without {', '.join(tool.name for tool in missing)}:"] if missing else []
        state = "ready" if NAMESPACES in working else f"--isolation {working[0]}" if working else "no sandbox"
        table.add_row(language.name, state, "\n".join([language.version(), *needed_by_some, *commands]))
    Console().print(table)
    if lacking:
        typer.echo(f'In a checkout: make toolchains LANGUAGES="{" ".join(lacking)}"')
    if NAMESPACES not in working:  # what every command uses unless told otherwise
        raise typer.Exit(2)
