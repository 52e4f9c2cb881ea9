"""Servers with OpenAI's interface on real sockets: transformers' own, and one that does what a test says."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Scripted:
    """Answers as `reply(server, request, handler)` says: an object, or (status, headers, body)."""

    def __init__(
        self, reply: Callable[["Scripted", dict[str, Any], BaseHTTPRequestHandler], Any], port: int = 0
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with scripted.lock:
                    scripted.requests.append(request)
                    scripted.headers.append(dict(self.headers))
                    scripted.paths.append(self.path)
                answer = reply(scripted, request, self)
                if answer is None:  # the connection ends without one
                    self.close_connection = True
                    return
                status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "Scripted":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def completions(*texts: str, **fields: Any) -> dict[str, Any]:
    """An answer of /v1/completions."""
    choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate(texts)]
    return {"object": "text_completion", "choices": choices, **fields}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def transformers_serve(model: Path) -> Iterator[str]:
    """Transformers' server of one model folder; yields its base URL."""
    port = free_port()
    log = model.with_name(f"{model.name}.log")
    # As `transformers serve`, whose module also imports what other commands need.
    serve = "from transformers.cli.serve import Serve; import sys; "
    serve += "Serve(sys.argv[1], device='cpu', host='127.0.0.1', port=int(sys.argv[2]))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", serve, str(model), str(port)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                ended = process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError(f"transformers serve did not start: {log.read_text()}") from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
