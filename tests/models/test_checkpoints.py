import torch
from tiny import make_model

from rewardranker.models.checkpoints import decoding_kernels, prefer_fast_kernels, seeded


def test_kernels_change_speed_alone(tokenizer) -> None:
    model, ids = make_model(tokenizer).eval(), torch.arange(3, 43).view(2, 20)
    model.set_attn_implementation("sdpa")
    expected = model(input_ids=ids).logits
    prefer_fast_kernels(model)
    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(model(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    with decoding_kernels(model):
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == "eager"


def test_a_seed_is_local() -> None:
    state = torch.random.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    assert torch.equal(state, torch.random.get_rng_state())
    with seeded(3):
        assert torch.equal(first, torch.rand(2))
