import random

from hypothesis import given
from hypothesis import strategies as st

from rewardranker.training.batches import batches


@given(st.lists(st.text(max_size=20), max_size=200), st.integers(1, 7), st.integers())
def test_every_item_comes_once_in_as_few_batches_as_possible(items, size, seed) -> None:
    found = batches(items, size, len, random.Random(seed))
    assert sorted(item for batch in found for item in batch) == sorted(items)
    assert len(found) == -(-len(items) // size)
    assert found == batches(items, size, len, random.Random(seed))


def test_batches_are_of_similar_length_in_random_order() -> None:
    items = ["x" * k for k in range(160)]
    found = batches(items, 10, len, random.Random(0))
    assert all(max(map(len, batch)) - min(map(len, batch)) == 9 for batch in found)
    assert [len(batch[0]) for batch in found] != sorted(len(batch[0]) for batch in found)
