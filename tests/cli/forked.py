"""Commands in processes of their own that need not import torch first: forks of one that has.

`rewardranker` takes seconds of CPU time to import torch and transformers, and tests start it some fifty
times. `Forks` starts one process that imports them, and forks it for each command. After its imports such a
command does what it does for a user. Its hash seed is that of the other commands, so whoever asks whether
two processes do the same should start real ones.

    forked.py serve SOCKET          that process
    forked.py run SOCKET WORD...    `rewardranker WORD...` in a fork of it, with the environment, folder, and
                                    descriptors 0 to 2 of the caller
"""

import array
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LIVES_WITH_ITS_PARENT = (1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Command:
    """One that runs in a fork; as `subprocess.Popen` as far as that goes."""

    def __init__(
        self, path: str, words: list[str], descriptors: list[int], env: dict[str, str], first: str = ""
    ) -> None:
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        for _ in range(1200):  # what is forked may still import
            if Path(path).exists():
                break
            time.sleep(0.1)
        self._connection.connect(path)
        asked = json.dumps({"words": words, "env": env, "first": first, "folder": str(Path.cwd())}).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._connection.sendmsg([len(asked).to_bytes(8, "big")], ancillary)
        self._connection.sendall(asked)
        self.pid = self._number()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("rewardranker", timeout or 0)
            self.returncode = self._number()
            self._connection.close()
        return self.returncode

    def _number(self) -> int:
        """The next that is said; by bytes, for nothing of the one after may be taken."""
        said = b""
        while not said.endswith(b"\n"):
            byte = self._connection.recv(1)
            if not byte:
                raise RuntimeError("the process that watches a command has ended before it")
            said += byte
        return int(said)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that forks, which ends with this one."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "socket"
        self.bin = folder / "bin"
        """A folder with a `rewardranker` for shells."""
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen([sys.executable, __file__, "serve", self._socket], env=env)
        self.bin.mkdir()
        script = self.bin / "rewardranker"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {__file__} run {self._socket} "$@"\n')
        script.chmod(0o755)

    def start(self, *words: str, stderr: int, first: str = "", **environment: str) -> Command:
        """`rewardranker WORDS`, its standard error in the descriptor `stderr`, its output nowhere.

        Args:
            words: its arguments.
            stderr: the descriptor.
            first: Python that it executes before.
            environment: what differs from the caller's.
        """
        null = os.open(os.devnull, os.O_RDWR)
        env = {**os.environ, **environment}
        try:
            return Command(str(self._socket), list(words), [null, null, stderr], env, first)
        finally:
            os.close(null)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def serve(path: str) -> None:
    ctypes.CDLL(None).prctl(*LIVES_WITH_ITS_PARENT)
    from transformers import GPTNeoXForCausalLM, LlamaForCausalLM  # noqa: F401

    import rewardranker.loop
    import rewardranker.serving.server  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen()
        Path(path + ".new").rename(path)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who watch the commands
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _watch(connection)
            connection.close()


def _watch(connection: socket.socket) -> None:
    """Fork the command, and tell who asked for it its process and how it ended."""
    ctypes.CDLL(None).prctl(*LIVES_WITH_ITS_PARENT)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, ancillary, *_ = connection.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    descriptors = list(array.array("i", ancillary[0][2]))
    asked = json.loads(connection.makefile("rb").read(int.from_bytes(length, "big")))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(asked, descriptors)
    for descriptor in (*descriptors, 0, 1, 2):
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(b"%d\n" % code)
    os._exit(0)


def _become(asked: dict, descriptors: list[int]) -> None:
    """Be the command; it ends by raising SystemExit, and with it the interpreter as any other."""
    from rewardranker.cli import main

    ctypes.CDLL(None).prctl(*LIVES_WITH_ITS_PARENT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for i, descriptor in enumerate(descriptors):
        os.dup2(descriptor, i)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.path[:1] = filter(None, asked["env"].get("PYTHONPATH", "").split(os.pathsep))  # without this folder
    sys.argv = ["rewardranker", *asked["words"]]
    exec(asked["first"], {})
    main()


def run(path: str, words: list[str]) -> int:
    command = Command(path, words, [0, 1, 2], dict(os.environ))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: command.send_signal(number))
    return command.wait() % 256


if __name__ == "__main__":
    what, path, *words = sys.argv[1:]
    sys.exit(run(path, words) if what == "run" else serve(path))
