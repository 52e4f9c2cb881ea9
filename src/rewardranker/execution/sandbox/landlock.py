"""Confine programs where user namespaces are refused: Landlock, seccomp, limits, a watch on what they take.

Weaker than `isolation.enter`: programs share user, process numbers, network and file names with the host, and
each way to them is closed one by one. What that leaves open stands in docs/decisions/0011-landlock.md.

Kernel: Linux 5.13 or later with Landlock. Its version (ABI) is read at run time; what it lacks below 3
(cutting files off) and 6 (signals), seccomp refuses.
"""

import ctypes
import errno
import os
import platform
import select
import shutil
import signal
import stat
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from rewardranker.execution.sandbox import isolation, seccomp
from rewardranker.execution.sandbox.leftovers import end_descendants, wipe

_libc = ctypes.CDLL(None, use_errno=True)

# <linux/landlock.h>; the numbers of the calls are those of all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = (1 << n for n in range(6, 12))
_MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << n for n in range(12, 16))
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
"""What can be refused, by the version from which on."""
_NETWORK = 4, 0b11  # from version 4: bind and connect, TCP
_SCOPES = 6, 0b11  # from version 6: abstract UNIX sockets, signals
_TRUNCATION, _SIGNALS = 3, 6

_READABLE = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _WRITE_FILE | _TRUNCATE
_WORK = (
    _READABLE | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM
) | (_REFER | _TRUNCATE)
_RULE = struct.Struct("=Qi")
_OF_ITSELF = ("maps", "stat", "statm", "status")  # in /proc: mono and node do not work without

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_UNUSED_UIDS = 1_900_000_000
"""From here on, a uid for each process number: systemd's documentation lists this range as unused."""
_NOBODY = 65534
_WORKING_DIRECTORY = "work"
_MIN_FREE_BYTES = 128 << 20
"""Of the file system of the working directory: a program during which less is left is ended."""
_PROCESS_MARGIN = 1024
_RECOUNT_S = 5.0


def abi() -> int:
    """The version of Landlock's interface.

    Raises:
        OSError: this kernel has none, or it is refused here.
    """
    version: int = _libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < 1:
        number = ctypes.get_errno()
        why = {
            errno.ENOSYS: "this kernel has no Landlock (Linux 5.13 or later, CONFIG_SECURITY_LANDLOCK)",
            errno.EOPNOTSUPP: "Landlock is switched off: add landlock to lsm= on the kernel's command line",
        }
        raise OSError(number, why.get(number, f"Landlock is refused here ({os.strerror(number)})"))
    return version


def make_directory(parents: Iterable[Path], name: str, node_modules: Path) -> Path:
    """A directory `name` for a slot, in the first of `parents` that has room.

    It holds the working directory of the programs and, where node looks for it, a link to the npm packages.

    Raises:
        OSError: none has room.
    """
    for parent in parents:
        if not os.access(parent, os.W_OK):
            continue
        free = os.statvfs(parent)
        if free.f_bavail * free.f_frsize < 4 * _MIN_FREE_BYTES:
            continue
        directory = parent / name
        directory.mkdir(mode=0o700)
        (directory / _WORKING_DIRECTORY).mkdir(mode=0o700)
        (directory / "node_modules").symlink_to(node_modules)
        return directory
    raise OSError(errno.ENOSPC, f"no directory with {4 * _MIN_FREE_BYTES >> 20} MB free: set TMPDIR to one")


