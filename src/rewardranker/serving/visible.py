"""`VisibleTests`: which candidates pass the tests that a request shows, run in sandboxes."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rewardranker.execution.pool import Pool
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict


class VisibleTests:
    """Warm sandboxes for one request at a time; they start with the first.

    Args:
        timeout_s: that a program may take.
        workers: programs run side by side; 0: as many as suit the machine.
    """

    def __init__(self, timeout_s: float = 3.0, workers: int = 0) -> None:
        self._timeout_s, self._workers = timeout_s, workers
        # A sandbox lives as long as the thread that started it.
        self._thread = ThreadPoolExecutor(1, "visible-tests")
        self._pool: Pool | None = None

    async def run(self, programs: Sequence[Program]) -> list[Verdict]:
        """The verdicts on `programs`; one that waits is dropped when its task is cancelled.

        Raises:
            UserError: this machine can't isolate programs, or a language is unknown.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, programs)

    def _run(self, programs: Sequence[Program]) -> list[Verdict]:
        if self._pool is None:
            self._pool = Pool(timeout_s=self._timeout_s, workers=self._workers)
        return [verdict for _, verdict in self._pool.run(programs, in_order=True)]

    def close(self) -> None:
        """End the sandboxes."""
        if self._pool is not None:
            self._thread.submit(self._pool.close).result()
        self._thread.shutdown()
