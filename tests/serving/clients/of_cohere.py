"""Both clients of Cohere, in an environment of their own. Arguments: URL, ranker, prompt, candidates."""

import json
import sys

import cohere

url, ranker, prompt, *candidates = sys.argv[1:]
found = {}
for client in (cohere.ClientV2, cohere.Client):
    answer = client(api_key="none", base_url=url).rerank(
        model=ranker, query=prompt, documents=candidates, top_n=2
    )
    assert answer.meta.billed_units.input_tokens == answer.meta.tokens.input_tokens > 0
    found[client.__name__] = [(r.index, r.relevance_score) for r in answer.results]
json.dump(found, sys.stdout)
