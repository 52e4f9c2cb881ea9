import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

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


@pytest.fixture(scope="session")
def isolation() -> None:
    """Skips what runs programs on a machine that can't isolate them."""
    try:
        Pool(workers=1).close()
    except UserError as e:
        pytest.skip(f"no sandbox on this machine: {e}")
