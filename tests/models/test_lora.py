import copy

import numpy as np
import pytest
import torch
from tiny import TEXTS

from rewardranker.errors import UserError
from rewardranker.models.checkpoints import default_device
from rewardranker.models.generator import Generator
from rewardranker.models.lora import (
    add_adapters,
    has_adapters,
    prepared,
    take_off_adapters,
    weights_dtype,
    without_adapters,
)
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import Compute

LORA = Compute(lora_rank=4)
IDS = torch.arange(3, 20)[None]


@pytest.fixture(params=["generator", "scalar"])
def any_model(request, generator):
    if request.param == "generator":
        return generator.model
    return RewardRanker.from_generator(generator, "scalar", 0).model


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


def move(model) -> None:
    """As training would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def test_adapters_change_nothing_at_first_and_are_few(any_model) -> None:
    before, count = logits(any_model), any_model.num_parameters()
    add_adapters(any_model, LORA)
    assert torch.equal(logits(any_model), before)
    trained = [name for name, p in any_model.named_parameters() if p.requires_grad]
    assert all("lora_" in name or name == "score.weight" for name in trained)
    assert sum(p.numel() for p in any_model.parameters() if p.requires_grad) < count / 2


def test_the_seed_alone_decides_how_they_start(generator) -> None:
    def start(seed, elsewhere):
        torch.manual_seed(elsewhere)
        model = generator.copy().model
        add_adapters(model, LORA, seed)
        assert torch.initial_seed() == elsewhere
        return torch.cat([p.flatten() for name, p in model.named_parameters() if "lora_A" in name])

    assert torch.equal(start(1, elsewhere=1), start(1, elsewhere=2))
    assert not torch.equal(start(1, elsewhere=1), start(2, elsewhere=1))


@pytest.mark.parametrize("training", [True, False])
def test_their_dropout_is_on_in_training_mode_only(generator, training) -> None:
    generator.model.train(training)
    add_adapters(generator.model, Compute(lora_rank=4, lora_dropout=0.5))
    assert {module.training for module in generator.model.modules()} == {training}


def test_switched_off_they_leave_the_model_as_it_was(generator) -> None:
    before = logits(generator.model)
    add_adapters(generator.model, LORA)
    move(generator.model)
    assert not torch.allclose(logits(generator.model), before)
    with without_adapters(generator.model):
        assert torch.equal(logits(generator.model), before)
    assert not torch.allclose(logits(generator.model), before)


def test_merged_they_are_a_plain_model_that_saves_and_loads(any_model, tokenizer, tmp_path) -> None:
    names = {name for name, _ in any_model.named_parameters()}
    add_adapters(any_model, LORA)
    move(any_model)
    moved = logits(any_model)
    take_off_adapters(any_model, merge=True)
    assert not has_adapters(any_model)
    torch.testing.assert_close(logits(any_model), moved, atol=1e-4, rtol=1e-4)
    assert {name for name, _ in any_model.named_parameters()} == names
    assert all(p.requires_grad for p in any_model.parameters())
    any_model.save_pretrained(tmp_path)
    loaded = type(any_model).from_pretrained(tmp_path)
    torch.testing.assert_close(logits(loaded), moved, atol=1e-4, rtol=1e-4)


def test_taken_off_they_are_gone(generator) -> None:
    before = logits(generator.model)
    add_adapters(generator.model, LORA)
    move(generator.model)
    take_off_adapters(generator.model, merge=False)
    assert torch.equal(logits(generator.model), before)


def test_without_a_rank_nothing_happens(generator) -> None:
    state = copy.deepcopy(generator.model.state_dict())
    with prepared(generator.model, Compute()), without_adapters(generator.model):
        assert not has_adapters(generator.model)
    assert all(torch.equal(state[k], v) for k, v in generator.model.state_dict().items())


def test_frozen_weights_in_bfloat16_take_half(generator) -> None:
    add_adapters(generator.model, Compute(lora_rank=4, precision="bfloat16"))
    kinds = {p.requires_grad: p.dtype for p in generator.model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}


def test_it_says_what_to_install(generator, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'rewardranker\[lora\]'"):
        add_adapters(generator.model, LORA)


def test_a_generator_with_adapters_samples(generator) -> None:
    from rewardranker.problems.problem import Problem

    problems = [Problem("p", "python", TEXTS[0], "")]
    settings = {"n": 2, "temperature": 1.0, "max_new_tokens": 8, "seed": 1, "policy": "", "batch_size": 4}
    before = [c.text for c in Generator(generator.model, generator.tokenizer).sample(problems, **settings)]
    add_adapters(generator.model, LORA)
    assert [c.text for c in generator.sample(problems, **settings)] == before


def test_loaded_in_bfloat16_what_is_trained_is_float32(generator, tmp_path) -> None:
    RewardRanker.from_generator(generator, "scalar", 0).save(tmp_path / "ranker")
    ranker = RewardRanker.from_pretrained(tmp_path / "ranker", dtype=torch.bfloat16)
    assert {p.dtype for p in ranker.model.parameters()} == {torch.bfloat16}
    add_adapters(ranker.model, Compute(lora_rank=4, precision="bfloat16"))
    for parameter in ranker.model.parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16)


def test_on_a_cpu_weights_are_loaded_in_float32() -> None:
    if default_device().type == "cpu":
        assert weights_dtype(Compute(precision="bfloat16", lora_rank=4), trained=False) == torch.float32
    assert weights_dtype(Compute(precision="bfloat16"), trained=True) == torch.float32
    assert weights_dtype(Compute(lora_rank=4), trained=True) == torch.float32


def test_scores_have_the_digits_of_float32(generator) -> None:
    ranker = RewardRanker.from_generator(generator, "scalar", 0)
    with prepared(ranker.model, Compute(precision="bfloat16")):
        scores = ranker.score(["def f(x):\n"] * 2, ["    return 1\n", "    return 2\n"])
    assert not np.array_equal(scores, torch.tensor(scores).bfloat16().double().numpy())
