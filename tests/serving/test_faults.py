"""What goes wrong around a server: each request gets one well-formed answer, and nothing is left over."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Scripted, completions, free_port

PROMPT = "def f(xs):\n"
TEXTS = ["    return sum(xs)\n", "    return xs\n"]
BODY = {"prompt": PROMPT, "best_of": 2}
LIMIT_S = 3  # that the upstream may take: more than a busy machine makes of an answer at once


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    """Does what the request's stop token says."""

    def reply(server: Scripted, request: dict[str, Any], handler: Any) -> Any:
        what = (request.get("stop") or [""])[0]
        if what in ("slow", "hung up"):
            time.sleep(2 * LIMIT_S)
        return {
            "garbage": b"<html>no</html>",
            "number": 42,
            "none": {"choices": []},
            "no text": {"choices": [{"index": 0}]},
            "hang up": None,
            "error": (500, {}, {"error": "broken"}),
            "busy": (429, {"Retry-After": "0"}, {"error": "busy"}),
            "refused": (400, {}, {"error": {"message": "too long"}}),
            "no key": (401, {}, {"error": "who are you"}),
            "fewer": completions(TEXTS[0]),
            "seed": (400, {}, {"error": "unknown field: seed"}) if "seed" in request else completions(*TEXTS),
        }.get(what, completions(*TEXTS[: request.get("n", 1)]))

    with Scripted(reply) as server:
        yield server


@pytest.fixture(scope="module")
def served(start, ranker_folder: Path, upstream: Scripted) -> Iterator[Any]:
    arguments = ["--upstream", upstream.url, "--model", "m", "--upstream-timeout", LIMIT_S]
    with start("--ranker", ranker_folder, *arguments) as server:
        yield server


def in_flight(server: Any) -> float:
    line = "rewardranker_requests_in_flight "
    text = httpx.get(f"{server.url}/metrics").text
    return next(float(x.removeprefix(line)) for x in text.splitlines() if x.startswith(line))


def settled(server: Any) -> None:
    """Wait until nothing is in flight."""
    deadline = time.monotonic() + 30
    while in_flight(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("slow", 504, f"no answer within {LIMIT_S} s"),
        ("garbage", 502, "can't be read"),
        ("number", 502, "can't be read"),
        ("none", 502, "choices"),
        ("no text", 502, "neither text nor message"),
        ("hang up", 502, "gave up after 3 attempts"),
        ("error", 502, "broken"),
        ("busy", 429, "busy"),
        ("refused", 400, "too long"),
        ("no key", 502, "who are you"),
    ],
)
def test_an_upstream_that_fails_is_an_error(what: str, status: int, said: str, served) -> None:
    answer = httpx.post(f"{served.v1}/completions", json={**BODY, "stop": what}, timeout=60)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert in_flight(served) == 0


def test_fewer_choices_than_asked_for_are_asked_for_again(served) -> None:
    body = {**BODY, "stop": "fewer", "best_of": 5, "return_candidates": True}
    answer = httpx.post(f"{served.v1}/completions", json=body).json()
    assert len(answer["candidates"]) == 5


def test_a_seed_that_the_upstream_refuses_is_told_of(served) -> None:
    answer = httpx.post(f"{served.v1}/completions", json={**BODY, "stop": "seed", "seed": 1}).json()
    assert answer["warnings"] == ["the upstream takes no seed: the same request may get another answer"]
    plain = httpx.post(f"{served.v1}/completions", json={**BODY, "stop": "seed"}).json()
    assert plain["warnings"] is None
    assert any("takes no seed" in line and '"warnings"' in line for line in served.lines)
    stream = {**BODY, "stop": "seed", "seed": 1, "stream": True}
    assert (
        '"warnings": ["the upstream takes no seed' in httpx.post(f"{served.v1}/completions", json=stream).text
    )


