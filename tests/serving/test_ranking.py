import httpx
import numpy as np
import pytest

from rewardranker.models.ranker import RewardRanker

PROMPT = "def f(xs):\n"
TEXTS = ["    return sum(xs)\n", "    return xs\n", "    xs = sorted(xs)\n"]
LONG = "x" * 1000


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_candidates_come_best_first(path: str, local, ranker: RewardRanker) -> None:
    answer = httpx.post(local.url + path, json={"query": PROMPT, "documents": [*TEXTS, LONG]}).json()
    expected = ranker.rank(PROMPT, [*TEXTS, LONG])
    assert [r["index"] for r in answer["results"]] == [i for i, _ in expected]
    np.testing.assert_allclose(
        [r["relevance_score"] for r in answer["results"]], [s.probability for _, s in expected], rtol=1e-3
    )
    assert answer["results"][-1] == {"index": 3, "relevance_score": 0.0}
    assert answer["id"]
    tokens = ranker.count_tokens(PROMPT, [*TEXTS, LONG])
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["meta"]["billed_units"] == {"input_tokens": tokens, "total_tokens": tokens}
    assert answer["meta"]["tokens"] == {"input_tokens": tokens}


def test_documents_are_told_as_clients_read_them(local) -> None:
    body = {
        "query": PROMPT,
        "documents": [{"text": TEXTS[0]}, TEXTS[1]],
        "return_documents": True,
        "top_n": 1,
    }
    (cohere,) = httpx.post(f"{local.url}/rerank", json=body).json()["results"]
    assert cohere["document"]["text"] == body["documents"][1] or cohere["document"] == body["documents"][0]
    (infinity,) = httpx.post(f"{local.url}/infinity/rerank", json=body).json()["results"]
    assert infinity["document"] == cohere["document"]["text"]


def test_scores_are_raw(local, ranker: RewardRanker) -> None:
    expected = ranker.score([PROMPT] * 3, TEXTS)
    one = httpx.post(f"{local.url}/score", json={"queries": PROMPT, "documents": TEXTS}).json()
    np.testing.assert_allclose([d["score"] for d in one["data"]], expected, rtol=1e-4)
    each = httpx.post(f"{local.url}/score", json={"text_1": [PROMPT] * 3, "text_2": TEXTS}).json()
    np.testing.assert_allclose([d["score"] for d in each["data"]], expected, rtol=1e-4)
    assert [d["index"] for d in each["data"]] == [0, 1, 2]
    assert one["usage"]["total_tokens"] == each["usage"]["total_tokens"] == ranker.count_tokens(PROMPT, TEXTS)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/rerank", {"query": PROMPT}, 400, "documents: Field required"),
        ("/rerank", {"query": PROMPT, "documents": []}, 400, "documents"),
        ("/rerank", {"query": PROMPT, "documents": ["a"] * 1001}, 400, "documents"),
        ("/rerank", {"query": PROMPT, "documents": ["a"], "model": "gpt"}, 404, "no model 'gpt'"),
        ("/score", {"queries": [PROMPT] * 2, "documents": TEXTS}, 400, "as many as documents"),
        ("/score", {"queries": PROMPT, "documents": [TEXTS[0], LONG]}, 400, "candidate 1 exceeds"),
        ("/nothing", {}, 404, "Not Found"),
    ],
)
def test_mistakes_are_answered_in_the_form_of_openai(path, body, status, said, local) -> None:
    answer = httpx.post(local.url + path, json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]


def test_a_body_that_is_no_json_is_answered(local) -> None:
    headers = {"Content-Type": "application/json"}
    for content in (b"{nope", b"[" * 100_000, b"\xff\xfe", b"", b'"\\ud800"'):
        answer = httpx.post(f"{local.url}/rerank", content=content, headers=headers)
        assert answer.status_code == 400, content
        assert answer.json()["error"]["message"]
    plain = httpx.post(f"{local.url}/rerank", content=b'{"query": "a", "documents": ["a"]}')
    assert plain.status_code == 400
    lone = b'{"query": "\\ud800", "documents": ["a"]}'
    assert httpx.post(f"{local.url}/rerank", content=lone, headers=headers).status_code == 400


def test_models_health_and_metrics(local, ranker_folder, generator_folder) -> None:
    listed = httpx.get(f"{local.v1}/models").json()["data"]
    assert [m["id"] for m in listed] == [str(generator_folder), str(ranker_folder)]
    assert httpx.get(f"{local.url}/health").json() == {"status": "ok"}
    httpx.post(f"{local.url}/rerank", json={"query": PROMPT, "documents": TEXTS})
    text = httpx.get(f"{local.url}/metrics").text
    assert 'rewardranker_requests_total{route="/rerank",status="200"}' in text
    for name in ("requests_in_flight", "queue_length", "candidates_total", "request_seconds_bucket"):
        assert f"rewardranker_{name}" in text
