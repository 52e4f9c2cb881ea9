import numpy as np
import pytest
import torch
from tiny import make_model, naive_logprobs
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from rewardranker.errors import UserError
from rewardranker.models import generator as generator_module
from rewardranker.models.generator import Generator, _draw
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.models.tokens import encode_prompts
from rewardranker.problems.problem import Problem

PROMPTS = [
    "def f(xs):\n",
    "def f(xs):\n    return",
    "x",
    'def f(xs):\n    """Keep 3 of the even numbers."""\n',
]


def problems(stop_tokens: tuple[str, ...] = ()) -> list[Problem]:
    return [Problem(f"p{i}", "python", p, "", stop_tokens=stop_tokens) for i, p in enumerate(PROMPTS)]


def draw(generator: Generator, given: list[Problem], **options):
    defaults = {
        "n": 3,
        "temperature": 1.0,
        "max_new_tokens": 12,
        "seed": 1,
        "policy": "sft",
        "batch_size": 64,
    }
    return generator.sample(given, **{**defaults, **options})


def test_ordered_by_problem_and_index(generator) -> None:
    candidates = draw(generator, problems())
    assert [(c.problem_id, c.index) for c in candidates] == [(f"p{i}", j) for i in range(4) for j in range(3)]
    assert {c.policy for c in candidates} == {"sft"}


def test_samples_depend_on_seed_and_problem_alone(generator) -> None:
    expected = draw(generator, problems())

    def same(found, wanted) -> None:
        assert [(c.problem_id, c.index, c.text, c.n_tokens) for c in found] == [
            (c.problem_id, c.index, c.text, c.n_tokens) for c in wanted
        ]
        np.testing.assert_allclose([c.logprob_sum for c in found], [c.logprob_sum for c in wanted], atol=1e-4)

    same(draw(generator, problems()), expected)
    same(draw(generator, problems(), batch_size=2), expected)  # fewer rows than candidates of a problem
    same(draw(generator, problems(), batch_size=7), expected)
    same(draw(generator, problems()[2:3]), [c for c in expected if c.problem_id == "p2"])
    same(draw(generator, problems(), n=2), [c for c in expected if c.index < 2])
    assert [c.text for c in draw(generator, problems(), seed=2)] != [c.text for c in expected]


def test_logprobs_are_those_of_the_sampled_tokens(generator) -> None:
    for temperature in (0.0, 0.6, 1.0):
        batches = generator.rollouts(
            problems(),
            n=1 if temperature == 0 else 3,
            temperature=temperature,
            max_new_tokens=12,
            seed=1,
            batch_size=64,
        )
        rollouts = [r for batch in batches for r in batch]
        prompts = encode_prompts(generator.tokenizer, PROMPTS)
        for r in rollouts:
            assert r.prompt_ids == prompts[r.problem]
            expected = naive_logprobs(generator.model, r.prompt_ids, r.ids, temperature or 1.0)
            np.testing.assert_allclose(r.logprobs, expected.detach(), atol=2e-4)


def test_greedy_equals_transformers_generate(generator) -> None:
    for problem, found in zip(problems(), draw(generator, problems(), n=1, temperature=0.0), strict=True):
        (prompt,) = encode_prompts(generator.tokenizer, [problem.prompt])
        output = generator.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            do_sample=False,
            max_new_tokens=12,
        )
        assert found.text == generator.tokenizer.decode(output[0, len(prompt) :], skip_special_tokens=True)


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, -torch.inf, 2.0]])
    uniform = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    token, logprob = _draw(logits.repeat(20000, 1), uniform, 0.5)
    expected = torch.softmax(logits[0] / 0.5, -1)
    torch.testing.assert_close(torch.bincount(token, minlength=5) / 20000, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(logprob.exp(), expected[token])
    ends, _ = _draw(logits.repeat(2, 1), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64), 1.0)
    assert ends.tolist() == [0, 4]


