"""What training, scoring and sampling reach on a CUDA GPU, at the sizes of real models, with random weights.

    python benchmarks/gpu.py [-o FOLDER] [--only PART ...] [--small]

Each part runs in a process of its own; all are meant to take eight minutes on an H100. `--small` runs all
with tiny models, on any device: it tests this script and measures nothing. What does not fit into the GPU's
memory is said so.

- decoding-SIZE: tokens a second of `Generator.rollouts`, and of transformers' `generate` on the same model in
  bfloat16: 8 samples of each of 16 prompts, 256 tokens each.
- ppo-SIZE: a round of `train_ppo` after one to warm up: 4 rollouts of each of 32 prompts, critic, two epochs,
  precision bfloat16, activations computed again.
- ranker-SIZE: steps of training a scalar ranker on 4 right and 4 wrong completions a problem, each way in
  which completions can share their prompt, precision bfloat16; and how often the host waits for the GPU in a
  step (`torch.cuda.set_sync_debug_mode`).
- scoring-SIZE: `RewardRanker.score` of ten candidates a problem, sharing prompts and not, in bfloat16.
- lora-SIZE: peak memory of a step of the ranker and of a round of PPO with adapters, in bfloat16.

MFU is what the model's arithmetic needs over what the GPU could do in the time: a token costs 2 operations
for each parameter of the layers in a forward and 6 in training (Kaplan et al. 2020, arXiv 2001.08361), a
predicted token as many for each number of the output layer, and a pair of a query and a key 4 (12) times the
model's width in every layer. Counted are a prompt's tokens once, each completion's once, and pairs that the
causal mask allows; not what is computed for padding or again in the backward pass. The GPU's peak is its
dense bfloat16 rate.
"""

import argparse
import datetime
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from peers.serve import serve
from rewardranker.files import write_json, write_text
from rewardranker.models import prefix
from rewardranker.models.checkpoints import default_device
from rewardranker.models.generator import Generator
from rewardranker.models.lora import prepared
from rewardranker.models.prefix import WAYS
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import Tokens, encode_completions, encode_prompts
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.recipe import PPO, Compute, Reward
from rewardranker.training import ppo
from rewardranker.training.losses import bradley_terry_group
from rewardranker.training.optimizer import Optimizer
from rewardranker.training.reward import train_reward
from side_by_side import VOCABULARY, characters, characters_tokenizer, machine, started

PARTS = (
    *("decoding-0.5b", "decoding-1.5b", "ppo-0.5b", "ppo-1.5b", "ranker-0.5b", "scoring-0.5b"),
    *("scoring-1.5b", "lora-6.7b"),
)
PEAKS = {  # dense bfloat16 operations a second, from NVIDIA's data sheets; the first that the name contains
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "A100": 312e12,
}
SIDE = 4
"""Right completions of a problem, and wrong ones."""
CANDIDATES = 10


def config_of(size: str, small: bool) -> PreTrainedConfig:
    """Qwen2.5-Coder of 0.5B and 1.5B, DeepSeek-Coder of 6.7B, or a tiny twin."""
    sizes: dict[str, Any] = {
        "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24},
        "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28},
        "6.7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    }[size]
    heads = {"0.5b": (14, 2), "1.5b": (12, 2), "6.7b": (32, 32)}[size]
    vocabulary = 32256 if size == "6.7b" else 151936
    if small:
        sizes, vocabulary = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}, VOCABULARY
        heads = (4, 4 if size == "6.7b" else 2)
    make = LlamaConfig if size == "6.7b" else Qwen2Config
    return make(
        vocab_size=vocabulary,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        tie_word_embeddings=size != "6.7b",
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **sizes,
    )


