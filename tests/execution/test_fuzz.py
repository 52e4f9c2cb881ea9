"""A few hundred random hostile programs; thousands: `python tests/execution/fuzz.py`."""

import os

import pytest
from attacks import taken_out
from fuzz import available_languages, fuzz, hostile
from ordinary_user import run_as_ordinary_user

pytestmark = pytest.mark.usefixtures("isolation")


def seeds(n: int) -> list[str]:
    return [f"test/{i}" for i in range(n)]


def test_random_hostile_programs_break_nothing():
    report = fuzz(seeds(150), jobs=2)
    assert report.findings == []
    assert report.programs == 150
    # Processes that take too much memory together cost their slot; how many get there depends on the load.
    assert len([why for why in report.replaced if "together took" not in why]) <= 3, report.replaced
    assert len(report.replaced) <= 15, report.replaced


def test_nor_do_those_of_an_ordinary_user():
    if os.geteuid() != 0:
        pytest.skip("the tests run as one already")
    done = run_as_ordinary_user("fuzz.py", "--seed", "1", "--programs", "100", capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 programs" in done.stdout


@pytest.mark.parametrize(
    ("without", "fragment", "found"),
    [
        ("server.wipe = lambda directory, **_: True", "os.mkfifo", "left behind: files"),
        ("end_child_only(signal.SIGKILL)", "os.posix_spawn", "left behind: processes"),
        ("server.STARTED = server.FINISHED", "\nos._exit(0)\n", "passed although its end fails"),
        ("allow('shmget', 'msgget', 'semget')", "for n in (29, 64, 68)", "left behind: System V"),
        ("seccomp._PRLIMIT64 = (9999, 9999)", "resource.prlimit, 1", "left behind: limits"),
    ],
)
def test_what_a_missing_defence_lets_through_is_found(without, fragment, found):
    languages = available_languages()
    apt = [seed for seed in seeds(1000) if fragment in hostile(seed, languages).program.source][:12]
    with taken_out(without):
        report = fuzz(apt, jobs=1)
    assert any(what.startswith(found) for what, _, _ in report.findings), report


def test_a_seed_gives_the_same_program_again():
    languages = ["python", "bash"]
    assert hostile("0/1", languages) == hostile("0/1", languages) != hostile("0/2", languages)
