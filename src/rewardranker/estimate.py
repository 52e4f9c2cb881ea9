"""What a run will take, before it runs: tokens, executions, memory and time a stage.

Time is arithmetic over a measured rate: 6 floating-point operations a parameter and token trained on, 2 a
token scored or sampled (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), over what this machine's matrix
products reach at the model's width, times the share of it that each kind of work reaches in practice. What
can't be known beforehand is assumed: candidates are as long as the references, every training problem gives
a preference group, PPO is not stopped by its KL.

Against the CPU seconds of runs on two cores of an AMD EPYC: tiny 22 estimated, 23 spent; micro, up to its
second alignment, 1,190 estimated, 890 spent. Single stages: 0.5 to 2 times what they took (2 where fewer
problems than assumed gave groups or passing programs), but less where a fraction of a second of work is
dominated by loading models. Time is CPU time over threads: a lower bound where the model is too small to keep
all threads busy. Memory of the whole process: tiny 1.6 GB estimated, 1.5 GB at its peak; a
process that ran several larger recipes held 3.8 GB, for those kernels are kept for every shape of batch.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rewardranker.errors import UserError
from rewardranker.models.checkpoints import check_layers, default_device, load_tokenizer, prefer_fast_kernels
from rewardranker.models.decoder import build_decoder
from rewardranker.models.lora import weights_dtype
from rewardranker.models.prefix import logits_at_once
from rewardranker.models.ranker import check_head
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.models.tokens import encode_completions, encode_prompts, set_prompt_form
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.micro.generate import micro_problems
from rewardranker.problems.problem import Problem
from rewardranker.problems.split import assign_splits
from rewardranker.recipe import SFT, Compute, Recipe
from rewardranker.run import seed_for

_WIDTHS = (128, 512)
_SHARES = {"training": (0.25, 0.6), "sampling": (0.05, 0.15)}
"""Of the measured rate, what models of at most and at least these widths reach; scoring is like training. See
the module's docstring for how well they fit."""
_EXECUTION_S = {
    "python": 0.003,
    "cpp": 0.28,
    "java": 0.08,
    "php": 0.015,
    "typescript": 0.06,
    "csharp": 0.06,
    "bash": 0.04,
    "javascript": 0.04,
    "ruby": 0.09,
}
"""CPU time of a short program in the sandbox, compiled by a warm compiler (docs/results/execution.md)."""
_OTHER_EXECUTION_S = 0.3
"""Of the languages that were not measured; most are compiled."""
_CALIBRATION_S = 0.2
_PROCESS_GB = 1.5
"""The interpreter with the learning library, and the kernels it compiles for small matrices and keeps."""
_FLOAT = 4
_TRAINED = 4 * _FLOAT
"""Bytes a parameter that is trained: weight, gradient and AdamW's two moments."""
_HALF = 2
_HELD, _HELD_LORA = 1.6, 2.2
"""Memory that activations take over their size: glibc keeps what is freed between them."""
_LINEAR = 7
"""Linear layers of a decoder's layer: four of attention, three of the gated feed-forward."""
_SAMPLE = 100
"""Micro problems made to measure lengths."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What decides the cost of every stage."""

    splits: Counter[str]
    """Problems of each split."""
    known: int
    """Problems with a reference program, of whatever split."""
    prompt: float
    """Mean tokens."""
    completion: float
    """Mean tokens of a reference, the end included."""
    longest: int
    """Tokens of the longest prompt and reference together."""
    parameters: int
    computed: int
    """Parameters that every token is multiplied with: all but a table of input embeddings of its own."""
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    """Heads of keys and values, which several heads of queries may share."""
    vocabulary: int
    keeps_attention: bool
    """Whether attention is computed as plain products, whose weights the backward pass needs."""
    execution_s: float
    """Mean CPU time of a program."""

    @property
    def training(self) -> int:
        """Problems that the loop samples."""
        return self.splits["pool"] or self.splits["reference"]


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    trained: float = 0.0
    """Tokens, each epoch counted."""
    scored: float = 0.0
    """Tokens of prompts and completions that are read without training."""
    sampled: float = 0.0
    executions: float = 0.0
    memory: float = 0.0
    """Peak bytes of weights, optimizers and activations."""

    @property
    def tokens(self) -> float:
        """As cost.json counts them, but with the prompts that are read before sampling."""
        return self.trained + self.scored + self.sampled


