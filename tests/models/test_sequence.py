import numpy as np
import pytest
import torch
from tiny import TEXTS, make_model
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.load import load_ranker
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.scores import Calibration, Score
from rewardranker.models.sequence import SequenceRanker
from rewardranker.models.tokenizer import train_tokenizer

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<eos>{% endfor %}"
QUESTION, PROGRAMS = TEXTS[0], [TEXTS[1], TEXTS[3], "    return 1\n", TEXTS[1], ""]


@pytest.fixture
def folder(tmp_path):
    """A reward model as it is published: a classifier with one label, and a chat template."""
    tokenizer = train_tokenizer(TEXTS * 2, 400)
    save(tokenizer, tmp_path / "chat", TEMPLATE)
    return tmp_path / "chat"


def save(tokenizer: PreTrainedTokenizerFast, path, template, labels=1):
    config = make_model(tokenizer).config
    config.num_labels = labels
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
        model.score.weight.mul_(20.0)
    tokenizer.chat_template = template
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def logits(path, texts, **kwargs):
    """As the model cards of Skywork-Reward and CodeScaler have it, one by one."""
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    with torch.no_grad():
        ids = [tokenizer(*text, return_tensors="pt", **kwargs)["input_ids"] for text in texts]
        return [float(model(input_ids=row).logits[0, 0]) for row in ids]


def test_a_chat_of_question_and_program_is_scored_by_the_raw_logit(folder):
    ranker = load_ranker(folder)
    assert isinstance(ranker, SequenceRanker) and ranker.reads_programs
    chats = [(f"<|user|>{QUESTION}<eos><|assistant|>{program}<eos>",) for program in PROGRAMS]
    expected = logits(folder, chats, add_special_tokens=False)
    done = []
    found = ranker.score([QUESTION] * 5, PROGRAMS, on_progress=done.append)
    assert sum(done) == 5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.max() > 1 or found.min() < 0  # no sigmoid
    order = sorted(range(5), key=lambda i: -found[i])
    assert [i for i, _ in ranker.rank(QUESTION, PROGRAMS)] == order
    assert all(score.probability is None for _, score in ranker.rank(QUESTION, PROGRAMS))


def test_without_a_template_the_pair_is_scored_as_the_tokenizer_joins_it(tmp_path):
    save(train_tokenizer(TEXTS * 2, 400), tmp_path / "pair", None)
    ranker = load_ranker(tmp_path / "pair")
    assert not ranker.reads_programs
    expected = logits(tmp_path / "pair", [(QUESTION, program) for program in PROGRAMS[:4]])
    np.testing.assert_allclose(ranker.score([QUESTION] * 4, PROGRAMS[:4]), expected, atol=1e-5)


def test_a_calibration_gives_probabilities(folder):
    ranker = SequenceRanker.from_pretrained(folder, calibration=Calibration(slope=2.0, intercept=1.0))
    (_, best), *_ = ranker.rank(QUESTION, PROGRAMS)
    assert best == Score(best.raw, pytest.approx(1 / (1 + np.exp(-2 * best.raw - 1))))


def test_what_does_not_fit_ranks_last_and_is_said(folder, capsys):
    ranker = SequenceRanker.from_pretrained(folder)
    (first, _), (last, score) = ranker.rank(QUESTION, ["x = 1\n" * 100, PROGRAMS[0]])
    assert (first, last, score.raw) == (1, 0, -np.inf)
    assert "1 of 2 pairs exceed the ranker's context of 96 tokens" in capsys.readouterr().err


def test_folders_that_are_no_ranker_are_refused(tmp_path, folder):
    with pytest.raises(UserError, match="no ranker here"):
        load_ranker(tmp_path)
    save(train_tokenizer(TEXTS * 2, 400), tmp_path / "two", None, labels=2)
    with pytest.raises(UserError, match="has 2 labels; a ranker has one"):
        load_ranker(tmp_path / "two")
    save(train_tokenizer(TEXTS * 2, 400), tmp_path / "refuses", "{{ raise_exception('no') }}")
    with pytest.raises(UserError, match="the chat template refuses a question and an answer: no"):
        load_ranker(tmp_path / "refuses").score(["a"], ["b"])


def test_our_own_are_loaded_as_such(tmp_path, tokenizer):
    generator = Generator(make_model(tokenizer), tokenizer)
    RewardRanker.from_generator(generator, "scalar", seed=1).save(tmp_path / "own")
    assert isinstance(load_ranker(str(tmp_path / "own")), RewardRanker)
