"""One sandbox for a whole test file; without isolation (`isolation`) nothing is run."""

from collections.abc import Iterator

import pytest

from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.verdict import Verdict


class Sandbox:
    """A pool of one slot, so that every program runs where the one before it has run."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def run(self, *sources: str) -> list[Verdict]:
        verdicts = []
        for source in sources:
            ((_, verdict),) = self.pool.run([Program("python", source)])
            verdicts.append(verdict)
        return verdicts

    def __call__(self, source: str) -> Verdict:
        return self.run(source)[0]


@pytest.fixture(scope="module")
def sandbox(isolation: None) -> Iterator[Sandbox]:
    with Pool(timeout_s=2.0, memory_mb=256, workers=1) as pool:
        yield Sandbox(pool)
