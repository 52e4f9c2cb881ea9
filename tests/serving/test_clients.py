"""Real clients over a real socket, in environments of their own; transformers' own server as the upstream."""

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from servers import Scripted, transformers_serve

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker

# Read before the session's own cache takes its place.
PEERS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "rewardranker", "peers")
PROMPT = "def f(xs):\n"
TEXTS = ["    return sum(xs)\n", "    return xs\n", "    xs = sorted(xs)\n"]


def peer(name: str, script: str, *arguments: str | Path) -> dict[str, Any]:
    """What a script of clients/ prints, run in a peer's environment."""
    if not (PEERS / name / "ready").exists():
        pytest.skip(
            f"no clients in {PEERS / name}; they are installed by "
            "(cd benchmarks && python -c 'import environments; environments.serving_clients()')"
        )
    done = subprocess.run(
        [PEERS / name / "bin" / "python", Path(__file__).parent / "clients" / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_ranked(found: list[list[Any]], ranker: RewardRanker) -> None:
    expected = ranker.rank(PROMPT, TEXTS)[:2]
    assert [i for i, _ in found] == [i for i, _ in expected]
    np.testing.assert_allclose([p for _, p in found], [s.probability for _, s in expected], rtol=1e-3)


def test_cohere(local, ranker: RewardRanker, ranker_folder: Path) -> None:
    found = peer("cohere-7.3.1", "of_cohere.py", local.url, ranker_folder, PROMPT, *TEXTS)
    assert found.keys() == {"ClientV2", "Client"}
    for ranked in found.values():
        assert_ranked(ranked, ranker)


def test_litellm_langchain_llama_index_and_inspect(
    local, ranker: RewardRanker, ranker_folder: Path, generator_folder: Path
) -> None:
    folders = (generator_folder, ranker_folder)
    found = peer("serving-clients", "of_others.py", local.url, *folders, PROMPT, *TEXTS)
    found |= peer("inspect-ai-0.3.285", "of_inspect.py", local.url, generator_folder, PROMPT)
    expected = openai.OpenAI(base_url=local.v1, api_key="none").chat.completions.create(
        model=str(generator_folder),
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=8,
        seed=1,
        extra_body={"best_of": 3},
    )
    for name, answer in found.items():
        if name.endswith(("chat", "stream")):
            assert answer == expected.choices[0].message.content, name
        else:
            assert_ranked(answer, ranker)
    assert len(found) == 10


def test_transformers_own_server_as_the_upstream(
    start, ranker_folder: Path, generator: Generator, tmp_path: Path
) -> None:
    generator.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    try:
        generator.save(tmp_path / "model")
    finally:
        generator.tokenizer.chat_template = None
    with transformers_serve(tmp_path / "model") as url:
        arguments = ["--upstream", url, "--model", str(tmp_path / "model"), "--best-of", "3"]
        with start("--ranker", ranker_folder, *arguments) as server:
            api = openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0)
            settings: dict[str, Any] = {
                "model": str(tmp_path / "model"),
                "max_tokens": 8,
                "extra_body": {"return_candidates": True},
            }
            chat = api.chat.completions.create(
                messages=[{"role": "user", "content": PROMPT}], n=2, **settings
            )
            assert len(chat.choices) == 2
            assert chat.choices[0].message.content == chat.model_extra["candidates"][0]["text"]
            assert len(chat.model_extra["candidates"]) == 3
            assert chat.usage.completion_tokens > 3
            plain = api.completions.create(prompt=PROMPT, stop="\n\n", **settings)
            assert len(plain.model_extra["candidates"]) == 3


def test_a_ranker_behind_http_ranks_alike(local, start, ranker: RewardRanker) -> None:
    with start("--ranker", f"{local.url}/score") as server:
        body = {"query": PROMPT, "documents": TEXTS}
        results = httpx.post(f"{server.url}/rerank", json=body).json()["results"]
        expected = ranker.rank(PROMPT, TEXTS)
        assert [r["index"] for r in results] == [i for i, _ in expected]
        np.testing.assert_allclose(
            [r["relevance_score"] for r in results], [s.raw for _, s in expected], rtol=1e-4
        )
        scored = httpx.post(
            f"{server.url}/score", json={"queries": PROMPT, "documents": TEXTS, "use_activation": True}
        )
        assert scored.status_code == 400
        assert "no calibration" in scored.json()["error"]["message"]
    with start("--ranker", "http://127.0.0.1:9/score") as server:
        answer = httpx.post(f"{server.url}/rerank", json=body, timeout=60)
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "ranker_error"


def test_a_ranker_behind_http_that_never_answers_is_given_up_and_its_password_is_not_told(start) -> None:
    over = threading.Event()
    with Scripted(lambda *_: over.wait(60)) as silent:
        url = silent.url.replace("/v1", "/score")
        arguments = ["--ranker", url.replace("//", "//me:secret@"), "--upstream-timeout", 1]
        with start(*arguments, OPENAI_API_KEY="another") as server:
            models = httpx.get(f"{server.v1}/models")
            body = {"query": PROMPT, "documents": TEXTS, "model": url}
            answer = httpx.post(f"{server.url}/rerank", json=body, timeout=60)
        over.set()
    assert [model["id"] for model in models.json()["data"]] == [url]
    assert answer.status_code == 502
    assert f"{url}: no answer within 1 s" in answer.json()["error"]["message"]
    assert silent.headers[0]["Authorization"].startswith("Basic ")
    assert "secret" not in models.text + answer.text + "".join(server.lines)
