from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, NO_BROWSER, Tab, browser
from synthetic_run import make_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "micro")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(chromium: Tab) -> Iterator[Tab]:
    """A page of the browser; the test fails where one of its scripts does."""
    chromium.errors.clear()
    yield chromium
    assert chromium.errors == []
