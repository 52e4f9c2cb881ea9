"""What the cache keeps, what it doesn't, and that its troubles are told once and end nothing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rewardranker.execution import cache as cache_module
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.judging import not_run
from rewardranker.execution.languages.python import PYTHON
from rewardranker.execution.pool import Program, execute, run

PROGRAM = Program("python", "print(1)")
FAILED = replace(not_run("failed", "AssertionError"), exit_code=1, stderr="é\udcff\n", phase="run")


@pytest.fixture
def cache(tmp_path):
    cache = VerdictCache(tmp_path)
    yield cache
    cache.close()


def test_what_was_added_is_found_by_everything_it_depends_on(tmp_path, cache, monkeypatch):
    cache.add(PROGRAM, 3.0, 512, FAILED)
    assert cache.find(PROGRAM, 3.0, 512) == FAILED
    assert cache.find(Program("py", PROGRAM.source), 3.0, 512) == FAILED
    assert cache.hits == 2
    others = [
        (Program("python", "print(1)\n"), 3.0, 512),
        (Program("cobol", "print(1)"), 3.0, 512),
        (PROGRAM, 3.5, 512),
        (PROGRAM, 3.0, 256),
        (PROGRAM, 3.0, 512, "landlock"),
    ]
    assert [cache.find(*other) for other in others] == [None] * 5
    assert VerdictCache(tmp_path).find(PROGRAM, 3.0, 512) == FAILED
    monkeypatch.setattr(
        cache_module,
        "find_language",
        lambda name: replace_version(PYTHON, "9.9") if name == "python" else None,
    )
    assert VerdictCache(tmp_path).find(PROGRAM, 3.0, 512) is None


def replace_version(language, version):
    class Newer:
        name = language.name

        @staticmethod
        def version():
            return version

    return Newer


@pytest.mark.parametrize(
    "verdict",
    [
        not_run("timeout", ""),
        not_run("unavailable", ""),
        not_run("error", ""),
        replace(FAILED, exit_code=-9),
    ],
)
def test_what_another_run_might_not_repeat_is_not_kept(cache, verdict):
    cache.add(PROGRAM, 3.0, 512, verdict)
    assert cache.find(PROGRAM, 3.0, 512) is None


def test_a_toolchain_that_is_not_here_has_no_verdicts(cache, monkeypatch):
    class Missing:
        name = "cobol"

        @staticmethod
        def version():
            raise FileNotFoundError("cobc")

    monkeypatch.setattr(cache_module, "find_language", lambda name: Missing)
    cache.add(PROGRAM, 3.0, 512, FAILED)
    assert cache.find(PROGRAM, 3.0, 512) is None


def test_the_older_half_is_dropped_when_it_gets_large(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "_MAX_BYTES", 400_000)
    monkeypatch.setattr(cache_module, "_TRIM_EVERY", 10)
    programs = [Program("python", f"# {i}") for i in range(500)]
    for program in programs:
        cache.add(program, 3.0, 512, replace(FAILED, stdout="x" * 2000))
    known = [cache.find(p, 3.0, 512) is not None for p in programs]
    assert not any(known[:250]) and all(known[-20:])
    assert 50 < sum(known) < 250


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    VerdictCache().close()
    assert (tmp_path / "rewardranker" / "verdicts" / "verdicts.sqlite").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    VerdictCache().close()
    assert (tmp_path / "home" / ".cache" / "rewardranker" / "verdicts" / "verdicts.sqlite").exists()


def use(cache):
    assert cache.find(PROGRAM, 3.0, 512) is None
    cache.add(PROGRAM, 3.0, 512, FAILED)
    assert cache.find(PROGRAM, 3.0, 512) is None
    cache.close()


def test_a_file_that_is_no_database_is_told_of_once(tmp_path, capsys):
    file = tmp_path / "verdicts.sqlite"
    file.write_bytes(b"not a database" * 999)
    use(VerdictCache(tmp_path))
    told = capsys.readouterr().err
    assert told.count("verdicts are not cached") == 1
    assert f"{tmp_path}: file is not a database" in told
    assert file.read_bytes() == b"not a database" * 999


def test_a_database_that_is_damaged_is_told_of_once(tmp_path, capsys):
    cache = VerdictCache(tmp_path)
    for i in range(200):
        cache.add(Program("python", f"# {i}"), 3.0, 512, FAILED)
    cache.close()
    file = tmp_path / "verdicts.sqlite"
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\x55" * (len(damaged) - 4096)
    file.write_bytes(damaged)
    use(VerdictCache(tmp_path))
    assert capsys.readouterr().err.count("verdicts are not cached") == 1


def test_an_entry_of_another_kind_is_told_of_once(tmp_path, capsys, cache):
    cache.add(PROGRAM, 3.0, 512, FAILED)
    cache._database.execute("""UPDATE verdicts SET verdict = '{"status": "passed"}'""")
    use(cache)
    assert capsys.readouterr().err.count("verdicts are not cached") == 1


@pytest.mark.parametrize("folder", ["/proc/rewardranker", "/dev/null/rewardranker"])
def test_a_place_that_can_not_be_written_to(folder, capsys):
    use(VerdictCache(Path(folder)))
    assert capsys.readouterr().err.count(f"verdicts are not cached: {folder}: ") == 1


def test_a_file_that_can_only_be_read(tmp_path, capsys):
    VerdictCache(tmp_path).close()
    cache = VerdictCache(tmp_path)
    cache._database.execute("PRAGMA query_only = ON")  # permissions don't bind root
    use(cache)
    assert capsys.readouterr().err.count("verdicts are not cached") == 1


WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.judging import not_run
from rewardranker.execution.program import Program
cache = VerdictCache(Path(sys.argv[1]))
for i in range(300):
    source = f"# {sys.argv[2]} {i}" if i % 2 else f"# {i}"
    cache.add(Program("python", source), 3.0, 512, replace(not_run("failed", str(i)), exit_code=1))
cache.close()
"""


def test_several_processes_at_once(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(n)], stderr=subprocess.PIPE)
        for n in range(4)
    ]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 4
    cache = VerdictCache(tmp_path)
    for n in range(4):
        for i in range(300):
            verdict = cache.find(Program("python", f"# {n} {i}" if i % 2 else f"# {i}"), 3.0, 512)
            assert verdict is not None and verdict.reason == str(i)
    cache.close()


@pytest.mark.usefixtures("isolation")
def test_known_verdicts_start_no_sandbox_and_the_others_keep_their_places(cache, monkeypatch):
    programs = [Program("python", f"assert {i} != 2") for i in range(5)]
    first = execute(programs[::2], workers=1, cache=cache)
    assert cache.hits == 0
    both = list(run(programs, workers=1, cache=cache))
    assert [i for i, _ in both][:3] == [0, 2, 4] and sorted(i for i, _ in both) == list(range(5))
    assert [v.passed for _, v in sorted(both, key=lambda pair: pair[0])] == [True, True, False, True, True]
    assert [v for _, v in both[:3]] == first
    monkeypatch.setattr("rewardranker.execution.pool.Pool", None)
    again = execute(programs, workers=1, cache=cache)
    assert again == [v for _, v in sorted(both, key=lambda pair: pair[0])]


@pytest.mark.usefixtures("isolation")
def test_without_a_cache_everything_is_run():
    program = Program("python", "import os; print(os.urandom(8).hex())")
    assert execute([program], workers=1) != execute([program], workers=1)
