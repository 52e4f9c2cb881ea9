import pytest
from hypothesis import settings

from rewardranker.errors import UserError
from rewardranker.execution.pool import Pool

# A busy machine must not fail a test: no property here is about time.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def isolation() -> None:
    """Skips what runs programs on a machine that can't isolate them."""
    try:
        Pool(workers=1).close()
    except UserError as e:
        pytest.skip(f"no sandbox on this machine: {e}")
