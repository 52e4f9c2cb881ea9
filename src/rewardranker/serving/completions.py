"""`/v1/chat/completions` and `/v1/completions`: OpenAI's, with the best of N in place of the first."""

import json
import time
from collections.abc import Iterator
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from rewardranker.serving.best_of import BestOf, Candidate, Chosen
from rewardranker.serving.errors import documented
from rewardranker.serving.models import Names
from rewardranker.serving.observe import Metrics
from rewardranker.serving.schemas import (
    AnswerMessage,
    ChatChoice,
    ChatRequest,
    ChatResponse,
    CompletionChoice,
    CompletionRequest,
    CompletionResponse,
)

_ERRORS = documented(400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)


def completion_routes(
    best_of: BestOf, names: Names, metrics: Metrics, *, log_prompts: bool = False
) -> APIRouter:
    """The routes that sample.

    Args:
        best_of: answers.
        names: that requests may give.
        metrics: counts tokens.
        log_prompts: have prompts and answers in the log.
    """
    router = APIRouter()

    async def chosen(request: ChatRequest | CompletionRequest, http: Request) -> Chosen:
        names.check(request.model, best_of.source.name)
        found = await best_of.choose(request)
        usage = found.sampled.usage
        metrics.tokens.labels("prompt").inc(usage.prompt_tokens)
        metrics.tokens.labels("completion").inc(usage.completion_tokens)
        noted = {"candidates": len(found.candidates), **usage.model_dump()}
        if found.sampled.warnings:
            noted["warnings"] = found.sampled.warnings
        if log_prompts:
            noted["request"] = request.model_dump(exclude_unset=True)
            noted["answer"] = found.candidates[0].sample.text
        http.state.log = noted
        return found

    def head(request: ChatRequest | CompletionRequest, kind: str) -> dict[str, Any]:
        return {"id": f"{kind}-{token_hex(12)}", "created": int(time.time()), "model": best_of.source.name}

    @router.post("/v1/chat/completions", response_model=ChatResponse, responses=_ERRORS)
    async def chat_completions(request: ChatRequest, http: Request) -> Response | ChatResponse:
        """The best of N answers to a chat."""
        found = await chosen(request, http)
        answer = ChatResponse(
            **head(request, "chatcmpl"),
            choices=[
                ChatChoice(
                    index=i,
                    message=AnswerMessage(content=c.sample.text if c else None, refusal=found.refusal),
                    finish_reason=c.sample.finish_reason if c else "stop",
                )
                for i, c in enumerate(_winners(found))
            ],
            usage=found.sampled.usage,
            candidates=_reports(request, found),
            warnings=list(found.sampled.warnings) or None,
        )
        return _stream(_chat_chunks(request, answer)) if request.stream else answer

    @router.post("/v1/completions", response_model=CompletionResponse, responses=_ERRORS)
    async def completions(request: CompletionRequest, http: Request) -> Response | CompletionResponse:
        """The best of N continuations of a prompt."""
        found = await chosen(request, http)
        answer = CompletionResponse(
            **head(request, "cmpl"),
            choices=[
                CompletionChoice(
                    index=i,
                    text=c.sample.text if c else "",
                    finish_reason=c.sample.finish_reason if c else "stop",
                    refusal=found.refusal,
                )
                for i, c in enumerate(_winners(found))
            ],
            usage=found.sampled.usage,
            candidates=_reports(request, found),
            warnings=list(found.sampled.warnings) or None,
        )
        return _stream(_completion_chunks(request, answer)) if request.stream else answer

    return router


def _winners(found: Chosen) -> list[Candidate | None]:
    """The answer's candidates; one None where there is no answer."""
    return [None] if found.refusal else list(found.candidates[: found.winners])


def _reports(request: ChatRequest | CompletionRequest, found: Chosen) -> list[Any] | None:
    if not request.return_candidates:
        return None
    return [c.report(rank) for rank, c in enumerate(found.candidates, 1)]


def _stream(chunks: Iterator[dict[str, Any]]) -> StreamingResponse:
    def lines() -> Iterator[str]:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


def _chat_chunks(request: ChatRequest, answer: ChatResponse) -> Iterator[dict[str, Any]]:
    head = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }
    for choice in answer.choices:
        delta = choice.message.model_dump(exclude_none=True)
        yield {**head, "choices": [{"index": choice.index, "delta": delta, "finish_reason": None}]}
        yield {
            **head,
            "choices": [{"index": choice.index, "delta": {}, "finish_reason": choice.finish_reason}],
        }
    yield from _last(request, answer, head)


def _completion_chunks(request: CompletionRequest, answer: CompletionResponse) -> Iterator[dict[str, Any]]:
    head = {"id": answer.id, "object": answer.object, "created": answer.created, "model": answer.model}
    for choice in answer.choices:
        yield {
            **head,
            "choices": [choice.model_dump(exclude={"refusal"} if choice.refusal is None else None)],
        }
    yield from _last(request, answer, head)


def _last(
    request: ChatRequest | CompletionRequest, answer: ChatResponse | CompletionResponse, head: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """A chunk without choices, for what belongs to all of them, where it was asked for."""
    rest = answer.model_dump(include={"candidates", "warnings"}, exclude_none=True)
    if request.stream_options and request.stream_options.include_usage:
        rest["usage"] = answer.usage.model_dump()
    if rest:
        yield {**head, "choices": [], **rest}
