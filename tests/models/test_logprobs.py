import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_model, naive_logprobs

from rewardranker.errors import UserError
from rewardranker.models.logprobs import (
    completion_logprobs,
    continuation_states,
    encode_completions,
    encode_prompts,
)

ids = st.lists(st.integers(3, 300), min_size=1, max_size=9)


@given(st.lists(ids, min_size=1, max_size=4), st.lists(ids, min_size=1, max_size=6), st.data())
@settings(max_examples=25, deadline=None)
def test_shared_prompts_equal_one_sequence_at_a_time(tokenizer, prompts, completions, data) -> None:
    model = make_model(tokenizer).eval()
    owners = [data.draw(st.integers(0, len(prompts) - 1)) for _ in completions]
    found, mask = completion_logprobs(model, prompts, completions, owners, temperature=0.7)
    assert mask.sum(1).tolist() == [len(c) for c in completions]
    assert (found[~mask] == 0).all()
    for row, owner, completion in zip(found, owners, completions, strict=True):
        expected = naive_logprobs(model, prompts[owner], completion, 0.7)
        torch.testing.assert_close(row[: len(completion)], expected, atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_one_sequence_at_a_time(model) -> None:
    prompts, owners = [[5, 6, 7, 8], [9, 10]], [0, 0, 1, 1, 0]
    completions = [[11, 12], [13], [14, 15, 16], [17], [18, 19, 2]]
    weights = torch.arange(1.0, 6.0)
    torch.dot(weights, completion_logprobs(model, prompts, completions, owners)[0].sum(1)).backward()
    shared = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    sum(
        w * naive_logprobs(model, prompts[o], c).sum()
        for w, o, c in zip(weights, owners, completions, strict=True)
    ).backward()
    for parameter, gradient in zip(model.parameters(), shared, strict=True):
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-5 * scale, rtol=1e-4)


def test_hidden_states_of_the_backbone(model) -> None:
    prompts, continuations = [[5, 6, 7], [8]], [[9], [10, 11, 12], []]
    found = continuation_states(model.base_model, prompts, continuations, [1, 0, 1])
    assert found.shape == (3, 4, 32)
    for row, (owner, continuation) in zip(found, zip([1, 0, 1], continuations, strict=True), strict=True):
        whole = prompts[owner] + continuation
        expected = model.base_model(input_ids=torch.tensor([whole])).last_hidden_state[0]
        torch.testing.assert_close(
            row[: 1 + len(continuation)], expected[len(prompts[owner]) - 1 :], atol=1e-5, rtol=1e-5
        )


def test_encoding_convention(tokenizer) -> None:
    (prompt,) = encode_prompts(tokenizer, ["def f(xs):\n"])
    (completion,) = encode_completions(tokenizer, ["    return xs<eos>\n"])
    assert prompt[0] == tokenizer.bos_token_id
    assert completion[-1] == tokenizer.eos_token_id
    assert completion.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(prompt[1:]) == "def f(xs):\n"
    assert encode_prompts(tokenizer, []) == []


def test_an_empty_prompt_needs_bos(tokenizer) -> None:
    assert encode_prompts(tokenizer, [""]) == [[tokenizer.bos_token_id]]
    without = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<eos>", pad_token="<pad>"
    )
    with pytest.raises(UserError, match="bos"):
        encode_prompts(without, [""])
