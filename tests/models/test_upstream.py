"""An upstream over real sockets: transformers' server for what is right, others for what goes wrong."""

import asyncio
import importlib.util
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from servers import Scripted, completions, free_port, transformers_serve

from rewardranker.errors import UserError
from rewardranker.models.upstream import Upstream, UpstreamError, UpstreamTimeoutError
from rewardranker.problems.problem import Problem


def ask(url, *, n=1, chat=False, stop=(), seed=None, on_choices=None, **options):
    """What one call gives."""

    async def call():
        async with Upstream(url, "m", **options) as upstream:
            if chat:
                return await upstream.chat([{"role": "user", "content": "hi"}], n=n, stop=stop, seed=seed)
            return await upstream.complete("def f():\n", n=n, stop=stop, seed=seed, on_choices=on_choices)

    return asyncio.run(call())


def test_needs_no_learning_library():
    code = "import sys, rewardranker.models.upstream; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_n_in_one_request_with_logprobs_and_usage():
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    answer = completions("a", "b", usage=usage)
    answer["choices"][0]["logprobs"] = {"tokens": ["a", "."], "token_logprobs": [-1.0, -0.5]}
    with Scripted(lambda *_: answer) as server:
        found = ask(server.url, n=2, stop=["\ndef"], seed=3)
    assert [(c.text, c.finish_reason, c.logprob_sum, c.n_tokens) for c in found.choices] == [
        ("a", "stop", -1.5, 2),
        ("b", "stop", None, None),
    ]
    assert (found.prompt_tokens, found.completion_tokens) == (5, 7)
    assert server.paths == ["/v1/completions"]
    assert server.requests == [
        {
            "model": "m",
            "n": 2,
            "prompt": "def f():\n",
            "max_tokens": 256,
            "temperature": 1.0,
            "logprobs": 1,
            "stop": ["\ndef"],
            "seed": 3,
        }
    ]


def test_chat():
    said = {"content": [{"token": "a", "logprob": -0.25}]}
    choices = [
        {"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop", "logprobs": said},
        {"message": {"role": "assistant", "content": None}, "finish_reason": "length", "logprobs": None},
    ]
    with Scripted(lambda *_: {"choices": choices, "usage": None}) as server:
        found = ask(server.url, n=2, chat=True)
    assert [(c.text, c.logprob_sum, c.n_tokens) for c in found.choices] == [("a", -0.25, 1), ("", None, None)]
    assert server.paths == ["/v1/chat/completions"]


def test_the_key_is_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with Scripted(lambda *_: (401, {}, {"error": "no such key: sk-secret"})) as server:
        with pytest.raises(UpstreamError, match=r"refused the request; status 401: .*\*\*\*") as error:
            ask(server.url)
        with pytest.raises(UpstreamError) as other:
            ask(server.url.replace("//", "//user:password@"))
    assert error.value.status == 401
    assert not any(secret in f"{error.value} {other.value}" for secret in ("secret", "user", "password"))
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert server.headers[1]["Authorization"].startswith("Basic ")


def test_missing_choices_are_asked_for_again_with_other_seeds():
    def two_at_most(server, request, _):
        return completions(*[f"{request['seed']}+{i}" for i in range(min(2, request["n"]))])

    with Scripted(two_at_most) as server:
        found = ask(server.url, n=5, seed=10)
    assert server.requests[0]["n"] == 5
    assert sorted(r["n"] for r in server.requests[1:]) == [1, 2]  # side by side, in either order
    assert sorted(c.text for c in found.choices) == ["10+0", "10+1", "15+0", "15+1", "17+0"]


def test_a_server_without_n_is_asked_once_a_choice():
    with Scripted(lambda *_: completions("a", "too many")) as server:
        assert len(ask(server.url).choices) == 1

    async def twice(url):
        async with Upstream(url, "m") as upstream:
            return [len((await upstream.complete("", n=3, seed=1)).choices) for _ in range(2)]

    with Scripted(lambda *_: completions("a")) as server:
        assert asyncio.run(twice(server.url)) == [3, 3]
    assert sorted((r.get("n"), r["seed"]) for r in server.requests[3:]) == [(None, 1), (None, 2), (None, 3)]
    assert len(server.requests) == 6