@dataclass(frozen=True)
class Setting:
    """What the parts have in common."""

    size: str
    small: bool

    @property
    def config(self) -> PreTrainedConfig:
        return config_of(self.size, self.small)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return characters_tokenizer(self.config.vocab_size)

    def generator(self, dtype: torch.dtype) -> Generator:
        return Generator(self._model(AutoModelForCausalLM, dtype), self.tokenizer())

    def ranker(self, dtype: torch.dtype) -> RewardRanker:
        config = self.config
        config.num_labels = 1
        model = self._model(AutoModelForSequenceClassification, dtype, config)
        return RewardRanker(model, self.tokenizer(), "scalar")

    def _model(
        self, kind: Any, dtype: torch.dtype, config: PreTrainedConfig | None = None
    ) -> PreTrainedModel:
        torch.manual_seed(0)
        with torch.device(default_device()):  # drawn there, in seconds
            return kind.from_config(config or self.config, dtype=dtype)

    def length(self, tokens: int) -> int:
        return max(4, tokens // 16) if self.small else tokens

    def problems(self, count: int) -> list[Problem]:
        rng = random.Random(0)
        low, high = self.length(75), self.length(125)
        return [
            Problem(id=str(i), language="python", prompt=characters(rng, rng.randint(low, high)), tests="")
            for i in range(max(2, count // 8) if self.small else count)
        ]

    def groups(self, count: int) -> list[PreferenceGroup]:
        rng = random.Random(1)
        found = []
        for number in range(max(2, count // 8) if self.small else count):
            prompt, *texts = (
                characters(rng, rng.randint(self.length(low), self.length(low + 100)))
                for low in (150, *[100] * (2 * SIDE))
            )
            sources = ("random",) * SIDE
            sides = tuple(texts[:SIDE]), tuple(texts[SIDE:])
            found.append(PreferenceGroup(str(number), prompt, *sides, sources, sources, "random"))
        return found


def finish() -> None:
    """Wait until the GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any]) -> float:
    finish()
    start = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - start


def peak_gb() -> float | None:
    """Most memory that tensors have taken since `forget_peak`, 2^30 bytes."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def only(way: prefix.Way | None) -> Iterator[None]:
    """Have completions computed in one way; None: in the one that is chosen."""
    chosen = prefix.cheapest
    if way is not None:
        prefix.cheapest = lambda *_: way  # type: ignore[assignment]
    try:
        yield
    finally:
        prefix.cheapest = chosen


class Work:
    """Operations that completions of prompts need; see the module's docstring."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[tuple[Tokens, list[Tokens]]]) -> None:
        config = model.config
        embeddings = model.get_input_embeddings().weight.numel()
        self._body = sum(p.numel() for p in model.base_model.parameters()) - embeddings
        self._head = embeddings
        self._width = config.hidden_size * config.num_hidden_layers
        self.predicted = sum(len(row) for _, found in rows for row in found)
        self.tokens = sum(len(prompt) for prompt, _ in rows) + self.predicted
        self.pairs = sum(
            len(p) ** 2 / 2 + sum(len(row) * len(p) + len(row) ** 2 / 2 for row in found) for p, found in rows
        )

    def forward(self, *, head: bool) -> float:
        operations = 2 * self._body * self.tokens + 4 * self._width * self.pairs
        return operations + 2 * self._head * self.predicted * head

    def training(self, *, head: bool) -> float:
        return 3 * self.forward(head=head)


def mfu(operations: float, seconds: float) -> float | None:
    """Share of the GPU's peak; None where that isn't known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((rate for known, rate in PEAKS.items() if known in name), None)
    return operations / seconds / peak if peak else None


def decoding(setting: Setting) -> dict[str, Any]:
    samples, tokens = (2, 8) if setting.small else (8, 256)
    generator, problems = setting.generator(torch.bfloat16), setting.problems(16)
    model, tokenizer = generator.model, generator.tokenizer
    texts = [f"<bos>{p.prompt}" for p in problems]
    encoded = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt").to(model.device)
    counts: dict[str, int] = {}

    def ours() -> None:
        rows = generator.rollouts(
            problems, n=samples, temperature=1.0, max_new_tokens=tokens, seed=0, batch_size=512
        )
        counts["ours"] = sum(len(rollout.ids) for batch in rows for rollout in batch)

    @torch.inference_mode()
    def theirs() -> None:
        how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        mask = encoded["attention_mask"]
        rows = model.generate(
            encoded["input_ids"],
            attention_mask=mask,
            max_new_tokens=tokens,
            num_return_sequences=samples,
            **how,
        )
        new = rows[:, mask.shape[1] :]
        tokenizer.batch_decode(new, skip_special_tokens=True)
        counts["generate"] = sum(
            row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
            for row in new.tolist()
        )

    found: dict[str, Any] = {"rows": len(problems) * samples}
    for name, work in (("ours", ours), ("generate", theirs)):
        work()  # warms up
        found[f"{name}_tokens_per_s"] = counts[name] / seconds(work)
    return found


@contextmanager
def timed(*names: str) -> Iterator[dict[str, list[tuple[float, Any]]]]:
    """Seconds and results of all calls of functions of `ppo`."""
    calls: dict[str, list[tuple[float, Any]]] = {name: [] for name in names}
    functions = {name: getattr(ppo, name) for name in names}

    def watch(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            finish()
            start = time.perf_counter()
            result = functions[name](*args, **kwargs)
            finish()
            calls[name].append((time.perf_counter() - start, result))
            return result

        return call

    for name in names:
        setattr(ppo, name, watch(name))
    try:
        yield calls
    finally:
        for name, function in functions.items():
            setattr(ppo, name, function)


def a_ppo(
    setting: Setting, policy: Generator, ranker: RewardRanker, compute: Compute, rounds: int
) -> dict[str, Any]:
    """The last of some rounds of PPO: sampling, evaluating, updating."""
    config = PPO(
        iterations=rounds,
        prompts=32,
        samples=4,
        minibatch=32,
        epochs=2,
        learning_rate=1e-6,
        critic_learning_rate=9e-6,
        max_kl=1e9,
        tokens_at_once=8192,
    )
    problems, tokens = setting.problems(config.prompts), setting.length(256)
    with timed("_roll_out", "_evaluate", "_update") as calls:
        ppo.train_ppo(policy, ranker, problems, config, seed=0, max_new_tokens=tokens, compute=compute)
    parts = {name: calls[name][rounds - 1][0] for name in calls}
    rollouts = calls["_roll_out"][rounds - 1][1]
    by_prompt: dict[int, tuple[Tokens, list[Tokens]]] = {}
    for rollout in rollouts:
        by_prompt.setdefault(rollout.problem, (rollout.prompt_ids, []))[1].append(rollout.ids)
    work = Work(policy.model, list(by_prompt.values()))
    operations = {
        "_roll_out": work.forward(head=True),
        "_evaluate": 2 * work.forward(head=True) + 2 * work.forward(head=False),
        "_update": config.epochs * (work.training(head=True) + work.training(head=False)),
    }
    total = sum(parts.values())
    return {
        "rollouts": len(rollouts),
        "sampled_tokens": work.predicted,
        "tokens": work.tokens,
        "seconds": {name.removeprefix("_"): s for name, s in parts.items()},
        "rollouts_per_s": len(rollouts) / total,
        "tokens_per_s": work.tokens / total,
        "mfu": mfu(sum(operations.values()), total),
        "mfu_of": {name.removeprefix("_"): mfu(operations[name], parts[name]) for name in parts},
        "peak_gb": peak_gb(),
    }


def a_round(setting: Setting) -> dict[str, Any]:
    policy, ranker = setting.generator(torch.float32), setting.ranker(torch.float32)
    compute = Compute(precision="bfloat16", gradient_checkpointing=True)
    forget_peak()
    return a_ppo(setting, policy, ranker, compute, rounds=2)


def waits(work: Callable[[], Any]) -> int | None:
    """How often the host waits for the GPU in `work`."""
    if not torch.cuda.is_available():
        return None
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


def ranker_training(setting: Setting) -> dict[str, Any]:
    ranker, groups, steps = setting.ranker(torch.float32), setting.groups(4), 2 if setting.small else 5
    tokenizer = ranker.tokenizer
    prompts = encode_prompts(tokenizer, [g.prompt for g in groups])
    completions = encode_completions(tokenizer, [text for g in groups for text in (*g.chosen, *g.rejected)])
    owners = [i for i in range(len(groups)) for _ in range(2 * SIDE)]
    rows = [(prompt, completions[2 * SIDE * i : 2 * SIDE * (i + 1)]) for i, prompt in enumerate(prompts)]
    needs = Work(ranker.model, rows).training(head=False)
    optimizer = Optimizer(
        ranker.model.parameters(),
        learning_rate=1e-6,
        steps=1000,
        warmup=0.0,
        weight_decay=0.0,
        max_grad_norm=1.0,
    )

    def step() -> None:
        scores = ranker.forward(prompts, completions, owners).view(len(groups), 2 * SIDE)
        loss = torch.stack([bradley_terry_group(row[:SIDE], row[SIDE:]) for row in scores]).mean()
        optimizer.accumulate(loss)
        optimizer.step()

    found: dict[str, Any] = {"pairs": len(groups) * SIDE**2, "ways": {}}
    with prepared(ranker.model, Compute(precision="bfloat16")):
        for way in (None, *WAYS):
            with only(way):
                forget_peak()
                for _ in range(2):
                    step()
                took = seconds(lambda: [step() for _ in range(steps)]) / steps
                found["ways"][way or "chosen"] = {
                    "pairs_per_s": found["pairs"] / took,
                    "mfu": mfu(needs, took),
                    "peak_gb": peak_gb(),
                    "waits": waits(step),
                }
        found["chosen"] = prefix.cheapest(ranker.model.base_model, prompts, completions, owners)
    found["times_naive"] = found["ways"]["chosen"]["pairs_per_s"] / found["ways"]["naive"]["pairs_per_s"]
    return found


def scoring(setting: Setting) -> dict[str, Any]:
    ranker, rng = setting.ranker(torch.bfloat16), random.Random(2)
    problems = 4 if setting.small else 64
    prompts, completions = [], []
    for _ in range(problems):
        prompts += [characters(rng, rng.randint(setting.length(150), setting.length(250)))] * CANDIDATES
        completions += [
            characters(rng, rng.randint(setting.length(100), setting.length(200))) for _ in range(CANDIDATES)
        ]
    found: dict[str, Any] = {"candidates": len(prompts)}
    scores = {}
    for name, way in (("chosen", None), ("naive", "naive")):
        with only(way):
            forget_peak()
            scores[name] = ranker.score(prompts, completions)
            took = seconds(lambda: ranker.score(prompts, completions))
            found[name] = {"candidates_per_s": len(prompts) / took, "peak_gb": peak_gb()}
    found["times_naive"] = found["chosen"]["candidates_per_s"] / found["naive"]["candidates_per_s"]
    found["largest_difference"] = float(abs(scores["chosen"] - scores["naive"]).max())
    found["scores_std"] = float(scores["naive"].std())
    return found


def lora(setting: Setting) -> dict[str, Any]:
    compute = Compute(precision="bfloat16", gradient_checkpointing=True, lora_rank=16)
    config = Reward(head="scalar", epochs=1, groups_per_batch=2, validation=0.0, learning_rate=1e-4)
    ranker = setting.ranker(torch.bfloat16)
    forget_peak()
    ranker, _ = train_reward(ranker, setting.groups(2), config, seed=0, compute=compute)
    ranker_peak_gb = peak_gb()
    policy = setting.generator(torch.bfloat16)
    forget_peak()
    return {"ranker_peak_gb": ranker_peak_gb, "ppo": a_ppo(setting, policy, ranker, compute, rounds=1)}


MEASURES = {
    "decoding": decoding,
    "ppo": a_round,
    "ranker": ranker_training,
    "scoring": scoring,
    "lora": lora,
}


def measure(*, part: str, small: bool, threads: int) -> dict[str, Any]:
    """The worker's side."""
    torch.set_num_threads(threads)
    name, _, size = part.partition("-")
    try:
        return MEASURES[name](Setting(size, small))
    except torch.OutOfMemoryError as e:
        return {"error": str(e).partition(". ")[0]}


def number(x: float | None, digits: int = 1, scale: float = 1.0) -> str:
    return "-" if x is None else f"{scale * x:,.{digits}f}"


def page(report: dict[str, Any]) -> str:
    on, parts = report["machine"], report["parts"]
    lines = [
        "# On a GPU",
        "",
        f"{report['device']}, {report['date']}, torch {on['torch']}, transformers {on['transformers']}, "
        f"{on['processor']}. `{report['command']}`. Random weights. What is counted, and the formula of MFU, "
        "stand in the script.",
    ]
    if report["small"]:
        lines += ["", "**Run with `--small`: the figures mean nothing.**"]

    def table(
        kind: str, title: str, head: Sequence[str], rows: Callable[[str, Any], list[list[str]]]
    ) -> None:
        found = [(part, f) for part, f in parts.items() if part.startswith(kind)]
        if not found:
            return
        lines.extend(["", f"## {title}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)])
        for part, f in found:
            cells = [[part, f["error"]]] if "error" in f else rows(part, f)
            lines.extend(f"| {' | '.join(row)} |" for row in cells)

    table(
        "decoding",
        "Decoding",
        ["part", "rows", "Generator.rollouts, tokens/s", "generate, tokens/s"],
        lambda part, f: [
            [part, str(f["rows"]), number(f["ours_tokens_per_s"], 0), number(f["generate_tokens_per_s"], 0)]
        ],
    )
    table(
        "ppo",
        "A round of PPO",
        [
            *("part", "rollouts/s", "tokens/s", "MFU, %", "sampling, s (MFU, %)"),
            *("evaluating, s (MFU, %)", "updating, s (MFU, %)", "peak, GB"),
        ],
        lambda part, f: [ppo_row(part, f)],
    )
    table(
        "ranker",
        "Training a ranker",
        ["part", "way", "pairs/s", "MFU, %", "peak, GB", "waits a step"],
        lambda part, f: [
            [
                part,
                f"chosen ({f['chosen']})" if way == "chosen" else way,
                number(w["pairs_per_s"]),
                number(w["mfu"], 1, 100),
                number(w["peak_gb"]),
                number(w["waits"], 0),
            ]
            for way, w in f["ways"].items()
        ],
    )
    table(
        "scoring",
        "Scoring",
        ["part", "candidates/s", "naive, candidates/s", "times", "largest difference (std of scores)"],
        lambda part, f: [
            [
                part,
                number(f["chosen"]["candidates_per_s"]),
                number(f["naive"]["candidates_per_s"]),
                number(f["times_naive"], 2),
                f"{f['largest_difference']:.1e} ({f['scores_std']:.1e})",
            ]
        ],
    )
    table(
        "lora",
        "Adapters",
        ["part", "ranker step: peak, GB", "PPO round: peak, GB", "seconds", "MFU, %"],
        lambda part, f: [
            [
                part,
                number(f["ranker_peak_gb"]),
                number(f["ppo"]["peak_gb"]),
                number(sum(f["ppo"]["seconds"].values())),
                number(f["ppo"]["mfu"], 1, 100),
            ]
        ],
    )
    return "\n".join(lines) + "\n"


def ppo_row(part: str, f: dict[str, Any]) -> list[str]:
    phases = [
        f"{number(f['seconds'][name], 2)} ({number(f['mfu_of'][name], 1, 100)})"
        for name in ("roll_out", "evaluate", "update")
    ]
    first = [part, number(f["rollouts_per_s"], 2), number(f["tokens_per_s"], 0), number(f["mfu"], 1, 100)]
    return [*first, *phases, number(f["peak_gb"])]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="folder for gpu.md and gpu.json")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=str(PARTS))
    parser.add_argument("--small", action="store_true", help="tiny models, on any device: tests the script")
    arguments = parser.parse_args()
    if not (torch.cuda.is_available() or arguments.small):
        print(
            "error: torch finds no CUDA GPU here; run this where `python -c 'import torch; "
            "print(torch.cuda.is_available())'` prints True, or give --small to test the script",
            file=sys.stderr,
        )
        sys.exit(2)
    report: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/gpu.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "small": arguments.small,
        "parts": {},
    }
    for part in arguments.only:
        start = time.perf_counter()
        with started(sys.executable, __file__, "--worker") as worker:
            report["parts"][part] = worker.ask(part=part, small=arguments.small)
        print(f"{part}: {time.perf_counter() - start:.0f} s: {report['parts'][part]}", flush=True)
        if arguments.out:  # after every part, so that none is lost
            write_json(arguments.out / "gpu.json", report)
            write_text(arguments.out / "gpu.md", page(report))
    print("\n" + page(report))


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        serve(measure)
    else:
        main()
