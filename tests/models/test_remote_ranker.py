"""Against a real server over a real socket, which answers as vLLM documents."""

import json
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from rewardranker.errors import UserError
from rewardranker.models.load import load_ranker
from rewardranker.models.remote_ranker import RemoteRanker
from rewardranker.models.scores import Calibration


def logit(prompt: str, text: str) -> float:
    return len(text) - 3.5 - len(prompt)


class Handler(BaseHTTPRequestHandler):
    """vLLM's /score, /rerank and /classify of one model; an activation unless it is switched off."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers.get("Authorization")))
        fault = self.server.faults.pop(0) if self.server.faults else (200, self.answer(body))
        status, answer, *headers = fault
        if status is None:  # hangs up
            self.close_connection = True
            return
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def answer(self, body):
        def score(prompt, text):
            raw = logit(prompt, text)
            return raw if body.get("use_activation") is False else float(1 / (1 + np.exp(-raw)))

        usage = {"prompt_tokens": 1, "total_tokens": 1}
        if self.path.endswith("/score"):
            texts = [body["documents"]] if isinstance(body["documents"], str) else body["documents"]
            data = [
                {"index": i, "object": "score", "score": score(body["queries"], t)}
                for i, t in enumerate(texts)
            ]
            return {"id": "s", "object": "list", "created": 1, "model": "m", "data": data, "usage": usage}
        if self.path.endswith("/rerank"):
            results = [
                {"index": i, "document": {"text": t}, "relevance_score": score(body["query"], t)}
                for i, t in enumerate(body["documents"])
            ]
            results.sort(key=lambda row: -row["relevance_score"])
            return {"id": "r", "model": "m", "usage": usage, "results": results[: body["top_n"] or None]}
        user, assistant = body["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        probs = [score(user["content"], assistant["content"])] * self.server.labels
        row = {"index": 0, "label": "LABEL_0", "probs": probs, "num_classes": len(probs)}
        return {"id": "c", "object": "list", "created": 1, "model": "m", "data": [row], "usage": usage}

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked, httpd.faults, httpd.labels = [], [], 1
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def url(server, path):
    return f"http://127.0.0.1:{server.server_port}{path}"


PROMPTS = ["a", "bb", "a", "a", "bb"]
TEXTS = ["xxxx", "y", "zzzzzzzz", "xxxx", ""]
EXPECTED = [logit(p, t) for p, t in zip(PROMPTS, TEXTS, strict=True)]


@pytest.mark.parametrize("path", ["/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank", "/classify"])
def test_scores_are_raw_and_in_their_places(server, path):
    with RemoteRanker(url(server, path), "m", batch_size=2) as ranker:
        done = []
        found = ranker.score(PROMPTS, TEXTS, on_progress=done.append)
        assert found.tolist() == EXPECTED and sum(done) == 5
        assert ranker.reads_programs == (path == "/classify")
        ranks = ranker.rank("a", ["x", "xxx", "xx"])
        assert [i for i, _ in ranks] == [1, 2, 0] and ranks[0][1].probability is None
    assert {body["model"] for _, body, _ in server.asked} == {"m"}
    assert {body["use_activation"] for _, body, _ in server.asked} == {False}


def test_a_request_takes_many_and_a_repeated_pair_is_asked_for_once(server):
    texts = ["x" * i for i in range(130)] * 2
    with RemoteRanker(url(server, "/score")) as ranker:
        assert ranker.score(["p"] * 260, texts).tolist() == [logit("p", t) for t in texts]
    assert Counter(len(body["documents"]) for _, body, _ in server.asked) == {64: 2, 2: 1}
    assert "model" not in server.asked[0][1]


def test_it_is_loaded_by_its_url_and_calibrated(server):
    ranker = load_ranker(url(server, "/score"), model="m")
    assert isinstance(ranker, RemoteRanker) and ranker.score([], []).shape == (0,)
    ranker.calibration = Calibration(slope=1.0)
    (_, best), *_ = ranker.rank("a", ["x" * 5])
    assert best.probability == pytest.approx(1 / (1 + np.exp(-best.raw)))
    ranker.close()


def test_the_key_is_sent_and_never_shown(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    server.faults.append((401, b"unknown key secret-1"))
    with RemoteRanker(url(server, "/score")) as ranker, pytest.raises(UserError) as e:
        ranker.score(["a"], ["b"])
    assert server.asked[0][2] == "Bearer secret-1"
    assert "refused the request; status 401: unknown key ***" in str(e.value)


@pytest.mark.parametrize("fault", [(429, b"later"), (503, b"down"), (None, b"")])
def test_what_passes_is_tried_again(server, fault, monkeypatch):
    monkeypatch.setattr("rewardranker.models.retries._FIRST_WAIT_S", 0.0)
    server.faults += [fault, fault]
    with RemoteRanker(url(server, "/score")) as ranker:
        assert ranker.score(["a"], ["xx"]).tolist() == [logit("a", "xx")]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((400, b"longer than max_model_len"), "refused the request; status 400: longer than"),
        ((200, b"<html>"), "answered what can't be read; status 200: <html>"),
        ((200, {"data": []}), "gave no score for each of 1"),
        ((200, {"data": [{"index": 1, "score": 1}]}), "gave no score for each of 1"),
        ((200, {"data": [{"index": 0, "score": None}]}), "answered what can't be read"),
        ((200, b'{"data": [{"index": 0, "score": NaN}]}'), "score"),
        ((200, {"detail": "x" * 999}), "..."),
    ],
)
def test_what_is_no_score_is_an_error_that_names_the_server(server, fault, message):
    server.faults.append(fault)
    with RemoteRanker(url(server, "/score")) as ranker, pytest.raises(UserError) as e:
        ranker.score(["a"], ["b"])
    assert message in str(e.value) and url(server, "/score") in str(e.value)


def test_a_server_that_stays_away_is_given_up(server, monkeypatch):
    monkeypatch.setattr("rewardranker.models.retries._FIRST_WAIT_S", 0.0)
    server.faults += [(503, b"down")] * 2
    with RemoteRanker(url(server, "/score"), attempts=2) as ranker, pytest.raises(UserError) as e:
        ranker.score(["a"], ["b"])
    assert "gave up after 2 attempts; status 503: down" in str(e.value)
    server.faults += [(429, b"much later", ("Retry-After", "3600"))]
    with RemoteRanker(url(server, "/score")) as ranker, pytest.raises(UserError) as e:
        ranker.score(["a"], ["b"])
    assert "gave up after 1 attempts; status 429: much later" in str(e.value)
    with RemoteRanker("http://127.0.0.1:9/score", attempts=1) as ranker, pytest.raises(UserError) as e:
        ranker.score(["a"], ["b"])
    assert "http://127.0.0.1:9/score: gave up after 1 attempts; ConnectError" in str(e.value)


def test_a_model_with_several_labels_is_no_ranker(server):
    server.labels = 2
    with RemoteRanker(url(server, "/classify")) as ranker, pytest.raises(UserError, match="several labels"):
        ranker.score(["a"], ["b"])


@pytest.mark.parametrize(
    "bad", ["127.0.0.1:80/score", "ftp://x/score", "http://x/v1", "http://u:pw@x/", "http://[/"]
)
def test_other_urls_are_refused(bad):
    with pytest.raises(UserError) as e:
        RemoteRanker(bad)
    assert "URL" in str(e.value) and "pw" not in str(e.value)


def test_it_needs_no_learning_library():
    code = "import sys; import rewardranker; rewardranker.RemoteRanker; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
