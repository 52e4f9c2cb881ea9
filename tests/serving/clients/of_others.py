"""LiteLLM, LangChain and LlamaIndex, in an environment of their own.

Arguments: URL, generator, ranker, prompt, candidates.
"""

import json
import sys
from typing import Any

import litellm
from langchain_cohere import CohereRerank
from langchain_openai import ChatOpenAI
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank as LlamaIndexRerank

url, generator, ranker, prompt, *candidates = sys.argv[1:]
v1, chat = f"{url}/v1", [{"role": "user", "content": prompt}]
found: dict[str, Any] = {}

for provider, base in (
    ("hosted_vllm", url),
    ("cohere", url),
    ("jina_ai", f"{v1}/rerank"),
    ("infinity", f"{url}/infinity"),
):
    answer = litellm.rerank(
        model=f"{provider}/{ranker}",
        query=prompt,
        documents=candidates,
        top_n=2,
        return_documents=True,
        api_base=base,
        api_key="none",
    )
    assert answer.meta["billed_units"]["total_tokens"] > 0
    results = [(r["index"], r["relevance_score"]) for r in answer.results]
    if provider != "cohere":  # asks /v2/rerank, where Cohere itself returns none
        texts = [r["document"]["text"] for r in answer.results]
        assert texts == [candidates[i] for i, _ in results], texts
    found[f"litellm {provider}"] = results

answer = litellm.completion(
    model=f"openai/{generator}",
    messages=chat,
    max_tokens=8,
    seed=1,
    extra_body={"best_of": 3, "return_candidates": True},
    api_base=v1,
    api_key="none",
)
found["litellm chat"] = answer.choices[0].message.content

model = ChatOpenAI(
    model=generator, base_url=v1, api_key="none", max_tokens=8, seed=1, extra_body={"best_of": 3}
)
found["langchain chat"] = model.invoke(prompt).content
found["langchain stream"] = "".join(chunk.content for chunk in model.stream(prompt))
reranker = CohereRerank(base_url=url, cohere_api_key="none", model=ranker, top_n=2)
ranked = reranker.rerank(candidates, prompt)
found["langchain rerank"] = [(r["index"], r["relevance_score"]) for r in ranked]

nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.0) for i, text in enumerate(candidates)]
reorder = LlamaIndexRerank(api_key="none", model=ranker, top_n=2, base_url=url)
best = reorder.postprocess_nodes(nodes, query_str=prompt)
found["llama-index rerank"] = [(int(node.node.id_), node.score) for node in best]

json.dump(found, sys.stdout)
