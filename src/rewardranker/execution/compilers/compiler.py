"""`Compiler`: the client's end of a compiler that compiles one program after the other, in its own sandbox.

Protocol on the socket (numbers are big-endian):

    service: 4 zero bytes: ready
    then, for each program,
    client: frame of FILES
    service: frame of REPLY, stdout, stderr, FILES

A frame is its length (4 bytes) and content. FILES are their number, then for each the lengths of its name and
content, the name and the content. The services are in `services`.
"""

import contextlib
import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import rewardranker
from rewardranker.execution.compilers.prebuilt import fill_in, visible_folders
from rewardranker.execution.languages.language import Language
from rewardranker.execution.slot import end_process, start_interpreter

COMPILE_S = 60.0
"""Seconds after which a compiler that has not answered must have hung."""

_START_S = 30.0
_MAX_COMPILATIONS = 1000
_MAX_MEMORY_MB = 1024
_MAX_REPLY_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")
_NAMES = struct.Struct(">II")
_REPLY = struct.Struct(">BidIII")
"""Declined, exit code, wall_s, lengths of stdout and stderr, number of files."""
_CREDENTIALS = struct.Struct("iII")  # of a message's sender: pid, uid, gid
_STARTER = (
    "import sys; sys.path.append({root!r}); "
    "from rewardranker.execution.sandbox import service; "
    "sys.path.pop(); service.main({pid}, {visible!r}, {command!r})"
)
_libc = ctypes.CDLL(None)


class CompilerFailedError(Exception):
    """The compiler died, hung or left the program to the cold one, which must compile it."""


@dataclass(frozen=True, slots=True)
class Built:
    """What the compiler made of a program."""

    returncode: int
    """As the cold compiler's: 0 or, for a program with errors, another."""
    stdout: bytes
    stderr: bytes
    files: Mapping[str, bytes]
    """To be written beside the program's own before it runs, as the cold compiler would have."""
    wall_s: float
    cpu_s: float
    """Of all threads, what they did since the last program included."""


