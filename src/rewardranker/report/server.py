"""The report over HTTP, for the machine it lies on alone."""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rewardranker.errors import UserError


def report_server(run_dir: Path, port: int) -> ThreadingHTTPServer:
    """A server of `run_dir`'s page on 127.0.0.1, not yet serving; port 0 takes any that is free.

    It answers requests to 127.0.0.1 and localhost only, by their Host header: a page elsewhere whose name has
    been made to point here (DNS rebinding) gets nothing.

    Raises:
        UserError: the run has no report, or the port is taken.
    """
    page = run_dir / "report" / "index.html"
    if not page.is_file():
        raise UserError(
            f"{page}: no such file; a run writes its report at the end, `rewardranker run` goes on with it"
        )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host") not in self._hosts():
                self.send_error(HTTPStatus.FORBIDDEN, "unknown Host")
            elif self.path not in ("/", "/index.html"):
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                content = page.read_bytes()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Cross-Origin-Resource-Policy", "same-origin")
                self.end_headers()
                self.wfile.write(content)

        def _hosts(self) -> tuple[str, ...]:
            _, port = self.connection.getsockname()
            return f"127.0.0.1:{port}", f"localhost:{port}"

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line each."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as e:
        raise UserError(f"port {port}: {e.strerror}; choose another with --port (0: any that is free)") from e
