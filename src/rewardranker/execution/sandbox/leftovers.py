"""What a program leaves in its slot, removed: processes and files."""

import contextlib
import os
import signal
import stat
import time

_FREED_WITHIN_S = 1.0


def end_all(pid: int) -> tuple[int, float]:
    """Kill and reap every process of the slot but this one: `pid`'s return code, CPU seconds of all."""
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


def wipe(directory: str) -> bool:
    """Make `directory` as new, however deep, locked or oddly named its contents; False if that can't be."""
    try:
        os.chmod(directory, 0o700)  # noqa: PTH101
        for name in os.listxattr(directory):
            if name.startswith(("user.", "system.")):
                os.removexattr(directory, name)
        while entries := os.listdir(directory):  # noqa: PTH208
            for entry in entries:
                _remove(directory, entry)
        return _is_freed(directory)
    except OSError:
        return False


def _is_freed(directory: str) -> bool:
    """Whether no file without a name takes up space, in a directory that is a file system of its own.

    What two sockets hold for each other in messages, the kernel frees a little after their processes ended.
    """
    deadline = time.monotonic() + _FREED_WITHIN_S
    while os.path.ismount(directory):
        used = os.statvfs(directory)
        if used.f_files - used.f_ffree <= 1:  # the directory itself
            break
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
