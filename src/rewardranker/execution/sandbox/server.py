"""The fork server of a slot: runs one program after the other, shut into namespaces with it, or by Landlock.

Started by `rewardranker.execution.slot` with an empty environment and a socket as descriptor 0, so that
nothing of the process that started it is in its memory. `sandbox.request` tells what is said on that socket.

Sources, inputs and outputs pass through buffers that are overwritten at once: what is left in this process's
memory is inherited by the next program.
"""

import _socket
import contextlib
import gc
import marshal
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from rewardranker.execution.sandbox import isolation, landlock
from rewardranker.execution.sandbox.captured import Captured
from rewardranker.execution.sandbox.child import KEY_BYTES, Descriptors, exec_program, run_program
from rewardranker.execution.sandbox.leftovers import descendants, end_all, end_descendants, wipe
from rewardranker.execution.sandbox.request import (
    FILES,
    FINISHED,
    MAX_PATIENCE,
    MEMORY,
    NEVER_RAN,
    NO_LIMIT,
    NOT_STARTED,
    PROCESSES,
    READY,
    REPLY,
    REQUEST,
    RUNTIME_MB,
    SPOILED,
    STARTED,
    TIME,
    Request,
)

_WATCH_EVERY_S = 0.05
_N_CORES = len(os.sched_getaffinity(0))
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CREDENTIALS = struct.Struct("iII")  # of a message's sender: pid, uid, gid
COMMON_MODULES = (
    *("abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator"),
    *("random", "re", "statistics", "string", "textwrap", "time", "traceback", "types", "typing"),
)


def main(
    parent_pid: int, visible: dict[str, str], *, watches_memory: bool, landlocked: str | None = None
) -> None:
    """Isolate this process and serve programs until the other end closes.

    Args:
        parent_pid: the process at the other end; with it, everything here ends.
        visible: directories of the host that programs may read, by the path at which they see them.
        watches_memory: no cgroup limits the memory of a program's processes together, so this must.
        landlocked: confine programs by Landlock, in this directory of the host; None: by namespaces.
    """
    connection = socket.socket(fileno=os.dup(0))
    connection.recv(1)
    try:
        _prepare_interpreter()
        confinement = None
        if landlocked is None:
            isolation.enter(Path(sys.base_prefix), visible, parent_pid)
        else:
            confinement = landlock.enter(Path(sys.base_prefix), visible, parent_pid, landlocked)
        devnull = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(devnull, number)
    except OSError as e:
        message = str(e).encode()
        connection.sendall(READY.pack(len(message)) + message)
        return
    connection.sendall(READY.pack(0))
    slot = _Slot(connection, devnull, watches_memory=watches_memory)
    if confinement is not None:
        slot = _LandlockedSlot(connection, devnull, confinement, watches_memory=watches_memory)
    try:
        while slot.serve_one():
            pass
    finally:
        slot.end()


def _prepare_interpreter() -> None:
    """Make this interpreter what a freshly started one would be to a program, with common modules loaded."""
    register_at_fork, os.register_at_fork = os.register_at_fork, lambda **_: None
    for name in COMMON_MODULES:  # random would ask to be seeded anew in each child
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


class _Ended(NamedTuple):
    limit: int
    returncode: int
    wall_s: float
    cpu_s: float
    steps: int = NOT_STARTED


