"""`Captured`: a pipe that a program writes to, read by the fork server."""

import os

from rewardranker.execution.sandbox.request import KEPT_BYTES


class Captured:
    """The first bytes are kept, the rest is read and dropped.

    All passes through buffers that `erase` overwrites: what is left in the fork server's memory is inherited
    by the next program.
    """

    def __init__(self) -> None:
        self._small = memoryview(bytearray(KEPT_BYTES))
        self._kept = self._small
        self._rest = memoryview(bytearray(1 << 16))
        self._length = self._rest_length = 0
        self.reader = self.writer = -1

    @property
    def kept(self) -> memoryview:
        """What was read and kept."""
        return self._kept[: self._length]

    def open(self, capacity: int) -> None:
        """A new pipe, of which `capacity` bytes will be kept."""
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._kept = self._small if capacity <= len(self._small) else memoryview(bytearray(capacity))
        self._length = self._rest_length = 0

    def close_writer(self) -> None:
        """Leave the program's end to the program."""
        os.close(self.writer)

    def read(self) -> bool:
        """Read what is there; False at the end of the file, or when there is nothing now."""
        room = self._kept[self._length :]
        try:
            n = os.readv(self.reader, [room, self._rest])
        except BlockingIOError:
            return False
        self._length += min(n, len(room))
        self._rest_length = max(self._rest_length, n - len(room))
        return n > 0

    def drain(self) -> None:
        """Read the rest and close."""
        while self.read():
            pass
        os.close(self.reader)

    def replace(self, text: bytes) -> None:
        """Keep `text` instead."""
        self.erase()
        self._length = len(text)
        self._kept[: self._length] = text

    def erase(self) -> None:
        """Overwrite what was kept, and what was dropped."""
        self._kept[: self._length] = bytes(self._length)
        self._rest[: self._rest_length] = bytes(self._rest_length)
        self._kept = self._small
        self._length = 0
