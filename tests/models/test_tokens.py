import pytest

from rewardranker.errors import UserError
from rewardranker.models.tokens import encode_completions, encode_prompts


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