class _Slot:
    """In namespaces: everything in /proc and /tmp is the program's."""

    directory = "/tmp"

    def __init__(self, connection: socket.socket, devnull: int, *, watches_memory: bool) -> None:
        self._connection, self._devnull = connection, devnull
        self._watches_memory = self._watches = watches_memory
        self.environment: dict[str, str] = {}
        self._stdout, self._stderr, self._returned = self._outputs = Captured(), Captured(), Captured()
        self._is_clean = True

    def serve_one(self) -> bool:
        """Run the process of the next request; False when no more will come, or this slot must not go on."""
        head = self._connection.recv(REQUEST.size, socket.MSG_WAITALL)
        if len(head) < REQUEST.size:
            return False
        head_length, length = REQUEST.unpack(head)
        head = self._connection.recv(head_length, socket.MSG_WAITALL)
        body = bytearray(length)
        if length and self._connection.recv_into(body, 0, socket.MSG_WAITALL) < length:
            return False
        request = Request(*marshal.loads(head))
        if not (self._is_clean or request.goes_on or self.wipe()):
            return False
        ended = self._run_command(request, body) if request.command else self._run_python(request, body)
        body[:] = bytes(length)
        self._is_clean = not request.keeps and self.wipe()
        is_worn = not (self._is_clean or request.keeps)
        numbers = ended.limit, ended.steps, is_worn, ended.returncode, ended.wall_s, ended.cpu_s
        self._connection.sendall(REPLY.pack(*numbers, *(len(output.kept) for output in self._outputs)))
        for output in self._outputs:
            if output.kept:
                self._connection.sendall(output.kept)
            output.erase()
        return not is_worn

    def _run_python(self, request: Request, body: bytearray) -> _Ended:
        limits = {"memory_bytes": request.memory_mb << 20, "cpu_s": int(request.timeout_s) + 2}
        source_end = len(body) - request.input_bytes

        def work(descriptors: Descriptors) -> NoReturn:  # in the child: no copy is left to the next program
            calls = (request.entry_point, bytes(body[source_end:])) if request.entry_point else None
            run_program(body[:source_end], calls, descriptors, **limits)

        with _control(socket.SOCK_SEQPACKET) as (control, childs), self._stdin(request, body) as stdin:
            pid, ended = self._run(work, request, stdin, childs)
            sent = _sent(control, pid)
        is_key = len(sent) == 2 and len(sent[0]) == KEY_BYTES and sent[0] == sent[1]
        return ended._replace(steps=FINISHED if is_key else STARTED if sent else NOT_STARTED)

    def _run_command(self, request: Request, body: bytearray) -> _Ended:
        _write_files(self.directory, request.files, body)
        environment = {"PATH": isolation.PATH, "HOME": self.directory, "LANG": "C.UTF-8"}
        environment |= self.environment | request.environment
        memory_mb = request.memory_mb + request.reserves_memory * RUNTIME_MB
        reader, writer = os.pipe()
        with _control(socket.SOCK_STREAM) as (control, childs), self._stdin(request, body) as stdin:
            if request.sends_key:
                control.send(request.key.encode())
            pid, ended = self._run(
                lambda descriptors: exec_program(
                    request.command,
                    environment,
                    descriptors,
                    writer,
                    memory_bytes=memory_mb << 20,
                    cpu_s=int(request.timeout_s * MAX_PATIENCE) + 2,  # of all threads together
                    reserves_memory=request.reserves_memory,
                ),
                request,
                stdin,
                childs,
            )
            sent = b"".join(_sent(control, pid))
        os.close(writer)
        why = os.read(reader, 1024)
        os.close(reader)
        if why:
            self._stderr.replace(why)
            return ended._replace(returncode=NEVER_RAN)
        if sent and sent == request.key.encode():
            return ended._replace(steps=FINISHED)
        return ended._replace(steps=SPOILED if sent else STARTED)

    @contextlib.contextmanager
    def _stdin(self, request: Request, body: bytearray) -> Iterator[int]:
        """A file without a name that holds the request's input; /dev/null if there is none."""
        if not request.input_bytes or request.entry_point:
            yield self._devnull
            return
        path = f"{self.directory}/{os.urandom(16).hex()}"
        writing = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            content = memoryview(body)[len(body) - request.input_bytes :]
            while content:
                content = content[os.write(writing, content) :]
            reading = os.open(path, os.O_RDONLY)
        finally:
            os.close(writing)
            os.unlink(path)  # noqa: PTH108
        try:
            yield reading
        finally:
            os.close(reading)

    def _run(
        self,
        work: Callable[[Descriptors], NoReturn],
        request: Request,
        stdin: int,
        childs_control: _socket.socket,
    ) -> tuple[int, _Ended]:
        """Do `work` in a child, until that and all its descendants are gone; its pid, and how it ended."""
        outputs = self._outputs if request.entry_point else self._outputs[:2]
        for output in outputs:
            output.open(request.kept_bytes)
        writers = [output.writer for output in outputs]
        descriptors = Descriptors(childs_control.fileno(), stdin, *writers)
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                self.confine()
                work(descriptors)
            finally:
                os._exit(NEVER_RAN)
        childs_control.close()
        for output in outputs:
            output.close_writer()
        ended = self._watch(pid, start, request, {output.reader: output for output in outputs})
        for output in outputs:
            output.drain()
        return pid, ended

    def _watch(self, pid: int, start: float, request: Request, outputs: dict[int, Captured]) -> _Ended:
        """Read the program's output until it ends or its time is up; then end what it left."""
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._connection, 0)  # the other end is gone
        for reader in outputs:
            poll.register(reader, select.POLLIN)
        deadline = start + request.timeout_s
        limit = NO_LIMIT
        while True:
            wait_s = max(0.0, deadline - time.monotonic())
            events = dict(poll.poll(1000 * (min(wait_s, _WATCH_EVERY_S) if self._watches else wait_s)))
            if self._connection.fileno() in events:
                os._exit(0)
            for reader in events.keys() & outputs.keys():
                if not outputs[reader].read() and events[reader] & select.POLLHUP:
                    poll.unregister(reader)
            if pidfd in events:
                break
            if time.monotonic() >= deadline:
                waited_s = _waited_for_cpu_s(self.processes(), time.monotonic() - start)
                patience = min(request.timeout_s + waited_s, MAX_PATIENCE * request.timeout_s)
                if start + patience <= deadline + 0.001:
                    limit = TIME
                    break
                deadline = start + patience
            elif self._watches and (limit := self.limit_reached(request)):
                break
        wall_s = time.monotonic() - start
        os.close(pidfd)
        returncode, cpu_s = self.end(pid)
        return _Ended(limit, returncode, wall_s, cpu_s)

    def wipe(self) -> bool:
        """Make the working directory as new; False if that can't be."""
        return wipe(self.directory, is_file_system=True)

    def confine(self) -> None:
        """Do in a program's process, before it is one, what isolation needs."""
        isolation.limit_processes()

    def processes(self) -> list[int]:
        """Those of the program."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]  # noqa: PTH208

    def limit_reached(self, request: Request) -> int:
        """The limit that the watch finds exceeded."""
        return MEMORY if _memory_bytes(self.processes()) > request.total_mb << 20 else NO_LIMIT

    def end(self, pid: int = 0) -> tuple[int, float]:
        """End and reap all processes of the program: return code of process `pid`, CPU seconds of all."""
        return end_all(pid)


class _LandlockedSlot(_Slot):
    """On the host: the program's are the descendants of this process and what is in the working directory."""

    def __init__(
        self,
        connection: socket.socket,
        devnull: int,
        confinement: landlock.Confinement,
        *,
        watches_memory: bool,
    ) -> None:
        super().__init__(connection, devnull, watches_memory=watches_memory)
        self._watches = True
        self._confinement = confinement
        self.directory = confinement.directory
        self.environment = {"TMPDIR": self.directory, "OPENSSL_CONF": "/dev/null"}  # node can't read its own
        self._n_processes = 0

    def serve_one(self) -> bool:
        self._n_processes = self._confinement.count_processes()
        return super().serve_one()

    def wipe(self) -> bool:
        return wipe(self.directory)

    def confine(self) -> None:
        isolation.limit_processes(self._n_processes)
        self._confinement.confine()

    def processes(self) -> list[int]:
        return list(descendants())

    def limit_reached(self, request: Request) -> int:
        threads = descendants()
        if sum(threads.values()) > isolation.MAX_PROCESSES:
            return PROCESSES
        if self._watches_memory and _memory_bytes(threads) > request.total_mb << 20:
            return MEMORY
        return FILES if self._confinement.is_full() else NO_LIMIT

    def end(self, pid: int = 0) -> tuple[int, float]:
        ended = end_descendants(pid)
        self._confinement.make_executable()
        return ended


