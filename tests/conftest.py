import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from forked import Forks
from hypothesis import settings

from rewardranker.cli import main
from rewardranker.errors import UserError
from rewardranker.execution.pool import Pool

# A busy machine must not fail a test: no property here is about time. Developers' runs search for new
# examples; a change is judged by the same ones each time.
settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("here")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads verdicts that were not given in this session, or leaves some for the user."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["XDG_CACHE_HOME"]
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def run_main(*words: object) -> Result:
    """`rewardranker WORDS` in this process, through the console script's entry point."""
    out, err, argv = StringIO(), StringIO(), sys.argv
    sys.argv = ["rewardranker", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        return Result(code, out.getvalue(), err.getvalue())
    finally:
        sys.argv = argv
    raise AssertionError("the entry point must end with an exit code")


@pytest.fixture(scope="session")
def rewardranker() -> Callable[..., Result]:
    return run_main


@pytest.fixture(scope="session")
def tiny_run(isolation: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """`rewardranker run tiny` from start to end: its directory, not to be changed, and what it printed.

    Whichever worker needs it first makes it for all.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, printed = shared / "tiny", shared / "tiny.stdout"
    with (shared / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            words = [Path(sys.executable).parent / "rewardranker", "run", "tiny", "--dir", directory]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed.write_text(done.stdout)
    return directory, printed.read_text()


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Commands in processes of their own that start at once."""
    made = Forks(tmp_path_factory.mktemp("forks"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def isolation() -> None:
    """Skips what runs programs on a machine that can't isolate them."""
    try:
        Pool(workers=1).close()
    except UserError as e:
        pytest.skip(f"no sandbox on this machine: {e}")
