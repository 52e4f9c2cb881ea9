"""Samples with transformers' `generate`; see `serve`.

A request: `model`, a folder; `prompts`, a JSON file with texts; `n`, samples a prompt; `temperature`, 0 for
greedy; `tokens`, most new ones; `batch`, prompts decoded together; `attention`; `keep`, whether the answer
holds the tokens. The answer: seconds, with tokenising and decoding to text; the new tokens of each sample,
the end included; and, to keep, the tokens themselves.
"""

import json
from pathlib import Path
from typing import Any

import torch
from serve import clock, serve
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.inference_mode()
def sample(
    *,
    model: str,
    prompts: str,
    n: int,
    temperature: float,
    tokens: int,
    batch: int,
    attention: str,
    keep: bool,
    threads: int,
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    texts = json.loads(Path(prompts).read_text())
    network = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, attn_implementation=attention
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    how: dict[str, Any] = {"do_sample": False}
    if temperature:
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    start = clock()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # prompts of similar length together
    found: dict[int, list[list[int]]] = {}
    for first in range(0, len(texts), batch):
        some = order[first : first + batch]
        encoded = tokenizer([f"<bos>{texts[i]}" for i in some], padding=True, return_tensors="pt")
        rows = network.generate(**encoded, max_new_tokens=tokens, num_return_sequences=n, **how)
        rows = rows[:, encoded["input_ids"].shape[1] :]
        tokenizer.batch_decode(rows, skip_special_tokens=True)
        for number, row in enumerate(rows.tolist()):
            end = row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
            found.setdefault(some[number // n], []).append(row[:end])
    seconds = clock() - start
    ids = [found[i] for i in range(len(texts))]
    lengths = [[len(row) for row in rows] for rows in ids]
    return {"seconds": seconds, "lengths": lengths, "ids": ids if keep else None}


if __name__ == "__main__":
    serve(sample)
