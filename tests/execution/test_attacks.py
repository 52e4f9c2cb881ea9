"""Every attack of the table is contained, and succeeds when its defence is taken out."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attacks import (
    ATTACKS,
    Host,
    attacks_of_this_machine,
    attempt,
    attempt_without_defence,
    new_pool,
    table,
)
from ordinary_user import run_as_ordinary_user

from rewardranker.execution.pool import Pool

pytestmark = pytest.mark.usefixtures("isolation")

PARTS = 2  # tests of one file can run side by side


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def pool(host: Host) -> Iterator[Callable[[float], Pool]]:
    """One slot for all attacks, and one with a short timeout for those that need one."""
    with new_pool(5.0) as patient, new_pool(0.5) as quick:
        yield lambda timeout_s: quick if timeout_s < 1 else patient


@pytest.mark.parametrize("name", attacks_of_this_machine())
def test_is_contained(name, host, pool):
    attack = ATTACKS[name]
    outcome, verdicts = attempt(attack, host, pool(attack.timeout_s))
    assert outcome == "contained", verdicts
    if attack.group == "fakes its end":
        assert (verdicts[-1].status, verdicts[-1].reason) == ("passed", "exit 0 before the end")


@pytest.mark.parametrize("name", attacks_of_this_machine())
def test_succeeds_without_its_defence(name, host):
    outcome, verdicts = attempt_without_defence(ATTACKS[name], host)
    if outcome == "impossible":
        pytest.skip("not possible on this machine or for this user, with or without a sandbox")
    assert outcome == "succeeded", verdicts


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_table_holds_for_an_ordinary_user_too(part):
    if os.geteuid() != 0:
        pytest.skip("the tests run as one already")
    names = list(attacks_of_this_machine())[part::PARTS]
    done = run_as_ordinary_user("attacks.py", *names, capture_output=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(rows) == len(names)
    assert [row for row in rows if row["with"] != "contained"] == []
    wrong = [row for row in rows if row["without"] not in ("succeeded", "impossible")]
    assert wrong == []
    assert sum(row["without"] == "succeeded" for row in rows) > 0.9 * len(rows)


def test_the_page_on_security_shows_the_table():
    page = Path(__file__).parents[2] / "docs" / "security.md"
    assert table() in page.read_text("utf-8"), "renew it: python tests/execution/attacks.py --table"
