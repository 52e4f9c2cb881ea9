"""Inspect, in an environment of its own. Arguments: URL, generator, prompt."""

import asyncio
import json
import sys

from inspect_ai.model import GenerateConfig, get_model

url, generator, prompt = sys.argv[1:]


async def ask() -> str:
    settings = GenerateConfig(max_tokens=8, seed=1, extra_body={"best_of": 3})
    api = get_model(
        f"openai-api/rewardranker/{generator}", base_url=f"{url}/v1", api_key="none", config=settings
    )
    return (await api.generate(prompt)).completion


json.dump({"inspect_ai chat": asyncio.run(ask())}, sys.stdout)
