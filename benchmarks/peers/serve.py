"""The worker's side of `side_by_side.Worker`: one JSON line in, one out. Needs nothing but Python."""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CPU = "REWARDRANKER_BENCHMARK_CPU"
"""Environment variable: measure CPU seconds."""


def clock() -> float:
    """Seconds; with `--cpu` those that this process computed, all threads together."""
    return time.process_time() if CPU in os.environ else time.perf_counter()


def serve(answer: Callable[..., dict[str, Any]]) -> None:
    """Answer each line of stdin, until it ends; what libraries print goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)


def memory_mb(field: str) -> float:
    """Of this process: VmRSS, resident now, or VmHWM, its peak."""
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, field
    return int(found[1]) / 1024


def forget_peak() -> None:
    """Let VmHWM count from now on."""
    Path("/proc/self/clear_refs").write_text("5")
