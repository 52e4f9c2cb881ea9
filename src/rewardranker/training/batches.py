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


def parts(items: Sequence[Item], length: Callable[[Item], int], most: int) -> list[list[Item]]:
    """Cut `items` into runs of at most `most` tokens, each item as long as the run's longest; 0: all in one.

    An item that is longer by itself is a run of its own.

    Example:
        >>> parts([3, 3, 4, 9], lambda item: item, 8)
        [[3, 3], [4], [9]]
    """
    found: list[list[Item]] = []
    longest = 0
    for item in items:
        longest = max(longest, length(item))
        if found and (not most or (len(found[-1]) + 1) * longest <= most):
            found[-1].append(item)
        else:
            found.append([item])
            longest = length(item)
    return found
