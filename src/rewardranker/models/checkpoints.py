"""Loading models from local folders, and how they are set up to compute on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    DynamicCache,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from rewardranker.errors import UserError
from rewardranker.models.tokens import context_length

transformers_logging.disable_progress_bar()  # progress is shown by `rewardranker.progress` alone

_SMALL = 512
"""Widest model whose attention is computed as plain matrix products on a CPU."""

_ATTENTION = {"full_attention", "sliding_attention"}
_NO_ATTENTION = (
    "{}: a {} model has {} layers, whose state the completions of a prompt can't share; give a model with "
    "full or sliding attention only, such as Llama or Qwen2"
)

_PROBE = "def f(x):\n    return  x[1:] # 2\n"


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local Hugging Face folder; nothing is downloaded.

    A tokenizer.json is taken as it stands, for it is what the model was trained with. `AutoTokenizer` builds
    it anew by the class that tokenizer_config.json names, which since transformers 5 gives DeepSeek-Coder the
    tokenizer of Llama, without any blank or line break (huggingface/transformers#46489).

    Raises:
        UserError: there is no tokenizer, it has no end token, or it loses part of a program.
    """
    loader = PreTrainedTokenizerFast if (path / "tokenizer.json").is_file() else AutoTokenizer
    try:
        tokenizer = loader.from_pretrained(path, local_files_only=True)
    except Exception as e:  # tokenizers raises nothing narrower where it can't read a file
        raise UserError(
            f"{path}: its tokenizer cannot be loaded ({type(e).__name__}: {e}); is it there, whole, and no "
            "git-lfs pointer?"
        ) from e
    if tokenizer.eos_token_id is None:
        raise UserError(f"{path}: the tokenizer has no end token; set eos_token in tokenizer_config.json")
    ids = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    if back != _PROBE:
        raise UserError(f"{path}: the tokenizer cannot write programs: of {_PROBE!r} it makes {back!r}")
    return tokenizer


def default_device() -> torch.device:
    """Where models compute: the CUDA GPU, if there is one (CUDA_VISIBLE_DEVICES= hides it), or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that new tensors can take, those included that torch holds and doesn't use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators, the CPU's and the GPU's, and put them back afterwards."""
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield


