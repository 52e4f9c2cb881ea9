"""Best of N over a real socket, by the openai client: a generator in the process, and a scripted upstream."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from servers import Scripted

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import encode_chat
from rewardranker.problems.problem import Problem

PROMPT = "def f(xs):\n"
GOOD, BAD, BROKEN = "    return sum(xs)\n", "    return xs\n", "    return sum(\n"
TESTS = "assert f([1, 2]) == 3\n"
CHAT = f"Sure:\n```python\n{PROMPT}{GOOD}```\nIt adds."


def client(url: str, **settings: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, **settings)


def completions(texts: list[str]) -> dict[str, Any]:
    choices = [{"index": i, "text": t, "finish_reason": "stop"} for i, t in enumerate(texts)]
    return {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 10 * len(texts)}}


def chats(texts: list[str]) -> dict[str, Any]:
    choices = [{"index": i, "message": {"content": t}, "finish_reason": "stop"} for i, t in enumerate(texts)]
    return {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 10 * len(texts)}}


TEXTS = [BROKEN, BAD, GOOD, "    return 0\n"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    def reply(server: Scripted, request: dict[str, Any], handler: Any) -> dict[str, Any]:
        n = request.get("n", 1)
        if "messages" in request:
            return chats([CHAT, f"```python\n{PROMPT}{BAD}```", "I can't."][:n])
        return completions((TEXTS * n)[:n])

    with Scripted(reply) as server:
        yield server


@pytest.fixture(scope="module")
def served(start, ranker_folder: Path, upstream: Scripted) -> Iterator[Any]:
    with start(
        "--ranker", ranker_folder, "--upstream", upstream.url, "--model", "qwen", "--best-of", "4"
    ) as server:
        yield server


def complete(served, **fields: Any) -> Any:
    extra = {
        k: fields.pop(k) for k in list(fields) if k not in ("n", "stream", "stop", "seed", "temperature")
    }
    return client(served.v1).completions.create(model="qwen", prompt=PROMPT, extra_body=extra, **fields)


def test_the_winner_is_the_rankers(served, ranker: RewardRanker) -> None:
    answer = complete(served, return_candidates=True)
    parsing = [t for t in TEXTS if t != BROKEN]
    best_first = [parsing[i] for i, _ in ranker.rank(PROMPT, parsing)]
    assert [c.text for c in answer.choices] == best_first[:1]
    assert answer.usage.total_tokens == 7 + 4 * 10
    candidates = answer.model_extra["candidates"]
    assert [c["text"] for c in candidates] == [*best_first, BROKEN]
    assert [c["rank"] for c in candidates] == [1, 2, 3, 4]
    assert candidates[-1]["parses"] is False
    assert candidates[-1]["reason"] == "it does not parse"
    assert all(0 <= c["probability"] <= 1 for c in candidates)


def test_what_passes_the_visible_tests_comes_first(served, isolation: None) -> None:
    answer = complete(served, n=2, visible_tests=TESTS, return_candidates=True)
    assert len(answer.choices) == 2
    assert answer.choices[0].text == GOOD
    by_text = {c["text"]: c for c in answer.model_extra["candidates"]}
    assert by_text[GOOD]["visible"] is True
    assert by_text[BAD]["visible"] is False
    assert by_text[BAD]["reason"] == "visible tests: AssertionError"
    assert by_text[BROKEN]["visible"] is None


def test_without_enough_confidence_there_is_no_answer(served) -> None:
    answer = complete(served, min_confidence=1.0)
    assert [c.text for c in answer.choices] == [""]
    assert "less than min_confidence 1" in answer.choices[0].model_extra["refusal"]
    assert complete(served, min_confidence=0.0).choices[0].text
    chat = client(served.v1).chat.completions.create(
        model="qwen", messages=[{"role": "user", "content": PROMPT}], extra_body={"min_confidence": 1.0}
    )
    assert chat.choices[0].message.content is None
    assert "min_confidence" in chat.choices[0].message.refusal


def test_programs_are_taken_out_of_chats(served, isolation: None) -> None:
    answer = client(served.v1).chat.completions.create(
        model="qwen",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Add the numbers."},
        ],
        n=3,
        extra_body={"best_of": 3, "return_candidates": True, "visible_tests": TESTS, "ranker_prompt": PROMPT},
    )
    assert answer.choices[0].message.content == CHAT
    first, second, last = answer.model_extra["candidates"]
    assert first["program"] == GOOD
    assert first["visible"] is True
    assert second["program"] == BAD
    assert last["parses"] is False
    whole = client(served.v1).chat.completions.create(
        model="qwen",
        messages=[{"role": "user", "content": "Add the numbers."}],
        extra_body={"best_of": 3, "return_candidates": True, "visible_tests": TESTS},
    )
    assert whole.model_extra["candidates"][0]["program"] == PROMPT + GOOD
    assert whole.model_extra["candidates"][0]["visible"] is True


@pytest.mark.parametrize("n", [1, 2])
def test_streams_bring_the_winners(n: int, served) -> None:
    api = client(served.v1)
    chunks = list(
        api.chat.completions.create(
            model="qwen",
            messages=[{"role": "user", "content": PROMPT}],
            n=n,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"best_of": 3, "return_candidates": True},
        )
    )
    texts = [
        "".join(c.delta.content or "" for x in chunks for c in x.choices if c.index == i) for i in range(n)
    ]
    assert [c["text"] for c in chunks[-1].model_extra["candidates"]][:n] == texts
    assert chunks[-1].usage.completion_tokens == 30
    assert [c.finish_reason for x in chunks for c in x.choices if c.finish_reason] == ["stop"] * n
    plain = list(api.completions.create(model="qwen", prompt=PROMPT, n=n, stream=True))
    assert [c.text for x in plain for c in x.choices] == [c.text for c in complete(served, n=n).choices]


def test_what_the_upstream_is_asked_for(served, upstream: Scripted) -> None:
    complete(served, n=2, seed=5, stop=["\n\n"], temperature=0.5, best_of=3, top_k=20, max_tokens=9)
    asked = upstream.requests[-1]
    expected = {"model": "qwen", "n": 3, "seed": 5, "stop": ["\n\n"], "temperature": 0.5, "top_k": 20}
    assert asked == {**asked, **expected, "max_tokens": 9, "prompt": PROMPT}
    complete(served, temperature=0)
    assert upstream.requests[-1]["n"] == 1


def test_candidates_end_before_stop_tokens_that_the_upstream_leaves_in(served) -> None:
    answer = complete(served, stop=["never", "sum("], return_candidates=True)
    texts = [c["text"] for c in answer.model_extra["candidates"]]
    assert sorted(texts) == sorted([t.partition("sum(")[0] for t in TEXTS])
    whole = complete(served, stop=["sum("], return_candidates=True, include_stop_str_in_output=True)
    assert sorted(c["text"] for c in whole.model_extra["candidates"]) == sorted(TEXTS)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 3, "best_of": 2}, "best_of is 2, less than n"),
        ({"best_of": 129}, "best_of"),
        ({"temperature": 0, "best_of": 2}, "temperature 0 gives one candidate"),
        ({"temperature": 3}, "temperature"),
        ({"language": "cobol"}, "unknown language"),
        ({"logprobs": 1}, "logprobs can't be had"),
        ({"min_confidence": 2}, "min_confidence"),
        ({"prompt": ["a", "b"]}, "prompt"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], said: str, served) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        complete(served, **fields)


def test_unknown_models_are_refused(served) -> None:
    with pytest.raises(openai.NotFoundError, match="its name is 'qwen'"):
        client(served.v1).completions.create(model="gpt", prompt=PROMPT)


def test_the_generator_in_the_process_answers_alike_for_a_seed(local, generator_folder: Path) -> None:
    api = client(local.v1)

    def ask(**fields: Any) -> Any:
        settings = {"model": str(generator_folder), "prompt": PROMPT, "max_tokens": 16, "seed": 3, **fields}
        return api.completions.create(**settings)

    one, again, other = ask(n=2), ask(n=2), ask(seed=4)
    assert [c.text for c in one.choices] == [c.text for c in again.choices]
    assert one.choices[0].text != other.choices[0].text
    assert one.usage.completion_tokens > 4
    greedy = ask(temperature=0, extra_body={"return_candidates": True})
    assert len(greedy.model_extra["candidates"]) == 1
    stopped = ask(stop="e", extra_body={"return_candidates": True})
    assert all("e" not in c["text"] for c in stopped.model_extra["candidates"])
    chat = api.chat.completions.create(
        model=str(generator_folder),
        messages=[{"role": "user", "content": PROMPT}],
        max_completion_tokens=16,
        seed=3,
    )
    assert chat.choices[0].message.content == ask().choices[0].text


def test_a_generator_with_a_chat_template_answers_chats(
    start, ranker_folder: Path, generator: Generator, tmp_path: Path
) -> None:
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    generator.tokenizer.chat_template = template + "{% if add_generation_prompt %}<assistant>{% endif %}"
    turns = [{"role": "system", "content": "sum"}, {"role": "user", "content": PROMPT}]
    try:
        generator.save(tmp_path / "chat")
        shown = encode_chat(generator.tokenizer, turns)
        assert generator.tokenizer.decode(shown) == f"<system>sum<user>{PROMPT}<assistant>"
    finally:
        generator.tokenizer.chat_template = None
    # The draws depend on the key and the prompt alone.
    problem = Problem("seed 3", "", "", "", stop_tokens=("\n\n",))
    settings = {"n": 4, "temperature": 1.0, "max_new_tokens": 16, "seed": 0, "batch_size": 4}
    (drawn,) = generator.rollouts([problem], prompt_ids=[shown], **settings)
    with start("--ranker", ranker_folder, "--generator", tmp_path / "chat", "--best-of", "4") as server:
        answer = client(server.v1).chat.completions.create(
            model=str(tmp_path / "chat"),
            messages=turns,
            max_tokens=16,
            seed=3,
            stop="\n\n",
            extra_body={"return_candidates": True},
        )
        candidates = answer.model_extra["candidates"]
        assert sorted(c["text"] for c in candidates) == sorted(r.text for r in drawn)
        assert answer.choices[0].message.content == candidates[0]["text"]
        assert answer.usage.prompt_tokens == len(shown)
        assert answer.usage.completion_tokens == sum(len(r.ids) for r in drawn)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"top_p": 0.5}, "top_p is not supported"),
        ({"frequency_penalty": 1.0}, "frequency_penalty is not supported"),
        ({"messages": [{"role": "user", "content": "a"}] * 2}, "no chat template"),
        ({"messages": [{"role": "user", "content": PROMPT * 100}]}, "no room"),
    ],
)
def test_what_the_generator_cannot_do_is_refused(fields: dict[str, Any], said: str, local) -> None:
    body = {"messages": [{"role": "user", "content": PROMPT}], **fields}
    answer = httpx.post(f"{local.v1}/chat/completions", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_a_key_is_asked_for_everywhere_but_for_health(start, ranker_folder: Path) -> None:
    with start("--ranker", ranker_folder, REWARDRANKER_API_KEY="secret") as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "secret"}):
            answer = httpx.get(f"{server.v1}/models", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client(server.v1).models.list()
        assert openai.OpenAI(base_url=server.v1, api_key="secret").models.list().data
        assert httpx.post(f"{server.v1}/completions", json={"prompt": "a"}).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert httpx.post(f"{server.v1}/completions", json={"prompt": "a"}, headers=right).status_code == 404
    assert "secret" not in "".join(server.lines)
