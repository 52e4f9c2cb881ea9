"""`Slot`: the client's end of one sandbox, which runs one process after the other."""

import contextlib
import marshal
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import rewardranker
from rewardranker.errors import UserError
from rewardranker.execution.cgroup import Cgroup
from rewardranker.execution.compilers.prebuilt import visible_folders
from rewardranker.execution.sandbox import seccomp
from rewardranker.execution.sandbox.isolation import NODE_MODULES
from rewardranker.execution.sandbox.request import (
    MEMORY,
    NEVER_RAN,
    NOT_STARTED,
    READY,
    REPLY,
    REQUEST,
    STARTED,
    TIME,
    Request,
)

_START_S = 30.0
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # nothing of ours: a program finds it on the fork server's stack
_STARTER = (
    "import sys; sys.path.append({root!r}); "
    "from rewardranker.execution.sandbox import isolation, server; "
    "sys.path.pop(); "
    "server.main({pid}, {visible!r}, watches_memory={watches_memory}, landlocked={landlocked!r})"
)


class SlotFailedError(Exception):
    """The slot died, hung or could not run a program: the program must run again in another slot."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the fork server observed of a process."""

    limit: int
    """NO_LIMIT, TIME, MEMORY, PROCESSES or FILES of `sandbox.request`: the one at which it was ended."""
    steps: int
    """NOT_STARTED, STARTED, FINISHED or SPOILED of `sandbox.request`."""
    returncode: int
    """As in `subprocess`: negative for a signal."""
    stdout: bytes
    stderr: bytes
    returned: bytes
    """What its calls returned."""
    wall_s: float
    cpu_s: float