def test_an_upstream_that_is_not_there_is_an_error(start, ranker_folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with start("--ranker", ranker_folder, "--upstream", url, "--model", "m") as server:
        answer = httpx.post(f"{server.v1}/completions", json=BODY, timeout=60)
        assert answer.status_code == 502
        assert "gave up after 3 attempts" in answer.json()["error"]["message"]
        assert (
            httpx.post(f"{server.url}/rerank", json={"query": PROMPT, "documents": TEXTS}).status_code == 200
        )


def test_large_requests_are_refused_however_they_come(served) -> None:
    prompt = {"prompt": "x" * (10 << 20)}
    headers = {"Content-Type": "application/json"}

    def pieces() -> Iterator[bytes]:
        for _ in range(160):
            yield b" " * (1 << 16)

    for send in ({"json": prompt}, {"content": pieces(), "headers": headers}):
        answer = httpx.post(f"{served.v1}/completions", timeout=60, **send)
        assert answer.status_code == 413
        assert "more than 4194304 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_get_nothing(headers: dict[str, str], local) -> None:
    for answer in (
        httpx.get(f"{local.v1}/models", headers=headers),
        httpx.post(f"{local.url}/rerank", headers=headers, json={"query": PROMPT, "documents": TEXTS}),
        httpx.options(f"{local.url}/rerank", headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden_origin"


def test_a_tunnel_may_change_the_port_and_a_page_of_ours_may_ask(local) -> None:
    for host in ("localhost:9000", "127.0.0.1", "[::1]:8000"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert httpx.get(f"{local.v1}/models", headers=headers).status_code == 200


def test_a_server_that_others_reach_has_any_name_and_refuses_their_pages_still(
    start, ranker_folder: Path
) -> None:
    with start("--ranker", ranker_folder, "--host", "0.0.0.0") as server:
        url = f"{server.url.replace('0.0.0.0', '127.0.0.1')}/v1/models"
        assert httpx.get(url, headers={"Host": "ranker.example"}).status_code == 200
        headers = {"Host": "ranker.example", "Origin": "https://evil.example"}
        assert httpx.get(url, headers=headers).status_code == 403


def test_who_knows_the_key_may_come_from_anywhere(start, ranker_folder: Path) -> None:
    with start("--ranker", ranker_folder, REWARDRANKER_API_KEY="secret") as server:
        headers = {"Host": "ranker.example", "Origin": "https://chat.example"}
        right = {**headers, "Authorization": "Bearer secret"}
        assert httpx.get(f"{server.v1}/models", headers=right).status_code == 200
        assert httpx.get(f"{server.v1}/models", headers=headers).status_code == 401


def test_what_a_client_that_hung_up_asked_for_is_given_up(served, upstream: Scripted) -> None:
    body = {**BODY, "stop": "hung up", "best_of": 1}

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            tasks = [
                asyncio.ensure_future(client.post(f"{served.v1}/completions", json=body)) for _ in range(10)
            ]
            while sum(r.get("stop") == ["hung up"] for r in upstream.requests) < 10:
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(r, asyncio.CancelledError) for r in results)

    asyncio.run(ask())
    settled(served)
    text = httpx.get(f"{served.url}/metrics").text
    assert 'route="/v1/completions",status="499"} 10.0' in text


def test_more_requests_than_the_queue_holds(start, ranker_folder: Path, generator_folder: Path) -> None:
    async def ask(server: Any) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            body = {"prompt": PROMPT, "max_tokens": 8}
            return await asyncio.gather(
                *(client.post(f"{server.v1}/completions", json={**body, "seed": i}) for i in range(500))
            )

    with start("--ranker", ranker_folder, "--generator", generator_folder, "--queue", "64") as server:
        descriptors = Path("/proc", str(server.process.pid), "fd")

        def opened() -> int:
            """Without the pipes to the processes that parse, of which more are started under load."""
            return sum(
                not os.path.realpath(d).split("/")[-1].startswith("pipe:") for d in descriptors.iterdir()
            )

        httpx.post(f"{server.v1}/completions", json={"prompt": PROMPT, "max_tokens": 8}, timeout=60)
        before = opened()
        answers = asyncio.run(ask(server))
        statuses = Counter(a.status_code for a in answers)
        assert set(statuses) <= {200, 429}
        assert statuses[200] >= 64
        for answer in answers:
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["Retry-After"]) <= 60
                assert answer.json()["error"]["code"] == "queue_full"
            else:
                assert len(answer.json()["choices"]) == 1
        settled(server)
        counted = httpx.get(f"{server.url}/metrics").text
        statuses[200] += 1  # the first of all
        for status, count in statuses.items():
            assert f'requests_total{{route="/v1/completions",status="{status}"}} {count}.0' in counted
        deadline = time.monotonic() + 30
        while opened() > before + 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_end_finishes_what_is_in_flight_and_takes_no_more(start, ranker_folder: Path) -> None:
    asked, go = threading.Semaphore(0), threading.Event()

    def reply(server: Scripted, request: dict[str, Any], handler: Any) -> Any:
        asked.release()
        go.wait(60)
        return completions(*TEXTS)

    async def ask(server: Any) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            waiting = [
                asyncio.ensure_future(client.post(f"{server.v1}/completions", json=BODY)) for _ in range(20)
            ]
            for _ in waiting:
                await asyncio.to_thread(asked.acquire)
            server.process.send_signal(signal.SIGTERM)
            while (await client.get(f"{server.url}/health")).status_code == 200:
                await asyncio.sleep(0.01)
            refused = await client.post(f"{server.v1}/completions", json=BODY)
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
            go.set()
            return await asyncio.gather(*waiting)

    with Scripted(reply) as upstream:
        with start("--ranker", ranker_folder, "--upstream", upstream.url, "--model", "m") as server:
            answers = asyncio.run(ask(server))
            assert server.process.wait(60) == 0
    assert [a.status_code for a in answers] == [200] * 20
    assert all(len(a.json()["choices"]) == 1 for a in answers)


def test_a_second_signal_ends_at_once(start, ranker_folder: Path) -> None:
    asked, go = threading.Event(), threading.Event()

    def reply(server: Scripted, request: dict[str, Any], handler: Any) -> Any:
        asked.set()
        go.wait(60)
        return completions(*TEXTS)

    with Scripted(reply) as upstream:
        with start("--ranker", ranker_folder, "--upstream", upstream.url, "--model", "m") as server:
            with httpx.stream("GET", f"{server.url}/health"):
                pass
            thread = threading.Thread(target=lambda: _ignore_errors(server))
            thread.start()
            asked.wait(60)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert server.process.poll() is None
            server.process.send_signal(signal.SIGINT)
            server.process.wait(60)
            go.set()
            thread.join()


def _ignore_errors(server: Any) -> None:
    try:
        httpx.post(f"{server.v1}/completions", json=BODY, timeout=60)
    except httpx.HTTPError:
        pass


def test_a_negative_number_of_workers_is_refused(rewardranker, tmp_path: Path) -> None:
    result = rewardranker("serve", "--ranker", tmp_path, "--workers", -1)
    assert result.code == 2
    assert "Invalid value for '--workers'" in result.err


def test_prompts_are_in_the_log_only_when_asked_for(
    start, ranker_folder: Path, generator_folder: Path
) -> None:
    for arguments in ([], ["--log-prompts"]):
        with start("--ranker", ranker_folder, "--generator", generator_folder, *arguments) as server:
            body = {"prompt": "def marked(xs):\n", "max_tokens": 4}
            assert httpx.post(f"{server.v1}/completions", json=body).status_code == 200
        assert ("marked" in "".join(server.lines)) == bool(arguments)
