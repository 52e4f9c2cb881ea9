"""`/rerank`, `/v1/rerank`, `/v2/rerank` and `/score`: candidates in, their order or their scores out."""

import math
import time
from collections.abc import Callable, Sequence
from secrets import token_hex

from fastapi import APIRouter, Request

from rewardranker.models.scores import Score
from rewardranker.serving.best_of import together
from rewardranker.serving.engine import Engine, Scored
from rewardranker.serving.errors import RequestError, documented
from rewardranker.serving.models import Names
from rewardranker.serving.schemas import (
    BilledUnits,
    Document,
    InputTokens,
    Meta,
    RankerUsage,
    RerankRequest,
    RerankResponse,
    RerankResult,
    ScoreData,
    ScoreRequest,
    ScoreResponse,
)

_ERRORS = documented(400, 401, 403, 404, 408, 413, 429, 500, 503)


def ranking_routes(engine: Engine, names: Names, name: str) -> APIRouter:
    """The routes that rank what clients bring.

    Args:
        engine: scores.
        names: that requests may give.
        name: the ranker's.
    """
    router = APIRouter()

    async def ranked(
        request: RerankRequest, http: Request, shown: Callable[[str], Document | str]
    ) -> RerankResponse:
        names.check(request.model, name)
        found = await engine.scored(request.query, request.texts)
        scores, usage = found.scores, _usage([found])
        http.state.log = {"candidates": len(scores)}
        order = sorted(range(len(scores)), key=lambda i: -scores[i].raw)
        return RerankResponse(
            id=f"rerank-{token_hex(12)}",
            model=name,
            results=[
                RerankResult(
                    index=i,
                    relevance_score=_value(i, scores[i], request.use_activation is not False),
                    document=shown(request.texts[i]) if request.return_documents else None,
                )
                for i in order[: request.top_n]
            ],
            usage=usage,
            meta=None if usage is None else _meta(usage.total_tokens),
        )

    @router.post("/rerank", responses=_ERRORS, response_model_exclude_none=True)
    @router.post("/v1/rerank", responses=_ERRORS, response_model_exclude_none=True)
    @router.post("/v2/rerank", responses=_ERRORS, response_model_exclude_none=True)
    async def rerank(request: RerankRequest, http: Request) -> RerankResponse:
        """Order candidates for a prompt, the best first."""
        return await ranked(request, http, lambda text: Document(text=text))

    @router.post("/infinity/rerank", responses=_ERRORS, response_model_exclude_none=True)
    async def infinity_rerank(request: RerankRequest, http: Request) -> RerankResponse:
        """As /rerank, with documents as plain strings: clients of Infinity take no others."""
        return await ranked(request, http, str)

    @router.post("/score", responses=_ERRORS, response_model_exclude_none=True)
    async def score(request: ScoreRequest, http: Request) -> ScoreResponse:
        """Score candidates, each for its prompt or all for one."""
        names.check(request.model, name)
        if request.use_activation and not engine.is_calibrated:
            raise RequestError(400, "this ranker has no calibration: its scores are raw", "use_activation")
        queries, documents = request.pairs()
        places: dict[str, list[int]] = {}
        for i, query in enumerate(queries):
            places.setdefault(query, []).append(i)
        found = await together(
            *(engine.scored(q, [documents[i] for i in some]) for q, some in places.items())
        )
        known = {
            i: s
            for some, scored in zip(places.values(), found, strict=True)
            for i, s in zip(some, scored.scores, strict=True)
        }
        http.state.log = {"candidates": len(known)}
        return ScoreResponse(
            id=f"score-{token_hex(12)}",
            created=int(time.time()),
            model=name,
            data=[
                ScoreData(index=i, score=_value(i, known[i], bool(request.use_activation)))
                for i in range(len(known))
            ],
            usage=_usage(found),
        )

    return router


def _usage(found: Sequence[Scored]) -> RankerUsage | None:
    counts = [scored.tokens for scored in found if scored.tokens is not None]
    return RankerUsage(prompt_tokens=sum(counts), total_tokens=sum(counts)) if counts else None


def _meta(tokens: int) -> Meta:
    billed = BilledUnits(input_tokens=tokens, total_tokens=tokens)
    return Meta(billed_units=billed, tokens=InputTokens(input_tokens=tokens))


def _value(i: int, score: Score, activated: bool) -> float:
    """The number that stands for candidate `i`: its probability, where there is one and it is wanted."""
    if activated and score.probability is not None:
        return score.probability
    if not math.isfinite(score.raw):
        raise RequestError(400, f"candidate {i} exceeds the ranker's context with its prompt", "documents")
    return score.raw