class Slot:
    """A fork server in namespaces of its own, started as a new process with an empty environment.

    Starting one forks no Python code of this process, so it is safe beside the threads of a learning library.

    Raises:
        UserError: this machine can't isolate programs (from `wait_until_ready`).
    """

    isolation = "namespaces"
    _end_s = 2.0

    def __init__(self) -> None:
        root = Path(rewardranker.__file__).parents[1]
        self._cgroup = Cgroup.create()
        self._directory = self._make_directory()
        starter = _STARTER.format(
            root=str(root),
            pid=os.getpid(),
            visible=self._visible(),
            watches_memory=self._cgroup is None,
            landlocked=self._directory,
        )
        self._connection, theirs = socket.socketpair()
        self._process = start_interpreter(starter, theirs)
        if self._cgroup is not None:
            self._cgroup.add(self._process.pid)
        with contextlib.suppress(BrokenPipeError):  # it has died: `wait_until_ready` tells
            self._connection.send(b"\n")
        self._running: Request | None = None
        self.is_worn = False
        """It could not clean up behind its last process, and takes no other."""

    def fileno(self) -> int:
        """Descriptor that gets readable when an outcome is there, or when the slot has died."""
        return self._connection.fileno()

    def wait_until_ready(self) -> None:
        """Wait until requests can be sent.

        Raises:
            UserError: the sandbox can't be set up; the message says what to do.
        """
        self._connection.settimeout(_START_S)
        assert self._process.stderr is not None
        try:
            (length,) = READY.unpack(self._receive(READY.size))
            message = self._receive(length).decode()
        except SlotFailedError:
            self.kill()
            message = (
                self._process.stderr.read().decode(errors="replace").strip()
                or "the fork server did not start"
            )
        self._process.stderr.close()
        if message:
            self.close()
            raise UserError(
                f"no sandbox for untrusted programs on this machine: {message}.\n{self._advice()}"
            )

    def send(self, request: Request, body: bytes) -> None:
        """Start a process; `body` is the content of its files and its input.

        The slot must be idle; read the outcome, or the slot's failure, with `receive`.
        """
        self._running = request
        request = request._replace(command=[self._with_folders(part) for part in request.command])
        if self._cgroup is not None:
            self._cgroup.limit(request.total_mb)
        self._connection.settimeout(_START_S)
        head = marshal.dumps(tuple(request))
        try:
            self._connection.sendall(REQUEST.pack(len(head), len(body)) + head + body)
        except OSError:
            self.kill()

    def receive(self) -> Outcome:
        """The outcome of the request that was sent; waits for it.

        Raises:
            SlotFailedError: the slot died, hung or could not run the process.
        """
        assert self._running is not None
        self._connection.settimeout(self._running.longest_s)
        try:
            head = self._receive(REPLY.size)
            limit, steps, worn, returncode, wall_s, cpu_s, *lengths = REPLY.unpack(head)
            output = self._receive(sum(lengths))
        except SlotFailedError:
            self.is_worn = True
            if self._cgroup is not None and self._cgroup.was_exceeded():  # the kernel took the slot itself
                return Outcome(MEMORY, STARTED, -9, b"", b"", b"", 0.0, 0.0)
            raise
        self.is_worn = bool(worn)
        # Asked each time: otherwise the next program would be charged with it.
        exceeded = self._cgroup is not None and self._cgroup.was_exceeded()
        if exceeded and limit != TIME:
            limit = MEMORY
        n_out, n_err, _ = lengths
        stdout, stderr, returned = output[:n_out], output[n_out : n_out + n_err], output[n_out + n_err :]
        if steps == NOT_STARTED and returncode == NEVER_RAN and not limit:
            raise SlotFailedError(
                f"the sandbox could not start the program {stderr.decode(errors='replace')}".rstrip()
            )
        return Outcome(limit, steps, returncode, stdout, stderr, returned, wall_s, cpu_s)

    def close(self) -> None:
        """End the slot and every process in it."""
        self._connection.close()
        end_process(self._process, self._end_s)
        if self._cgroup is not None:
            self._cgroup.close()

    def is_alive(self) -> bool:
        """Whether the fork server runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the slot at once; `receive` will raise."""
        self._process.kill()

    def _visible(self) -> dict[str, str]:
        """Folders of the host that programs may read, by the paths at which they see them."""
        return visible_folders()

    def _make_directory(self) -> str | None:
        """The directory of the host in which programs run; None: they have a file system of their own."""
        return None

    def _advice(self) -> str:
        """What to do when it can't be set up."""
        return f"{_advice()}\nOr choose what isolates less but needs no namespaces: --isolation landlock."

    def _with_folders(self, part: str) -> str:
        """A part of a command with the folders it names, as programs in here see them."""
        return part.replace("{node_modules}", NODE_MODULES)

    def _receive(self, length: int) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            try:
                n = self._connection.recv_into(view)
            except OSError as e:
                raise SlotFailedError(f"the sandbox does not answer ({e})") from e
            if not n:
                raise SlotFailedError("the sandbox died")
            view = view[n:]
        return bytes(data)


def start_interpreter(starter: str, connection: socket.socket) -> subprocess.Popen[bytes]:
    """A Python that runs the code `starter`, with nothing of ours but `connection` as its descriptor 0."""
    python = getattr(sys, "_base_executable", sys.executable)
    with connection:
        return subprocess.Popen(
            [python, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", starter],
            stdin=connection.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,  # Ctrl-C reaches the client, which then ends what it has started
        )


def end_process(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Wait until a process whose connection was closed has ended; kill it if it does not."""
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _advice() -> str:
    """What to do about a sandbox that can't be set up, as far as this machine's settings tell."""
    if sys.platform != "linux" or not seccomp.is_supported():
        return "Programs are run on Linux only, on x86_64 or aarch64."
    blockers = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "/proc/sys/user/max_user_namespaces": ("0", "sudo sysctl user.max_user_namespaces=10000"),
    }
    for file, (blocking, command) in blockers.items():
        if Path(file).exists() and Path(file).read_text().strip() == blocking:
            return f"{file} is {blocking}, which forbids user namespaces; allow them with: {command}"
    if Path("/.dockerenv").exists():
        return "If Docker refuses namespaces: docker run --security-opt seccomp=unconfined ..."
    return (
        "It needs Linux 5.12 or later with user namespaces allowed (in a container, by its seccomp profile)."
    )
