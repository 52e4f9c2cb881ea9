import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from real import write_checkpoint
from transformers import CodeGenConfig, Lfm2Config, T5Config

from rewardranker import estimate as module
from rewardranker.errors import UserError
from rewardranker.estimate import estimate
from rewardranker.models.decoder import build_decoder
from rewardranker.models.generator import Generator
from rewardranker.models.lora import add_adapters, prepared
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.problems.micro.generate import micro_problems
from rewardranker.recipe import PLAIN, SFT, Compute, Decoder, MicroProblems, Recipe, load_recipe
from rewardranker.training.sft import train_sft


def table(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Stage -> tokens, executions, memory, time, as printed."""
    lines = estimate(recipe).splitlines()
    start = lines.index("") + 2
    rows = [
        line.replace(" k", "k").replace(" M", "M").split() for line in lines[start : lines.index("", start)]
    ]
    return {row[0]: tuple(row[1:]) for row in rows}


def stages(*settings: str) -> dict[str, module._Stage]:
    recipe = load_recipe("tiny", settings)
    return {s.name: s for s in module._stages(recipe, module._sizes(recipe))}


def test_the_stages_are_those_of_the_loop() -> None:
    expected = [
        "problems",
        "0-sft",
        "0-sample",
        "1-reward",
        "1-rft",
        "1-sample",
        "1-mine",
        "2-reward",
        "2-rft",
    ]
    expected += [
        "0-sft-longer",
        "test-sft",
        "test-sft-longer",
        "test-aligned-1",
        "test-aligned-2",
        "evaluate",
    ]
    assert list(stages()) == expected
    assert list(table(load_recipe("tiny"))) == [*expected, "all"]
    assert list(stages("align=ppo", "iterations=1", "evaluation.longer_sft_epochs=0")) == [
        *("problems", "0-sft", "0-sample", "1-reward", "1-ppo", "test-sft", "test-aligned-1", "evaluate"),
    ]


def test_what_can_be_known_is_exact() -> None:
    recipe = load_recipe("tiny", ("problems.micro.reference=60",))
    problems = [
        p for p in micro_problems(MicroProblems(reference=60, pool=1, step_weights=(1,)), 1) if p.reference
    ]
    problems = [p for p in problems if p.split == "reference"]
    examples = [(p.prompt, p.reference or "") for p in problems]
    assert recipe.generator.decoder is not None
    tokenizer = train_tokenizer((a + b for a, b in examples), recipe.generator.decoder.vocabulary)
    generator = Generator(build_decoder(recipe.generator.decoder, tokenizer, 1), tokenizer)
    found = {s.name: s for s in module._stages(recipe, module._sizes(recipe))}
    (epoch,) = train_sft(generator, examples, SFT(epochs=1), seed=1)
    # The sample holds a development problem beside the references, so lengths agree closely, not exactly.
    assert found["0-sft"].trained == pytest.approx(8 * epoch["tokens"], rel=0.03)
    assert found["problems"].executions == 80
    assert found["0-sample"].executions == 500
    assert found["test-sft"].executions == 30 * (6 + 6 + 1 + 6)  # two temperatures, greedy, probes


@pytest.mark.parametrize(
    ("setting", "stage", "field", "factor"),
    [
        ("sft.epochs=16", "0-sft", "trained", 2),
        ("sampling.n=10", "0-sample", "sampled", 2),
        ("mining.n=10", "1-sample", "executions", 2),
        ("reward.epochs=4", "1-reward", "trained", 2),
        ("problems.micro.test=60", "evaluate", "scored", 2),
        ("problems.micro.languages=['python', 'bash', 'php']", "test-sft", "executions", 3),
        ("problems.micro.languages=['python', 'bash', 'php']", "0-sample", "executions", 1),
    ],
)
def test_twice_the_work_is_twice_the_number(setting: str, stage: str, field: str, factor: float) -> None:
    before, after = getattr(stages()[stage], field), getattr(stages(setting)[stage], field)
    assert after == pytest.approx(factor * before)


def test_programs_of_some_languages_take_longer() -> None:
    def mean(*languages: str) -> float:
        recipe = load_recipe("tiny", (f"problems.micro.languages={list(languages)}",))
        return module._sizes(recipe).execution_s

    assert mean("python") < mean("python", "php") < mean("php") < mean("cpp")


def test_training_memory_holds_weights_gradients_and_two_moments() -> None:
    recipe = load_recipe("tiny")
    sizes = module._sizes(recipe)
    found = {s.name: s for s in module._stages(recipe, sizes)}
    assert found["0-sft"].memory > 16 * sizes.parameters


def test_files_and_a_checkpoint_of_ones_own(tmp_path: Path) -> None:
    rows = [
        {"id": f"p{i}", "prompt": f"def f{i}():\n", "tests": "", "reference": f"    return {i}\n"}
        for i in range(10)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = train_tokenizer((str(row["prompt"]) for row in rows), 300)
    decoder = Decoder(hidden=32, layers=1, heads=2, intermediate=48)
    Generator(build_decoder(decoder, tokenizer, 1), tokenizer).save(tmp_path / "model")
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "own"\n[problems]\nfiles = ["p.jsonl"]\n[generator]\ncheckpoint = "model"\n')
    found = table(load_recipe(str(recipe)))
    assert found["problems"][1] == "10"
    assert found["test-sft"][1] == str(2 * (2 * 10 + 1))  # without an output probe no program runs twice
    missing = load_recipe(str(recipe), (f"generator.checkpoint={tmp_path / 'none'}",))
    with pytest.raises(UserError, match="none: cannot be read as a model"):
        estimate(missing)
    config = tmp_path / "model" / "config.json"
    for text, message in (
        (T5Config(num_layers=1).to_json_string(), "model: a t5 model is no causal language model"),
        (
            Lfm2Config(layer_types=["conv"], num_hidden_layers=1).to_json_string(),
            "model: a lfm2 model has conv",
        ),
        (CodeGenConfig(n_layer=1).to_json_string(), "reward.head is 'scalar', but .* 'codegen'"),
        ('{"model_type": "llama", "hidden_size": 33}', "model: cannot be read as a model"),
    ):
        config.write_text(text)
        with pytest.raises(UserError, match=message):
            estimate(load_recipe(str(recipe), ("reward.head=scalar",)))


def test_it_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    estimate(load_recipe("tiny"))
    assert torch.get_num_threads() == before


def test_shared_key_heads_are_counted_once(tmp_path: Path) -> None:
    """Qwen2.5-Coder's way: as many heads of queries, half or fewer of keys and values."""
    page = tmp_path / "p.jsonl"
    page.write_text('{"id": "a", "prompt": "def f():\\n", "tests": "f()", "reference": "    pass\\n"}\n')
    model = write_checkpoint(
        tmp_path / "model", "qwen2.5-coder", ["def f():\n"] * 2, hidden=512, layers=8, context=4096
    )
    settings = (f"generator.checkpoint={model}", f'problems.files=["{page}"]', "sampling.max_new_tokens=4000")
    recipe = load_recipe("qwen2.5-coder-0.5b", settings)

    def sampling_mb() -> float:
        return float(re.search(r"^0-sample .*?([\d.]+) MB", estimate(recipe), re.MULTILINE)[1])

    shared = sampling_mb()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_key_value_heads": 4}))
    assert shared / sampling_mb() == pytest.approx(0.5, abs=0.05)


def test_adapters_take_what_they_take(generator_of_tiny) -> None:
    model, sizes = generator_of_tiny
    add_adapters(model, Compute(lora_rank=4))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert module._trained(Compute(lora_rank=4), sizes) == 16 * trained + 4 * frozen
    half = module._trained(Compute(lora_rank=4, precision="bfloat16"), sizes)
    assert half == 16 * trained + 2 * frozen


@pytest.fixture
def generator_of_tiny():
    recipe = load_recipe("tiny", ("problems.micro.reference=60",))
    sizes = module._sizes(recipe)
    tokenizer = train_tokenizer(["def f(xs):\n"] * 2, 300)
    model = build_decoder(recipe.generator.decoder, tokenizer, 1)
    return model, replace(sizes, parameters=model.num_parameters())


@pytest.mark.parametrize(
    ("setting", "size"),
    [
        ("compute.lora_rank=1", "sft.batch_size=1"),  # where weights are more than activations
        ("compute.gradient_checkpointing=true", "sft.batch_size=64"),
        ("sft.tokens_at_once=512", "sft.batch_size=64"),
        ('compute.precision="bfloat16"', "sft.batch_size=64"),
    ],
)
def test_what_saves_memory_saves_it(setting: str, size: str) -> None:
    assert stages(setting, size)["0-sft"].memory < stages(size)["0-sft"].memory


def test_adapters_share_the_weights_of_reference_and_critic() -> None:
    sizes = replace(module._sizes(load_recipe("tiny")), parameters=10**9)  # beside which the rest is nothing

    def gigabytes(*settings: str) -> float:
        found = module._stages(load_recipe("tiny", ("align=ppo", *settings)), sizes)
        return next(s.memory for s in found if s.name == "1-ppo") / 1e9

    assert gigabytes() == pytest.approx(2 * 16 + 2 * 4, rel=0.01)
    assert gigabytes("ppo.advantage=rloo") == pytest.approx(16 + 2 * 4, rel=0.01)
    assert gigabytes("compute.lora_rank=1") == pytest.approx(2 * 4, rel=0.01)
    assert gigabytes("compute.lora_rank=1", "compute.precision=bfloat16") == pytest.approx(2 * 4, rel=0.01)


def test_a_ranker_starts_from_a_copy_and_models_are_loaded_in_float32() -> None:
    sizes = replace(module._sizes(load_recipe("tiny")), parameters=10**9)

    def gigabytes(stage: str, *settings: str) -> float:
        found = module._stages(load_recipe("tiny", settings), sizes)
        return next(s.memory for s in found if s.name == stage) / 1e9

    lean = ("compute.lora_rank=1", "compute.precision=bfloat16")
    assert gigabytes("0-sft") == pytest.approx(16, rel=0.01)
    assert gigabytes("0-sft", *lean) == pytest.approx(4, rel=0.01)
    assert gigabytes("1-reward") == pytest.approx(4 + 16, rel=0.01)
    assert gigabytes("1-reward", *lean) == pytest.approx(4 + 4, rel=0.01)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "compute",
    [
        PLAIN,
        Compute(precision="bfloat16"),
        Compute(lora_rank=2),
        Compute(lora_rank=2, precision="bfloat16"),
    ],
    ids=["plain", "bfloat16", "lora", "lora, bfloat16"],
)
def test_activations_are_what_autograd_keeps(attention, compute) -> None:
    tokenizer = train_tokenizer(["def f(xs):\n"] * 2, 300)
    decoder = Decoder(hidden=128, layers=3, heads=4, intermediate=320, context=64)
    model = build_decoder(decoder, tokenizer, 1)
    model.set_attn_implementation(attention)
    rows, longest = 4, 60
    sizes = replace(
        module._sizes(load_recipe("tiny", ("problems.micro.reference=60",))),
        hidden=128,
        layers=3,
        heads=4,
        intermediate=320,
        longest=longest,
        keeps_attention=attention == "eager",
    )
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with prepared(model, compute):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            states = model.base_model(input_ids=torch.full((rows, longest), 5), use_cache=False)
        for parameter in model.parameters():
            kept.pop(parameter.untyped_storage().data_ptr(), None)
    assert states.last_hidden_state.requires_grad
    expected, _ = module._kept(compute, sizes, rows * longest)
    assert sum(kept.values()) == pytest.approx(expected, rel=0.15)
