"""Does `rewardranker serve` grow? Its memory after every so many answers, of ever other lengths.

    python benchmarks/serving_memory.py [--requests N] [--every N] [--clients N] [--path PATH] [--shapes N]

A server of `serving.py`'s models gets N requests from so many clients. --shapes is what torch keeps for the
shapes of batches (LRU_CACHE_CAPACITY): without it as the server sets it, 1024 is what torch does by itself.
"""

import argparse
import asyncio
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import httpx

from rewardranker.models.ranker import RewardRanker
from serving import BODY, CANDIDATES, SHORT, memory_mb, server
from side_by_side import characters, make_generator


async def answers(url: str, bodies: list[dict[str, Any]], clients: int) -> None:
    limit = asyncio.Semaphore(clients)

    async def one(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
        async with limit:
            (await http.post(url, json=body)).raise_for_status()

    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as http:
        await asyncio.gather(*(one(http, body) for body in bodies))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--path", choices=("/rerank", "/v1/completions"), default="/rerank")
    parser.add_argument("--shapes", type=int)
    a = parser.parse_args()
    if a.shapes is not None:
        os.environ["LRU_CACHE_CAPACITY"] = str(a.shapes)
    rng = random.Random(1)

    def body() -> dict[str, Any]:
        prompt = characters(rng, rng.randint(150, 250))
        if a.path == "/v1/completions":
            return {**BODY, "prompt": prompt, "max_tokens": SHORT}
        texts = [characters(rng, rng.randint(100, 200)) for _ in range(CANDIDATES)]
        return {"query": prompt, "documents": texts}

    generator = make_generator(256, 4, SHORT / 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator.save(folder / "generator")
        RewardRanker.from_generator(generator, "scalar", seed=0).save(folder / "ranker")
        with server(folder) as (url, pid):
            print(f"answers  MB now  at most\n{0:7}  {memory_mb(pid, 'VmRSS'):6.0f}", flush=True)
            for done in range(a.every, a.requests + 1, a.every):
                asyncio.run(answers(url + a.path, [body() for _ in range(a.every)], a.clients))
                now, peak = memory_mb(pid, "VmRSS"), memory_mb(pid, "VmHWM")
                print(f"{done:7}  {now:6.0f}  {peak:7.0f}", flush=True)


if __name__ == "__main__":
    main()
