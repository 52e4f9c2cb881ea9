"""The fork server of a slot: process 1 of its own namespaces, runs one program after the other.

Started by `rewardranker.execution.slot` as

    python -P -s -S -B -c "... server.main(parent_pid, visible)"

with an empty environment and a socket as descriptor 0,

so that nothing of the process that started it is in its memory. Protocol on the socket:

    server: READY frame (length, UTF-8 error message; length 0: ready)
    then, for each program,
    client: REQUEST (lengths of job and source, timeout_s, memory_mb), job, source
    server: REPLY (outcome, numbers and lengths), stdout, stderr

Without a job, the source is Python and runs in a fork of this process. Otherwise the job is a `Job` as JSON,
and the source is the content of its files.

Sources and outputs pass through buffers that are overwritten at once: what is left in this process's memory
is inherited by the next program.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from rewardranker.execution.sandbox import isolation
from rewardranker.execution.sandbox.child import KEY_BYTES, Descriptors, exec_program, run_program

READY = struct.Struct("<I")
REQUEST = struct.Struct("<IIdI")
REPLY = struct.Struct("<BBBiddII")
"""timed out, steps, slot is worn, return code, wall_s, cpu_s, lengths of stdout and stderr."""

NOT_STARTED, STARTED, FINISHED, SPOILED = range(4)
"""Steps: the program was not built (or died before it started); it started; it ran to its end; it sent
something else than its end, as launchers do when an assertion fails that does not end it."""

NEVER_RAN = 71
"""Return code of a child that could not be set up: our fault, not the program's (if it did not start)."""

MAX_PATIENCE = 5
"""A program that waits for a busy CPU gets that time back, but after this many timeouts it ends anyway."""

BUILD_S = 60.0
_BUILD_MEMORY_MB = 2048
_RUNTIME_MB = 256
"""What a runtime that reserves memory may take for itself, on top of the program's limit."""

_KEPT_BYTES = 4 * 2048  # 2,048 characters of UTF-8
_CREDENTIALS = struct.Struct("iII")  # of a message's sender: pid, uid, gid
_COMMON_MODULES = (
    *("abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator"),
    *("random", "re", "statistics", "string", "textwrap", "time", "traceback", "types", "typing"),
)


class Job(NamedTuple):
    """A program that is started by commands."""

    files: list[tuple[str, int]]
    """Names in /tmp, and lengths."""
    build: list[str]
    """Command; empty: none."""
    run: list[str]
    environment: dict[str, str]
    reserves_memory: bool
    key: str
    """What the program's process sends, and nothing else, if it has run to its end."""
    sends_key: bool
    """Whether it is first sent to the process."""


def main(parent_pid: int, visible: Mapping[str, str]) -> None:
    """Isolate this process and serve programs until the other end closes.

    `visible`: path inside to folder of the host, read-only.
    """
    connection = socket.socket(fileno=os.dup(0))
    try:
        _prepare_interpreter()
        isolation.enter(Path(sys.base_prefix), visible, parent_pid)
        devnull = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(devnull, number)
    except OSError as e:
        message = str(e).encode()
        connection.sendall(READY.pack(len(message)) + message)
        return
    connection.sendall(READY.pack(0))
    slot = _Slot(connection, devnull)
    while slot.serve_one():
        pass


def _prepare_interpreter() -> None:
    """Make this interpreter what a freshly started one would be to a program, with common modules loaded."""
    register_at_fork, os.register_at_fork = os.register_at_fork, lambda **_: None
    for name in _COMMON_MODULES:  # random would ask to be seeded anew in each child
        __import__(name)
    os.register_at_fork = register_at_fork
    sys.modules["random"].seed(0)
    import site

    site.setquit()
    site.setcopyright()
    site.sethelper()
    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", HOME="/tmp", LANG="C.UTF-8")
    sys.argv[:] = ["program.py"]
    for name in [n for n in sys.modules if n.partition(".")[0] in ("rewardranker", "site", "__main__")]:
        del sys.modules[name]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 can't be hit by a signal it has no handler for
    gc.collect()
    gc.freeze()
    gc.disable()


