"""What a program leaves in its slot, removed: processes and files."""

import contextlib
import os
import signal
import stat
import time
from pathlib import Path

_FREED_WITHIN_S = 1.0


def end_all(pid: int) -> tuple[int, float]:
    """Kill and reap all other processes of this pid namespace: `pid`'s return code, CPU seconds of all.

    Raises:
        RuntimeError: this is not process 1: "every process" would be the user's.
    """
    if os.getpid() != 1:
        raise RuntimeError("not process 1 of a pid namespace")
    returncode, cpu_s = 0, 0.0
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            ended, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return returncode, cpu_s
        cpu_s += usage.ru_utime + usage.ru_stime
        if ended == pid:
            returncode = os.waitstatus_to_exitcode(status)


def end_descendants(pid: int = 0) -> tuple[int, float]:
    """Kill and reap every process that descends from this one; returns what `end_all` does.

    This process must be a subreaper with one thread: orphans of the dead become its children. Only children
    are killed, for nobody else reaps them, so their numbers can't pass to other processes meanwhile. They are
    reaped when all are dead: until then they count as processes of their user, so that a program which forks
    and exits, again and again, runs into that limit.
    """
    returncode, cpu_s = 0, 0.0
    while True:
        living = [child for child in children(os.getpid()) if not _is_dead(child)]
        for child in living:
            os.kill(child, signal.SIGKILL)
        if living:
            time.sleep(0.0005)
            continue
        while True:
            try:
                ended, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:  # no child, hence no descendant
                return returncode, cpu_s
            if ended == 0:  # the kernel's list of children was read while it changed
                time.sleep(0.0005)
                break
            cpu_s += usage.ru_utime + usage.ru_stime
            if ended == pid:
                returncode = os.waitstatus_to_exitcode(status)


def descendants() -> dict[int, int]:
    """Processes that descend from this one, with their numbers of threads."""
    found: dict[int, int] = {}
    todo = children(os.getpid())
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):  # it ended just now
            found[pid] = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
            todo += [child for child in children(pid) if child not in found]
    return found


def children(pid: int) -> list[int]:
    """Children of all threads of process `pid`."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread ended just now
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] in b"ZX"


def wipe(directory: str, *, is_file_system: bool = False) -> bool:
    """Make `directory` as new, however deep, locked or oddly named its contents; False if that can't be.

    `is_file_system`: it is one of its own, in which files without a name must not take up space either.
    """
    try:
        os.chmod(directory, 0o700)  # noqa: PTH101
        for name in os.listxattr(directory):
            if name.startswith(("user.", "system.")):
                os.removexattr(directory, name)
        while entries := os.listdir(directory):  # noqa: PTH208
            for entry in entries:
                _remove(directory, entry)
        return not is_file_system or _is_freed(directory)
    except OSError:
        return False


def _is_freed(directory: str) -> bool:
    """Whether no file without a name takes up space in a file system.

    What two sockets hold for each other in messages, the kernel frees a little after their processes ended.
    """
    deadline = time.monotonic() + _FREED_WITHIN_S
    while (used := os.statvfs(directory)).f_files - used.f_ffree > 1:  # the directory itself
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _remove(directory: str, entry: str) -> None:
    """Remove an entry; directories in it are moved up into `directory`, so that no path ever gets long."""
    path = f"{directory}/{entry}"
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)  # noqa: PTH108
        return
    os.chmod(path, 0o700)  # noqa: PTH101
    for name in os.listdir(path):  # noqa: PTH208
        inner = f"{path}/{name}"
        if stat.S_ISDIR(os.lstat(inner).st_mode):
            os.chmod(inner, 0o700)  # noqa: PTH101 - a directory is moved only if it can be written
            os.rename(inner, f"{directory}/{os.urandom(16).hex()}")  # noqa: PTH104
        else:
            os.unlink(inner)  # noqa: PTH108
    os.rmdir(path)  # noqa: PTH106
