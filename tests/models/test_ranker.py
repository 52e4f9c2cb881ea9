import json
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TEXTS, make_model, naive_logprobs
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CodeGenConfig,
    CodeGenForCausalLM,
)

from rewardranker.errors import UserError
from rewardranker.models import prefix
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import WAYS
from rewardranker.models.ranker import Calibration, RewardRanker
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.models.tokens import encode_completions, encode_prompts

PROMPTS = [TEXTS[0]] * 4 + [TEXTS[2]] * 3 + ["def f(xs):\n"] + [TEXTS[0]]
COMPLETIONS = [TEXTS[1], TEXTS[3], "", "    return 1\n", TEXTS[3], TEXTS[1], "x", "    return xs\n", TEXTS[1]]
HEADS = ["likelihood", "scalar", "scalar-mean"]


@cache
def one_ranker(head) -> RewardRanker:
    tokenizer = train_tokenizer(TEXTS * 2, 400)
    return RewardRanker.from_generator(Generator(make_model(tokenizer, sharp=3.0), tokenizer), head, seed=1)


@pytest.fixture(params=HEADS)
def ranker(request, tokenizer) -> RewardRanker:
    generator = Generator(make_model(tokenizer, sharp=3.0), tokenizer)
    return RewardRanker.from_generator(generator, request.param, seed=1)


def sequences(ranker: RewardRanker) -> list[tuple[list[int], list[int]]]:
    prompts, completions = (
        encode_prompts(ranker.tokenizer, PROMPTS),
        encode_completions(ranker.tokenizer, COMPLETIONS),
    )
    return list(zip(prompts, completions, strict=True))


def test_scores_are_what_the_definition_says(ranker) -> None:
    if ranker.head == "likelihood":
        expected = [float(naive_logprobs(ranker.model, p, c).detach().mean()) for p, c in sequences(ranker)]
    elif ranker.head == "scalar":  # the last token's logit, one sequence at a time
        expected = [
            float(ranker.model(input_ids=torch.tensor([p + c])).logits.detach()) for p, c in sequences(ranker)
        ]
    else:
        expected = []
        for p, c in sequences(ranker):
            states = ranker.model.base_model(input_ids=torch.tensor([p + c])).last_hidden_state[0]
            expected.append(float(ranker.model.score(states[len(p) :]).mean().detach()))
    scores = ranker.score(PROMPTS, COMPLETIONS)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(np.unique(scores.round(4))) == 8  # the repeated pair scores the same, all others differ


