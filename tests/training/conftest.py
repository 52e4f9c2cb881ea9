"""A task that a tiny decoder learns in seconds: copy the number of the prompt into the code."""

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from rewardranker.models.decoder import build_decoder
from rewardranker.models.generator import Generator
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Decoder


def prompt(k: int) -> str:
    return f'def f(xs):\n    """Return {k}."""\n'


def completion(k: int) -> str:
    return f"    return {k}\n"


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([prompt(k) + completion(k) for k in range(10)], 300)


@pytest.fixture(scope="session")
def untrained(tokenizer: PreTrainedTokenizerFast) -> Generator:
    config = Decoder(hidden=64, layers=1, heads=2, intermediate=64, context=48)
    model = build_decoder(config, tokenizer, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3.0)  # a tiny model learns sooner from larger weights
    return Generator(model, tokenizer)


@pytest.fixture
def generator(untrained: Generator) -> Generator:
    return untrained.copy()


@pytest.fixture(scope="session")
def examples() -> list[tuple[str, str]]:
    return [(prompt(k), completion(k)) for k in range(10)]


@pytest.fixture
def problems() -> list[Problem]:
    return [Problem(f"return-{k}", "python", prompt(k), "", stop_tokens=("\ndef",)) for k in range(10)]


@pytest.fixture
def groups() -> list[PreferenceGroup]:
    """Ten problems whose right completion copies the number; problem 3 has a second group."""

    def group(k: int, wrong: tuple[str, ...]) -> PreferenceGroup:
        return PreferenceGroup(
            f"return-{k}",
            prompt(k),
            (completion(k),),
            wrong,
            ("reference",),
            ("sft",) * len(wrong),
            "initial",
        )

    found = [group(k, (completion((k + 1) % 10), completion((k + 3) % 10))) for k in range(10)]
    return [*found, group(3, (completion(9),))]
