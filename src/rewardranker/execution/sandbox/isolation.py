"""Shut this process into namespaces of its own: no network, no files but the system's, no other processes.

Works as root and as an ordinary user, and needs no program installed. Kernel: Linux 5.12 or later with user
namespaces.
"""

import ctypes
import os
import platform
import resource
import select
import signal
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from rewardranker.execution.sandbox import seccomp

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_NEW = {
    "user": 0x10000000,
    "pid": 0x20000000,
    "mount": 0x00020000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_NOATIME, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 1024, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE, _SYS_MOUNT_SETATTR = -100, 0x8000, 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63

_NOBODY = 65534
_SYSTEM = ("bin", "sbin", "lib", "lib64")  # links into /usr on most systems
_SETTINGS = (  # folders outside /usr that programs of /usr do not work without
    *("etc/R", "etc/alternatives", "etc/java-*", "etc/mono", "etc/php", "etc/racket"),
    "var/lib/ghc",
)
PATH = "/usr/local/bin:/usr/bin:/bin"
NODE_MODULES = "/node_modules"
"""Where programs see the npm packages: node looks there for those of /tmp/program.js."""
PREBUILT = "/prebuilt"
"""Where programs and compilers see what was made of the toolchains once (`compilers.prebuilt`)."""
MAX_FILES = 256  # R does not start with fewer
MAX_PROCESSES = 64
MAX_FILE_BYTES = 16 << 20
# Room for Go: `go test` writes some files, a few MB in all, for each package that a program imports.
DIRECTORY_BYTES = 64 << 20
DIRECTORY_ENTRIES = 4096
_TMP_OPTIONS = f"size={DIRECTORY_BYTES},nr_inodes={DIRECTORY_ENTRIES},mode=700"


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if a is None else os.fsencode(a) for a in (source, target, kind)]
    _check(_libc.mount(*arguments, flags, options.encode() if options else None), f"mount {target}")


def enter(interpreter: Path, visible: Mapping[str, str], parent_pid: int) -> None:
    """Go on as process 1 of new namespaces, in a root that holds /usr and `interpreter`, both read-only.

    Also read-only there: the settings in /etc of compilers and interpreters, and the directories of the host
    in `visible`, at the paths that are its keys, as far as they exist.

    The process that called stays outside as a guard: it ends when this one ends, and it kills this one, and
    with it every process of the slot, as soon as process `parent_pid` is gone.

    Raises:
        OSError: something that this needs is refused here; the message names it.
    """
    parent = open_parent(parent_pid)
    if interpreter.parts[1] in ("dev", "proc", "tmp"):
        raise OSError(f"programs get a /{interpreter.parts[1]} of their own, but Python is in {interpreter}")
    _new_namespaces()
    sources = {path: os.open(path, os.O_PATH) for path in visible_paths(interpreter)}
    sources |= {path: os.open(host, os.O_PATH) for path, host in visible.items() if Path(host).is_dir()}
    # Only now leave the outer root's identity: an interpreter in /root had to be opened with it.
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    guarded = os.fork()
    if guarded:
        _guard(guarded, parent)
    os.close(parent)
    os.setsid()  # a program that signals its process group must not reach the guard
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _new_root(sources)
    _check(_libc.sethostname(b"sandbox", 7), "sethostname")
    limit_slot()
    drop_privileges()
    # Programs have our uid; not dumpable, we are closed to them: /proc/1/mem and the like.
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def open_parent(pid: int) -> int:
    """A descriptor of the process that started this one; and short of memory, the kernel takes us, not it."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    parent = os.pidfd_open(pid)
    if os.getppid() != pid:
        os._exit(1)
    return parent


def _new_namespaces() -> None:
    """Unshare; uid 0 inside is, outside, nobody when root called, and the user himself otherwise."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _maps_nobody():
        os.setgroups([])
        uid = gid = _NOBODY
    pid = os.getpid()
    ready, unshared = os.pipe()
    helper = os.fork()  # root's map can only be written from outside
    if helper == 0:
        os.close(unshared)
        os.read(ready, 1)
        _exit_with_errno(lambda: _write_maps(pid, uid, gid))
    os.close(ready)
    flags = 0
    for flag in _CLONE_NEW.values():
        flags |= flag
    _check(_libc.unshare(flags), "unshare (new namespaces)")
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # makes our uid_map writable to the helper
    os.close(unshared)
    _, status = os.waitpid(helper, 0)
    if status:
        error = os.waitstatus_to_exitcode(status)
        raise OSError(error, f"writing the user namespace's map: {os.strerror(error)}")


