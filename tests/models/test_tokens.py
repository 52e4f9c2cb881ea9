import pytest

from rewardranker.errors import UserError
from rewardranker.models.tokens import encode_chat, encode_completions, encode_prompts


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


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def test_a_chat_is_encoded_by_its_template_and_its_messages_stay_text(tokenizer) -> None:
    chats = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    with pytest.raises(UserError, match="no chat template"):
        encode_chat(chats, [{"role": "user", "content": "def f(xs):\n"}])
    chats.chat_template = TEMPLATE
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "return<eos> xs"}]
    ids = encode_chat(chats, messages)
    assert chats.decode(ids) == chats.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert ids.count(chats.eos_token_id) == 2
    with pytest.raises(UserError, match="no tools"):
        encode_chat(chats, [{"role": "tool", "content": ""}])