class Compiler:
    """The warm compiler of a language, started as a new process with an empty environment.

    Nothing blocks while it starts: `fileno` gets readable when it is ready, or has died. The same descriptor
    then tells when `receive` will not wait. One compilation at a time.

    Args:
        language: one with a warm compiler, which `prepare` has prepared.

    Example:
        >>> from rewardranker.execution.compilers.prebuilt import prepare
        >>> from rewardranker.execution.languages import find_language
        >>> java = find_language("java")
        >>> folder = prepare(java)
        >>> compiler = Compiler(java)
        >>> compiler.wait_until_ready()
        >>> compiler.send({"A.java": b"class A {}", "sources": b"A.java"})
        >>> sorted(compiler.receive().files)
        ['classes/A.class', 'classes/rewardranker/Launcher.class']
        >>> compiler.close()
    """

    isolation = "namespaces"

    def __init__(self, language: Language) -> None:
        self.language = language
        self.is_ready = False
        """Whether programs can be sent."""
        self.is_worn = False
        """It must be closed and another started: it has compiled enough, takes too much memory or is dead."""
        self._n_compiled = 0
        self._cpu_s = 0.0
        self._is_busy = False
        starter = _STARTER.format(
            root=str(Path(rewardranker.__file__).parents[1]),
            pid=os.getpid(),
            visible=visible_folders(),
            command=fill_in(language.warm, language),
        )
        self._connection, theirs = socket.socketpair()
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # The protocol is on descriptor 0: runtimes print where they like.
        self._process = start_interpreter(starter, theirs)

    def fileno(self) -> int:
        """Descriptor that gets readable when `wait_until_ready` or `receive` need not wait."""
        return self._connection.fileno()

    def wait_until_ready(self, within_s: float = _START_S) -> None:
        """Wait until programs can be sent.

        Raises:
            CompilerFailedError: it did not start.
        """
        self._connection.settimeout(within_s)
        assert self._process.stderr is not None
        with self._failing("does not start"):
            ready, ancillary, _, _ = self._connection.recvmsg(
                _LENGTH.size, socket.CMSG_SPACE(_CREDENTIALS.size)
            )
            if ready != bytes(_LENGTH.size):
                self._process.kill()
                raise OSError(self._process.stderr.read().decode(errors="replace").strip() or "it died")
            self._pid = _CREDENTIALS.unpack(ancillary[0][2])[0]
            self._process.stderr.close()
            self._cpu_s = self._cpu_clock()
        self.is_ready = True

    def send(self, files: Mapping[str, bytes]) -> None:
        """Start to compile the program in `files`; read what becomes of it, or a failure, with `receive`."""
        assert self.is_ready and not self._is_busy
        self._is_busy = True
        self._connection.settimeout(COMPILE_S)
        parts = [_LENGTH.pack(len(files))]
        for name, content in files.items():
            encoded = name.encode()
            parts += [_NAMES.pack(len(encoded), len(content)), encoded, content]
        frame = b"".join(parts)
        try:
            self._connection.sendall(_LENGTH.pack(len(frame)) + frame)
        except OSError:
            self.kill()

    def receive(self, within_s: float = COMPILE_S) -> Built:
        """What the compiler made of the program that was sent; waits for it.

        Raises:
            CompilerFailedError: it died or hung (then it `is_worn`), or left the program to the cold one.
        """
        self._connection.settimeout(within_s)
        with self._failing("does not answer"):
            (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
            if length > _MAX_REPLY_BYTES:
                raise OSError("its reply is too long")
            reply = memoryview(self._receive(length))
            declined, returncode, wall_s, n_out, n_err, n_files = _REPLY.unpack_from(reply)
            at = _REPLY.size + n_out + n_err
            files = {}
            for _ in range(n_files):
                n_name, n_content = _NAMES.unpack_from(reply, at)
                at += _NAMES.size + n_name + n_content
                files[str(reply[at - n_content - n_name : at - n_content], "utf-8")] = bytes(
                    reply[at - n_content : at]
                )
            if at != length:
                raise ValueError("its reply has the wrong length")
            before, self._cpu_s = self._cpu_s, self._cpu_clock()
        self._is_busy = False
        self._n_compiled += 1
        self.is_worn = self._n_compiled >= _MAX_COMPILATIONS or self._memory_mb() > _MAX_MEMORY_MB
        if declined:
            raise CompilerFailedError(f"the {self.language.name} compiler left the program to the cold one")
        out = _REPLY.size + n_out
        return Built(
            returncode=returncode,
            stdout=bytes(reply[_REPLY.size : out]),
            stderr=bytes(reply[out : out + n_err]),
            files=files,
            wall_s=wall_s,
            cpu_s=self._cpu_s - before,
        )

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once; `receive` will raise."""
        self._process.kill()
        self.is_worn = True

    def close(self) -> None:
        """End it and everything in its sandbox."""
        self._connection.close()
        if self._is_busy:
            self._process.kill()
        end_process(self._process, 2.0)

    @contextlib.contextmanager
    def _failing(self, how: str) -> Iterator[None]:
        try:
            yield
        except (OSError, struct.error, ValueError) as e:  # it is not to be trusted to keep to the protocol
            self.kill()
            raise CompilerFailedError(f"the {self.language.name} compiler {how} ({e})") from e

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        deadline = time.monotonic() + (self._connection.gettimeout() or 0.0)
        while len(data) < length:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = self._connection.recv(min(length - len(data), 1 << 20))
            if not chunk:
                raise OSError("it died")
            data += chunk
        return bytes(data)

    def _cpu_clock(self) -> float:
        """CPU seconds of the compiler's process so far, by the kernel's clock for it."""
        clock = ctypes.c_int()
        if error := _libc.clock_getcpuclockid(self._pid, ctypes.byref(clock)):
            raise OSError(error, os.strerror(error))
        return time.clock_gettime(clock.value)

    def _memory_mb(self) -> float:
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        except OSError:  # it has ended
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
