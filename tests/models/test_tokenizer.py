from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rewardranker.models.tokenizer import train_tokenizer

PROMPT = 'def f(xs):\n    """Keep the even numbers , then drop 12 of them."""\n'
CODE = "    xs = [x for x in xs if x % 2 == 10]\n\n    return sum(xs)\n"
TOKENIZER = train_tokenizer([PROMPT, CODE] * 3, 600)


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in TOKENIZER(text)["input_ids"]]


@given(st.text(max_size=60) | st.sampled_from(["<eos>", "<pad> x <bos>", PROMPT + CODE]))
@settings(max_examples=150, deadline=None)
def test_every_text_survives(text: str) -> None:
    ids = TOKENIZER(text, split_special_tokens=True)["input_ids"]
    assert TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text
    assert not {TOKENIZER.pad_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id} & set(ids)


def test_lines_of_code_merge_across_spaces_and_stop_at_digits() -> None:
    assert pieces(CODE) == [
        "    xs = [x for x in xs if x % ",
        "2",
        " == ",
        "1",
        "0",
        "]\n",
        "\n",
        "    return sum(xs)\n",
    ]


def test_prose_is_words_with_their_space() -> None:
    assert pieces(PROMPT)[:6] == ["def f(xs):\n", '    """', "Keep", " the", " even", " numbers"]
    assert pieces(PROMPT)[-5:] == [" 1", "2", " of", " them", '."""\n']


def test_vocabulary_is_bounded_and_pad_is_not_eos() -> None:
    small = train_tokenizer([PROMPT, CODE], 300)
    assert len(small) <= 300
    assert len({small.pad_token_id, small.bos_token_id, small.eos_token_id}) == 3


def test_saved_and_loaded_is_the_same(tmp_path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(tmp_path)
    for text in (PROMPT, CODE, "né\t\r\n"):
        assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
        assert loaded.decode(loaded(text)["input_ids"]) == text
