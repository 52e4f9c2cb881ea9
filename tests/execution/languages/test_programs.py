"""Programs of every language, in the tables of `programs/<language>.py`.

ENDINGS: name to (program, status), or to (program, status, strict status) where the two differ.
FAKED_ENDINGS: name to a program that exits with 0 before its tests have passed.
MESSAGES: program to parts of what it prints, with its own line numbers.
REASONS: program to the verdict's reason.
"""

from importlib import import_module
from pathlib import Path

import pytest

from rewardranker.execution.languages import USUAL

TABLES = {
    path.stem: import_module(f"programs.{path.stem}")
    for path in sorted(Path(__file__).with_name("programs").glob("*.py"))
}


def marks(language: str) -> list[pytest.MarkDecorator]:
    return [] if language in [usual.name for usual in USUAL] else [pytest.mark.slow]


def rows_of(table):
    """Parametrises a test with each row of `table` in each language, and `run` with the language."""
    rows = [
        pytest.param(language, name, row, id=f"{language}-{name[:40]}", marks=marks(language))
        for language, module in TABLES.items()
        for name, row in getattr(module, table).items()
    ]
    return pytest.mark.parametrize(("run", "name", "row"), rows, indirect=["run"])


@rows_of("ENDINGS")
def test_status(run, name, row):
    program, status, *strict = row
    verdict = run(program)
    assert (verdict.status, verdict.strict_status) == (status, *(strict or [status])), verdict
    built = run.language.build and verdict.strict_status == "syntax_error"
    assert verdict.phase == ("build" if built else "run")


@rows_of("FAKED_ENDINGS")
def test_an_early_end_is_no_pass(run, name, row):
    verdict = run(row)
    assert (verdict.strict_status, verdict.exit_code) == ("failed", 0), verdict


@rows_of("MESSAGES")
def test_messages_name_the_programs_lines(run, name, row):
    verdict = run(name)
    for part in row:
        assert part in f"{verdict.stdout}\n{verdict.stderr}", verdict


@rows_of("REASONS")
def test_the_reason_is_one_line(run, name, row):
    assert run(name).reason == row
