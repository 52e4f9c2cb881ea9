"""The app: routes, errors and what is in front of them."""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import rewardranker
from rewardranker.serving.best_of import BestOf
from rewardranker.serving.completions import completion_routes
from rewardranker.serving.engine import Engine
from rewardranker.serving.errors import add_handlers, documented
from rewardranker.serving.gate import Gate
from rewardranker.serving.models import Names
from rewardranker.serving.observe import Metrics
from rewardranker.serving.ranking import ranking_routes
from rewardranker.serving.schemas import Health, ModelList


def create_app(
    engine: Engine,
    ranker: str,
    best_of: BestOf | None = None,
    *,
    metrics: Metrics,
    api_key: str = "",
    names: Collection[str] = (),
    queue: int = 64,
    most_bytes: int = 4 << 20,
    log_prompts: bool = False,
) -> Gate:
    """The app behind its gate.

    Args:
        engine: computes; closing it is the caller's.
        ranker: the ranker's name.
        best_of: answers completions; None: there are none.
        metrics: that `engine` tells of its batches.
        api_key: see `Gate`.
        names: see `Gate`.
        queue: see `Gate`.
        most_bytes: see `Gate`.
        log_prompts: have prompts and answers in the log.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if best_of is not None:
            await best_of.source.aclose()

    app = FastAPI(title="RewardRanker", version=rewardranker.__version__, lifespan=lifespan)
    models = Names(ranker, best_of.source.name if best_of else None, int(time.time()))
    metrics.queue.set_function(lambda: engine.waiting)
    add_handlers(app)
    app.include_router(ranking_routes(engine, models, ranker))
    if best_of is not None:
        app.include_router(completion_routes(best_of, models, metrics, log_prompts=log_prompts))

    @app.get("/v1/models", responses=documented(401, 403))
    async def list_models() -> ModelList:
        """What is served."""
        return models.list()

    @app.get("/health", responses={**documented(403), 503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether requests are taken."""
        if gate.draining:
            response.status_code = 503
        return Health(status="draining" if gate.draining else "ok")

    @app.get("/metrics", responses={**documented(401, 403), 200: {"content": {CONTENT_TYPE_LATEST: {}}}})
    async def prometheus() -> Response:
        """Prometheus' text."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        """Without FastAPI's own form of validation errors, which are answered as `errors` does."""
        schema = plain()
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
    paths = tuple(app.openapi()["paths"])
    gate = Gate(app, paths, metrics=metrics, api_key=api_key, names=names, queue=queue, most_bytes=most_bytes)
    return gate
