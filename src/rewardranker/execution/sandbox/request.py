"""What is said between a slot's two ends: `Slot` asks, the fork server answers.

On their socket:

    client: one byte, when the server may start to isolate itself
    server: READY (length, UTF-8 error message; length 0: ready)
    then, for each process to run,
    client: REQUEST (lengths of head and body), a `Request` as `marshal` writes it, the body
    server: REPLY (numbers and lengths), stdout, stderr, returned
"""

import struct
from typing import NamedTuple

READY = struct.Struct("<I")
REQUEST = struct.Struct("<II")
REPLY = struct.Struct("<BBBiddIII")
"""limit, steps, slot is worn, return code, wall_s, cpu_s, lengths of stdout, stderr and returned."""

NO_LIMIT, TIME, MEMORY, PROCESSES, FILES = range(5)
"""Limit: which one the program was ended at (what one process may take, the kernel refuses instead)."""

NOT_STARTED, STARTED, FINISHED, SPOILED = range(4)
"""Steps: the program did not start (it does not parse, say); it started; it ran to its end; it sent something
else than its end, as launchers do when an assertion fails that does not end it."""

NEVER_RAN = 71
"""Return code of a child that could not be set up: our fault, not the program's (if it did not start)."""

MAX_PATIENCE = 5
"""A program that waits for a busy CPU gets that time back, but after this many timeouts it ends anyway."""

_GRACE_S = 10.0

RUNTIME_MB = 256
"""What a runtime that reserves memory may take for itself, on top of the program's limit."""

_SLOT_MB = 64
"""The fork server and the files of a program, which count as the slot's memory too."""

KEPT_BYTES = 4 * 2048  # 2,048 characters of UTF-8


class Request(NamedTuple):
    """One process to run. The body is the content of the files, one after the other, and then the input."""

    command: list[str]
    """Empty: a fork of the fork server runs the first file as Python; no file is written."""
    files: list[tuple[str, int]]
    """Names in the working directory, and lengths."""
    input_bytes: int
    """Length of what the process reads from stdin; with `entry_point`, of the calls."""
    timeout_s: float
    memory_mb: int
    environment: dict[str, str]
    reserves_memory: bool = False
    key: str = ""
    """What the process sends, and nothing else, if it has run to its end (Python draws its own)."""
    sends_key: bool = False
    """Whether it is first sent to the process."""
    entry_point: str = ""
    """Python function to call when the program has run, once for each line of the input."""
    kept_bytes: int = KEPT_BYTES
    """Of each output; the rest is read and dropped."""
    goes_on: bool = False
    """The working directory is as the last request left it; otherwise it is empty."""
    keeps: bool = False
    """The next request goes on."""

    @property
    def total_mb(self) -> int:
        """Memory that all processes and files of the slot may take together."""
        return self.memory_mb + self.reserves_memory * RUNTIME_MB + _SLOT_MB

    @property
    def longest_s(self) -> float:
        """Seconds after which a slot that has not answered must have hung."""
        return MAX_PATIENCE * self.timeout_s + _GRACE_S
