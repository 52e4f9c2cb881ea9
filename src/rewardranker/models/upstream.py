"""`Upstream`: a server with OpenAI's interface that samples: vLLM, llama.cpp, `transformers serve`, ..."""

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from rewardranker import progress
from rewardranker.errors import UserError

try:
    import httpx
except ImportError as e:  # an extra
    raise UserError("servers are asked by httpx, which is missing: pip install 'rewardranker[serve]'") from e

from rewardranker.models.retries import excerpt, may_pass, pause_s

_OPTIONAL = ("n", "logprobs", "stop", "seed")
"""Fields that a server may refuse, and what is done without them."""
_STOPS = 4
"""As many stop tokens as OpenAI's own servers take."""


class UpstreamError(UserError):
    """A server gave no usable answer; the message says URL, status and the answer's first characters."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP's, of the last attempt; None: there was no whole answer."""


class UpstreamTimeoutError(UpstreamError):
    """A server's answer took too long."""


@dataclass(frozen=True, slots=True)
class UpstreamChoice:
    """One completion, or one answer of a chat. Untrusted."""

    text: str
    finish_reason: str
    """As the server says: stop, length, ..."""
    logprob_sum: float | None = None
    """Of its tokens, nats; None: the server doesn't say."""
    n_tokens: int | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """What was asked for, and what it cost."""

    choices: tuple[UpstreamChoice, ...]
    """As many as were asked for."""
    prompt_tokens: int
    """Over all requests that were answered, as the server counts; 0 where it doesn't."""
    completion_tokens: int
    """Likewise; of choices that were given and not asked for too."""
    unseeded: bool = False
    """There was a seed, which the server refused: another time the choices are others."""


OnChoices = Callable[[Sequence[UpstreamChoice]], None]


