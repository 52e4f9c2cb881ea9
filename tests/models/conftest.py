import pytest
from tiny import TEXTS, make_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rewardranker.models.generator import Generator
from rewardranker.models.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 2, 400)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return make_model(tokenizer)


@pytest.fixture
def generator(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Generator:
    return Generator(model, tokenizer)
