import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from rewardranker.errors import UserError
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import SFT, Reward
from rewardranker.training.reward import _encode, _loss, _split, train_reward
from rewardranker.training.sft import train_sft

QUICK = {"epochs": 30, "groups_per_batch": 4, "learning_rate": 3e-3, "validation": 0.2}


@pytest.fixture(params=["likelihood", "scalar", "scalar-mean"])
def head(request) -> str:
    return request.param


def test_it_learns_to_prefer_what_is_right(generator, groups, head) -> None:
    before = {k: v.clone() for k, v in generator.model.state_dict().items()}
    ranker, report = train_reward(generator, groups, Reward(head=head, **QUICK | {"validation": 0.0}), seed=1)
    assert all(torch.equal(v, before[k]) for k, v in generator.model.state_dict().items())
    assert report["history"][-1]["loss"] < 0.1 < report["history"][0]["loss"]
    for g in groups:
        assert ranker.rank(g.prompt, [*g.rejected, *g.chosen])[0][0] == len(g.rejected)
    assert report["auc"] is None
    assert (report["train_problems"], report["validation_problems"], report["groups"]) == (10, 0, 11)


def test_report_and_calibration(generator, groups, head) -> None:
    ranker, report = train_reward(generator, groups, Reward(head=head, **QUICK), seed=2)
    assert (report["train_problems"], report["validation_problems"]) == (8, 2)
    assert {"auc", "pairwise_accuracy", "ece"} <= {k for k, v in report.items() if 0 <= v_number(v) <= 1}
    assert report["tokens"] > 0
    calibration = ranker.calibration
    assert report["calibration"] == {
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "mean": calibration.mean,
        "std": calibration.std,
    }
    train, _ = _split(_encode(ranker, groups)[0], 0.2, random.Random("split/2"))
    kept = {g.problem_id for g in train}
    pairs = [(g.prompt, text) for g in groups if g.problem_id in kept for text in (*g.chosen, *g.rejected)]
    raw = ranker.score([p for p, _ in pairs], [t for _, t in pairs])
    assert calibration.mean == pytest.approx(raw.mean(), abs=1e-4)
    assert calibration.std == pytest.approx(raw.std(), abs=1e-4)


def v_number(value) -> float:
    return value if isinstance(value, float) else -1.0


def test_a_step_equals_pairwise_training(generator, groups) -> None:
    """The loss of a batch of groups, and its gradient, are those of its pairs one by one."""
    ranker = RewardRanker.from_generator(generator, "likelihood", 0)
    weighted = [replace(g, weight=w) for g, w in zip(groups, (1.0, 2.0, 0.5), strict=False)]
    batch, _ = _encode(ranker, weighted)
    loss = _loss(ranker, batch, Reward()) / sum(g.weight for g in batch)
    loss.backward()
    gradient = {k: p.grad.clone() for k, p in ranker.model.named_parameters()}
    ranker.model.zero_grad()
    total = torch.zeros(())
    for g in batch:
        for c in g.chosen:
            for r in g.rejected:
                right, wrong = ranker.forward([g.prompt], [c], [0]), ranker.forward([g.prompt], [r], [0])
                pair = -torch.nn.functional.logsigmoid(right - wrong)[0]
                total = total + g.weight * pair / (len(g.chosen) * len(g.rejected))
    total = total / 3.5
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    for name, parameter in ranker.model.named_parameters():
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(gradient[name], parameter.grad, atol=1e-5 * scale, rtol=1e-3)


def test_same_seed_same_ranker(generator, groups, head) -> None:
    config = Reward(head=head, **QUICK | {"epochs": 2, "max_per_side": 1})
    (first, a), (again, b), (_, c) = (train_reward(generator, groups, config, seed=s) for s in (1, 1, 2))
    assert a == b != c
    weights = zip(first.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(x, y) for x, y in weights)


def test_a_problem_is_on_one_side_of_the_split(generator, groups) -> None:
    ranker = RewardRanker.from_generator(generator, "likelihood", 0)
    encoded, _ = _encode(ranker, groups)
    for seed in range(20):
        train, validation = _split(encoded, 0.3, random.Random(seed))
        assert not {g.problem_id for g in train} & {g.problem_id for g in validation}
        assert len({g.problem_id for g in validation}) == 3
        assert len(train) + len(validation) == len(groups)
    assert _split(encoded[:1], 0.9, random.Random(0))[1] == []


