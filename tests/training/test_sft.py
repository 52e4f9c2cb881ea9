import pytest
import torch

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.tokens import encode_completions, encode_prompts
from rewardranker.recipe import RFT, SFT
from rewardranker.training.sft import _loss, train_sft

QUICK = {"epochs": 60, "batch_size": 10, "learning_rate": 5e-3}


def greedy(generator: Generator, problems) -> list[str]:
    drawn = generator.sample(
        problems, n=1, temperature=0, max_new_tokens=12, seed=0, policy="sft", batch_size=64
    )
    return [c.text for c in drawn]


def test_it_learns(generator, examples, problems) -> None:
    history = train_sft(generator, examples, SFT(**QUICK), seed=1, validation=examples)
    assert greedy(generator, problems) == [c for _, c in examples]
    assert [row["epoch"] for row in history] == list(range(1, 61))
    assert history[-1]["validation_loss"] < 0.1 < history[0]["validation_loss"]
    assert history[-1]["loss"] < history[0]["loss"]
    prompts, completions = zip(*examples, strict=True)
    rows = encode_prompts(generator.tokenizer, prompts)
    rows += encode_completions(generator.tokenizer, completions)
    assert {row["tokens"] for row in history} == {sum(map(len, rows))}


def test_the_seed_decides_the_result(generator, examples) -> None:
    config = SFT(**QUICK | {"epochs": 2, "batch_size": 4})
    results = []
    for seed in (1, 1, 2):
        trained = generator.copy()
        torch.manual_seed(len(results))  # the global state plays no part
        history = train_sft(trained, examples, config, seed=seed)
        results.append((history, trained.model.state_dict()["lm_head.weight"]))
    assert results[0][0] == results[1][0] != results[2][0]
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][1], results[2][1])


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_loss_is_weighted_over_each_examples_own_tokens(generator, examples, weight) -> None:
    rows = list(
        zip(
            encode_prompts(generator.tokenizer, [p for p, _ in examples[:2]] + [""]),
            encode_completions(
                generator.tokenizer, [c for _, c in examples[:2]] + ["    return 1\n    return 2\n"]
            ),
            strict=True,
        )
    )
    total, weights = 0.0, 0.0
    for prompt, completion in rows:
        ids = prompt + completion
        logprobs = generator.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        for t in range(1, len(ids)):
            w = weight if t < len(prompt) else 1.0
            total -= w * float(logprobs[t - 1, ids[t]].detach())
            weights += w
    assert float(_loss(generator.model, rows, weight).detach()) == pytest.approx(total, rel=1e-5)
    history = train_sft(
        generator,
        [(p, c) for p, c in examples[:2]] + [("", "    return 1\n    return 2\n")],
        SFT(epochs=1, batch_size=3, learning_rate=1e-9, prompt_loss_weight=weight),
        seed=1,
    )
    assert history[0]["loss"] == pytest.approx(total / weights, rel=1e-4)


def test_validation_loss_is_a_mean_over_completion_tokens(generator, examples) -> None:
    config = SFT(epochs=1, batch_size=3, learning_rate=1e-9)
    (row,) = train_sft(generator, examples, config, seed=1, validation=examples)
    prompts = encode_prompts(generator.tokenizer, [p for p, _ in examples])
    completions = encode_completions(generator.tokenizer, [c for _, c in examples])
    whole = float(_loss(generator.model, list(zip(prompts, completions, strict=True)), 0.0).detach())
    assert row["validation_loss"] == pytest.approx(whole / sum(map(len, completions)), rel=1e-5)


def test_rft_is_sft_on_other_examples(generator, examples) -> None:
    config = RFT(epochs=1)
    assert len(train_sft(generator, examples, config, seed=1)) == 1


def test_what_cannot_be_trained_on_is_said(generator) -> None:
    with pytest.raises(UserError, match="no example"):
        train_sft(generator, [], SFT(), seed=1)
    with pytest.raises(UserError, match=r"example 2 .*context 48"):
        train_sft(generator, [("a", "b"), ("a", "q" * 60)], SFT(), seed=1)


def test_validation_that_does_not_fit_the_context_is_left_out(generator, examples, capsys) -> None:
    config = SFT(epochs=1, batch_size=3, learning_rate=1e-9)
    (row,) = train_sft(generator.copy(), examples, config, seed=1, validation=examples[:4])
    long = ("a", "q" * 60)
    validation = [examples[0], long, *examples[1:4], long]
    (same,) = train_sft(generator.copy(), examples, config, seed=1, validation=validation)
    assert same == row
    said = " ".join(capsys.readouterr().err.split())
    assert "2 of 6 validation examples exceed the model's context of 48 tokens: left out" in said
    (row,) = train_sft(generator, examples, config, seed=1, validation=[long])
    assert "validation_loss" not in row