def load_checkpoint(
    path: Path, auto_class: Any, dtype: torch.dtype | None = None, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model, on `default_device()`, and tokenizer from a local Hugging Face folder; nothing is downloaded.

    A tokenizer whose pad token is its end token, or that has none, gets another in that role: with pad = eos
    no one could tell where a completion ends.

    Args:
        path: the folder.
        auto_class: `AutoModelForCausalLM` or `AutoModelForSequenceClassification`.
        dtype: of the weights (for training see `rewardranker.models.lora.weights_dtype`). None: as the folder
            has them on a GPU, float32 on a CPU, whose kernels for half precision are slow.
        options: more arguments of the class's `from_pretrained`.

    Raises:
        UserError: the folder holds no such model with a tokenizer that has an end token, or a causal one
            with other layers than attention.
    """
    kind = auto_class.__name__.removeprefix("AutoModelFor")
    if not (path / "config.json").is_file():
        raise UserError(f"{path}: no model here (config.json is missing); give a Hugging Face model folder")
    tokenizer = load_tokenizer(path)
    kept: torch.dtype | str = "auto" if default_device().type == "cuda" else torch.float32
    try:
        model, found = auto_class.from_pretrained(
            path, local_files_only=True, dtype=dtype or kept, output_loading_info=True, **options
        )
    except Exception as e:  # of transformers, safetensors, pickle: they have no class in common
        raise UserError(
            f"{path}: cannot be loaded as a {kind} model ({type(e).__name__}: {e}); are its files whole, no "
            "git-lfs pointers, and config.json that of the weights?"
        ) from e
    if found["missing_keys"]:
        missing = ", ".join(sorted(found["missing_keys"])[:3])
        raise UserError(f"{path}: not a {kind} model: it has no weights for {missing}")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.add_special_tokens({"pad_token": _pad_token(tokenizer)})
        _make_room(model, len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    model = model.to(default_device())
    if kind == "CausalLM":
        check_layers(path, model.config)
        _check_cache(path, model)
    context_length(model)
    return model, tokenizer


def check_layers(path: Path, config: PreTrainedConfig) -> None:
    """Refuse a model with layers whose state several completions of a prompt can't share: recurrent, say.

    Raises:
        UserError: it has other layers than full and sliding attention.
    """
    other = set(getattr(config.get_text_config(), "layer_types", None) or ()) - _ATTENTION
    if other:
        raise UserError(_NO_ATTENTION.format(path, config.model_type, ", ".join(sorted(other))))


@torch.no_grad()
def _check_cache(path: Path, model: PreTrainedModel) -> None:
    """Refuse a model that keeps something else of a prompt than attention does, whatever its config says."""
    output = model(input_ids=_some_ids(model), use_cache=True)
    if not isinstance(getattr(output, "past_key_values", None), DynamicCache):
        raise UserError(_NO_ATTENTION.format(path, model.config.model_type, "recurrent"))


@torch.no_grad()
def check_logits(model: PreTrainedModel) -> None:
    """Refuse a causal language model whose logits aren't the head's, applied to the backbone's states.

    Training and the likelihood head compute them so (`rewardranker.models.prefix`). A few tokens tell whether
    the model does the same; its head is made to say known numbers, of a range that trained models reach,
    which must come out as they are. A model without such a head passes.

    Raises:
        UserError: it caps or scales them, before or after the head.
    """
    head = model.get_output_embeddings()
    if head is None:
        return
    seen: list[Tensor] = []

    def say(_head: nn.Module, states: tuple[Tensor], logits: Tensor) -> Tensor:
        seen[:] = states[0], torch.linspace(-100, 100, logits.numel()).to(logits).view_as(logits)
        return seen[1]

    trained = model.training
    model.eval()  # without dropout
    hook = head.register_forward_hook(say)
    try:
        ids = _some_ids(model)
        backbone = getattr(model.base_model(input_ids=ids), "last_hidden_state", None)
        logits = model(input_ids=ids).logits
    finally:
        hook.remove()
        model.train(trained)
    as_here = (
        backbone is not None
        and bool(seen)
        and torch.equal(logits.float(), seen[1].float())
        and not (seen[0] - backbone).float().norm() > 0.1 * backbone.float().norm()  # kernels may round apart
    )
    if not as_here:
        raise UserError(
            f"{model.name_or_path}: a {model.config.model_type} model changes its logits before or after its "
            "head (by a cap or a scale, say), and training would not; train a model of another family, such "
            "as Llama or Qwen2"
        )


def _some_ids(model: PreTrainedModel) -> Tensor:
    """[1, T] of its vocabulary."""
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    return torch.arange(1, 9, device=model.device)[None] % embeddings.num_embeddings


def _pad_token(tokenizer: PreTrainedTokenizerBase) -> str:
    """unk, a special token that is called some kind of pad (StarCoder2's <fim_pad>), or a new one."""
    if tokenizer.unk_token_id not in (None, tokenizer.eos_token_id, tokenizer.bos_token_id):
        return str(tokenizer.unk_token)
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return next((token for token in special if "pad" in token and token != tokenizer.eos_token), "<pad>")


@torch.no_grad()
def _make_room(model: PreTrainedModel, tokens: int) -> None:
    """Give each token a row of the embeddings; published models often have rows to spare.

    A new row is the mean of the others, so that in sampling it is less likely than their average.
    """
    size = model.get_input_embeddings().num_embeddings
    if tokens <= size:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        if layer is not None:
            layer.weight[size:] = layer.weight[:size].mean(0)


def prefer_fast_kernels(model: PreTrainedModel) -> None:
    """Have a small model on an x86 CPU use the kernels that are fastest for small matrices; same results.

    On AMD processors torch's default library (MKL) runs float32 products at half speed: oneDNN takes 0.37
    instead of 0.82 ms for 960 x 128 x 384 on one Zen core. Torch has no switch for oneDNN as such; this one
    permits it to use bfloat16, which it does on processors with AMX only, so there it stays off.
    Small attention is faster as plain products, too (training steps of the micro decoder: 22.6 against 14.8
    a CPU second).
    """
    if not _is_small(model):
        return
    processor = torch.cpu.get_capabilities()
    if processor.get("avx512_f") and not processor.get("amx_tile"):
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    model.set_attn_implementation("eager")


@contextmanager
def decoding_kernels(model: PreTrainedModel) -> Iterator[None]:
    """Have a model use what is fastest for decoding meanwhile; same results.

    For a small one on a CPU fused attention is faster for a single query, and oneDNN compiles a kernel for
    every number of rows, which costs more than it gains while rows leave the batch (1,900 samples a CPU
    second of the micro decoder from the first call on, against 1,300 to 1,700). Under autocast on a GPU the
    weights are converted once, not for every token.
    """
    if model.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        with torch.autocast("cuda", torch.get_autocast_dtype("cuda"), cache_enabled=True):
            try:
                yield
            finally:
                torch.clear_autocast_cache()
        return
    if not _is_small(model):
        yield
        return
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    precision, matmul.fp32_precision = matmul.fp32_precision, "ieee"
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        matmul.fp32_precision = precision
        model.set_attn_implementation("eager")


@contextmanager
def fused_attention(model: PreTrainedModel) -> Iterator[None]:
    """Have a small model on a CPU compute attention fused meanwhile, as is faster without gradients."""
    if model.config._attn_implementation != "eager":
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation("eager")


def _is_small(model: PreTrainedModel) -> bool:
    return bool(model.device.type == "cpu" and model.config.get_text_config().hidden_size <= _SMALL)