class Upstream:
    """Asks one model of a server; the connections are kept, so close it or use it as `async with`.

    Servers differ in what they take: choices that are missing are asked for again, and a field that the
    server refuses (n, logprobs, seed, more than four stop tokens) is left out from then on; of a seed this is
    said on the terminal, once, and in the answers (`unseeded`). 429, 5xx and
    broken connections are tried again with growing pauses, or after the server's Retry-After. When the
    awaiting task is cancelled, its connections are closed, by which servers know that nobody waits any more.
    A call that needs several requests fails when all of them have ended, with the first error.

    Args:
        base_url: up to and with /v1.
        model: the server's name for it.
        api_key: None: the environment's OPENAI_API_KEY, if it is set. It is never logged or shown.
        limit: held during each request, so that many callers don't ask for more at once than that; None: no
            bound.
        connect_timeout_s: to reach the server.
        read_timeout_s: for its answer, which comes when all n of a request are sampled. It isn't asked again
            then: it may still be at work.
        attempts: most tries of one request.

    Example:
        async with Upstream("http://127.0.0.1:8000/v1", "qwen", limit=asyncio.Semaphore(16)) as upstream:
            answer = await upstream.complete("def add(a, b):\\n", n=10, max_tokens=256, stop=["\\ndef"])
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        limit: asyncio.Semaphore | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 600.0,
        attempts: int = 5,
    ) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as e:
            raise UserError(f"{base_url}: not a URL ({e}); give one such as http://127.0.0.1:8000/v1") from e
        if url.scheme not in ("http", "https") or not url.host:
            raise UserError(f"{base_url}: not the URL of a server; give one such as http://127.0.0.1:8000/v1")
        self.model = model
        self._key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY", "")
        self._limit = limit or nullcontext()
        self._attempts = attempts
        self._refused: defaultdict[str, set[str]] = defaultdict(set)
        self.url = str(url.copy_with(userinfo=b"")).rstrip("/")
        """As it was given, without credentials."""
        self.unseeded = False
        """The server has refused a seed, and was asked without."""
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s, pool=None),
            limits=httpx.Limits(max_connections=None),  # `limit` bounds them
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def complete(
        self,
        prompt: str,
        *,
        n: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        seed: int | None = None,
        extra: Mapping[str, Any] | None = None,
        on_choices: OnChoices | None = None,
    ) -> UpstreamAnswer:
        """`n` continuations of `prompt`, from /completions.

        Args:
            prompt: what is continued.
            n: how many are wanted.
            temperature: 0 is greedy.
            max_tokens: of each.
            stop: where they end; a server may leave the stop token in the text, or stop at four of them only.
            seed: the same requests get the same answers, from servers that know seeds.
            extra: more fields of the request (top_p, ...).
            on_choices: called with the choices of each request as they come: what it was given isn't lost
                when another request fails.

        Raises:
            UpstreamTimeoutError: the server took too long.
            UpstreamError: it can't be reached, refuses, or answers with what can't be read.
        """
        body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature, "logprobs": 1}
        return await self._sample(
            "completions", {**body, **_given(stop, seed), **(extra or {})}, n, on_choices
        )

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        n: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        seed: int | None = None,
        extra: Mapping[str, Any] | None = None,
        on_choices: OnChoices | None = None,
    ) -> UpstreamAnswer:
        """`n` answers to `messages` ({"role", "content"}), from /chat/completions; else as `complete`."""
        body = {
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "logprobs": True,
        }
        return await self._sample(
            "chat/completions", {**body, **_given(stop, seed), **(extra or {})}, n, on_choices
        )

    async def _sample(
        self, path: str, body: dict[str, Any], n: int, on_choices: OnChoices | None
    ) -> UpstreamAnswer:
        choices: list[UpstreamChoice] = []
        prompt_tokens = completion_tokens = asked = 0
        unseeded = False
        each = n  # choices that one request gives; each gives one or more, so this ends
        while (missing := n - len(choices)) > 0:
            each = 1 if "n" in self._refused[path] else each
            sizes = [min(each, missing - i) for i in range(0, missing, each)]
            requests = [
                self._ask(path, body, size, asked + i * each, on_choices) for i, size in enumerate(sizes)
            ]
            asked += missing
            for answer in await asyncio.gather(*requests, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                choices += answer.choices
                prompt_tokens += answer.prompt_tokens
                completion_tokens += answer.completion_tokens
                unseeded |= answer.unseeded
                each = min(each, len(answer.choices))
        return UpstreamAnswer(tuple(choices), prompt_tokens, completion_tokens, unseeded)

    async def _ask(
        self, path: str, body: dict[str, Any], n: int, first: int, on_choices: OnChoices | None
    ) -> UpstreamAnswer:
        """One request for `n` choices, without the fields that the server is known to refuse."""
        if "seed" in body:  # the same seed would give the same choices again
            body = {**body, "seed": body["seed"] + first}
        refused = set(self._refused[path])
        while True:
            sent = {k: v for k, v in {"model": self.model, "n": n, **body}.items() if k not in refused}
            if "stop" in body and "stop" in refused:
                sent["stop"] = body["stop"][:_STOPS]
            response = await self._post(path, sent)
            if response.is_success:
                answer = self._read(response, n)
                self._refused[path] |= refused
                if len(answer.choices) == 1 < n:  # it takes no notice of n
                    self._refused[path].add("n")
                if "seed" in body and "seed" in refused:
                    answer = replace(answer, unseeded=True)
                    self._tell_unseeded()
                if on_choices is not None:
                    on_choices(answer.choices)
                return answer
            named = {f for f in _OPTIONAL if f in sent and re.search(rf"\b{f}\b", response.text)} - refused
            if response.status_code not in (400, 422) or not named:
                raise self._error("refused the request", response)
            refused |= named

    def _tell_unseeded(self) -> None:
        if not self.unseeded:
            progress.console.print(
                f"  {self.url} takes no seed: what is sampled can't be repeated",
                highlight=False,
                markup=False,
            )
        self.unseeded = True

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        for attempt in range(1, self._attempts + 1):
            response, why = None, ""
            try:
                async with self._limit:
                    response = await self._client.post(path, json=body)
            except httpx.ReadTimeout as e:
                seconds = self._client.timeout.read
                raise UpstreamTimeoutError(f"{self.url}/{path}: no answer within {seconds:g} s") from e
            except (httpx.TransportError, httpx.DecodingError) as e:
                why = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
            if response is not None and not may_pass(response):
                return response
            wait = pause_s(attempt, response)
            if attempt == self._attempts or wait is None:
                break
            await asyncio.sleep(wait)
        if response is not None:
            raise self._error(f"gave up after {attempt} attempts", response)
        raise UpstreamError(f"{self.url}/{path}: gave up after {attempt} attempts; {why}")

    def _read(self, response: httpx.Response, n: int) -> UpstreamAnswer:
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError as e:
            where = ".".join(map(str, e.errors()[0]["loc"]))
            why = f"{where}: {e.errors()[0]['msg']}" if where else e.errors()[0]["msg"]
            raise self._error(f"answered what can't be read ({why})", response) from e
        n_tokens = answer.usage.completion_tokens or None if len(answer.choices) == 1 else None
        found = tuple(choice.read(n_tokens) for choice in answer.choices[:n])
        return UpstreamAnswer(found, answer.usage.prompt_tokens, answer.usage.completion_tokens)

    def _error(self, what: str, response: httpx.Response) -> UpstreamError:
        url = str(response.url.copy_with(userinfo=b""))
        return UpstreamError(f"{url}: {what}; {excerpt(response, self._key)}", response.status_code)


class _Message(BaseModel):
    content: str | None = None
    """None: all tokens went into reasoning, or into a call of a tool."""


class _Token(BaseModel):
    logprob: float


class _Logprobs(BaseModel):
    token_logprobs: list[float | None] | None = None
    """Of completions."""
    content: list[_Token] | None = None
    """Of chat."""


class _Choice(BaseModel):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.text is None and self.message is None:
            raise ValueError("neither text nor message")
        return self

    def read(self, n_tokens: int | None) -> UpstreamChoice:
        said = self.logprobs
        values = [x for x in said.token_logprobs or [] if x is not None] if said else []
        values += [token.logprob for token in said.content or []] if said else []
        text = self.message.content or "" if self.message else self.text or ""
        if values:
            return UpstreamChoice(text, self.finish_reason or "", sum(values), len(values))
        return UpstreamChoice(text, self.finish_reason or "", None, n_tokens)


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Annotated[_Usage, BeforeValidator(lambda usage: {} if usage is None else usage)] = _Usage()


def _given(stop: Sequence[str], seed: int | None) -> dict[str, Any]:
    fields = {"stop": list(stop) or None, "seed": seed}
    return {name: value for name, value in fields.items() if value is not None}