def test_fields_that_are_refused_are_left_out_from_then_on():
    def strict(server, request, _):
        if refused := {"n", "logprobs"} & request.keys():
            return 422, {}, {"detail": f"Unexpected fields in the request: {refused}"}
        if len(request["stop"]) > 4:
            return 400, {}, {"error": {"param": "stop", "message": "array too long"}}
        return completions("a", usage={"completion_tokens": 3})

    async def twice(url):
        async with Upstream(url, "m") as upstream:
            return [(await upstream.complete("", n=2, stop=list("12345"))).choices for _ in range(2)]

    with Scripted(strict) as server:
        found = asyncio.run(twice(server.url))
    assert [[c.n_tokens for c in choices] for choices in found] == [[3, 3]] * 2
    assert len(server.requests) == 3 + 1 + 2
    assert server.requests[-1]["stop"] == list("1234")


def test_a_seed_that_is_refused_is_told_once_and_in_each_answer(capsys):
    def strict(server, request, _):
        return (400, {}, {"error": "unknown field: seed"}) if "seed" in request else completions("a")

    async def thrice(url):
        async with Upstream(url, "m") as upstream:
            return [(await upstream.complete("", seed=seed)).unseeded for seed in (1, 2, None)]

    with Scripted(strict) as server:
        assert asyncio.run(thrice(server.url)) == [True, True, False]
    assert len(server.requests) == 4
    assert capsys.readouterr().err.count("takes no seed") == 1


def test_a_refused_prompt_is_an_error_at_once():
    with Scripted(lambda *_: (400, {}, {"error": "the prompt is longer than the context"})) as server:
        with pytest.raises(UpstreamError, match=r"/v1/completions: refused.*status 400.*longer than"):
            ask(server.url, n=2)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "busy",
    [
        (429, {"Retry-After": "0"}, {}),
        (429, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(seconds=1))}, {}),
        (503, {"Retry-After": "soon"}, b"<html>"),
        None,
    ],
)
def test_what_passes_is_tried_again(busy):
    def first_busy(server, *_):
        return busy if len(server.requests) == 1 else completions("a")

    with Scripted(first_busy) as server:
        assert [c.text for c in ask(server.url).choices] == ["a"]
    assert len(server.requests) == 2


def test_what_does_not_pass_is_given_up():
    with Scripted(lambda *_: (500, {"Retry-After": "0"}, b"boom")) as server:
        with pytest.raises(UpstreamError, match="gave up after 3 attempts; status 500: boom") as error:
            ask(server.url, attempts=3)
    assert error.value.status == 500 and len(server.requests) == 3
    with Scripted(lambda *_: (429, {"Retry-After": "3600"}, b"")) as server:
        with pytest.raises(UpstreamError, match="gave up after 1 attempts; status 429"):
            ask(server.url)
    with pytest.raises(UpstreamError, match="gave up after 2 attempts; ConnectError") as error:
        ask(f"http://127.0.0.1:{free_port()}/v1", attempts=2)
    assert error.value.status is None


def test_what_other_requests_brought_is_not_lost_in_an_error():
    def third_fails(server, *_):
        with server.lock:
            if len(server.requests) < 3:
                return completions("a")
            return (404, {}, b"gone") if len(server.requests) == 3 else completions("b")

    given = []
    with Scripted(third_fails) as server, pytest.raises(UpstreamError, match="gone"):
        ask(server.url, n=4, limit=asyncio.Semaphore(1), on_choices=given.extend)
    assert [c.text for c in given] == ["a", "a", "b"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>" * 1000,
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        {},
        {"choices": []},
        {"choices": "a"},
        {"choices": [{"index": 0}]},
        {"choices": [{"text": ["a"]}]},
        {"choices": [{"text": "a", "logprobs": {"token_logprobs": ["x"]}}]},
        {"choices": [{"text": "a"}], "usage": 3},
    ],
    ids=lambda g: repr(g)[:40],
)
def test_garbage(garbage):
    with Scripted(lambda *_: garbage) as server:
        with pytest.raises(UpstreamError, match=r"answered what can't be read.*status 200: ") as error:
            ask(server.url)
    assert f"{server.url}/completions" in str(error.value) and len(str(error.value)) < 500


