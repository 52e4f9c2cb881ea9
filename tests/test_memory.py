"""Giving memory back."""

import ctypes
from pathlib import Path

import pytest

from rewardranker import memory


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_gaps_between_small_objects_are_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("only glibc has malloc_trim")
    large = []
    small = []
    for i in range(2000):  # 100 kB each: below the size from which glibc maps a block by itself
        large.append(b"x" * 100_000)
        small.append(b"y" * (600 + i % 7))
    large.clear()
    held = resident_mb()
    memory.give_back()
    assert resident_mb() < held - 100
    assert len(small) == 2000