class _Captured:
    """A pipe that a program writes to; the first bytes are kept, the rest is read and dropped."""

    def __init__(self) -> None:
        self.kept = memoryview(bytearray(_KEPT_BYTES))
        self.length = 0
        self._rest = memoryview(bytearray(1 << 16))
        self._rest_length = 0
        self.reader = self.writer = -1

    def open(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.length = self._rest_length = 0

    def close_writer(self) -> None:
        os.close(self.writer)

    def read(self) -> bool:
        """Read what is there; False at the end of the file, or when there is nothing now."""
        room = self.kept[self.length :]
        try:
            n = os.readv(self.reader, [room, self._rest])
        except BlockingIOError:
            return False
        self.length += min(n, len(room))
        self._rest_length = max(self._rest_length, n - len(room))
        return n > 0

    def drain(self) -> None:
        while self.read():
            pass
        os.close(self.reader)

    def replace(self, text: bytes) -> None:
        self.erase()
        self.length = len(text)
        self.kept[: self.length] = text

    def erase(self) -> None:
        self.kept[: self.length] = bytes(self.length)
        self._rest[: self._rest_length] = bytes(self._rest_length)


class _Ended(NamedTuple):
    timed_out: bool
    steps: int
    returncode: int
    wall_s: float
    cpu_s: float


class _Slot:
    def __init__(self, connection: socket.socket, devnull: int) -> None:
        self._connection, self._devnull = connection, devnull
        self._stdout, self._stderr = _Captured(), _Captured()

    def serve_one(self) -> bool:
        """Run the program of the next request; False when no more will come, or this slot must not go on."""
        header = self._connection.recv(REQUEST.size, socket.MSG_WAITALL)
        if len(header) < REQUEST.size:
            return False
        job_length, length, timeout_s, memory_mb = REQUEST.unpack(header)
        job = self._connection.recv(job_length, socket.MSG_WAITALL) if job_length else b""
        source = bytearray(length)
        if length and self._connection.recv_into(source, 0, socket.MSG_WAITALL) < length:
            return False
        if job:
            ended = self._run_job(Job(**json.loads(job)), source, timeout_s, memory_mb)
        else:
            ended = self._run_python(source, timeout_s, memory_mb)
        source[:] = bytes(length)
        clean = _wipe_tmp()
        out, err = self._stdout, self._stderr
        numbers = ended.timed_out, ended.steps, not clean, ended.returncode, ended.wall_s, ended.cpu_s
        reply = REPLY.pack(*numbers, out.length, err.length)
        self._connection.sendmsg([reply, out.kept[: out.length], err.kept[: err.length]])
        out.erase()
        err.erase()
        return clean

    def _run_python(self, source: bytearray, timeout_s: float, memory_mb: int) -> _Ended:
        limits = {"memory_bytes": memory_mb << 20, "cpu_s": int(timeout_s) + 2}
        with _control(socket.SOCK_SEQPACKET) as (control, childs):
            pid, ended = self._run(
                lambda descriptors: run_program(source, descriptors, **limits), childs, timeout_s
            )
            sent = _sent(control, pid)
        is_key = len(sent) == 2 and len(sent[0]) == KEY_BYTES and sent[0] == sent[1]
        return ended._replace(steps=FINISHED if is_key else STARTED if sent else NOT_STARTED)

    def _run_job(self, job: Job, source: bytearray, timeout_s: float, memory_mb: int) -> _Ended:
        _write_files(job.files, source)
        build_cpu_s = 0.0
        if job.build:
            build = self._run_command(job.build, job, BUILD_S, _BUILD_MEMORY_MB, reserves_memory=True)
            if build.timed_out or build.returncode != 0:
                return build._replace(steps=NOT_STARTED)
            build_cpu_s = build.cpu_s
            self._stdout.erase()
            self._stderr.erase()
        if job.reserves_memory:
            memory_mb += _RUNTIME_MB
        ended = self._run_command(job.run, job, timeout_s, memory_mb, reserves_memory=job.reserves_memory)
        return ended._replace(cpu_s=ended.cpu_s + build_cpu_s)

    def _run_command(
        self, command: list[str], job: Job, timeout_s: float, memory_mb: int, *, reserves_memory: bool
    ) -> _Ended:
        environment = {"PATH": isolation.PATH, "HOME": "/tmp", "LANG": "C.UTF-8", **job.environment}
        cpu_s = int(timeout_s * MAX_PATIENCE) + 2  # of all threads together
        reader, writer = os.pipe()
        with _control(socket.SOCK_STREAM) as (control, childs):
            if job.sends_key and command is job.run:
                control.send(job.key.encode())
            pid, ended = self._run(
                lambda descriptors: exec_program(
                    command,
                    environment,
                    descriptors,
                    writer,
                    memory_bytes=memory_mb << 20,
                    cpu_s=cpu_s,
                    reserves_memory=reserves_memory,
                ),
                childs,
                timeout_s,
            )
            sent = b"".join(_sent(control, pid))
        os.close(writer)
        why = os.read(reader, 1024)
        os.close(reader)
        if why:
            self._stderr.replace(why)
            return ended._replace(returncode=NEVER_RAN, steps=NOT_STARTED)
        if sent == job.key.encode():
            return ended._replace(steps=FINISHED)
        return ended._replace(steps=SPOILED if sent else STARTED)

    def _run(
        self, work: Callable[[Descriptors], NoReturn], childs_control: socket.socket, timeout_s: float
    ) -> tuple[int, _Ended]:
        """Do `work` in a child, until that and all its descendants are gone; its pid, and how it ended."""
        out, err = self._stdout, self._stderr
        out.open()
        err.open()
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                work(Descriptors(self._devnull, out.writer, err.writer, childs_control.fileno()))
            finally:
                os._exit(NEVER_RAN)
        childs_control.close()
        out.close_writer()
        err.close_writer()
        ended = self._watch(pid, start, timeout_s)
        out.drain()
        err.drain()
        return pid, ended

    def _watch(self, pid: int, start: float, timeout_s: float) -> _Ended:
        """Read the program's output until it ends or its time is up; then end what it left."""
        pidfd = os.pidfd_open(pid)
        outputs = {c.reader: c for c in (self._stdout, self._stderr)}
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._connection, 0)  # the other end is gone
        for reader in outputs:
            poll.register(reader, select.POLLIN)
        deadline = start + timeout_s
        timed_out = False
        while True:
            events = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if self._connection.fileno() in events:
                os._exit(0)
            for reader in events.keys() & outputs.keys():
                if not outputs[reader].read() and events[reader] & select.POLLHUP:
                    poll.unregister(reader)
            if pidfd in events:
                break
            if time.monotonic() >= deadline:
                extended = start + min(timeout_s + _waited_for_cpu_s(), MAX_PATIENCE * timeout_s)
                if extended <= deadline + 0.001:
                    timed_out = True
                    break
                deadline = extended
        wall_s = time.monotonic() - start
        os.close(pidfd)
        returncode, cpu_s = _end_all(pid)
        return _Ended(timed_out, NOT_STARTED, returncode, wall_s, cpu_s)


