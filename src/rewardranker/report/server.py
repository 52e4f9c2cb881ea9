"""The viewer over HTTP, for the machine it lies on alone."""

import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rewardranker.browsers import LOOPBACK, from_elsewhere
from rewardranker.errors import UserError

_SERVED = {
    re.compile(r"/index\.html"): "text/html; charset=utf-8",
    re.compile(r"/data-[0-9a-f]{16}/[a-z]+(-[0-9]+)?\.js"): "text/javascript; charset=utf-8",
}
"""Form of a path -> its media type: what lies in a report's folder, nothing else."""


def report_server(run_dir: Path, port: int, *, report: str = "report") -> ThreadingHTTPServer:
    """A server of `run_dir`'s viewer on 127.0.0.1, not yet serving; port 0 takes any that is free.

    It answers requests to 127.0.0.1 and localhost only, by their Host header: a page elsewhere whose name has
    been made to point here (DNS rebinding) gets nothing. Nor does a page elsewhere that asks this address, by
    the headers Origin and Sec-Fetch-Site, which browsers set; a link may be followed from anywhere.

    Args:
        run_dir: a run with a report.
        port: where to listen.
        report: the folder of `run_dir` in which the viewer lies.

    Raises:
        UserError: the run has no report, or the port is taken.
    """
    folder = run_dir / report
    page = folder / "index.html"
    if not page.is_file():
        raise UserError(
            f"{page}: no such file; a run writes its report at the end, `rewardranker run` goes on with it"
        )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._asked_by_our_page():
                self.send_error(HTTPStatus.FORBIDDEN, "unknown Host or Origin")
                return
            path = "/index.html" if self.path == "/" else self.path
            kind = next((kind for form, kind in _SERVED.items() if form.fullmatch(path)), None)
            try:
                content = (folder / path[1:]).read_bytes() if kind else None
            except FileNotFoundError:
                content = None
            if kind is None or content is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()
            self.wfile.write(content)

        def _asked_by_our_page(self) -> bool:
            host, origin, site, mode = map(
                self.headers.get, ("Host", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")
            )
            followed = mode == "navigate" and self.path in ("/", "/index.html")
            return not from_elsewhere(host, origin, None if followed else site, LOOPBACK)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line each."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as e:
        raise UserError(f"port {port}: {e.strerror}; choose another with --port (0: any that is free)") from e
