"""A byte-level BPE tokenizer trained on the problems, for decoders trained from scratch."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"

_LINES_AND_WORDS = "|".join(
    (
        r'(?:(?<=\n)|\A)(?: {4,}(?! |""")|def )[^\n]*\n?',  # a line of code, whole
        r' *"""',
        r" ?\p{L}+",
        r" ?\d",
        r" ?[^\s\p{L}\p{N}]+\n?",
        r"\n|[^\S\n]+",
    )
)
"""Code lines (indented by 4 spaces or more, or starting with `def `) stay whole; everything else is words."""

_DIGITS = r"\A ?\d\z|\d"
"""Cuts digits out of code lines; leaves the prose piece " 7" alone."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a lossless tokenizer whose merges may span a whole line of code, but never a digit.

    A small decoder learns several times faster from `    xs = [x for x in xs if x > ` as one token than
    from its ten words. Every text can be encoded and decoded back, for the 256 bytes are in the vocabulary.

    Args:
        texts: what the vocabulary is learnt from, prompts and completions alike.
        vocabulary: most entries, the 256 bytes and the three special tokens included. There are fewer
            when the texts are used up (a pair that occurs once isn't merged).

    Example:
        >>> tokenizer = train_tokenizer(["    xs = xs[:3]\\n"] * 2, 300)
        >>> tokenizer.tokenize("    xs = xs[:2]\\n")
        ['ĠĠĠĠxsĠ=Ġxs[:', '2', ']Ċ']
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LINES_AND_WORDS), "isolated"),
            pre_tokenizers.Split(Regex(_DIGITS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
    )
