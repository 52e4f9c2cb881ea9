import http.client
import threading

import pytest

from rewardranker.errors import UserError
from rewardranker.report.server import report_server

CHUNK = "/data-0123456789abcdef/chunk-12.js"


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "report"
    (folder / CHUNK[1:]).parent.mkdir(parents=True)
    (folder / "index.html").write_text("<p>page ä")
    (folder / CHUNK[1:]).write_text("rewardranker()")
    (folder / "secret.txt").write_text("secret")
    (folder / CHUNK[1:]).with_name("secret.txt").write_text("secret")
    with report_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path="/", **headers):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    return response.status, response.read().decode(), dict(response.headers)


def test_serves_the_page_and_its_data_on_loopback(server):
    assert server.server_address[0] == "127.0.0.1"
    status, text, headers = get(server)
    assert (status, text) == (200, "<p>page ä")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert get(server, Host=f"localhost:{server.server_address[1]}")[0] == 200
    status, text, headers = get(server, CHUNK)
    assert (status, text) == (200, "rewardranker()")
    assert headers["Content-Type"].startswith("text/javascript")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
@pytest.mark.parametrize("path", ["/", CHUNK])
def test_other_hosts_get_nothing(server, host, path):
    assert get(server, path, Host=host)[0] == 403


def test_pages_elsewhere_get_nothing(server):
    ours = f"http://127.0.0.1:{server.server_address[1]}"
    assert get(server, CHUNK, Origin=ours, Sec_Fetch_Site="same-origin")[0] == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert get(server, Origin=origin)[0] == 403
    # A script element sends no Origin: what it asks for is told by Sec-Fetch-Site alone.
    for site in ("cross-site", "same-site"):
        assert get(server, CHUNK, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
        assert get(server, CHUNK, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 403


def test_a_link_to_the_page_may_be_followed(server):
    assert get(server, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert get(server, Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/secret.txt",
            "/report/",
            "/../metrics.json",
            "/%2e%2e/",
            "//etc/passwd",
            "/index.html\\..\\secret.txt",
        ),
        *("/data-0123456789abcdef" + name for name in ("/secret.txt", "/../index.html", "/absent.js", "/")),
    ],
)
def test_nothing_but_the_page_and_its_data(server, path):
    status, text, _ = get(server, path)
    assert status == 404
    assert "secret\n" not in text


def test_a_run_without_a_report(tmp_path):
    with pytest.raises(UserError, match="rewardranker run"):
        report_server(tmp_path, 0)


def test_a_port_that_is_taken(server, tmp_path):
    with pytest.raises(UserError, match="--port"):
        report_server(tmp_path, server.server_address[1])
