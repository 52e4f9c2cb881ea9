import http.client
import threading

import pytest

from rewardranker.errors import UserError
from rewardranker.report.server import report_server


@pytest.fixture
def server(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<p>page ä")
    (tmp_path / "report" / "secret.txt").write_text("secret")
    with report_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path="/", host=None):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    return response.status, response.read().decode(), dict(response.headers)


def test_serves_the_page_on_loopback(server):
    assert server.server_address[0] == "127.0.0.1"
    status, text, headers = get(server)
    assert (status, text) == (200, "<p>page ä")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert get(server, host=f"localhost:{server.server_address[1]}")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_other_hosts_get_nothing(server, host):
    assert get(server, host=host)[0] == 403


@pytest.mark.parametrize("path", ["/secret.txt", "/report/", "/../metrics.json", "/%2e%2e/", "//etc/passwd"])
def test_nothing_but_the_page(server, path):
    status, text, _ = get(server, path)
    assert status == 404
    assert "secret\n" not in text


def test_a_run_without_a_report(tmp_path):
    with pytest.raises(UserError, match="rewardranker run"):
        report_server(tmp_path, 0)


def test_a_port_that_is_taken(server, tmp_path):
    with pytest.raises(UserError, match="--port"):
        report_server(tmp_path, server.server_address[1])
