"""Scores texts with plain transformers, as the model's card would show it; see `serve`.

A request: `model`, a folder; `texts`, a JSON file; `batch`, texts computed together; `attention`; `onednn`,
whether float32 products go to oneDNN. The answer: seconds, with tokenising, scores in the order of the
texts, and all tokens computed, padding too.
"""

import json
from pathlib import Path
from typing import Any

import torch
from serve import clock, serve
from transformers import AutoModelForSequenceClassification, AutoTokenizer


@torch.inference_mode()
def score(
    *, model: str, texts: str, batch: int, attention: str, onednn: bool, threads: int
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if onednn else "ieee"
    rows = json.loads(Path(texts).read_text())
    network = AutoModelForSequenceClassification.from_pretrained(
        model, dtype=torch.float32, attn_implementation=attention
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    start = clock()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # texts of similar length together
    scores, tokens = [0.0] * len(rows), 0
    for first in range(0, len(rows), batch):
        some = order[first : first + batch]
        encoded = tokenizer([rows[i] for i in some], padding=True, return_tensors="pt")
        logits = network(**encoded, use_cache=False).logits[:, 0]
        for i, value in zip(some, logits.tolist(), strict=True):
            scores[i] = value
        tokens += encoded["input_ids"].numel()
    return {"seconds": clock() - start, "scores": scores, "padded_tokens": tokens}


if __name__ == "__main__":
    serve(score)
