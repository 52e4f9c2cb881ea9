"""What benchmarks beside peers share: a peer's environment and process, models, texts of given lengths."""

import argparse
import json
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from environments import environment
from peers.serve import CPU
from rewardranker.files import write_json, write_text
from rewardranker.models.generator import Generator

PEERS = Path(__file__).parent / "peers"
VOCABULARY = 4096


def trl(release: str) -> Path:
    """The interpreter of an environment with this TRL, and the torch and transformers that we have."""
    ours = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "transformers")]
    return environment(f"trl-{release}", f"trl=={release}", *ours)


class Worker:
    """A process that answers one JSON line for each that it is sent (`peers/serve.py`); idle in between."""

    def __init__(self, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._process, self._log = process, log

    def ask(self, **request: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({**request, "threads": torch.get_num_threads()}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            sys.exit(f"{self._process.args!r} ended:\n{self._log.read()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def started(*command: str | Path) -> Iterator[Worker]:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environ,
        ) as process,
    ):
        yield Worker(process, log)  # afterwards its stdin is closed, and it ends


def best(name: str, values: Sequence[int], rate: Callable[[dict[str, Any]], float]) -> dict[str, Any]:
    """The peer's setting with which it is fastest: one of `values` for `name`, and a kind of attention."""

    def tried(value: int, attention: str) -> tuple[float, dict[str, Any]]:
        setting = {name: value, "attention": attention}
        found = rate(setting)
        print(f"  peer with {describe(setting)}: {found:.1f} /s", flush=True)
        return found, setting

    fused = max((tried(value, "sdpa") for value in values), key=lambda pair: pair[0])
    return max(fused, tried(fused[1][name], "eager"), key=lambda pair: pair[0])[1]


def describe(setting: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in setting.items())


def alternate(rounds: int, **sides: Callable[[], float]) -> dict[str, Any]:
    """Rates of the sides in alternating rounds: all, medians, and ours over the peer's, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, rate in sides.items():
            rates[name].append(rate())
    ours, peer = rates["ours"], rates["peer"]
    return {
        "rates": rates,
        **{name: statistics.median(found) for name, found in rates.items()},
        "times": statistics.median(ours) / statistics.median(peer),
        "times_by_round": [a / b for a, b in zip(ours, peer, strict=True)],
    }


def spread(found: dict[str, Any]) -> str:
    low, high = min(found["times_by_round"]), max(found["times_by_round"])
    return f"{found['times']:.2f} ({low:.2f} to {high:.2f})"


_CHARACTERS = [*string.printable, *map(chr, range(0x4E00, 0xD800))]


def characters_tokenizer(size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A token a character: texts of any number of tokens are easily made, and read back as sampled."""
    vocabulary = {t: i for i, t in enumerate(("<pad>", "<bos>", "<eos>", *_CHARACTERS[: size - 3]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def characters(rng: random.Random, count: int) -> str:
    """A text of `count` tokens."""
    return "".join(rng.choices(_CHARACTERS[: VOCABULARY - 3], k=count))


def make_model(
    tokenizer: PreTrainedTokenizerFast, width: int, layers: int, mlp_bias: bool = False
) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, width // 64),
        max_position_embeddings=4096,
        mlp_bias=mlp_bias,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def make_generator(width: int, layers: int, mean_length: float) -> Generator:
    """Random weights, whose samples end with probability 1 / `mean_length` at every token (inf: never).

    The last layer adds one direction to all states, and along it lie the weights of the special tokens.
    """
    tokenizer = characters_tokenizer()
    model = make_model(tokenizer, width, layers, mlp_bias=True)
    direction = torch.randn(width)
    direction /= direction.norm()
    with torch.no_grad():
        model.model.layers[-1].mlp.down_proj.bias.copy_(0.5 * direction)
        states = model.model(torch.randint(3, VOCABULARY, (4, 64))).last_hidden_state
        along = states @ direction
        others = torch.logsumexp(model.lm_head(states)[..., 3:], -1)
        low, high = -50.0, 50.0
        for _ in range(50):  # bisection
            middle = (low + high) / 2
            ends = torch.sigmoid(middle * along / along.mean() - others).mean()
            low, high = (middle, high) if ends < 1 / mean_length else (low, middle)
        weights = model.lm_head.weight
        weights[[tokenizer.pad_token_id, tokenizer.bos_token_id]] = -50 / along.mean() * direction
        weights[tokenizer.eos_token_id] = low / along.mean() * direction
    return Generator(model, tokenizer)


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("-o", "--out", type=Path, help=f"folder for {name}.md and {name}.json")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--width", type=int, default=256, help="of the model")
    found.add_argument("--layers", type=int, default=4, help="of the model")
    found.add_argument("--cpu", action="store_true", help="measure CPU seconds: for a busy machine")
    return found


def parse(arguments: argparse.ArgumentParser) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The arguments, and the beginning of the report; processes started from here on know the clock."""
    found = arguments.parse_args()
    if found.cpu:
        os.environ[CPU] = "1"
    settings = {key: value for key, value in vars(found).items() if key != "out"}
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return found, {"command": command, "machine": machine(), **settings}


def machine() -> dict[str, Any]:
    processor = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }


def write(out: Path | None, name: str, report: dict[str, Any], lines: Sequence[str]) -> None:
    """Print a page and write it with its figures; `lines` follow the title and the machine."""
    on = report["machine"]
    clock = "CPU seconds" if report["cpu"] else "seconds"
    where = (
        f"{on['processor']}, {on['threads']} threads, float32, torch {on['torch']}, transformers "
        f"{on['transformers']}; {clock}; load {on['load']:.1f} when it began."
    )
    text = "\n".join([*lines[:2], where, "", *lines[2:]]) + "\n"
    print("\n" + text)
    if out:
        write_json(out / f"{name}.json", report)
        write_text(out / f"{name}.md", text)
