"""Where candidates come from: the generator in this process, or another server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

from rewardranker.models.upstream import Upstream, UpstreamChoice, UpstreamError, UpstreamTimeoutError
from rewardranker.problems.problem import truncated
from rewardranker.serving.engine import Engine, Messages
from rewardranker.serving.errors import RequestError
from rewardranker.serving.schemas import ChatRequest, CompletionRequest, SamplingRequest, Usage

_MAX_TOKENS = 512
"""Where a request names no limit."""
_NO_MATTER = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
"""Fields of OpenAI's that change no candidate."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate as it was sampled."""

    text: str
    finish_reason: str


OnSamples = Callable[[Sequence[Sample]], None]


@dataclass(frozen=True, slots=True)
class Sampled:
    """What is known when all candidates are there."""

    usage: Usage
    warnings: tuple[str, ...] = ()
    """What of the request was not honoured."""


class Source(Protocol):
    """Samples for requests."""

    name: str
    """Of the model, as clients say it."""

    def check(self, request: SamplingRequest) -> None:
        """Refuse what can't be honoured.

        Raises:
            RequestError: naming the field.
        """

    async def sample(
        self, request: ChatRequest | CompletionRequest, n: int, on_samples: OnSamples
    ) -> Sampled:
        """Hand `n` candidates to `on_samples`, as they come.

        Raises:
            RequestError: there is no sampling for this request, or it failed.
        """

    def continues(self, request: ChatRequest | CompletionRequest) -> bool:
        """Whether candidates go on where the prompt ends; else they are answers of their own."""

    async def aclose(self) -> None:
        """Close connections."""


class Local:
    """The generator in this process.

    Args:
        engine: has one.
        name: of it.
        is_chat: it has a chat template; without one it continues what a single message says.
    """

    def __init__(self, engine: Engine, name: str, is_chat: bool) -> None:
        self._engine, self.name, self._is_chat = engine, name, is_chat

    def check(self, request: SamplingRequest) -> None:
        """As of `Source`."""
        for field, value in request.extra.items():
            if field not in _NO_MATTER and value and value != {"type": "text"}:
                raise RequestError(400, f"{field} is not supported by this generator; leave it out", field)
        if request.top_p not in (None, 1.0):
            raise RequestError(400, "top_p is not supported by this generator; leave it out", "top_p")
        if isinstance(request, ChatRequest):
            if any(
                not isinstance(m.content, str | None) and any(p.type != "text" for p in m.content)
                for m in request.messages
            ):
                raise RequestError(400, "this generator reads text only", "messages")
            if not self._is_chat and len(request.messages) > 1:
                raise RequestError(
                    400,
                    "this generator has no chat template: it continues the text of one message",
                    "messages",
                )

    async def sample(
        self, request: ChatRequest | CompletionRequest, n: int, on_samples: OnSamples
    ) -> Sampled:
        """As of `Source`."""
        prompt: str | Messages
        if isinstance(request, CompletionRequest):
            prompt = request.text
        elif self._is_chat:
            prompt = [{"role": m.role, "content": m.text} for m in request.messages]
        else:
            prompt = request.messages[-1].text
        rollouts = await self._engine.sample(
            prompt,
            key=token_hex(8) if request.seed is None else f"seed {request.seed}",
            n=n,
            temperature=_temperature(request),
            max_tokens=_max_tokens(request),
            stop=request.stops,
        )
        on_samples([Sample(r.text, "length" if r.finish_reason == "length" else "stop") for r in rollouts])
        return Sampled(_usage(len(rollouts[0].prompt_ids), sum(len(r.ids) for r in rollouts)))

    def continues(self, request: ChatRequest | CompletionRequest) -> bool:
        """As of `Source`."""
        return isinstance(request, CompletionRequest) or not self._is_chat

    async def aclose(self) -> None:
        """Nothing to close."""


class Remote:
    """Another server.

    Args:
        upstream: asks it.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self.name = upstream, upstream.model

    def check(self, request: SamplingRequest) -> None:
        """As of `Source`."""

    async def sample(
        self, request: ChatRequest | CompletionRequest, n: int, on_samples: OnSamples
    ) -> Sampled:
        """As of `Source`."""
        extra = request.extra
        # It may take no more than four stop tokens, or leave them in.
        stops = () if extra.get("include_stop_str_in_output") else request.stops

        def sample(choice: UpstreamChoice) -> Sample:
            text = truncated(choice.text, stops)
            return Sample(
                text, choice.finish_reason if text == choice.text and choice.finish_reason else "stop"
            )

        if request.top_p is not None:
            extra["top_p"] = request.top_p
        fields: dict[str, Any] = {
            "n": n,
            "temperature": _temperature(request),
            "max_tokens": _max_tokens(request),
            "stop": request.stops,
            "seed": request.seed,
            "on_choices": lambda choices: on_samples([sample(choice) for choice in choices]),
            "extra": extra,
        }
        try:
            if isinstance(request, CompletionRequest):
                answer = await self._upstream.complete(request.text, **fields)
            else:
                messages = [m.model_dump(exclude_unset=True) for m in request.messages]
                answer = await self._upstream.chat(messages, **fields)
        except UpstreamTimeoutError as e:
            raise RequestError(504, str(e), code="upstream_timeout") from e
        except UpstreamError as e:
            # What it says of the request is the client's to mend; of keys and models, the operator's.
            status = e.status if e.status in (400, 413, 422, 429) else 502
            raise RequestError(status, str(e), code="upstream_error") from e
        unseeded = ("the upstream takes no seed: the same request may get another answer",)
        return Sampled(
            _usage(answer.prompt_tokens, answer.completion_tokens), unseeded if answer.unseeded else ()
        )

    def continues(self, request: ChatRequest | CompletionRequest) -> bool:
        """As of `Source`."""
        return isinstance(request, CompletionRequest)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._upstream.aclose()


def _usage(prompt: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _temperature(request: SamplingRequest) -> float:
    return 1.0 if request.temperature is None else request.temperature


def _max_tokens(request: SamplingRequest) -> int:
    return getattr(request, "max_completion_tokens", None) or request.max_tokens or _MAX_TOKENS
