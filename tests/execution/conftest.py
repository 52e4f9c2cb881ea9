"""One sandbox for a whole test file; without isolation (`isolation`) nothing is run."""

import os
from collections.abc import Iterator

import pytest

from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.verdict import Verdict

SECRET = "SECRET0f1e2d3c"
"""In the environment of the process that starts the sandboxes, and nowhere in a program."""


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
    os.environ["TEST_TOKEN"] = SECRET
    try:
        pool = Pool(timeout_s=2.0, memory_mb=256, workers=1)
    finally:
        del os.environ["TEST_TOKEN"]
    with pool:
        yield Sandbox(pool)
