import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from servers import Scripted

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.remote_ranker import RemoteRanker
from rewardranker.serving.app import create_app
from rewardranker.serving.best_of import BestOf
from rewardranker.serving.engine import Engine
from rewardranker.serving.errors import RankerError
from rewardranker.serving.observe import Metrics
from rewardranker.serving.sources import Local
from rewardranker.serving.visible import VisibleTests

PROMPT = "def f(xs):\n"
TEXTS = ["    return sum(xs)\n", "    return xs\n", "    xs = sorted(xs)\n"]


@pytest.fixture
def batches() -> list[int]:
    return []


@pytest.fixture
def engine(ranker: RewardRanker, generator: Generator, batches: list[int]) -> Iterator[Engine]:
    made = Engine(ranker, generator, batches.append)
    yield made
    made.close()


def sample(engine: Engine, prompt: str = PROMPT, key: str = "a", **changed):
    settings = {"n": 3, "temperature": 1.0, "max_tokens": 12, "stop": ["\n\n"], **changed}
    return engine.sample(prompt, key=key, **settings)


def test_requests_share_batches_and_get_the_scores_they_would_get_alone(engine, ranker, batches) -> None:
    async def ask():
        return await asyncio.gather(
            *(engine.score(PROMPT * (1 + i % 2), TEXTS[: 1 + i % 3]) for i in range(20))
        )

    found = asyncio.run(ask())
    assert len(batches) < 20
    assert sum(batches) == sum(map(len, found))
    for i, scores in enumerate(found):
        alone = ranker.rank(PROMPT * (1 + i % 2), TEXTS[: 1 + i % 3])
        for place, score in alone:
            np.testing.assert_allclose(scores[place].raw, score.raw, rtol=1e-4)
            np.testing.assert_allclose(scores[place].probability, score.probability, rtol=1e-3)


def test_samples_depend_on_their_key_and_prompt_only(engine) -> None:
    async def ask(*keys):
        return await asyncio.gather(*(sample(engine, key=key) for key in keys))

    together = asyncio.run(ask("a", "b", "a", "c"))
    texts = [[r.text for r in rollouts] for rollouts in together]
    assert texts[0] == texts[2] == [r.text for r in asyncio.run(ask("a"))[0]]
    assert texts[0] != texts[1] != texts[3]
    assert [r.index for r in together[0]] == [0, 1, 2]


def test_one_that_cannot_be_computed_spoils_no_other(engine, generator) -> None:
    async def ask():
        return await asyncio.gather(
            sample(engine), sample(engine, PROMPT * 100), sample(engine, key="b"), return_exceptions=True
        )

    good, bad, other = asyncio.run(ask())
    assert isinstance(bad, UserError)
    assert "no room" in str(bad)
    assert len(good) == len(other) == 3


def scores_by_http(reply: Any, prompts: list[str], timeout_s: float) -> tuple[list[Any], Scripted]:
    """What is answered to a request for each prompt, all at once, by an engine with a ranker behind HTTP."""

    async def ask(engine: Engine) -> list[Any]:
        return await asyncio.gather(*(engine.score(p, TEXTS) for p in prompts), return_exceptions=True)

    with Scripted(reply) as server:
        with RemoteRanker(server.url.replace("/v1", "/score"), timeout_s=timeout_s, attempts=1) as ranker:
            engine = Engine(ranker)
            try:
                return asyncio.run(ask(engine)), server
            finally:
                engine.close()


@pytest.mark.parametrize("fault", ["silent", "overloaded"])
def test_a_ranker_that_does_not_answer_is_not_asked_again(fault: str) -> None:
    over = threading.Event()

    def reply(*_: Any) -> Any:
        if fault == "overloaded":
            return 503, {}, {"error": "later"}
        over.wait(60)
        return None

    prompts = [f"def f{i}(xs):\n" for i in range(5)]
    try:
        found, server = scores_by_http(reply, prompts, timeout_s=1.0)
    finally:
        over.set()
    assert all(isinstance(error, RankerError) for error in found)
    asked = [request["queries"] for request in server.requests]
    # A request that had not begun when another of its batch failed is not even made.
    assert len(asked) == len(set(asked)) and prompts[0] in asked and set(asked) <= set(prompts)


def test_what_a_ranker_behind_http_refuses_spoils_no_other() -> None:
    def reply(_: Scripted, request: dict[str, Any], __: Any) -> Any:
        if "too long" in request["queries"]:
            return 400, {}, {"error": "longer than the context"}
        return {"data": [{"index": i, "score": len(text)} for i, text in enumerate(request["documents"])]}

    (good, bad, other), _ = scores_by_http(reply, ["a", "too long", "b"], timeout_s=60.0)
    assert isinstance(bad, RankerError)
    assert [s.raw for s in good] == [s.raw for s in other] == list(map(len, TEXTS))


def test_what_nobody_waits_for_any_more_is_dropped(engine, batches) -> None:
    async def ask() -> None:
        busy = asyncio.ensure_future(sample(engine, n=64, max_tokens=80, stop=()))
        await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(engine.score(PROMPT, TEXTS)) for _ in range(10)]
        await asyncio.sleep(0.01)
        for task in waiting[1:]:
            task.cancel()
        assert len(await waiting[0]) == 3
        await busy

    asyncio.run(ask())
    assert sum(batches) == 3
    assert engine.waiting == 0


def test_requests_that_are_answered_leave_nothing_behind(ranker, generator, engine) -> None:
    best_of = BestOf(Local(engine, "m", False), engine, VisibleTests(), 3)
    app = create_app(engine, "r", best_of, metrics=Metrics())

    async def ask(turns: range) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            for i in turns:
                stop = [f"stop {i}"]  # and prompts of other lengths: what is kept for each would add up
                body = {
                    "prompt": f"{PROMPT}# {'x' * (i % 7)}{i}",
                    "max_tokens": 2,
                    "stop": stop,
                    "best_of": 2,
                }
                for path, sent in (
                    ("/v1/completions", body),
                    ("/rerank", {"query": body["prompt"], "documents": TEXTS}),
                    ("/v1/completions", {**body, "best_of": 200}),
                ):
                    answer = await http.post(path, json=sent)
                    assert answer.status_code == (400 if sent.get("best_of") == 200 else 200), answer.text

    asyncio.run(ask(range(70)))
    gc.collect()
    before = len(gc.get_objects())
    asyncio.run(ask(range(70, 170)))
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(generator._endings) == 64


def test_closing_finishes_what_was_asked_for(ranker) -> None:
    engine = Engine(ranker)

    async def ask():
        tasks = [asyncio.ensure_future(engine.score(PROMPT, TEXTS)) for _ in range(5)]
        await asyncio.sleep(0)
        engine.close()
        found = await asyncio.gather(*tasks)
        with pytest.raises(RuntimeError, match="closed"):
            await engine.score(PROMPT, TEXTS)
        return found

    assert [len(scores) for scores in asyncio.run(ask())] == [3] * 5
