"""Loading, sampling and scoring with checkpoints as DeepSeek-Coder, Qwen2.5-Coder and StarCoder2 come."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from real import FAMILIES, write_checkpoint
from tiny import TEXTS, naive_logprobs
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rewardranker.errors import UserError
from rewardranker.models.checkpoints import load_tokenizer
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokens import encode_completions, encode_prompts
from rewardranker.problems.problem import Problem
from rewardranker.recipe import SFT
from rewardranker.training.sft import train_sft

PROMPTS = ["def f(xs):\n", *TEXTS[::2], "# as long as a window\n" * 6 + TEXTS[0]]
COMPLETIONS = [TEXTS[1], TEXTS[3], TEXTS[1], "    return 12\n"]
PROGRAM = (
    '\tdef f(x):\n    """Ü — 12,345 \U0001f600"""\r\n    return  x[1:]   # 2 <|im_end|> <|endoftext|>\n\n'
)


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / request.param
    return write_checkpoint(folder, request.param, TEXTS * 2, scale=6.0)


@pytest.fixture
def generator(checkpoint: Path) -> Generator:
    return Generator.from_pretrained(checkpoint)


def problems() -> list[Problem]:
    return [Problem(f"p{i}", "python", prompt, "") for i, prompt in enumerate(PROMPTS)]


def test_the_tokenizer_gives_back_every_program(checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(checkpoint)
    for text in (*TEXTS, PROGRAM):
        (ids,) = encode_completions(tokenizer, [text])
        assert tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False) == text
        assert ids.count(tokenizer.eos_token_id) == 1
    Generator.from_pretrained(checkpoint).save(tmp_path / "saved")
    plain = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert plain.tokenize(TEXTS[0]) == tokenizer.tokenize(TEXTS[0])


def test_a_prompt_begins_as_the_models_own_tokenizer_begins_it(generator: Generator) -> None:
    (prompt,) = encode_prompts(generator.tokenizer, [TEXTS[0]])
    bos = "<\uff5cbegin▁of▁sentence\uff5c>"
    starts_with_bos = generator.tokenizer.convert_ids_to_tokens(prompt[0]) == bos
    assert starts_with_bos == (generator.model.config.model_type == "llama")
    assert not {generator.tokenizer.eos_token_id, generator.tokenizer.pad_token_id} & set(prompt)


def test_weights_become_float32_and_no_row_is_added(checkpoint: Path, generator: Generator) -> None:
    published = json.loads((checkpoint / "config.json").read_text())
    assert published["torch_dtype"] == "bfloat16"
    assert {p.dtype for p in generator.model.parameters()} == {torch.float32}
    pad, eos = generator.tokenizer.pad_token_id, generator.tokenizer.eos_token_id
    assert pad not in (None, eos, generator.tokenizer.bos_token_id)
    assert generator.model.get_input_embeddings().num_embeddings == published["vocab_size"] > pad
    tied = generator.model.get_input_embeddings().weight is generator.model.get_output_embeddings().weight
    assert tied == (published["model_type"] != "llama")


def test_a_linear_rope_scaling_is_kept(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", "deepseek-coder", TEXTS * 2)
    rope = Generator.from_pretrained(folder).model.config.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("linear", 4.0, 100000)


@pytest.mark.parametrize("family", FAMILIES)
def test_sharded_weights_are_the_same_weights(tmp_path: Path, family) -> None:
    whole = write_checkpoint(tmp_path / "whole", family, TEXTS * 2)
    sharded = write_checkpoint(tmp_path / "sharded", family, TEXTS * 2, shard="20KB")
    assert (sharded / "model.safetensors.index.json").is_file()
    expected, found = (Generator.from_pretrained(folder).model for folder in (whole, sharded))
    for a, b in zip(expected.parameters(), found.parameters(), strict=True):
        assert torch.equal(a, b)


def test_greedy_equals_transformers_generate(generator: Generator) -> None:
    drawn = generator.sample(
        problems(), n=1, temperature=0.0, max_new_tokens=20, seed=1, policy="sft", batch_size=64
    )
    for prompt, found in zip(PROMPTS, drawn, strict=True):
        (ids,) = encode_prompts(generator.tokenizer, [prompt])
        output = generator.model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=generator.tokenizer.eos_token_id,
            pad_token_id=generator.tokenizer.pad_token_id,
        )
        wanted = generator.tokenizer.decode(
            output[0, len(ids) :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert found.text == wanted


def test_logprobs_are_those_of_the_sampled_tokens(generator: Generator) -> None:
    longest = 0
    for batch in generator.rollouts(
        problems(), n=3, temperature=1.0, max_new_tokens=20, seed=1, batch_size=64
    ):
        for r in batch:
            longest = max(longest, len(r.prompt_ids))
            expected = naive_logprobs(generator.model, r.prompt_ids, r.ids).detach()
            np.testing.assert_allclose(r.logprobs, expected, atol=5e-4)
    assert longest > 64  # StarCoder2's window


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("head", ["likelihood", "scalar"])
def test_plain_transformers_gives_the_scores_of_a_saved_ranker(
    generator: Generator, tmp_path: Path, head, side: str
) -> None:
    ranker = RewardRanker.from_generator(generator, head, seed=1)
    ranker.save(tmp_path / "ranker")
    expected = ranker.score(PROMPTS, COMPLETIONS)
    assert len(np.unique(expected.round(4))) == len(PROMPTS)
    loaded = RewardRanker.from_pretrained(tmp_path / "ranker")
    np.testing.assert_allclose(loaded.score(PROMPTS, COMPLETIONS), expected, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "ranker", padding_side=side)
    prompts = encode_prompts(tokenizer, PROMPTS)
    completions = encode_completions(tokenizer, COMPLETIONS)
    if head == "likelihood":
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "ranker")
        pairs = zip(prompts, completions, strict=True)
        found = torch.stack([naive_logprobs(model, p, c).mean() for p, c in pairs])
    else:
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ranker")
        rows = [p + c for p, c in zip(prompts, completions, strict=True)]
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        found = model(**batch).logits[:, 0]
    np.testing.assert_allclose(found.detach(), expected, atol=2e-4)


def test_a_tokenizer_without_any_pad_gets_a_row_that_is_hardly_drawn(tmp_path: Path) -> None:
    """As StarCoder2, but without <fim_pad>, and as large a vocabulary as the model has rows."""
    folder = write_checkpoint(tmp_path / "model", "starcoder2", TEXTS * 2, scale=6.0)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<fim_pad>", "<fim_end>"))
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace("<fim_pad>", "<fim_end>"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    generator = Generator.from_pretrained(folder)
    pad, rows = generator.tokenizer.pad_token_id, plain.config.vocab_size
    assert pad == rows == generator.model.get_input_embeddings().num_embeddings - 1
    (ids,) = encode_prompts(generator.tokenizer, [TEXTS[0]])
    expected, found = (model(torch.tensor([ids])).logits[0] for model in (plain, generator.model))
    torch.testing.assert_close(found[:, :rows], expected, atol=1e-3, rtol=1e-3)
    assert float(found.detach().softmax(-1)[:, pad].max()) <= 1 / rows
    generator.save(tmp_path / "saved")
    again = Generator.from_pretrained(tmp_path / "saved")
    assert again.tokenizer.pad_token_id == pad
    assert torch.equal(
        again.model.get_input_embeddings().weight, generator.model.get_input_embeddings().weight
    )


def test_every_end_of_the_generation_config_ends_a_candidate(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", "qwen2.5-coder", TEXTS * 2, instruct=True)
    generator = Generator.from_pretrained(folder)
    ends = generator.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    seen = set()
    for batch in generator.rollouts(
        problems(), n=40, temperature=1.0, max_new_tokens=60, seed=1, batch_size=512
    ):
        for r in batch:
            assert not set(ends) & set(r.ids[:-1])
            assert (r.ids[-1] in ends) == (r.finish_reason == "eos")
            seen.add(r.ids[-1])
    assert set(ends) <= seen


def instruct(folder: Path, family: str, **options) -> Path:
    return write_checkpoint(folder, family, TEXTS * 2, instruct=True, **options)


@pytest.mark.parametrize("family", ["deepseek-coder", "qwen2.5-coder"])
def test_a_chat_ends_in_the_prompt_itself(tmp_path: Path, family: str) -> None:
    generator = Generator.from_pretrained(instruct(tmp_path / "model", family), prompt="chat")
    tokenizer = generator.tokenizer
    prompt = PROGRAM + "def g():\n"
    (ids,) = encode_prompts(tokenizer, [prompt])
    turn = {"role": "user", "content": "\ue000"}
    asked = tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
    opening, generation = asked.split("\ue000")
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert text.startswith(opening)
    assert text.endswith(f"```\n{prompt.rstrip()}\n```{generation}```\n{prompt}")
    (own,) = encode_completions(tokenizer, [prompt])
    assert ids[-len(own) + 1 :] == own[:-1]
    # what a problem spells is text: control tokens are the template's alone
    special = [i for i in ids if i in tokenizer.all_special_ids]
    template = tokenizer(asked, add_special_tokens=False, split_special_tokens=False)["input_ids"]
    assert special == [i for i in template if i in tokenizer.all_special_ids]


def test_a_folder_remembers_how_its_model_is_shown_prompts(tmp_path: Path) -> None:
    folder = instruct(tmp_path / "model", "qwen2.5-coder", scale=6.0)
    generator = Generator.from_pretrained(folder, prompt="chat", system="Be brief.")
    chat = encode_prompts(generator.tokenizer, PROMPTS)
    assert generator.tokenizer.decode(chat[0]).startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    plain = encode_prompts(Generator.from_pretrained(folder).tokenizer, PROMPTS)
    assert plain != chat
    generator.save(tmp_path / "generator")
    ranker = RewardRanker.from_generator(generator, "scalar", seed=1)
    ranker.save(tmp_path / "ranker")
    assert encode_prompts(AutoTokenizer.from_pretrained(tmp_path / "generator"), PROMPTS) == chat
    assert encode_prompts(Generator.from_pretrained(tmp_path / "generator").tokenizer, PROMPTS) == chat
    loaded = RewardRanker.from_pretrained(tmp_path / "ranker")
    assert encode_prompts(loaded.tokenizer, PROMPTS) == chat
    expected = ranker.score(PROMPTS, COMPLETIONS)
    np.testing.assert_allclose(loaded.score(PROMPTS, COMPLETIONS), expected, atol=1e-5)
    back = Generator.from_pretrained(tmp_path / "generator", prompt="completion")
    assert encode_prompts(back.tokenizer, PROMPTS) == plain


def test_the_end_of_the_code_block_ends_a_candidate_shown_as_a_chat(tmp_path: Path) -> None:
    generator = Generator.from_pretrained(instruct(tmp_path / "model", "qwen2.5-coder"), prompt="chat")
    texts = [f"    return {k}\n```\nDone.\n" for k in range(2)]
    config = SFT(epochs=80, batch_size=2, learning_rate=1e-2)
    train_sft(generator, list(zip(PROMPTS[:2], texts, strict=True)), config, seed=1)
    drawn = generator.sample(
        problems()[:2], n=1, temperature=0.0, max_new_tokens=40, seed=1, policy="sft", batch_size=8
    )
    assert [(c.text, c.finish_reason) for c in drawn] == [
        ("    return 0", "stop"),
        ("    return 1", "stop"),
    ]


def test_chat_templates_that_cannot_be_used(tmp_path: Path) -> None:
    folder = instruct(tmp_path / "model", "qwen2.5-coder")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())

    def refusal(template: str | None, system: str = "") -> str:
        path.write_text(json.dumps(config | {"chat_template": template}))
        with pytest.raises(UserError) as e:
            Generator.from_pretrained(folder, "chat", system)
        return str(e.value)

    assert "has no chat template" in refusal(None)
    assert "does not show the user's turn once" in refusal("Hello")
    needs = (
        "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system turn, please') }}{% endif %}"
        "{{ messages[0]['content'] }}{{ messages[1]['content'] }}"
    )
    message = refusal(needs)
    assert "a system turn, please" in message and "generator.system" in message
    Generator.from_pretrained(folder, "chat", "Be brief.")


def test_a_tokenizer_that_loses_blanks_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", "qwen2.5-coder", TEXTS * 2)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pre_tokenizer": {"type": "Whitespace"}}))
    with pytest.raises(UserError, match="cannot write programs"):
        Generator.from_pretrained(folder)
