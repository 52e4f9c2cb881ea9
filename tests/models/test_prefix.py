"""Every way to compute completions that share prompts gives what one sequence at a time gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_model, naive_logprobs
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

from rewardranker.models import prefix
from rewardranker.models.prefix import WAYS, cheapest, completion_logprobs, completion_states, token_logprobs

ids = st.lists(st.integers(3, 300), min_size=1, max_size=9)
PROMPTS, OWNERS = [[5, 6, 7, 8], [9, 10]], [0, 0, 1, 1, 0]
COMPLETIONS = [[11, 12], [13], [14, 15, 16], [17], [18, 19, 2]]

SMALL = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
}
GPTNEO = GPTNeoConfig(
    vocab_size=320,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    attention_types=[[["global", "local"], 1]],
    max_position_embeddings=96,
    window_size=4,
    initializer_range=0.3,
)


def architectures():
    torch.manual_seed(0)
    return {
        "llama": LlamaForCausalLM(LlamaConfig(**SMALL)),
        "qwen2": Qwen2ForCausalLM(Qwen2Config(**SMALL)),
        "starcoder2": Starcoder2ForCausalLM(Starcoder2Config(**SMALL, sliding_window=None)),
        "starcoder2, window": Starcoder2ForCausalLM(Starcoder2Config(**SMALL, sliding_window=4)),
        "falcon, alibi": FalconForCausalLM(FalconConfig(**SMALL, alibi=True)),
        "gpt-neo, window": GPTNeoForCausalLM(GPTNEO),
    }


@pytest.fixture
def by(monkeypatch):
    """Makes a way the cheapest."""

    def make(way):
        monkeypatch.setattr(prefix, "cheapest", lambda *_: way)

    return make


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@given(
    st.lists(ids, min_size=1, max_size=4),
    st.lists(ids, min_size=1, max_size=6),
    st.data(),
    st.sampled_from(WAYS),
)
@settings(max_examples=40)
def test_states_equal_those_of_one_sequence_at_a_time(
    tokenizer, attention, prompts, continuations, data, way
) -> None:
    model = make_model(tokenizer).eval()
    model.set_attn_implementation(attention)
    continuations = [row[1:] for row in continuations]  # some are empty
    owners = [data.draw(st.integers(0, len(prompts) - 1)) for _ in continuations]
    found = completion_states(model.base_model, prompts, continuations, owners, way)
    expected = [
        model.base_model(input_ids=torch.tensor([prompts[o] + row])).last_hidden_state[
            0, len(prompts[o]) - 1 :
        ]
        for o, row in zip(owners, continuations, strict=True)
    ]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_log_probabilities_and_gradients_equal_those_of_one_sequence_at_a_time(model, by, way) -> None:
    by(way)
    weights = torch.arange(1.0, 6.0)
    found, mask = completion_logprobs(model, PROMPTS, COMPLETIONS, OWNERS, temperature=0.7)
    assert mask.sum(1).tolist() == [len(c) for c in COMPLETIONS]
    assert (found[~mask] == 0).all()
    torch.dot(weights, found.sum(1)).backward()
    shared = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected = [naive_logprobs(model, PROMPTS[o], c, 0.7) for o, c in zip(OWNERS, COMPLETIONS, strict=True)]
    torch.testing.assert_close(found[mask], torch.cat(expected), atol=1e-5, rtol=1e-5)
    torch.dot(weights, torch.stack([row.sum() for row in expected])).backward()
    for parameter, gradient in zip(model.parameters(), shared, strict=True):
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_up_to_the_last_position_of_the_context(model, way) -> None:
    context = model.config.max_position_embeddings
    prompt = [3 + i % 50 for i in range(context - 3)]
    continuations = [[4, 5, 6], [7], [8, 9, 10]]
    found = completion_states(model.base_model, [prompt], continuations, [0, 0, 0], way)
    expected = completion_states(model.base_model, [prompt] * 3, continuations, [0, 1, 2], "naive")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", architectures())
def test_architectures(name) -> None:
    model = architectures()[name].eval()
    expected = [naive_logprobs(model, PROMPTS[o], c) for o, c in zip(OWNERS, COMPLETIONS, strict=True)]
    found, mask = completion_logprobs(model, PROMPTS, COMPLETIONS, OWNERS)
    torch.testing.assert_close(found[mask], torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_the_way_follows_the_shapes() -> None:
    wide = LlamaForCausalLM(
        LlamaConfig(**SMALL | {"hidden_size": 256, "intermediate_size": 512, "vocab_size": 16})
    )

    def way(prompt, *lengths):
        rows = [[5] * length for length in lengths]
        return cheapest(wide.base_model, [[5] * prompt], rows, [0] * len(rows))

    assert way(40, 8) != "cached"
    assert way(40, *[2, 9] * 8) == "tree"
    assert way(100, *[300] * 64) == "cached"
    wide.set_attn_implementation("sdpa")
    assert way(2, *[500] * 64) != "tree"


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_in_parts_equal_those_at_once(temperature) -> None:
    torch.manual_seed(0)
    head, targets = torch.nn.Linear(8, 50), torch.randint(0, 50, (23,))
    grown = []
    for logits in (1 << 24, 50 * 4, 1):
        states = torch.linspace(-1, 1, 23 * 8).view(23, 8).requires_grad_()
        found = token_logprobs(head, states, targets, temperature, logits)
        head.zero_grad()
        (found * torch.arange(23.0)).sum().backward()
        with torch.no_grad():
            assert torch.equal(found, token_logprobs(head, states, targets, temperature, logits))
        grown.append((found.detach(), states.grad, head.weight.grad.clone()))
    for other in grown[1:]:
        for one, two in zip(grown[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
