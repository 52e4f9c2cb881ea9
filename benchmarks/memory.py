"""Memory and time that training takes, beside what `rewardranker run --dry-run` estimates.

    python benchmarks/memory.py [-o FOLDER] [--width N] [--layers N] [--vocabulary N]

SFT, ranker training and PPO with critic, of two steps each, on a Llama with random weights, under
several settings of the recipe's [compute] and with `tokens_at_once`; each in a process of its own. Memory is
the process's peak after its models were loaded, over what it had before. The estimate is of a recipe with the
same problems, settings and sizes: every sequence has the same length, so that nothing about it is a guess.

Time is CPU seconds of all threads, which other work on the machine hardly changes, against the estimate's:
the seconds that it prints times its threads.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from rewardranker import estimate
from rewardranker.files import write_json, write_text
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import load_recipe
from side_by_side import Worker, characters, characters_tokenizer, machine, make_model, started

PROBLEMS, PROMPT, COMPLETION = 2, 512, 128
STAGES = {"sft": "0-sft", "reward": "1-reward", "ppo": "1-ppo"}
AT_ONCE = "{stage}.tokens_at_once=640"
SETTINGS = {
    "as it is": [],
    "tokens_at_once = 640": [AT_ONCE],
    "gradient_checkpointing": ["compute.gradient_checkpointing=true"],
    "bfloat16": ["compute.precision=bfloat16"],
    "lora_rank = 8": ["compute.lora_rank=8"],
    "all four": [
        "compute.gradient_checkpointing=true",
        "compute.precision=bfloat16",
        "compute.lora_rank=8",
        AT_ONCE,
    ],
}
RECIPE = f"""
name = "memory"
align = "ppo"
iterations = 1
[problems]
files = ["problems.jsonl"]
verify_references = false
[generator]
checkpoint = "model"
[sft]
epochs = 2
batch_size = {PROBLEMS}
[sampling]
n = 3
max_new_tokens = {COMPLETION}
[reward]
epochs = 1
groups_per_batch = 1
max_per_side = 2
validation = 0.0
[ppo]
iterations = 1
prompts = {PROBLEMS}
samples = 4
minibatch = 4
epochs = 1
max_kl = 1e9
check_problems = 1
"""
"""Two steps each: only the second has AdamW's moments while it computes. Three candidates and the
reference are the two right and the two wrong programs of a group."""


def prepare(folder: Path, width: int, layers: int, vocabulary: int) -> None:
    rng = random.Random(0)
    rows = [
        {
            "id": str(i),
            "prompt": characters(rng, PROMPT - 1),  # and bos
            "tests": "",
            "reference": characters(rng, COMPLETION - 1),  # and eos
            "split": "reference" if i < PROBLEMS else "test",
        }
        for i in range(PROBLEMS + 1)
    ]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.toml").write_text(RECIPE)
    tokenizer = characters_tokenizer(vocabulary)
    generator = Generator(make_model(tokenizer, width, layers), tokenizer)
    generator.save(folder / "model")
    RewardRanker.from_generator(generator, "likelihood", seed=0).save(folder / "ranker")


def compare(worker: Worker, folder: Path, stage: str, name: str, rate: float) -> dict[str, Any]:
    settings = [setting.format(stage=stage) for setting in SETTINGS[name]]
    recipe = load_recipe(str(folder / "recipe.toml"), tuple(settings))
    sizes = estimate._sizes(recipe)
    (expected,) = (s for s in estimate._stages(recipe, sizes) if s.name == STAGES[stage])
    found = worker.ask(
        recipe=str(folder / "recipe.toml"), settings=settings, stage=stage, ranker=str(folder / "ranker")
    )
    result = {
        "stage": stage,
        "settings": name,
        "parameters": sizes.parameters,
        "estimated_mb": expected.memory / 2**20,
        "estimated_cpu_s": estimate._cpu_s(expected, sizes, rate),
        **found,
    }
    print(row(result), flush=True)
    return result


def row(r: dict[str, Any]) -> str:
    return (
        f"| {r['stage']} | {r['settings']} | {r['estimated_mb']:.0f} | {r['peak_mb']:.0f} | "
        f"{r['peak_mb'] / r['estimated_mb']:.2f} | {r['estimated_cpu_s']:.0f} | {r['cpu_s']:.0f} | "
        f"{r['cpu_s'] / r['estimated_cpu_s']:.2f} |"
    )


def page(report: dict[str, Any]) -> list[str]:
    on = report["machine"]
    return [
        "# Memory and time of training, estimated and measured",
        "",
        f"`{report['command']}`. {on['processor']}, {on['threads']} threads, torch {on['torch']}, "
        f"transformers {on['transformers']}; load {on['load']:.1f} when it began. A Llama of width "
        f"{report['width']} with "
        f"{report['layers']} layers and a vocabulary of {report['vocabulary']}, "
        f"{report['found'][0]['parameters'] / 1e6:.0f} million parameters; prompts of {PROMPT} tokens, "
        f"completions of {COMPLETION}; SFT on {PROBLEMS} of them a step, ranker and PPO on a prompt and four "
        f"completions. Matrix products reach {report['rate'] / 1e9:.0f} GFLOP/s a thread.",
        "",
        "| stage | settings | estimated MB | measured MB | measured / estimated | estimated CPU s "
        "| measured CPU s | measured / estimated |",
        "|" + " --- |" * 8,
        *map(row, report["found"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, help="folder for memory.md and memory.json")
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=32768)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("width", "layers", "vocabulary")}
    report: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/memory.py", *sys.argv[1:]]),
        "machine": machine(),
        **sizes,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, **sizes)
        report["rate"] = estimate._matmul_rate(arguments.width, 3 * arguments.width)
        with started(sys.executable, Path(__file__).parent / "memory_worker.py") as worker:
            report["found"] = [
                compare(worker, folder, stage, settings, report["rate"])
                for stage in arguments.stages
                for settings in SETTINGS
            ]
    lines = page(report)
    text = "\n".join(lines) + "\n"
    print("\n" + text)
    if arguments.out:
        write_json(arguments.out / "memory.json", report)
        write_text(arguments.out / "memory.md", text)


if __name__ == "__main__":
    main()