def test_a_slow_server_is_not_asked_again():
    end = threading.Event()

    def slow(*_):
        end.wait(30)

    with Scripted(slow) as server:
        with pytest.raises(UpstreamTimeoutError, match=r"no answer within 0.2 s"):
            ask(server.url, read_timeout_s=0.2)
        end.set()
    assert len(server.requests) == 1


def test_cancelling_closes_the_connections():
    arrived, closed = threading.Semaphore(0), threading.Semaphore(0)

    def wait_for_the_end(server, request, handler):
        arrived.release()
        handler.connection.settimeout(30)
        if handler.connection.recv(1) == b"":
            closed.release()

    async def cancelled(url):
        async with Upstream(url, "m") as upstream:
            upstream._refused["completions"].add("n")
            task = asyncio.create_task(upstream.complete("", n=2))
            for _ in range(2):
                await asyncio.to_thread(arrived.acquire)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [await asyncio.to_thread(closed.acquire, timeout=30) for _ in range(2)]

    with Scripted(wait_for_the_end) as server:
        assert asyncio.run(cancelled(server.url)) == [True, True]


def test_the_limit_bounds_requests_of_all_callers():
    running, most = [], []

    def count(server, request, _):
        with server.lock:
            running.append(1)
            most.append(len(running))
        threading.Event().wait(0.02)
        with server.lock:
            running.pop()
        return completions("a")

    async def many(url):
        async with Upstream(url, "m", limit=asyncio.Semaphore(2)) as upstream:
            return await asyncio.gather(*(upstream.complete("", n=3) for _ in range(4)))

    with Scripted(count) as server:
        assert [len(a.choices) for a in asyncio.run(many(server.url))] == [3] * 4
    assert max(most) <= 2


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "http://a:b:c/"])
def test_a_url_that_is_none(url):
    with pytest.raises(UserError, match="give one such as http"):
        Upstream(url, "m")


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "openai")),
    reason="transformers serve needs packages of its own: pip install fastapi uvicorn openai",
)
def test_transformers_serve(tmp_path: Path, generator):
    generator.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    generator.model.generation_config.do_sample = True  # where it is not, that server samples nothing
    generator.save(tmp_path / "model")
    prompt = f"{generator.tokenizer.bos_token}def f(xs):\n"  # which ours begins with by itself

    async def call(url):
        async with Upstream(url, str(tmp_path / "model")) as upstream:
            greedy = await upstream.complete(prompt, temperature=0, max_tokens=5)
            drawn = await upstream.complete(prompt, n=3, max_tokens=5, seed=1)
            chat = await upstream.chat([{"role": "user", "content": prompt}], n=2, max_tokens=5)
            return greedy, drawn, chat

    with transformers_serve(tmp_path / "model") as url:
        greedy, drawn, chat = asyncio.run(call(url))
        with pytest.raises(UpstreamError, match="pinned to"):
            ask(url)
    (mine,) = next(
        generator.rollouts(
            [Problem("p", "python", "def f(xs):\n", "")],
            n=1,
            temperature=0,
            max_new_tokens=5,
            seed=1,
            batch_size=1,
        )
    )
    assert greedy.choices[0].text == mine.text
    assert [len(a.choices) for a in (drawn, chat)] == [3, 2]
    assert drawn.completion_tokens == sum(c.n_tokens for c in drawn.choices)
    assert drawn.prompt_tokens == 3 * greedy.prompt_tokens > 0
