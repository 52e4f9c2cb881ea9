"""A trained model as a Hugging Face folder that others use without this project, with what to tell them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from rewardranker.errors import UserError
from rewardranker.files import read_text, whole_directory, write_json, write_text
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker, model_card
from rewardranker.models.tokens import context_length, is_chat
from rewardranker.recipe import Head

Kind = Literal["ranker", "generator"]

_CHECKED = [("def f(x):\n", "    return x\n"), ("def f(x):\n", "    return x + 1"), ("x = ", "1\n")]
"""Pairs on which the written folder must score as the ranker does."""

_SCORING: dict[Head, str] = {
    "scalar": "score = model(input_ids=tokens).logits[0, 0]",
    "scalar-mean": (
        'n = len(tokenizer(program, add_special_tokens=False)["input_ids"]) + 1  # and the end token\n'
        "states = model.base_model(input_ids=tokens).last_hidden_state[0, -n:]\n"
        "score = model.score(states).mean()"
    ),
    "likelihood": (
        'n = len(tokenizer(program, add_special_tokens=False)["input_ids"]) + 1  # and the end token\n'
        "logprobs = torch.log_softmax(model(input_ids=tokens).logits[0, :-1].float(), -1)\n"
        "score = logprobs.gather(1, tokens[0, 1:, None])[-n:].mean()"
    ),
}


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """What was written."""

    kind: Kind
    head: Head | None
    """None: a generator."""
    use: str
    """Lines to serve and to use it, for the terminal."""


def find_model(source: Path, kind: Kind | None) -> tuple[Path, Path | None]:
    """The folder of a model, and the file of figures that belongs to it, if there is one.

    Args:
        source: a model's folder, or a run directory.
        kind: which of a run's models: its last ranker, or the generator that it aligned last.

    Raises:
        UserError: there is none.
    """
    if (source / "config.json").is_file():
        return source, _existing(source / "report.json", source.parent / "report.json")
    stages = {"ranker": ["reward"], "generator": ["ppo", "rft", "sft"], None: []}[kind]
    found = [
        (int(path.name.split("-")[0]), -stages.index(name), path)
        for name in stages
        for path in source.glob(f"*-{name}")
        if re.fullmatch(rf"\d+-{name}", path.name) and (path / "model" / "config.json").is_file()
    ]
    if not found:
        raise UserError(f"{source}: no {kind or 'model'} here; give a model's folder, or a run that has one")
    stage = max(found)[2]
    figures = stage / "report.json" if kind == "ranker" else source / "metrics.json"
    return stage / "model", _existing(figures)


def export_model(source: Path, out: Path, kind: Kind | None = None) -> ExportedModel:
    """Write a model for others: weights (safetensors), tokenizer, card, metrics.json.

    A ranker's tokenizer is written so that it joins a prompt and a program as the ranker was trained to read
    them, and the folder is read back by transformers: a folder that scores otherwise is not written.

    Args:
        source: see `find_model`.
        out: the folder to write; it must not exist yet.
        kind: see `find_model`.

    Raises:
        UserError: there is no such model, or transformers does not score as the ranker does.
    """
    path, figures = find_model(source, kind)
    metrics = json.loads(read_text(figures)) if figures else None
    is_ranker = (path / "rewardranker.json").is_file()
    if kind == "ranker" and not is_ranker:
        raise UserError(f"{path}: no ranker, for rewardranker.json is missing; leave out --model")
    if not is_ranker:
        return _export_generator(Generator.from_pretrained(path), out, metrics)
    ranker = RewardRanker.from_pretrained(path)
    expected = ranker.score([prompt for prompt, _ in _CHECKED], [program for _, program in _CHECKED])
    chat = is_chat(ranker.tokenizer)
    if not chat:
        _join_pairs(ranker.tokenizer)
    with whole_directory(out) as folder:
        ranker.model.save_pretrained(folder)
        ranker.tokenizer.save_pretrained(folder)
        write_text(folder / "rewardranker.json", read_text(path / "rewardranker.json"))
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)
        trained = metrics if metrics is not None and "train_problems" in metrics else None
        card = model_card(ranker, trained)
        write_text(folder / "README.md", card if chat else f"{card}\n{_without_us(ranker.head)}")
        if not chat:
            found = [_plain_score(folder, ranker.head, *pair) for pair in _CHECKED]
            # On a GPU and in half precision the same sum has fewer digits in common.
            if not np.allclose(found, expected, atol=1e-3 if ranker.model.dtype == torch.float32 else 0.1):
                raise UserError(
                    f"{path}: transformers scores {found} where the ranker scores {expected.tolist()}; "
                    "its tokenizer can't be written so that it joins pairs"
                )
    return ExportedModel("ranker", ranker.head, _ranker_use(out, ranker.head, chat))


def _export_generator(generator: Generator, out: Path, metrics: Any) -> ExportedModel:
    with whole_directory(out) as folder:
        generator.model.save_pretrained(folder)
        generator.tokenizer.save_pretrained(folder)
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)
        write_text(folder / "README.md", _generator_card(generator))
    return ExportedModel(
        "generator",
        None,
        f"serve:   vllm serve {out}\n"
        f'train:   trl.SFTTrainer(model="{out}", ...), trl.GRPOTrainer(model="{out}", ...)\n'
        f'sample:  rewardranker.Generator.from_pretrained("{out}").sample(...)',
    )


def _existing(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _join_pairs(tokenizer: PreTrainedTokenizerBase) -> None:
    """Have `tokenizer(prompt, program)` give what rankers read; see `rewardranker.models.tokens`."""
    if not tokenizer.is_fast:
        raise UserError(f"{tokenizer.name_or_path}: not a fast tokenizer, which an export needs")
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    begin = f"{bos}:0 " if bos not in (None, eos) else ""
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        # An empty program is no pair to a tokenizer.
        single=f"{begin}$A:0 {eos}:0",
        pair=f"{begin}$A:0 $B:0 {eos}:0",
        special_tokens=[(t, tokenizer.convert_tokens_to_ids(t)) for t in {bos, eos} if t is not None],
    )
    # A decoder takes no token types.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]


def _load_lines(head: Head) -> str:
    auto_class = "AutoModelForCausalLM" if head == "likelihood" else "AutoModelForSequenceClassification"
    return (
        "import torch\n"
        f"from transformers import AutoTokenizer, {auto_class}\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n'
        f'model = {auto_class}.from_pretrained("FOLDER").eval()\n'
        'tokens = tokenizer(prompt, program, return_tensors="pt")["input_ids"]\n'
        f"with torch.no_grad():\n    " + _SCORING[head].replace("\n", "\n    ") + "\n"
    )


@torch.no_grad()
def _plain_score(folder: Path, head: Head, prompt: str, program: str) -> float:
    """The score by the lines of the card, so that the card can't be wrong."""
    names: dict[str, Any] = {"prompt": prompt, "program": program}
    exec(_load_lines(head).replace('"FOLDER"', repr(str(folder))), names)
    return float(names["score"])


