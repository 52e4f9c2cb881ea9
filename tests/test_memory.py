"""Giving memory back."""

import ctypes
import subprocess
import sys

import pytest

CODE = """
from pathlib import Path
from rewardranker import memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

large, small = [], []
for i in range(2000):  # 100 kB each: below the size from which glibc maps a block by itself
    large.append(b"x" * 100_000)
    small.append(b"y" * (600 + i % 7))
large.clear()
held = resident_mb()
memory.give_back()
print(held - resident_mb())
"""


def test_gaps_between_small_objects_are_given_back() -> None:
    """In a process of its own: where larger blocks were freed before, glibc maps more of them singly."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("only glibc has malloc_trim")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100
