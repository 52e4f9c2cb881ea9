import torch
from transformers import DynamicCache

from rewardranker.models.cache import repeat_with_room


def test_it_holds_what_a_dynamic_cache_holds() -> None:
    torch.manual_seed(0)
    plain, roomy = DynamicCache(), DynamicCache()
    for cache in (plain, roomy):
        torch.manual_seed(1)
        for layer in range(2):
            cache.update(torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 4), layer)
    plain.batch_repeat_interleave(2)
    repeat_with_room(roomy, 2)
    rows = 6
    for step in range(40):  # more than the buffers have room for, twice over
        if step in (3, 20):
            keep = torch.tensor([0, *range(2, rows)])
            plain.batch_select_indices(keep)
            roomy.batch_select_indices(keep)
            rows -= 1
        for layer in range(2):
            keys, values = torch.randn(2, rows, 2, 1, 4)
            for a, b in zip(
                plain.update(keys, values, layer), roomy.update(keys, values, layer), strict=True
            ):
                assert torch.equal(a, b)
        assert roomy.get_seq_length() == plain.get_seq_length() == 6 + step