class Confinement:
    """What the fork server needs to confine each program in turn; made by `enter`."""

    def __init__(self, directory: str, readable: Iterable[str], *, shares_uid: bool) -> None:
        self.directory = directory
        """Where programs run, and the only place they can write to."""
        self._abi = abi()
        self._shares_uid = shares_uid
        self._n_of_user, self._counted_at = 0, 0.0
        rules = [(path, _READABLE) for path in readable]
        rules += [(f"/dev/{name}", _DEVICE) for name in ("null", "zero", "full", "random", "urandom")]
        rules.append((directory, _WORK))
        handled = 0
        for version, bits in _FILE_RIGHTS.items():
            handled |= bits * (self._abi >= version)
        network, scopes = (bits * (self._abi >= version) for version, bits in (_NETWORK, _SCOPES))
        self._ruleset = struct.pack("QQQ", handled, network, scopes)
        self._rules = [_RULE.pack(rights & handled, os.open(path, os.O_PATH)) for path, rights in rules]
        self._filter = self._build_filter() if self._abi >= _SIGNALS else b""

    def confine(self) -> None:
        """Confine this process, which will be a program, and all that it will start."""
        os.setsid()  # signals to its process group are for itself
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server = os.getppid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:
            os._exit(1)
        self._restrict()
        seccomp.install(self._filter or self._build_filter(only_signals=os.getpid()))

    def count_processes(self) -> int:
        """How many processes and threads this user may have, so that a program can't have very many.

        Where the user has others, they count, and come and go: then this holds back a fork bomb only until
        the watch sees it.
        """
        if not self._shares_uid:
            return isolation.MAX_PROCESSES
        if time.monotonic() > self._counted_at + _RECOUNT_S:
            self._n_of_user, self._counted_at = _count_processes(os.getuid()), time.monotonic()
        return self._n_of_user + _PROCESS_MARGIN

    def is_full(self) -> bool:
        """Whether what lies in the working directory is too much, or can't be counted."""
        free = os.statvfs(self.directory)
        if free.f_bavail * free.f_frsize < _MIN_FREE_BYTES:
            return True
        n = size = 0
        todo = [self.directory]
        while todo:
            try:
                with os.scandir(todo.pop()) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        n, size = n + 1, size + status.st_blocks * 512
                        if n > isolation.DIRECTORY_ENTRIES or size > isolation.DIRECTORY_BYTES:
                            return True
                        if stat.S_ISDIR(status.st_mode):
                            todo.append(entry.path)
            except (FileNotFoundError, NotADirectoryError):  # removed just now
                continue
            except OSError:  # locked, or too deep
                return True
        return False

    def make_executable(self) -> None:
        """Give the files in the working directory the mode that linkers want to give them, but may not."""
        for entry in os.scandir(self.directory):
            if entry.is_file(follow_symlinks=False):
                os.chmod(entry.path, 0o700)  # noqa: PTH101

    def _build_filter(self, only_signals: int = 0) -> bytes:
        return seccomp.build_host_filter(
            platform.machine(), denies_truncation=self._abi < _TRUNCATION, only_signals=only_signals
        )

    def _restrict(self) -> None:
        ruleset = _call("create_ruleset", _CREATE_RULESET, self._ruleset, len(self._ruleset), 0)
        own = [os.open(f"/proc/self/{name}", os.O_PATH) for name in _OF_ITSELF]
        for rule in (*self._rules, *(_RULE.pack(_READ_FILE, descriptor) for descriptor in own)):
            _call("add_rule", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        for descriptor in own:
            os.close(descriptor)
        _call("restrict_self", _RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def enter(interpreter: Path, visible: Mapping[str, str], parent_pid: int, directory: str) -> Confinement:
    """Go on as a fork server in `directory`, whose programs can be confined; as root, as a user of its own.

    The process that called stays as a guard: it ends with this one or with process `parent_pid`, or by
    SIGTERM, kills what is left of the programs then, and removes `directory`.

    Raises:
        OSError: something that this needs is refused here; the message names it.
    """
    abi()
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        raise OSError("this kernel does not tell the children of a process (CONFIG_PROC_CHILDREN)")
    parent = isolation.open_parent(parent_pid)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    guarded = os.fork()
    if guarded:
        _guard(guarded, (parent, reader), directory)
    signal.set_wakeup_fd(-1)
    for descriptor in (parent, reader, writer):
        os.close(descriptor)
    os.setsid()
    work = f"{directory}/{_WORKING_DIRECTORY}"
    shares_uid = os.geteuid() != 0 or not _become_another_user((directory, work))
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # or a /proc with hidepid hides the programs from us
    signal.signal(signal.SIGTERM, _exit)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    readable = [p for p in (*isolation.visible_paths(interpreter), *visible.values()) if _is_dir(p)]
    for path in readable:
        _check_readable(Path(path))
    isolation.limit_slot()
    isolation.drop_privileges()
    os.chdir(work)
    os.environ.update(HOME=work, TMPDIR=work)
    return Confinement(work, readable, shares_uid=shares_uid)


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the directories `prefix`<pid>-... of clients that were killed together with their guards.

    What a user calls so stays: it isn't of `make_directory`'s making.
    """
    for directory in parent.glob(f"{prefix}*"):
        pid = directory.name.removeprefix(prefix).partition("-")[0]
        ours = pid.isdecimal() and (directory / "node_modules").is_symlink()
        if ours and not Path("/proc", pid).exists():
            shutil.rmtree(directory, ignore_errors=True)


def _guard(server: int, others: Iterable[int], directory: str) -> NoReturn:
    ended = select.poll()
    for descriptor in (os.pidfd_open(server), *others):
        ended.register(descriptor, select.POLLIN)
    ended.poll()
    end_descendants()
    wipe(f"{directory}/{_WORKING_DIRECTORY}")
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def _exit(*_: object) -> NoReturn:
    raise SystemExit


def _become_another_user(directories: Iterable[str]) -> bool:
    """Take, with `directories`, a uid of its own or that of nobody; False if others have the same."""
    for uid in (_UNUSED_UIDS + os.getpid(), _NOBODY):
        with suppress(OSError):  # in a container it may not exist
            for directory in directories:
                os.chown(directory, uid, uid)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            return uid != _NOBODY
    return False


def _is_dir(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except PermissionError:
        return True  # it may be one: `_check_readable` tells


def _check_readable(path: Path) -> None:
    for part in (*reversed(path.parents), path):
        if not os.access(part, os.X_OK):
            raise PermissionError(
                f"programs run as a user who can't read {path}: allow it with `chmod a+x {part}`, "
                "or move what is there to where every user can read"
            )


def _count_processes(uid: int) -> int:
    n = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        with suppress(OSError):  # it ended just now
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:  # noqa: PTH116
                n += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208
    return n


def _call(what: str, *arguments: object) -> int:
    result: int = _libc.syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock_{what}: {os.strerror(number)}")
    return result
