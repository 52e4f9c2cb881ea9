"""`Cgroup`: a limit on what all processes of a slot take together, where this user may set one.

Works with version 2 (`memory.max`) and version 1 (`memory.limit_in_bytes`). Groups can be made
by root and, in version 2, below a group that was delegated to the user (as systemd does, `user@.service`).
"""

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple, Self

_PREFIX = "rewardranker-"
_REMOVAL_S = 2.0
_NO_LIMIT_MB = 1 << 20


class _Files(NamedTuple):
    limits: tuple[str, str]
    """The first must be there; where the second is, it limits memory and swap together, or swap."""
    events: str
    """Has a line "oom_kill <number>"."""


_V1 = _Files(("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), "memory.oom_control")
_V2 = _Files(("memory.max", "memory.swap.max"), "memory.events")


class Cgroup:
    """A group of its own for one slot. `create` makes it, `close` removes it."""

    def __init__(self, directory: Path, files: _Files) -> None:
        self._directory, self._files = directory, files
        self._limit_mb = _NO_LIMIT_MB
        self._n_kills = 0
        self._events = (directory / files.events).open("rb", buffering=0)

    @classmethod
    def create(cls) -> Self | None:
        """A new group; None where there is no memory controller or this user may make none."""
        for parent, files in _parents():
            _remove_abandoned(parent)
            directory = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            try:
                directory.mkdir()
            except OSError:
                continue
            try:
                (directory / files.limits[0]).write_text(str(_NO_LIMIT_MB << 20))
                return cls(directory, files)
            except OSError:
                directory.rmdir()
        return None

    def add(self, pid: int) -> None:
        """Move a process here; what it starts from now on is here too.

        Raises:
            OSError: this user may not move it.
        """
        (self._directory / "cgroup.procs").write_text(str(pid))

    def limit(self, memory_mb: int) -> None:
        """Limit what is here to `memory_mb` (and no swap beyond it)."""
        if memory_mb == self._limit_mb:
            return
        size = str(memory_mb << 20)
        memory, swap = (self._directory / file for file in self._files.limits)
        values = [(memory, size), (swap, size if self._files is _V1 else "0")]
        if self._files is _V1 and memory_mb > self._limit_mb:
            values.reverse()  # memory and swap together may never be less than memory
        for file, value in values:
            if file.exists():
                try:
                    file.write_text(value)
                except OSError as e:
                    if (
                        e.errno == errno.EBUSY
                    ):  # less than is in use just now: the old limit holds till next time
                        return
                    raise
        self._limit_mb = memory_mb

    def was_exceeded(self) -> bool:
        """Whether the kernel has ended a process here since this was last asked, because of the limit."""
        self._events.seek(0)
        for line in self._events.read().splitlines():
            name, _, number = line.partition(b" ")
            if name == b"oom_kill":
                n_kills = int(number)
                exceeded, self._n_kills = n_kills > self._n_kills, n_kills
                return exceeded
        return False

    def close(self) -> None:
        """Remove the group; its processes must have ended."""
        self._events.close()
        deadline = time.monotonic() + _REMOVAL_S
        while True:  # a process that has ended leaves its group a moment later
            try:
                self._directory.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.002)
            else:
                return


def _parents(proc: Path = Path("/proc/self")) -> list[tuple[Path, _Files]]:
    """Groups in which a group with a memory limit may be possible: our own, and, in version 2, the one above.

    In version 2 a group that holds processes can't limit groups below it (the root can).
    """
    mounts = {}
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        name, _, options = kind.split(" ", 2)
        if name == "cgroup2" or (name == "cgroup" and "memory" in options.split(",")):
            mounts[name] = (fields.split()[3], Path(fields.split()[4]))
    found = []
    for line in (proc / "cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and "cgroup" in mounts:
            found.append((_below(mounts["cgroup"], path), _V1))
        elif number == "0" and "cgroup2" in mounts:
            own = _below(mounts["cgroup2"], path)
            top = mounts["cgroup2"][1]
            found += [(group, _V2) for group in (own, own.parent) if group.is_relative_to(top)]
    return found


def _below(mount: tuple[str, Path], path: str) -> Path:
    root, where = mount
    return where / Path("/", os.path.relpath(path, root)).relative_to("/")


def _remove_abandoned(parent: Path) -> None:
    """Remove the groups of processes that were killed before they could."""
    for directory in parent.glob(f"{_PREFIX}*"):
        pid = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                directory.rmdir()
