"""The server's process: its socket, its signals, and its end."""

import ipaddress
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType

import uvicorn

from rewardranker import progress
from rewardranker.browsers import LOOPBACK
from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.load import load_ranker
from rewardranker.models.remote_ranker import RemoteRanker
from rewardranker.models.upstream import Upstream
from rewardranker.serving.app import create_app
from rewardranker.serving.best_of import BestOf
from rewardranker.serving.engine import Engine
from rewardranker.serving.gate import Gate
from rewardranker.serving.observe import Metrics, log_to_stderr
from rewardranker.serving.sources import Local, Remote, Source
from rewardranker.serving.visible import VisibleTests

_ATTEMPTS = 3
"""Of a request to another server."""


class _Server(uvicorn.Server):
    """Ends when what is in flight is done; until then new requests get 503."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(uvicorn.Config(gate, log_config=None, access_log=False))
        self._gate = gate

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end; the second ends at once."""
        if self._gate.draining:
            self.should_exit = self.force_exit = True
        self._gate.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to end."""
        self.should_exit |= self._gate.draining and not self._gate.in_flight
        return await super().on_tick(counter)


def serve(
    ranker: str,
    *,
    generator: Path | None = None,
    upstream: tuple[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    best_of: int = 8,
    queue: int = 64,
    api_key: str = "",
    most_bytes: int = 4 << 20,
    upstream_timeout_s: float = 120.0,
    workers: int = 0,
    log_prompts: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    Args:
        ranker: folder of a ranker, or the URL of one; see `load_ranker`.
        generator: folder of a causal language model that samples.
        upstream: in place of it, URL and model's name of a server that samples.
        host: address to listen on.
        port: 0: any that is free.
        best_of: candidates, where a request doesn't say.
        queue: requests in work or waiting, at most.
        api_key: that requests must bear; empty: none.
        most_bytes: of a request.
        upstream_timeout_s: that the upstream, or the server of a ranker, may take for an answer.
        workers: sandboxes; 0: as many as suit the machine.
        log_prompts: have prompts and answers in the log.
        say: is told where the server listens, and its routes.

    Raises:
        UserError: a folder holds no model, or there is nowhere to listen.
    """
    log_to_stderr()
    progress.console.quiet = True  # what does not fit the context is told in answers, and the log is JSON
    metrics = Metrics()
    listening = _listen(host, port)
    sampler = Generator.from_pretrained(generator) if generator else None
    # Of a server little is waited for, because all other requests wait meanwhile.
    judge = load_ranker(ranker, timeout_s=upstream_timeout_s, attempts=_ATTEMPTS)
    engine = Engine(judge, sampler, metrics.scored)
    tests = VisibleTests(workers=workers)
    try:
        source: Source | None = None
        if sampler is not None:
            source = Local(engine, str(generator), sampler.tokenizer.chat_template is not None)
        elif upstream is not None:
            source = Remote(Upstream(*upstream, read_timeout_s=upstream_timeout_s, attempts=_ATTEMPTS))
        gate = create_app(
            engine,
            judge.url if isinstance(judge, RemoteRanker) else ranker,
            BestOf(source, engine, tests, best_of) if source else None,
            metrics=metrics,
            api_key=api_key,
            names=_names(listening, host),
            queue=queue,
            most_bytes=most_bytes,
            log_prompts=log_prompts,
        )
        name, number = listening.getsockname()[:2]
        url = f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
        say(f"serving on {url}: {' '.join(gate.paths)} (Ctrl-C ends it)")
        _Server(gate).run(sockets=[listening])
    finally:
        engine.close()
        tests.close()
        listening.close()


def _names(listening: socket.socket, host: str) -> Collection[str]:
    """What a server that only this machine reaches is called; of another nobody knows all the names."""
    address = listening.getsockname()[0]
    if not ipaddress.ip_address(address).is_loopback:
        return ()
    return LOOPBACK | {f"[{name}]" if ":" in name else name.lower() for name in (address, host)}


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as e:
        raise UserError(
            f"{host} port {port}: {e.strerror}; choose others with --host and --port (0: any that is free)"
        ) from e
    # For its connections. asyncio sets it only where a socket's protocol is named; without it the body of an
    # answer waits until the client has acknowledged the header, on a kept connection some 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