def test_training_goes_on_from_a_ranker(generator, groups, head) -> None:
    first, _ = train_reward(generator, groups, Reward(head=head, **QUICK), seed=1)
    before = first.score([groups[0].prompt], groups[0].chosen)
    second, report = train_reward(first, groups, Reward(head=head, **QUICK | {"epochs": 1}), seed=1)
    assert report["history"][0]["loss"] < 0.3
    np.testing.assert_array_equal(first.score([groups[0].prompt], groups[0].chosen), before)
    assert second.score([groups[0].prompt], groups[0].chosen) != before
    other = "scalar" if head == "likelihood" else "likelihood"
    with pytest.raises(UserError, match="head"):
        train_reward(first, groups, Reward(head=other), seed=1)


def test_what_is_left_out_is_counted(generator, groups) -> None:
    long = replace(groups[0], problem_id="long", rejected=("q" * 60,), rejected_sources=("sft",))
    one_sided = replace(groups[0], problem_id="one", rejected=(), rejected_sources=())
    _, report = train_reward(generator, [*groups, long, one_sided], Reward(epochs=1, validation=0.0), seed=1)
    assert (report["groups"], report["left_out_one_sided"], report["left_out_too_long"]) == (11, 2, 1)


def test_nothing_to_compare_is_said(generator, groups) -> None:
    one_sided = replace(groups[0], chosen=(), chosen_sources=())
    with pytest.raises(UserError, match="none of 1 preference groups"):
        train_reward(generator, [one_sided], Reward(), seed=1)
    with pytest.raises(UserError, match="none of 0 preference groups"):
        train_reward(generator, [], Reward(), seed=1)


def test_likelihood_starts_from_what_the_generator_knows(generator, groups, examples) -> None:
    train_sft(generator, examples, SFT(epochs=60, batch_size=10, learning_rate=5e-3), seed=1)
    ranker = RewardRanker.from_generator(generator, "likelihood", 0)
    for g in groups:
        assert ranker.rank(g.prompt, [*g.rejected, *g.chosen])[0][0] == len(g.rejected)


def test_an_auxiliary_language_model_loss(generator, groups) -> None:
    """It is the mean negative log-likelihood of a token of the right completions."""
    ranker = RewardRanker.from_generator(generator, "scalar", 0)
    batch, _ = _encode(ranker, groups[:3])
    config = Reward(head="scalar", lm_weight=0.5)
    with torch.no_grad():
        extra = _loss(ranker, batch, config) - _loss(ranker, batch, Reward(head="scalar"))
    expected = 0.0
    for g in batch:
        logprobs = []
        for c in g.chosen:
            states = ranker.model.base_model(input_ids=torch.tensor([g.prompt + c])).last_hidden_state[0]
            logits = states @ ranker.model.get_input_embeddings().weight.T
            logprobs += logits.log_softmax(-1)[
                range(len(g.prompt) - 1, len(g.prompt) + len(c) - 1), c
            ].tolist()
        expected -= 0.5 * sum(logprobs) / len(logprobs)
    assert float(extra) == pytest.approx(expected, rel=1e-4)


def test_an_auxiliary_loss_needs_tied_embeddings(generator, groups) -> None:
    generator.model.config.tie_word_embeddings = False
    with pytest.raises(UserError, match="lm_weight needs a model whose input and output embeddings are tied"):
        train_reward(generator, groups, Reward(head="scalar", lm_weight=0.5), seed=1)


def test_epochs_on_the_mean_come_before_those_on_the_last_token(generator, groups) -> None:
    settings = {"epochs": 3, "groups_per_batch": 4, "validation": 0.0, "learning_rate": 3e-3}
    _, mean = train_reward(generator, groups, Reward(head="scalar-mean", **settings), seed=1)
    ranker, both = train_reward(generator, groups, Reward(head="scalar", mean_epochs=2, **settings), seed=1)
    assert ranker.head == "scalar"
    losses = [[row["loss"] for row in report["history"]] for report in (both, mean)]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "likelihood", "mean_epochs": 1}, "is for head = 'scalar'"),
        ({"head": "scalar", "mean_epochs": 2, "epochs": 2}, "must leave epochs"),
        ({"head": "scalar", "mean_epochs": 1, "patience": 1}, "patience would stop"),
    ],
)
def test_epochs_on_the_mean_that_make_no_sense(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        Reward(**settings)
