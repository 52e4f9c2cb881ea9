"""`Slot`: the client's end of one sandbox, which runs one program after the other."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import rewardranker
from rewardranker.errors import UserError
from rewardranker.execution.compilers.prebuilt import visible_folders
from rewardranker.execution.sandbox import seccomp
from rewardranker.execution.sandbox.server import (
    BUILD_S,
    MAX_PATIENCE,
    NEVER_RAN,
    NOT_STARTED,
    READY,
    REPLY,
    REQUEST,
    Job,
)

_START_S = 30.0
_GRACE_S = 10.0
_STARTER = (
    "import sys; sys.path.append({root!r}); "
    "from rewardranker.execution.sandbox import server; "
    "sys.path.pop(); server.main({pid}, {visible!r})"
)


class SlotFailedError(Exception):
    """The slot died, hung or could not run a program: the program must run again in another slot."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the fork server observed of a program."""

    timed_out: bool
    steps: int
    """NOT_STARTED, STARTED or FINISHED of `sandbox.server`."""
    returncode: int
    """As in `subprocess`: negative for a signal."""
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float


class Slot:
    """A fork server in namespaces of its own, started as a new process with an empty environment.

    Starting one forks no Python code of this process, so it is safe beside the threads of a learning library.

    Raises:
        UserError: this machine can't isolate programs (from `wait_until_ready`).
    """

    def __init__(self) -> None:
        root = Path(rewardranker.__file__).parents[1]
        starter = _STARTER.format(root=str(root), visible=visible_folders(), pid=os.getpid())
        python = getattr(sys, "_base_executable", sys.executable)
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [python, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", starter],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PYTHONHASHSEED": "0"},
                cwd="/",
                start_new_session=True,  # Ctrl-C reaches the client, which then ends the slots
            )
        self.is_worn = False
        """It could not clean up behind its last program, and takes no other."""

    def fileno(self) -> int:
        """Descriptor that gets readable when an outcome is there, or when the slot has died."""
        return self._connection.fileno()

    def wait_until_ready(self) -> None:
        """Wait until programs can be sent.

        Raises:
            UserError: the sandbox can't be set up; the message says what to do.
        """
        self._connection.settimeout(_START_S)
        assert self._process.stderr is not None
        try:
            (length,) = READY.unpack(self._receive(READY.size))
            message = self._receive(length).decode()
        except SlotFailedError:
            self._process.kill()
            message = (
                self._process.stderr.read().decode(errors="replace").strip()
                or "the fork server did not start"
            )
        self._process.stderr.close()
        if message:
            self.close()
            raise UserError(f"no sandbox for untrusted programs on this machine: {message}.\n{_advice()}")

    def send(self, source: bytes, timeout_s: float, memory_mb: int, job: Job | None = None) -> None:
        """Start a program: Python without `job`, otherwise what that says of the files that `source` holds.

        The slot must be idle; read the outcome, or the slot's failure, with `receive`.
        """
        self._connection.settimeout(_START_S)
        encoded = json.dumps(job._asdict()).encode() if job else b""
        header = REQUEST.pack(len(encoded), len(source), timeout_s, memory_mb)
        try:
            self._connection.sendall(header + encoded + source)
        except OSError:
            self.kill()

    def receive(self, within_s: float = _START_S) -> Outcome:
        """The outcome of the program that was sent; waits for it.

        Raises:
            SlotFailedError: the slot died, hung or could not run the program.
        """
        self._connection.settimeout(within_s)
        header = self._receive(REPLY.size)
        timed_out, steps, worn, returncode, wall_s, cpu_s, n_out, n_err = REPLY.unpack(header)
        output = self._receive(n_out + n_err)
        self.is_worn = bool(worn)
        if steps == NOT_STARTED and returncode == NEVER_RAN and not timed_out:
            raise SlotFailedError(
                f"the sandbox could not start the program {output[n_out:].decode(errors='replace')}".rstrip()
            )
        return Outcome(bool(timed_out), steps, returncode, output[:n_out], output[n_out:], wall_s, cpu_s)

    def run(self, source: bytes, timeout_s: float, memory_mb: int) -> Outcome:
        """Send a program and wait for its outcome.

        Raises:
            SlotFailedError: the slot died, hung or could not run the program.
        """
        self.send(source, timeout_s, memory_mb)
        return self.receive(longest_s(timeout_s))

    def close(self) -> None:
        """End the slot and every process in it."""
        self._connection.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def is_alive(self) -> bool:
        """Whether the fork server runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the slot at once; `receive` will raise."""
        self._process.kill()

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                chunk = self._connection.recv(length - len(data))
            except OSError as e:
                raise SlotFailedError(f"the sandbox does not answer ({e})") from e
            if not chunk:
                raise SlotFailedError("the sandbox died")
            data += chunk
        return bytes(data)


def longest_s(timeout_s: float, *, builds: bool = False) -> float:
    """Seconds after which a slot that has not answered about a program must have hung."""
    return MAX_PATIENCE * (timeout_s + BUILD_S * builds) + _GRACE_S


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
