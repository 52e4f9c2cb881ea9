"""What the server says of itself: Prometheus' metrics, and one JSON line a request in the log."""

import json
import logging
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

log = logging.getLogger("rewardranker.serving")


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rewardranker_requests", "Requests answered.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "rewardranker_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "rewardranker_requests_in_flight", "Requests in work or waiting.", registry=self.registry
        )
        self.queue = Gauge(
            "rewardranker_queue_length", "Jobs that wait for the models.", registry=self.registry
        )
        self.candidates = Counter("rewardranker_candidates", "Candidates scored.", registry=self.registry)
        self.batch = Histogram(
            "rewardranker_batch_candidates",
            "Candidates scored together.",
            buckets=_CANDIDATES,
            registry=self.registry,
        )
        self.tokens = Counter(
            "rewardranker_tokens", "Tokens of prompts and of candidates.", ("kind",), registry=self.registry
        )

    def scored(self, count: int) -> None:
        """Count a batch."""
        self.candidates.inc(count)
        self.batch.observe(count)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Have this server's log, and uvicorn's, written as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for logger, level in ((log, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