def _maps_nobody() -> bool:
    """Whether uid 65534 exists in the user namespace we are in (it may not, in a container)."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= _NOBODY < first + count:
            return True
    return False


def _write_maps(pid: int, uid: int, gid: int) -> None:
    Path(f"/proc/{pid}/setgroups").write_text("deny")
    Path(f"/proc/{pid}/uid_map").write_text(f"0 {uid} 1")
    Path(f"/proc/{pid}/gid_map").write_text(f"0 {gid} 1")


def _exit_with_errno(work: Callable[[], None]) -> NoReturn:
    try:
        work()
    except OSError as e:
        os._exit(e.errno or 1)
    os._exit(0)


def _guard(guarded: int, parent: int) -> NoReturn:
    """Wait for the end of process 1 or of the parent, and leave no process behind."""
    ended = select.poll()
    ended.register(os.pidfd_open(guarded), select.POLLIN)
    ended.register(parent, select.POLLIN)
    ended.poll()
    os.kill(guarded, signal.SIGKILL)
    os.waitpid(guarded, 0)
    os._exit(0)


def visible_paths(interpreter: Path) -> list[str]:
    """The directories of the host that programs may read."""
    system = [Path("/", name) for name in _SYSTEM]
    settings = [path for pattern in _SETTINGS for path in Path("/").glob(pattern) if path.is_dir()]
    paths = ["/usr", *(str(path) for path in system if path.is_dir() and not path.is_symlink())]
    paths += map(str, settings)
    if not interpreter.is_relative_to("/usr"):
        paths += [str(interpreter / name) for name in ("bin", "lib")]
    return paths


def _new_root(sources: dict[str, int]) -> None:
    """Build the small root in a tmpfs, change into it and let go of the old one.

    `sources`: the paths to show read-only, each with a descriptor of it in the old root.
    """
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    root = "/tmp"  # any directory that surely exists; what it holds is hidden, in here only
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,nr_inodes=128,mode=755")
    for path, source in sources.items():
        os.makedirs(root + path, exist_ok=True)  # noqa: PTH103 - a path below `root`, not a Path of its own
        _mount(f"/proc/self/fd/{source}", root + path, None, _MS_BIND | _MS_REC)
        _make_read_only(root + path)
        os.close(source)
    for name in _SYSTEM:
        if Path(f"/{name}").is_symlink():
            Path(root, name).symlink_to(Path(f"/{name}").readlink())
    _make_devices(f"{root}/dev")
    for name in ("tmp", "proc", "old"):
        os.mkdir(f"{root}/{name}")  # noqa: PTH102
    _mount("tmpfs", f"{root}/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOATIME, _TMP_OPTIONS)
    _mount_proc(f"{root}/proc")
    pivot_root = _SYS_PIVOT_ROOT[platform.machine()]
    _check(_libc.syscall(pivot_root, os.fsencode(root), os.fsencode(f"{root}/old")), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/old", _MNT_DETACH), "umount the old root")
    os.rmdir("/old")  # noqa: PTH106
    _mount("none", "/", None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir("/tmp")


def _make_read_only(path: str) -> None:
    """Make a mount and everything mounted below it read-only, without set-uid programs and device nodes."""
    attributes = struct.pack("QQQQ", _MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0)
    where = _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE
    result = _libc.syscall(_SYS_MOUNT_SETATTR, *where, ctypes.c_char_p(attributes), len(attributes))
    _check(result, f"mount_setattr {path} (Linux 5.12 or later)")


def _make_devices(path: str) -> None:
    os.mkdir(path)  # noqa: PTH102
    for name in ("null", "zero", "full", "random", "urandom"):
        Path(path, name).touch()
        _mount(f"/dev/{name}", f"{path}/{name}", None, _MS_BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(path, name).symlink_to(target)
    Path(path, "shm").symlink_to("/tmp")  # POSIX shared memory is wiped with /tmp


def _mount_proc(path: str) -> None:
    """Mount a /proc of our own processes, if we may: in a container whose own /proc is masked, we may not.

    Without it programs lack /proc, and no isolation.
    """
    try:
        _mount("proc", path, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except PermissionError:
        return
    Path(path, "sys/user/max_user_namespaces").write_text("0")
    _mount("proc", path, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def drop_privileges() -> None:
    """Give up all capabilities and, by seccomp, what would reach other processes or the kernel, for good."""
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))), "capset")
    seccomp.install()


def limit_slot() -> None:
    """Set the limits that the fork server and its programs share; each holds for one process."""
    _limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, MAX_FILES)
    _limit(resource.RLIMIT_CORE, 1)  # not 0: a host whose core_pattern is a pipe would dump all the same
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_SIGPENDING, 256)


def limit_program(memory_bytes: int, cpu_s: int, *, reserves_memory: bool = False) -> None:
    """Limit a program: memory and CPU seconds of each of its processes.

    A program that `reserves_memory` is limited in what it can write to, not in the addresses it takes.
    """
    _limit(resource.RLIMIT_DATA if reserves_memory else resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_s)


def limit_processes(n: int = MAX_PROCESSES) -> None:
    """Limit a program to as many processes and threads as its user then has."""
    _limit(resource.RLIMIT_NPROC, n)


def _limit(which: int, wanted: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (value, value))