def test_scores_do_not_depend_on_batch_order_or_neighbours(ranker) -> None:
    expected = ranker.score(PROMPTS, COMPLETIONS)
    for tokens in (1, 60, 200):
        np.testing.assert_allclose(ranker.score(PROMPTS, COMPLETIONS, tokens), expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    mixed = ranker.score([PROMPTS[i] for i in order], [COMPLETIONS[i] for i in order])
    np.testing.assert_allclose(mixed, expected[order], atol=1e-5)
    alone = [ranker.score([p], [c])[0] for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=12)), min_size=1, max_size=10),
    st.integers(1, 150),
    st.sampled_from(WAYS),
    st.randoms(use_true_random=False),
)
@settings(max_examples=30)
def test_a_score_depends_on_its_own_prompt_and_completion_alone(head, rows, tokens, way, random) -> None:
    """Not on the batch, nor on the side that is padded ("cached" pads prompts on the left), nor on others."""
    ranker = one_ranker(head)
    prompts, completions = [TEXTS[p] for p, _ in rows], [text for _, text in rows]
    alone = np.array([ranker.score([p], [c])[0] for p, c in zip(prompts, completions, strict=True)])
    order = random.sample(range(len(rows)), len(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "cheapest", lambda *_: way)
        together = ranker.score([prompts[i] for i in order], [completions[i] for i in order], tokens)
    np.testing.assert_allclose(together, alone[order], atol=1e-5)


token_lists = st.lists(st.integers(3, 300), min_size=1, max_size=9)


@pytest.mark.parametrize("head", HEADS)
@given(
    st.lists(token_lists, min_size=1, max_size=3),
    st.lists(token_lists, min_size=1, max_size=6),
    st.data(),
    st.sampled_from(WAYS),
)
@settings(max_examples=20)
def test_scores_and_gradients_of_shared_prompts_are_those_one_by_one(
    head, prompts, completions, data, way
) -> None:
    ranker = one_ranker(head)
    owners = [data.draw(st.integers(0, len(prompts) - 1)) for _ in completions]
    weights = torch.linspace(-1, 1.5, len(completions))  # as a loss would weigh them

    def gradients(scores):
        ranker.model.zero_grad()
        torch.dot(weights, scores).backward()
        return [p.grad for p in ranker.model.parameters()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "cheapest", lambda *_: way)
        shared = ranker.forward(prompts, completions, owners)
        found = gradients(shared)
        patch.setattr(prefix, "cheapest", lambda *_: "naive")
        alone = [ranker.forward([prompts[o]], [c], [0]) for o, c in zip(owners, completions, strict=True)]
        expected = gradients(torch.cat(alone))
    torch.testing.assert_close(shared, torch.cat(alone), atol=1e-5, rtol=1e-5)
    largest = max(float(other.abs().max()) for other in expected)  # some parameters' are 0 but for rounding
    for gradient, other in zip(found, expected, strict=True):
        atol = 1e-5 * float(other.abs().max()) + 1e-6 * largest
        torch.testing.assert_close(gradient, other, atol=atol, rtol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_plain_transformers_gives_the_same_scores_on_either_padding_side(ranker, tmp_path, side) -> None:
    ranker.save(tmp_path / "ranker")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ranker", padding_side=side)
    batch = tokenizer.pad({"input_ids": [p + c for p, c in sequences(ranker)]}, return_tensors="pt")
    if ranker.head == "scalar":
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ranker")
        assert model.config.num_labels == 1
        found = model(**batch).logits[:, 0]
    elif ranker.head == "scalar-mean":
        pytest.skip("the head of plain transformers reads the last token only")
    else:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "ranker")
        position_ids = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        logprobs = model(**batch, position_ids=position_ids).logits.log_softmax(-1)[:, :-1]
        token = logprobs.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        found = []
        for row, mask, (p, c) in zip(token, batch["attention_mask"], sequences(ranker), strict=True):
            first = int(mask.argmax())
            found.append(row[first + len(p) - 1 : first + len(p) + len(c) - 1].mean())
        found = torch.stack(found)
    np.testing.assert_allclose(found.detach(), ranker.score(PROMPTS, COMPLETIONS), atol=1e-5)


def test_save_and_load(ranker, tmp_path) -> None:
    ranker.calibration = Calibration(slope=2.0, intercept=-0.5, mean=0.1, std=3.0)
    ranker.save(tmp_path / "ranker")
    loaded = RewardRanker.from_pretrained(tmp_path / "ranker")
    assert (loaded.head, loaded.calibration) == (ranker.head, ranker.calibration)
    expected = ranker.score(PROMPTS, COMPLETIONS)
    np.testing.assert_allclose(loaded.score(PROMPTS, COMPLETIONS), expected, atol=1e-6)
    np.testing.assert_allclose(ranker.copy().score(PROMPTS, COMPLETIONS), expected, atol=1e-6)


def test_a_scalar_head_is_decided_by_the_seed(generator) -> None:
    heads = [RewardRanker.from_generator(generator, "scalar", seed).model.score.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_scalar_head_needs_an_architecture_that_has_one(tokenizer) -> None:
    config = CodeGenConfig(vocab_size=400, n_embd=16, n_layer=1, n_head=4, rotary_dim=4, n_positions=96)
    generator = Generator(CodeGenForCausalLM(config), tokenizer)
    with pytest.raises(UserError, match=r"reward\.head is 'scalar'.*'codegen'; set .*'likelihood'"):
        RewardRanker.from_generator(generator, "scalar", seed=1)
    RewardRanker.from_generator(generator, "likelihood", seed=1).score(PROMPTS[:2], COMPLETIONS[:2])


def test_rank_orders_best_first_and_keeps_ties_in_place(ranker) -> None:
    completions = ["    return 1\n", TEXTS[1], "    return 1\n", TEXTS[3]]
    ranked = ranker.rank(TEXTS[0], completions)
    assert sorted(i for i, _ in ranked) == [0, 1, 2, 3]
    raws = [score.raw for _, score in ranked]
    assert raws == sorted(raws, reverse=True)
    assert [i for i, _ in ranked].index(0) < [i for i, _ in ranked].index(2)
    for i, score in ranked:
        assert score.raw == pytest.approx(ranker.score([TEXTS[0]], [completions[i]])[0], abs=1e-5)
        assert 0 < score.probability < 1
    assert ranker.rank(TEXTS[0], []) == []


def test_probabilities_are_the_calibrated_sigmoid(ranker) -> None:
    ranker.calibration = Calibration(slope=2.0, intercept=1.0)
    raw = np.array([-1000.0, -0.5, 0.0, 1000.0])
    np.testing.assert_allclose(ranker.probability(raw), [0, 0.5, 1 / (1 + np.exp(-1)), 1])


def test_progress_counts_completions(ranker) -> None:
    seen: list[int] = []
    ranker.score(PROMPTS, COMPLETIONS, tokens_at_once=60, on_progress=seen.append)
    assert len(seen) > 1
    assert sum(seen) == len(PROMPTS)


def test_what_does_not_fit_ranks_last_and_is_reported(ranker, capsys) -> None:
    completions = ["q" * 95, "    return 1\n", "q" * 95, "    return xs\n"]
    seen: list[int] = []
    scores = ranker.score([TEXTS[0]] * 4, completions, on_progress=seen.append)
    assert np.isneginf(scores).tolist() == [True, False, True, False]
    assert scores[1] == pytest.approx(ranker.score([TEXTS[0]], ["    return 1\n"])[0], abs=1e-5)
    assert "2 of 4 completions exceed the ranker's context of 96 tokens" in capsys.readouterr().err
    assert sum(seen) == 4
    assert [i for i, _ in ranker.rank(TEXTS[0], completions)][2:] == [0, 2]
    assert ranker.rank(TEXTS[0], completions)[-1][1].probability == 0


def test_the_card_says_what_it_is_and_how_good(ranker, tmp_path) -> None:
    report = {
        "groups": 12,
        "train_problems": 9,
        "validation_problems": 3,
        "history": [{}] * 2,
        "auc": 0.91,
        "pairwise_accuracy": 0.875,
        "pairwise_accuracy_ci95": [0.8, 0.95],
        "ece": None,
    }
    ranker.save(tmp_path / "told", report)
    card = (tmp_path / "told" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "12 groups of right and wrong programs of 9 problems, 2 epochs" in card
    assert "0.910" in card and "0.800 to 0.950" in card and "calibration error" not in card
    assert ("AutoModelForSequenceClassification" in card) == (ranker.head == "scalar")
    ranker.save(tmp_path / "untold")
    assert "## Training" not in (tmp_path / "untold" / "README.md").read_text()


def test_folders_that_hold_no_ranker(generator, ranker, tmp_path) -> None:
    generator.save(tmp_path / "model")
    with pytest.raises(UserError, match=r"rewardranker\.json is missing"):
        RewardRanker.from_pretrained(tmp_path / "model")
    settings = tmp_path / "model" / "rewardranker.json"
    settings.write_text("{}")
    with pytest.raises(UserError, match="not the settings of a ranker"):
        RewardRanker.from_pretrained(tmp_path / "model")
    settings.write_text(json.dumps({"head": "vector", "calibration": {}}))
    with pytest.raises(UserError, match="vector"):
        RewardRanker.from_pretrained(tmp_path / "model")
    settings.write_text(json.dumps({"head": "scalar", "calibration": {}}))
    with pytest.raises(UserError, match=r"no weights for score\.weight"):
        RewardRanker.from_pretrained(tmp_path / "model")