def test_stop_tokens_end_a_candidate_and_are_cut(generator) -> None:
    free = draw(generator, problems(), n=8, seed=3)
    longest = max(free, key=lambda c: len(c.text)).text
    stop = longest[len(longest) // 2 :][:2]
    found = draw(generator, problems((stop, "never there")), n=8, seed=3)
    assert any(c.finish_reason == "stop" for c in found)
    for before, after in zip(free, found, strict=True):
        assert after.text == before.text.split(stop)[0]
        assert (after.finish_reason == "stop") == (stop in before.text)
        assert after.n_tokens <= before.n_tokens


@pytest.mark.parametrize("look", [5, 8])
def test_looking_seldom_at_what_has_ended_changes_nothing(generator, monkeypatch, look) -> None:
    tokens = [c.text for c in draw(generator, problems(), n=8, seed=3)]
    stops = (max(tokens, key=len)[3:5], " ")
    expected = draw(generator, problems(stops), n=8, seed=3)
    assert {c.finish_reason for c in expected} >= {"stop", "length"}
    monkeypatch.setitem(generator_module._LOOK, "cpu", look)  # as on a GPU
    for a, b in zip(draw(generator, problems(stops), n=8, seed=3), expected, strict=True):
        assert (a.text, a.n_tokens, a.finish_reason) == (b.text, b.n_tokens, b.finish_reason)
        assert a.logprob_sum == pytest.approx(b.logprob_sum, abs=1e-4)


def test_finish_reasons(generator) -> None:
    eos = generator.tokenizer.eos_token_id
    for batch in generator.rollouts(
        problems(), n=30, temperature=1.5, max_new_tokens=12, seed=1, batch_size=64
    ):
        for r in batch:
            assert (r.ids[-1] == eos) == (r.finish_reason == "eos")
            assert eos not in r.ids[:-1]
            assert r.finish_reason == "eos" or len(r.ids) == 12


def test_the_context_bounds_prompt_and_completion(generator) -> None:
    long = Problem("long", "python", "q" * 90, "")
    candidates = draw(generator, [long, problems()[0]], max_new_tokens=200, seed=4)
    assert max(c.n_tokens for c in candidates if c.problem_id == "long") <= 96 - 91
    with pytest.raises(UserError, match=r"too-long.*context"):
        draw(generator, [Problem("too-long", "python", "q" * 95, "")])


def test_progress_counts_candidates(generator) -> None:
    seen: list[int] = []
    draw(generator, problems(), batch_size=6, on_batch=lambda batch: seen.append(len(batch)))
    assert seen == [6, 6]


def test_save_load_copy(generator, tmp_path) -> None:
    generator.save(tmp_path / "model")
    loaded = Generator.from_pretrained(tmp_path / "model")
    copied = generator.copy()
    expected = [c.text for c in draw(generator, problems())]
    assert [c.text for c in draw(loaded, problems())] == expected
    with torch.no_grad():
        for p in copied.model.parameters():
            p.zero_()
    assert [c.text for c in draw(generator, problems())] == expected


def test_other_architectures_and_missing_pad_tokens(tmp_path) -> None:
    tokenizer = train_tokenizer(PROMPTS, 280)
    bare = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<eos>")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(bare), n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    bare.save_pretrained(tmp_path)
    generator = Generator.from_pretrained(tmp_path)
    assert generator.tokenizer.pad_token_id not in (None, generator.tokenizer.eos_token_id)
    assert generator.model.get_input_embeddings().num_embeddings >= len(generator.tokenizer)
    assert len(draw(generator, problems())) == 12


def test_folders_that_hold_no_language_model(tmp_path, tokenizer) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        Generator.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="cannot be loaded"):
        Generator.from_pretrained(tmp_path)
    backbone = tmp_path / "backbone"
    BertModel(
        BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(backbone)
    tokenizer.save_pretrained(backbone)
    with pytest.raises(UserError, match="no weights for"):
        Generator.from_pretrained(backbone)


def test_greedy_is_one_candidate(generator) -> None:
    with pytest.raises(ValueError, match="greedy"):
        draw(generator, problems(), temperature=0.0, n=2)


def test_a_model_that_is_sure_gives_the_same_candidate_every_time(tokenizer) -> None:
    sure = Generator(make_model(tokenizer, sharp=60.0), tokenizer)
    assert len({c.text for c in draw(sure, problems()[:1], n=5, temperature=0.05)}) == 1
