"""`RemoteRanker`: a ranker behind HTTP, by vLLM's interfaces: /score, /rerank, /classify. Needs no torch."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from rewardranker.errors import UserError
from rewardranker.models.scores import Calibration, Score, ranked

try:
    import httpx
except ImportError as e:  # an extra
    raise UserError("servers are asked by httpx, which is missing: pip install 'rewardranker[serve]'") from e

from rewardranker.models.retries import excerpt, may_pass, pause_s

_ROUTES = ("score", "rerank", "classify")
_AT_ONCE = 8
"""Requests on their way together: servers batch them."""


class _Scored(BaseModel):
    index: int
    score: float


class _Scores(BaseModel):
    data: list[_Scored]


class _Result(BaseModel):
    index: int
    relevance_score: float


class _Results(BaseModel):
    results: list[_Result]


class _Class(BaseModel):
    probs: list[float]


class _Classes(BaseModel):
    data: list[_Class]


class NoAnswerError(UserError):
    """The server can't be reached, is overloaded or silent: other requests would fare no better now."""


class RemoteRanker:
    """A ranker that a server computes: `vllm serve MODEL --runner pooling`, or another with its interface.

    Scores are asked for raw ("use_activation": false); vLLM's default puts them through a sigmoid, which ties
    the best ones at 1. An old vLLM doesn't know the field and says nothing: there, switch it off for all by
    `--pooler-config`.

    The last part of the URL says how it is asked:

    - `/score` and `/rerank`: a prompt and many completions at once, joined as the model's tokenizer or score
      template joins pairs: for rankers that read what follows the prompt.
    - `/classify`: a chat of the prompt and one program, by the model's chat template: for reward models that
      were trained on chats, such as CodeScaler.

    Args:
        url: such as http://127.0.0.1:8000/score or http://127.0.0.1:8000/v1/rerank.
        model: the server's name for it; None: it serves only one.
        api_key: None: the environment's OPENAI_API_KEY, if it is set. Never shown; not sent where the URL has
            a user and a password, which are sent then.
        calibration: what its scores mean, see `rewardranker.fit_calibration`; None: not known.
        batch_size: completions in a request, at most.
        timeout_s: for an answer.
        attempts: most tries of a request: after 429, 5xx and broken connections it is sent again, after
            growing pauses or the server's Retry-After.

    Raises:
        UserError: not such a URL.

    Example:
        with RemoteRanker("http://127.0.0.1:8000/score", "ranker") as ranker:
            best, score = ranker.rank("def add(a, b):\\n", ["    return a - b\\n", "    return a + b\\n"])[0]
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        calibration: Calibration | None = None,
        batch_size: int = 64,
        timeout_s: float = 300.0,
        attempts: int = 5,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as e:
            raise UserError(f"{url}: not a URL ({e}); give one such as http://127.0.0.1:8000/score") from e
        self._route = parsed.path.rstrip("/").rpartition("/")[2]
        if parsed.scheme not in ("http", "https") or not parsed.host or self._route not in _ROUTES:
            raise UserError(
                f"{parsed.copy_with(userinfo=b'')}: not the URL of a ranker; give one that ends in /score, "
                "/rerank or /classify, such as http://127.0.0.1:8000/score"
            )
        self._asked = parsed
        self.url = str(parsed.copy_with(userinfo=b""))
        """Without user and password."""
        self._key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY", "")
        self._model = model
        self._batch_size = batch_size
        self._attempts = attempts
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
        )
        self.calibration = calibration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def reads_programs(self) -> bool:
        """Whether it is asked by a chat, whose answer is a whole program."""
        return self._route == "classify"

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Raw scores [N]; see `rewardranker.models.scores.Ranker`. Identical pairs are asked for once.

        Raises:
            NoAnswerError: the server can't be reached, or gives no answer; names the URL.
            UserError: it refuses (a program that is too long, too), or answers with what isn't a score for
                each; names the URL and what it said.
        """
        groups: dict[str, dict[str, list[int]]] = {}
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            groups.setdefault(prompt, {}).setdefault(completion, []).append(i)
        size = 1 if self._route == "classify" else self._batch_size
        batches = [
            (prompt, list(texts)[i : i + size])
            for prompt, texts in groups.items()
            for i in range(0, len(texts), size)
        ]
        scores = np.full(len(prompts), -np.inf)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            waiting = [pool.submit(self._ask, prompt, texts) for prompt, texts in batches]
            try:
                for (prompt, texts), answer in zip(batches, waiting, strict=True):
                    for text, value in zip(texts, answer.result(), strict=True):
                        scores[groups[prompt][text]] = value
                    if on_progress is not None:
                        on_progress(sum(len(groups[prompt][text]) for text in texts))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return scores

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Calibrated probability of being right, for raw scores of any shape; None: not calibrated."""
        return None if self.calibration is None else self.calibration.probability(raw)

    def rank(self, prompt: str, completions: Sequence[str]) -> list[tuple[int, Score]]:
        """(index, score) of each completion, best first; equal scores keep their order."""
        raw = self.score([prompt] * len(completions), completions)
        return ranked(raw, self.probability(raw))

    def _ask(self, prompt: str, texts: list[str]) -> list[float]:
        body: dict[str, Any] = {"use_activation": False}
        if self._model is not None:
            body["model"] = self._model
        if self._route == "score":
            body |= {"queries": prompt, "documents": texts}
        elif self._route == "rerank":
            body |= {"query": prompt, "documents": texts, "top_n": len(texts)}
        else:
            chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": texts[0]}]
            body["messages"] = chat
        response = self._post(body)
        try:
            found = self._read(response)
        except ValidationError as e:
            raise self._error("answered what can't be read", response) from e
        values = dict(found)
        if len(found) != len(texts) or values.keys() != set(range(len(texts))):
            raise self._error(f"gave no score for each of {len(texts)}", response)
        if not np.isfinite(list(values.values())).all():
            raise self._error("gave a score that is no number", response)
        return [values[i] for i in range(len(texts))]

    def _read(self, response: httpx.Response) -> list[tuple[int, float]]:
        if self._route == "score":
            return [(row.index, row.score) for row in _Scores.model_validate_json(response.content).data]
        if self._route == "rerank":
            results = _Results.model_validate_json(response.content).results
            return [(row.index, row.relevance_score) for row in results]
        rows = _Classes.model_validate_json(response.content).data
        if any(len(row.probs) != 1 for row in rows):
            raise self._error("has several labels; a ranker has one, its score", response)
        return [(i, row.probs[0]) for i, row in enumerate(rows)]

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        for attempt in range(1, self._attempts + 1):
            response, why = None, ""
            try:
                response = self._client.post(self._asked, json=body)
            except httpx.ReadTimeout as e:
                raise NoAnswerError(f"{self.url}: no answer within {self._client.timeout.read:g} s") from e
            except httpx.TransportError as e:
                why = f"{type(e).__name__}: {e}"
            if response is not None and not may_pass(response):
                if response.is_success:
                    return response
                raise self._error("refused the request", response)
            wait = pause_s(attempt, response)
            if attempt == self._attempts or wait is None:
                break
            time.sleep(wait)
        if response is not None:
            why = excerpt(response, self._key)
        raise NoAnswerError(f"{self.url}: gave up after {attempt} attempts; {why}")

    def _error(self, what: str, response: httpx.Response) -> UserError:
        return UserError(f"{self.url}: {what}; {excerpt(response, self._key)}")
