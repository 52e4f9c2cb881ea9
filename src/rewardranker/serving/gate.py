"""`Gate`: what every request passes before it is parsed, and how long its client is waited for."""

import asyncio
import hmac
import time
from collections.abc import Collection
from dataclasses import dataclass
from secrets import token_hex

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rewardranker.browsers import from_elsewhere
from rewardranker.serving.errors import error_response
from rewardranker.serving.observe import Metrics, log

_BODY_S = 30.0
"""A request's body must be here by then."""
_DISCARDED = 64 << 20
"""Of a body that is refused so much is read, so that its sender gets to read the answer."""
_OPEN = ("/health",)
"""Needs no key, for probes."""
_LONGEST_RETRY_S = 60


class _GoneError(Exception):
    """The client has hung up."""


@dataclass(slots=True)
class _Exchange:
    """One request and what has become of it."""

    scope: Scope
    send: Send
    status: int = 499  # nginx's word for a client that went before its answer
    started: bool = False
    complete: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            message.setdefault("headers", []).append((b"x-request-id", self.id.encode()))
        await self.send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete = True

    @property
    def id(self) -> str:
        """Names it in the log."""
        found: str = self.scope["state"]["request_id"]
        return found


class Gate:
    """Refuses what is too much, too large or not allowed; cancels what nobody waits for any more.

    Who knows the key is allowed. Without one all are but web pages of other sites, which a browser on this
    machine could be made to show.

    Args:
        app: what is behind it.
        paths: that it serves.
        metrics: counts every request.
        api_key: that requests must bear; empty: none.
        names: that a request without a key may call the server by, see `from_elsewhere`; none: any.
        queue: requests in work or waiting, at most.
        most_bytes: of a request's body.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Collection[str],
        *,
        metrics: Metrics,
        api_key: str = "",
        names: Collection[str] = (),
        queue: int = 64,
        most_bytes: int = 4 << 20,
    ) -> None:
        self._app, self.paths, self._metrics = app, paths, metrics
        self._names = names
        self._key, self._queue, self._most = api_key.encode(), queue, most_bytes
        self._last_s = 1.0
        self.in_flight = 0
        self.draining = False
        """Finish what is in flight and take no more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = token_hex(8)
        exchange = _Exchange(scope, send)
        began = time.perf_counter()
        try:
            await self._answer(exchange, receive)
        except _GoneError:
            pass
        except Exception:
            log.exception("a request failed", extra={"fields": {"id": exchange.id}})
            if not exchange.started:
                await error_response(500, "internal error; the server's log has more")(
                    scope, receive, exchange
                )
        finally:
            self._note(exchange, time.perf_counter() - began)

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        scope = exchange.scope
        if scope["method"] != "POST":
            refusal = self._forbidden(scope)
            await (refusal or self._app)(scope, receive, exchange)
            return
        refusal = self._forbidden(scope) or self._busy()
        if refusal is not None:
            await self._body(receive, 0)
            await refusal(scope, receive, exchange)
            return
        self.in_flight += 1
        self._metrics.in_flight.set(self.in_flight)
        began = time.perf_counter()
        try:
            body = await self._body(receive, self._most)
            if isinstance(body, bytes):
                await self._run(exchange, receive, body)
            else:
                await body(scope, receive, exchange)
        finally:
            self.in_flight -= 1
            self._metrics.in_flight.set(self.in_flight)
            self._last_s = time.perf_counter() - began

    async def _body(self, receive: Receive, most: int) -> bytes | ASGIApp:
        """The body of a request, or the answer to one that is too large or too slow."""
        try:
            async with asyncio.timeout(_BODY_S):
                body = await _read(receive, most)
        except TimeoutError:
            return error_response(408, f"the request was not here after {_BODY_S:g} s")
        return error_response(413, f"the request has more than {most} bytes") if body is None else body

    async def _run(self, exchange: _Exchange, receive: Receive, body: bytes) -> None:
        """Have the app answer, as long as the client is there."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        forever = asyncio.get_running_loop().create_future()

        async def given() -> Message:
            if messages:
                return messages.pop()
            await forever
            return {"type": "http.disconnect"}

        answer = asyncio.ensure_future(self._app(exchange.scope, given, exchange))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if exchange.complete or answer.done():
                await answer
        finally:
            cancelled = answer.cancel()
            gone.cancel()
            await asyncio.wait({answer, gone})
        if cancelled:
            raise _GoneError

    def _forbidden(self, scope: Scope) -> ASGIApp | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._key:
            host, origin, site = map(headers.get, ("host", "origin", "sec-fetch-site"))
            if not from_elsewhere(host, origin, site, self._names):
                return None
            return error_response(
                403,
                "no requests by web pages of other sites, or to a host of another name; a server "
                "with --api-key takes them if they bear it",
                code="forbidden_origin",
            )
        scheme, _, key = headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode("latin-1"), self._key)
        if known or scope["path"] in _OPEN:
            return None
        response = error_response(
            401, "a valid API key is needed: Authorization: Bearer KEY", code="invalid_api_key"
        )
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _busy(self) -> ASGIApp | None:
        if self.draining:
            return error_response(503, "the server is shutting down", retry_after=5)
        if self.in_flight >= self._queue:
            wait = min(max(1, round(self._last_s)), _LONGEST_RETRY_S)
            message = f"{self.in_flight} requests are in work or waiting, as many as may be"
            return error_response(429, message, code="queue_full", retry_after=wait)
        return None

    def _note(self, exchange: _Exchange, seconds: float) -> None:
        scope = exchange.scope
        route = scope["path"] if scope["path"] in self.paths else "other"
        self._metrics.requests.labels(route, str(exchange.status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fields = {
            "id": exchange.id,
            "method": scope["method"],
            "route": route,
            "status": exchange.status,
            "seconds": round(seconds, 4),
            **scope["state"].get("log", {}),
        }
        log.info("request", extra={"fields": fields})


async def _read(receive: Receive, most: int) -> bytes | None:
    """The body of a request; None if it has more than `most` bytes."""
    chunks: list[bytes] = []
    size = 0
    while size <= _DISCARDED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        else:
            chunks.clear()
        if not message.get("more_body"):
            break
    return b"".join(chunks) if size <= most else None