def estimate(recipe: Recipe) -> str:
    """A table of what each stage of `recipe` will take on this machine, as text.

    Measures the machine for 0.2 s and makes a sample of the problems; runs and writes nothing.

    Raises:
        UserError: the recipe's problems or checkpoint can't be read.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    threads = torch.get_num_threads()
    sizes = _sizes(recipe)
    rate = _matmul_rate(sizes.hidden, sizes.intermediate)
    stages = list(_stages(recipe, sizes))
    seconds = [_cpu_s(stage, sizes, rate) / threads for stage in stages]
    rows = [("stage", "tokens", "executions", "memory", "time")]
    for stage, s in zip(stages, seconds, strict=True):
        tokens, executions = _count(stage.tokens), _count(stage.executions)
        rows.append((stage.name, tokens, executions, _bytes(stage.memory), _time(s)))
    peak = max(stage.memory for stage in stages) + _PROCESS_GB * 2**30
    tokens, executions = (
        _count(sum(n)) for n in zip(*((s.tokens, s.executions) for s in stages), strict=True)
    )
    rows.append(("all", tokens, executions, _bytes(peak), _time(sum(seconds))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([name.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))])
        for name, *numbers in rows
    ]
    return "\n".join(
        [
            f"Estimate for {sizes.parameters / 1e6:.1f} million parameters and {threads} threads of "
            f"{rate / 1e9:.0f} GFLOP/s in matrix products (measured now):",
            "",
            *lines,
            "",
            f"Memory: weights, optimizers, activations; last, {_PROCESS_GB:g} GB more for the process.",
            f"A sandboxed program may use {recipe.execution.memory_mb} MB on top.",
            "Time: on an otherwise idle machine, a factor of two either way.",
            *_on_gpu(),
        ]
    )


def _on_gpu() -> list[str]:
    if default_device().type != "cuda":
        return []
    return [f"Models will compute on {torch.cuda.get_device_name()}: these times, of the CPU, are too long."]


def _cpu_s(stage: _Stage, sizes: _Sizes, rate: float) -> float:
    """CPU seconds of a stage."""
    narrow, wide = _WIDTHS
    width = min(max((sizes.hidden - narrow) / (wide - narrow), 0), 1)
    share = {work: least + (most - least) * width for work, (least, most) in _SHARES.items()}
    operations = (6 * stage.trained + 2 * stage.scored) / share["training"]
    operations += 2 * stage.sampled / share["sampling"]
    return sizes.computed * operations / rate + stage.executions * sizes.execution_s


def _sizes(recipe: Recipe) -> _Sizes:
    problems, splits = _problems(recipe)
    references = [p for p in problems if p.reference is not None]
    texts = [(p.prompt, p.reference or "") for p in references or problems]
    source = recipe.generator
    model: PreTrainedModel
    if source.decoder is not None:
        tokenizer = train_tokenizer((prompt + text for prompt, text in texts), source.decoder.vocabulary)
        model = build_decoder(source.decoder, tokenizer, recipe.seed)
    else:
        try:
            config = AutoConfig.from_pretrained(Path(source.checkpoint), local_files_only=True)
        except (OSError, ValueError, StrictDataclassError) as e:
            raise UserError(f"{source.checkpoint}: cannot be read as a model: {e}") from e
        check_layers(Path(source.checkpoint), config)
        check_head(config, recipe.reward.head)
        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config)
        except ValueError as e:
            raise UserError(
                f"{source.checkpoint}: a {config.model_type} model is no causal language model; give another"
            ) from e
        tokenizer = load_tokenizer(Path(source.checkpoint))
        set_prompt_form(tokenizer, source.prompt, source.system)
    prefer_fast_kernels(model)  # what the rate is measured with
    prompts = list(map(len, encode_prompts(tokenizer, [prompt for prompt, _ in texts])))
    completions = list(map(len, encode_completions(tokenizer, [text for _, text in texts])))
    text_config = model.config.get_text_config()
    parameters = sum(p.numel() for p in model.parameters())
    vocabulary = model.get_input_embeddings().weight.shape[0]
    table = 0 if text_config.tie_word_embeddings else vocabulary * text_config.hidden_size
    return _Sizes(
        splits=splits,
        known=splits["reference"] + splits["development"] if recipe.problems.micro else len(references),
        prompt=sum(prompts) / len(prompts),
        completion=sum(completions) / len(completions) if references else recipe.sampling.max_new_tokens,
        longest=max(p + c for p, c in zip(prompts, completions, strict=True)),
        parameters=parameters,
        computed=parameters - table,
        hidden=text_config.hidden_size,
        intermediate=getattr(text_config, "intermediate_size", None) or 4 * text_config.hidden_size,
        layers=text_config.num_hidden_layers,
        heads=text_config.num_attention_heads,
        key_heads=getattr(text_config, "num_key_value_heads", None) or text_config.num_attention_heads,
        vocabulary=vocabulary,
        keeps_attention=model.config._attn_implementation == "eager",
        execution_s=sum(_EXECUTION_S.get(p.language, _OTHER_EXECUTION_S) for p in problems) / len(problems),
    )


def _problems(recipe: Recipe) -> tuple[Sequence[Problem], Counter[str]]:
    """The problems, or a sample of micro problems, and how many there are of each split."""
    config = recipe.problems
    if config.micro is None:
        problems = assign_splits(load_problems(*config.files), config, seed_for(recipe.seed, "problems"))
        return problems, Counter(p.split for p in problems)
    few = {"reference": min(config.micro.reference, _SAMPLE), "pool": 1, "development": 1, "test": 1}
    counts = {name: getattr(config.micro, name) for name in few}
    counts["test"] *= len(config.micro.languages)
    return micro_problems(config.micro.model_copy(update=few), recipe.seed), Counter(counts)


def _stages(recipe: Recipe, sizes: _Sizes) -> Iterator[_Stage]:
    """Every stage of the loop, in its order."""
    prompt, completion, training = sizes.prompt, sizes.completion, sizes.training
    references = sizes.splits["reference"]
    with_reference = sizes.splits["pool"] == 0  # whether the training problems have references
    weights = weights_dtype(recipe.compute, trained=False).itemsize * sizes.parameters

    trained = _trained(recipe.compute, sizes)

    def sft(name: str, examples: float, config: SFT, epochs: int) -> _Stage:
        together = config.batch_size * sizes.longest
        step = _step(recipe.compute, sizes, together, sizes.longest, config.tokens_at_once)
        return _Stage(
            name, trained=epochs * examples * (prompt + completion), memory=max(weights, trained + step)
        )

    def sample(name: str, problems: int, n: int, executions: int) -> _Stage:
        return _Stage(
            name,
            scored=problems * prompt,
            sampled=problems * n * completion,
            executions=executions,
            memory=weights + _cache(recipe, sizes, recipe.sampling.batch_size),
        )

    yield _Stage("problems", executions=sizes.known if recipe.problems.verify_references else 0)
    yield sft("0-sft", references, recipe.sft, recipe.sft.epochs)
    yield sample("0-sample", training, recipe.sampling.n, training * recipe.sampling.n)
    drawn = recipe.sampling.n
    group = min(recipe.sampling.n, 2 * recipe.reward.max_per_side) + with_reference
    compared = training * (prompt + group * completion)
    for i in range(1, recipe.iterations + 1):
        group_tokens = sizes.longest + (2 * recipe.reward.max_per_side - 1) * completion
        together = recipe.reward.groups_per_batch * group_tokens
        step = _step(recipe.compute, sizes, together, group_tokens, recipe.reward.tokens_at_once)
        yield _Stage(
            f"{i}-reward",
            trained=recipe.reward.epochs * compared,
            memory=weights + max(weights, trained + step),  # it starts from a copy
        )
        if recipe.align != "ppo":
            examples = references + training * min(recipe.rft.max_per_problem, drawn)
            yield sft(f"{i}-rft", examples, recipe.rft, recipe.rft.epochs)
        if recipe.align != "rft":
            yield _ppo(f"{i}-ppo", recipe, sizes)
        if i < recipe.iterations:
            n = recipe.mining.n
            yield sample(f"{i}-sample", training, n, training * n)
            scored = training * (prompt + n * completion)
            yield _Stage(f"{i}-mine", scored=scored, memory=weights + _cache(recipe, sizes, 256))
            drawn += n
            compared += training * (prompt + min(n, 2 * recipe.mining.max_per_side) * completion)
    longer = recipe.evaluation.longer_sft_epochs
    if longer:
        yield sft("0-sft-longer", references, recipe.sft, longer)
    test, n = sizes.splits["test"], recipe.evaluation.n
    cool = recipe.evaluation.cool_temperature != recipe.evaluation.temperature
    draws = n * (1 + cool) + 1
    probes = n if recipe.evaluation.majority and recipe.problems.micro else 0
    aligned = [f"aligned-{i}" for i in range(1, recipe.iterations + 1)]
    for policy in ("sft", *(["sft-longer"] if longer else []), *aligned):
        yield sample(f"test-{policy}", test, draws, test * (draws + probes))
    scored = recipe.iterations * (1 + recipe.iterations) * test * (prompt + n * completion)
    yield _Stage("evaluate", scored=scored, memory=weights + _cache(recipe, sizes, 256))


def _ppo(name: str, recipe: Recipe, sizes: _Sizes) -> _Stage:
    """Policy, reference, ranker and critic read each rollout; policy and critic are trained on it."""
    config = recipe.ppo
    critic = config.advantage == "gae"
    problems = min(config.prompts, sizes.training)
    read = problems * (sizes.prompt + config.samples * sizes.completion)
    rounds = config.iterations + 1
    checks = 1 + math.ceil(config.iterations / config.check_every)
    checked = min(config.check_problems, sizes.splits["development"]) * config.samples * checks
    trained = _trained(recipe.compute, sizes)
    if recipe.compute.lora_rank:  # policy and reference are one, ranker and critic too
        weights = 2 * trained
    else:
        weights = (1 + critic) * trained + 2 * _FLOAT * sizes.parameters
    group_tokens = sizes.longest + (config.samples - 1) * sizes.completion
    together = max(1, config.minibatch // config.samples) * group_tokens
    return _Stage(
        name,
        trained=config.iterations * config.epochs * read * (1 + critic),
        scored=rounds * read * (3 + critic),
        sampled=rounds * problems * config.samples * sizes.completion + checked * sizes.completion,
        executions=checked,
        memory=max(
            2 * _FLOAT * sizes.parameters,  # policy and ranker, when they have been loaded
            weights + _step(recipe.compute, sizes, together, group_tokens, config.tokens_at_once),
        ),
    )


def _trained(compute: Compute, sizes: _Sizes) -> float:
    """Bytes of a model that is trained: weights, gradients, moments; of its adapters alone, with LoRA."""
    if not compute.lora_rank:
        return _TRAINED * sizes.parameters
    frozen = _HALF if compute.precision == "bfloat16" else _FLOAT
    widths = 4 * 2 * sizes.hidden + (_LINEAR - 4) * (sizes.hidden + sizes.intermediate)
    return frozen * sizes.parameters + _TRAINED * compute.lora_rank * sizes.layers * widths


def _step(compute: Compute, sizes: _Sizes, tokens: float, item: float, at_once: int) -> float:
    """Bytes of a training step of `tokens`, computed `at_once` (0: all) at a time, beyond `_trained`.

    Gradients come as activations go: of one part, only what is larger counts. With several parts the first
    part's gradients are there already. An item of `item` tokens is never cut.
    """
    part = max(at_once, item)
    if at_once and part < tokens:
        return _activations(compute, sizes, part)
    gradients = 0 if compute.lora_rank else _FLOAT * sizes.parameters
    return max(0.0, _activations(compute, sizes, tokens) - gradients)


def _activations(compute: Compute, sizes: _Sizes, tokens: float) -> float:
    """Bytes that forward and backward pass of `tokens` take, gradients of the layers left out."""
    kept, layer = _kept(compute, sizes, tokens)
    if compute.gradient_checkpointing:
        kept = tokens * sizes.layers * _FLOAT * sizes.hidden + layer
    logits = 4 * _FLOAT * min(tokens * sizes.vocabulary, logits_at_once(default_device()))
    if compute.lora_rank:
        return _HELD_LORA * kept + logits
    head = _FLOAT * sizes.vocabulary * sizes.hidden  # its gradient by some tokens' logits
    return _HELD * kept + logits + head


def _kept(compute: Compute, sizes: _Sizes, tokens: float) -> tuple[float, float]:
    """Bytes that the layers keep for the backward pass of `tokens`: all of them, and one."""
    half = compute.precision == "bfloat16"
    number = _HALF if half else _FLOAT
    norms = 6 * _FLOAT * sizes.hidden  # and the residual stream: in float32 whatever the precision
    attention = (_FLOAT + half * _HALF) * sizes.heads * sizes.longest if sizes.keeps_attention else 0
    layer = tokens * (norms + number * (4 * sizes.hidden + 4 * sizes.intermediate) + attention)
    if half and not compute.lora_rank:  # matrices, cast to bfloat16
        layer += _HALF * sizes.hidden * (4 * sizes.hidden + (_LINEAR - 4) * sizes.intermediate)
    return sizes.layers * layer, layer


def _cache(recipe: Recipe, sizes: _Sizes, rows: int) -> float:
    """Bytes of keys, values and one position's logits for `rows` sequences."""
    length = sizes.longest + recipe.sampling.max_new_tokens
    width = sizes.hidden * sizes.key_heads // sizes.heads
    return _FLOAT * rows * (2 * sizes.layers * width * length + 3 * sizes.vocabulary)


def _matmul_rate(hidden: int, intermediate: int) -> float:
    """Floating-point operations a CPU second of one thread, in the model's widest product for 1,024 tokens.

    CPU time, so that what else runs on the machine now does not count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a, b = torch.randn(1024, hidden), torch.randn(hidden, intermediate)
    _ = a @ b
    count, start = 0, time.process_time()
    while time.process_time() - start < _CALIBRATION_S:
        _ = a @ b
        count += 1
    spent = time.process_time() - start
    torch.set_num_threads(threads)
    return count * 2 * a.shape[0] * hidden * intermediate / spent


def _count(x: float) -> str:
    if x < 1e4:
        return f"{x:.0f}"
    return f"{x / 1e3:.0f} k" if x < 1e7 else f"{x / 1e6:.0f} M"


def _bytes(x: float) -> str:
    return f"{x / 2**20:.0f} MB" if x < 10 * 2**30 else f"{x / 2**30:.0f} GB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
