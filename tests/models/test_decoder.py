import torch

from rewardranker.models.decoder import build_decoder
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
