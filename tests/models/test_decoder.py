import pytest
import torch

from rewardranker.models.decoder import build_decoder
from rewardranker.models.generator import Generator
from rewardranker.models.prefix import WAYS, completion_states
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import Decoder


def test_weights_are_decided_by_the_seed_alone(tokenizer) -> None:
    config = Decoder(hidden=32, layers=1, heads=2, intermediate=48, context=64)
    torch.manual_seed(5)
    first = build_decoder(config, tokenizer, 1).state_dict()
    state = torch.random.get_rng_state()
    again, other = (
        build_decoder(config, tokenizer, 1).state_dict(),
        build_decoder(config, tokenizer, 2).state_dict(),
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_size_is_as_the_recipe_says(tokenizer) -> None:
    model = build_decoder(Decoder(), tokenizer, 0)
    inner = 3 * (4 * 128 * 128 + 3 * 128 * 384 + 2 * 128) + 128
    assert sum(p.numel() for p in model.parameters()) == inner + len(tokenizer) * 128  # embeddings are tied
    assert model.config.max_position_embeddings == 512


def neox(tokenizer):
    config = Decoder(family="gpt_neox", hidden=32, layers=2, heads=2, intermediate=64, context=64)
    return build_decoder(config, tokenizer, 1).eval()


def test_another_family_goes_the_same_ways(tokenizer) -> None:
    model = neox(tokenizer)
    assert model.config.model_type == "gpt_neox"
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    prompts, rows, owners = [[5, 6, 7], [8, 9]], [[10, 11], [12], [13, 14, 15]], [0, 0, 1]
    naive, *others = (completion_states(model.base_model, prompts, rows, owners, way) for way in WAYS)
    for states in others:
        torch.testing.assert_close(states, naive)


@pytest.mark.parametrize("head", ["likelihood", "scalar"])
def test_another_family_is_saved_and_read_as_it_was(tokenizer, tmp_path, head) -> None:
    generator = Generator(neox(tokenizer), tokenizer)
    ranker = RewardRanker.from_generator(generator, head, seed=1)
    ranker.save(tmp_path / "ranker")
    again = RewardRanker.from_pretrained(tmp_path / "ranker")
    prompts, programs = ["def f(x):"] * 2, ["    return x\n", "    return 2\n"]
    assert again.score(prompts, programs) == pytest.approx(ranker.score(prompts, programs))