@contextlib.contextmanager
def _control(kind: socket.SocketKind) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A channel whose messages name their sender, and its end for the program."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with ours, theirs:
        yield ours, theirs


def _sent(control: socket.socket, pid: int) -> list[bytes]:
    """What process `pid`, which has ended, sent.

    The kernel names the sender of each message. Those of a program's own children do not count: a program
    that forks at each decision would have one that guessed right.
    """
    sent = []
    control.setblocking(False)  # every process that had the other end is gone: what was sent is here
    while True:
        try:
            message, ancillary, _, _ = control.recvmsg(4 * KEY_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        except (BlockingIOError, ConnectionResetError):
            break
        sender = _CREDENTIALS.unpack(ancillary[0][2])[0] if ancillary else 0
        if sender == 0:  # the end; an empty message would come with its sender
            break
        if sender == pid:
            sent.append(message)
    return sent


def _write_files(files: list[tuple[str, int]], content: bytearray) -> None:
    at = 0
    for name, length in files:
        path = f"/tmp/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with Path(path).open("xb", buffering=0) as f:
            f.write(memoryview(content)[at : at + length])
        at += length


def _waited_for_cpu_s() -> float:
    """Seconds that a thread of the program was ready to run while others had the CPU: the longest of them."""
    waited = 0
    for file in Path("/proc").glob("[0-9]*/task/*/schedstat"):
        if file.parts[2] == "1":
            continue
        with contextlib.suppress(OSError):  # it ended just now, or the kernel does not count
            waited = max(waited, int(file.read_text().split()[1]))
    return waited / 1e9


def _end_all(pid: int) -> tuple[int, float]:
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


def _wipe_tmp() -> bool:
    """Make /tmp as new, however deep, locked or strangely named its contents; False if that can't be done."""
    try:
        os.chmod("/tmp", 0o700)  # noqa: PTH101
        for name in os.listxattr("/tmp"):
            if name.startswith(("user.", "system.")):
                os.removexattr("/tmp", name)
        while entries := os.listdir("/tmp"):  # noqa: PTH208
            for entry in entries:
                _remove(f"/tmp/{entry}")
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    """Remove an entry of /tmp; directories in it are moved up into /tmp, so that no path ever gets long."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)  # noqa: PTH108
        return
    os.chmod(path, 0o700)  # noqa: PTH101
    for name in os.listdir(path):  # noqa: PTH208
        inner = f"{path}/{name}"
        if stat.S_ISDIR(os.lstat(inner).st_mode):
            os.chmod(inner, 0o700)  # noqa: PTH101 - a directory is moved only if it can be written
            os.rename(inner, f"/tmp/{os.urandom(16).hex()}")  # noqa: PTH104
        else:
            os.unlink(inner)  # noqa: PTH108
    os.rmdir(path)  # noqa: PTH106
