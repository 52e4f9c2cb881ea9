"""Batches of similar length in random order."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

_BUCKET = 16
"""Batches whose items are sorted by length together: little padding, still a random order."""


def batches(
    items: Sequence[Item], size: int, length: Callable[[Item], int], order: random.Random
) -> list[list[Item]]:
    """All `items` once, in batches of `size` (the last of a bucket may be smaller), shuffled by `order`."""
    shuffled = order.sample(items, len(items))
    found = []
    for start in range(0, len(items), size * _BUCKET):
        bucket = sorted(shuffled[start : start + size * _BUCKET], key=length)
        found += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    order.shuffle(found)
    return found