@contextlib.contextmanager
def _control(kind: int) -> Iterator[tuple[_socket.socket, _socket.socket]]:
    """A channel whose messages name their sender, and its end for the program."""
    ours, theirs = _socket.socketpair(socket.AF_UNIX, kind)  # those of `socket` cost a program 2 % more
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


def _sent(control: _socket.socket, pid: int) -> list[bytes]:
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


def _write_files(directory: str, files: list[tuple[str, int]], content: bytearray) -> None:
    at = 0
    for name, length in files:
        path = f"{directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with Path(path).open("xb", buffering=0) as f:
            f.write(memoryview(content)[at : at + length])
        at += length


def _waited_for_cpu_s(pids: Iterable[int], wall_s: float) -> float:
    """Seconds of `wall_s` for which others kept the program from running.

    That is the longest time that one of its threads was ready and did not run; but threads also wait for
    threads of the same program, and all that it lost is at most what it did not use of all cores.
    """
    waited = used = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # it ended just now, or the kernel does not count
                thread_ran, thread_waited, _ = map(int, file.read_text().split())
                used += thread_ran
                waited = max(waited, thread_waited)
    return min(waited / 1e9, max(0.0, wall_s - used / 1e9 / _N_CORES))


def _memory_bytes(pids: Iterable[int]) -> int:
    """What these processes hold together.

    A process that was forked shows this one's memory as its own, hence without as much as that.
    """
    own, *held = (_own_pages(pid) for pid in (os.getpid(), *pids))
    return sum(max(0, pages - own) for pages in held) * _PAGE_BYTES


def _own_pages(pid: int) -> int:
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:  # it ended just now
        return 0
    return int(resident) - int(shared)