def _without_us(head: Head) -> str:
    served = {
        "scalar": (
            "vLLM: `vllm serve FOLDER --runner pooling`. /score with the prompt as `queries` and the\n"
            'programs as `documents` gives raw scores if it is told `"use_activation": false`; its default\n'
            "puts them through a sigmoid."
        ),
        "scalar-mean": "vLLM pools the last token, or all of them, and can't serve this mean.",
        "likelihood": (
            "vLLM serves it as any causal language model: the score is the mean of `prompt_logprobs` over\n"
            "the same tokens."
        ),
    }[head]
    return (
        f"## Without RewardRanker\n\n```python\n{_load_lines(head)}```\n\n"
        "`tokenizer(prompt, program)` joins the two as above, the end token included. For `score` of many\n"
        f"programs at once pad on the right.\n\n{served}\n"
    )


def _ranker_use(out: Path, head: Head, chat: bool) -> str:
    rank = f"rank:    rewardranker rank CANDIDATES --ranker {out}\n"
    train = (
        f'train:   ranker = rewardranker.load_ranker("{out}")\n'
        "         def reward(prompts, completions, **_):\n"
        "             return ranker.score(prompts, completions).tolist()\n"
        "         trl.GRPOTrainer(..., reward_funcs=reward)"
    )
    if chat or head == "scalar-mean":
        why = "its prompts are shown as a chat" if chat else "it reads the mean over the program's tokens"
        return f"{rank}serve:   not by vLLM, for {why}\n{train}"
    if head == "likelihood":
        serve = f"serve:   vllm serve {out}  # the score is a mean of prompt_logprobs, see README.md\n"
    else:
        serve = (
            f"serve:   vllm serve {out} --runner pooling\n"
            f"         rewardranker rank CANDIDATES --ranker http://127.0.0.1:8000/score --model {out}\n"
        )
    return rank + serve + train


def _generator_card(generator: Generator) -> str:
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "tags: [code, rewardranker]",
            "---",
            "",
            "# A generator of programs",
            "",
            "It continues the beginning of a program, from the tokens `[bos, if there is one] + prompt`.",
            "",
            f"- parameters: {generator.model.num_parameters():,} ({type(generator.model).__name__})",
            f"- context: {context_length(generator.model)} tokens",
            "",
        ]
    )
