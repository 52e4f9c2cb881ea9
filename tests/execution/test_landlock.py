# ruff: noqa: E501 - tables of programs
"""The Landlock backend, as root and as an ordinary user, with what old kernels have of Landlock too."""

import contextlib
import errno
import multiprocessing
import os
import platform
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import rewardranker
from rewardranker.errors import UserError
from rewardranker.execution import slot as slot_module
from rewardranker.execution.languages import LANGUAGES, find_language
from rewardranker.execution.languages.language import node_modules
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.sandbox import landlock, leftovers, seccomp
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.tests import CallTests, StdinTests

ORDINARY = 61_000
SYSTEM_PYTHON = "/usr/bin/python3"
SECRET = "SECRET0f1e2d3c"


class Client(NamedTuple):
    """Who uses the sandbox, and what it has of Landlock."""

    uid: int
    abi: int | None


CLIENTS = {
    "root": Client(0, None),
    "an ordinary user": Client(ORDINARY, None),
    "an ordinary user, Landlock 1": Client(ORDINARY, 1),
}


class Host(NamedTuple):
    """What a program must not reach: all of it is the client's own."""

    folder: str
    secret: str
    datagrams: str
    shown: str
    """A file that programs may read."""
    port: int
    client: int
    victim: int


class Ran(NamedTuple):
    """What came of programs that one slot ran, one after the other."""

    verdicts: list[Verdict]
    changed: list[str]
    """Files of the host that are not as they were."""
    left: list[int]
    """Processes that are left."""
    is_replaced: bool
    """Whether the slot is another one than before."""


class Runner:
    """A pool of one slot in a process of the client's user."""

    def __init__(self, client: Client, folder: Path, *, without_namespaces: bool = False) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")  # all is imported: the user may not read our interpreter
        self.process = fork.Process(target=_serve, args=(theirs, client, folder, without_namespaces))
        self.process.start()
        theirs.close()
        self.host: Host = self._receive()

    def run(self, *sources: str | Program) -> Ran:
        fields = self.host._asdict()
        programs = [
            Program("python", _filled(source, fields)) if isinstance(source, str) else source
            for source in sources
        ]
        return self.ask("run", programs)

    def ask(self, what: str, *arguments: Any) -> Any:
        self._connection.send((what, *arguments))
        return self._receive()

    def _receive(self) -> Any:
        assert self._connection.poll(300)
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(("close",))
        self.process.join(30)
        self.process.kill()
        self.process.join()
        self._connection.close()


def _filled(source: str, fields: dict[str, Any]) -> str:
    for name, value in fields.items():
        source = source.replace(f"${name}", repr(value))
    return source


def _serve(connection: Connection, client: Client, folder: Path, without_namespaces: bool) -> None:
    try:
        with contextlib.ExitStack() as stack:
            host = _prepare(client, folder, stack)
            if without_namespaces:
                _refuse_namespaces()
                try:
                    Pool(workers=1).close()
                    raise AssertionError("namespaces are allowed")
                except UserError as e:
                    message = str(e)
            pool = stack.enter_context(Pool(timeout_s=10.0, memory_mb=256, workers=1, isolation="landlock"))
            connection.send(host)
            while (request := connection.recv())[0] != "close":
                if request[0] == "run":
                    connection.send(_run(pool, request[1], host))
                elif request[0] == "tree":
                    connection.send(_tree(pool))
                elif request[0] == "directory":
                    connection.send(pool.slots[0]._directory)  # type: ignore[attr-defined]
                elif request[0] == "start":
                    stack.enter_context(contextlib.closing(pool.run(request[1]))).send(None)
                elif request[0] == "message":
                    connection.send(message)
    except BaseException as e:
        connection.send(e if isinstance(e, UserError) else RuntimeError(traceback.format_exc()))
    os._exit(0)


def _prepare(client: Client, folder: Path, stack: contextlib.ExitStack) -> Host:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            os.chown(path, client.uid, client.uid)
    os.environ.update(HOME=str(folder), XDG_DATA_HOME=str(folder / "data"), TEST_TOKEN=SECRET)
    sys._base_executable = _interpreter()  # type: ignore[attr-defined]
    rewardranker.__file__ = str(folder / "code" / "rewardranker" / "__init__.py")
    if os.geteuid() != client.uid:
        os.setgroups([])
        os.setresgid(client.uid, client.uid, client.uid)
        os.setresuid(client.uid, client.uid, client.uid)
    landlock._libc.prctl(4, 1, 0, 0, 0)  # as a process is that never was root's
    if client.abi is not None:
        head, call, tail = slot_module._STARTER.partition("server.main(")
        limit = f"from rewardranker.execution.sandbox import landlock; landlock.abi = lambda: {client.abi}; "
        slot_module._STARTER = head + limit + call + tail
    home = Path(tempfile.mkdtemp(dir=folder))
    secret = home / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    datagrams.bind(str(home / "datagrams"))
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    abstract.bind(f"\0rewardranker-{os.getpid()}")
    abstract.listen()
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    victim = os.fork()
    if victim == 0:
        landlock._libc.prctl(1, signal.SIGKILL)  # with its parent, which tests kill
        signal.pause()
        os._exit(0)
    stack.callback(os.kill, victim, signal.SIGKILL)
    shown = folder / "data" / "rewardranker" / "node_modules" / "shown"
    return Host(
        str(home),
        str(secret),
        str(home / "datagrams"),
        str(shown),
        listener.getsockname()[1],
        os.getpid(),
        victim,
    )


def _interpreter() -> str:
    """Ours, or the system's if ours is closed to other users than root."""
    own: str = sys._base_executable  # type: ignore[attr-defined]
    is_open = all(part.stat().st_mode & 0o001 for part in reversed(Path(own).parents))
    return own if is_open else SYSTEM_PYTHON


def _refuse_namespaces() -> None:
    unshare = {"x86_64": 272, "aarch64": 97}[platform.machine()]
    code = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, unshare),
        (0x06, 0, 0, 0x50000 | errno.EPERM),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    seccomp.install(b"".join(struct.pack("=HBBI", *instruction) for instruction in code))


def _run(pool: Pool, programs: list[Program], host: Host) -> Ran:
    slot = pool.slots[0]
    before = _state(host)
    verdicts = []
    for program in programs:
        ((_, verdict),) = pool.run([program])
        verdicts.append(verdict)
    after = _state(host)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    return Ran(verdicts, changed, _tree(pool)[2:], pool.slots[0] is not slot)


def _state(host: Host) -> dict[str, Any]:
    files = [Path(host.folder), *Path(host.folder).glob("*"), Path(host.shown)]
    status = {str(path): path.lstat() for path in files}
    return {
        path: (
            s.st_mode,
            s.st_uid,
            s.st_size,
            s.st_mtime_ns,
            s.st_nlink,
            os.listxattr(path, follow_symlinks=False),
        )
        for path, s in status.items()
    }


def _tree(pool: Pool) -> list[int]:
    """The guard, the fork server, and what else there is."""
    guard = pool.slots[0]._process.pid  # type: ignore[attr-defined]
    found, todo = [], [guard]
    while todo:
        found.append(todo.pop(0))
        todo += leftovers.children(found[-1])
    return found


@pytest.fixture(scope="module")
def user_folder() -> Iterator[Path]:
    """A folder that an ordinary user can reach, with a copy of the package and of the npm packages."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        package = Path(__file__).parents[2] / "src" / "rewardranker"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, folder / "code" / "rewardranker", ignore=ignored)
        modules = folder / "data" / "rewardranker" / "node_modules"
        modules.mkdir(parents=True)
        if node_modules().is_dir():
            shutil.copytree(node_modules(), modules, dirs_exist_ok=True, symlinks=True)
        (modules / "shown").write_text("shown")
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder


def skip_unless_possible(client: Client) -> None:
    try:
        landlock.abi()
    except OSError as e:
        pytest.skip(f"no Landlock on this machine: {e}")
    if os.geteuid() != 0 and client.uid == 0:
        pytest.skip("not root: sudo make test")
    if os.geteuid() == 0 and not Path(_interpreter()).exists():
        pytest.skip("other users can't read our Python: sudo apt-get install python3")


def start(client: Client, folder: Path, **options: bool) -> Runner:
    skip_unless_possible(client)
    if os.geteuid() != 0:
        client = client._replace(uid=os.geteuid())
    return Runner(client, folder, **options)


@pytest.fixture(scope="module", params=CLIENTS)
def runner(request, user_folder) -> Iterator[Runner]:
    runner = start(CLIENTS[request.param], user_folder)
    yield runner
    runner.close()


@pytest.fixture
def mortal(user_folder) -> Iterator[Runner]:
    """A runner that a test may kill."""
    runner = start(CLIENTS["an ordinary user"], user_folder)
    yield runner
    runner.process.kill()  # it may wait for a program
    runner.close()


REFUSED = """
def refused(work):
    try:
        result = work()
    except (OSError, LookupError):
        return
    assert result == -1, f"reached: {result!r}"
"""
CALL = "import ctypes; syscall = ctypes.CDLL(None, use_errno=True).syscall\n"
SHARED_PAIR = "import socket; a, b = socket.socketpair()\n"

ATTACKS = {
    "read a file": "refused(lambda: open($secret))",
    "list a folder": "import os; refused(lambda: os.listdir($folder)); refused(lambda: os.listdir('/')); refused(lambda: os.listdir('..'))",
    "read by a link": "import os; os.symlink($secret, 'link'); refused(lambda: open('link'))",
    "read by a hard link": "import os; refused(lambda: os.link($secret, 'own')); refused(lambda: os.rename($secret, 'own'))",
    "settings": "refused(lambda: open('/etc/passwd')); refused(lambda: open('/etc/hostname'))",
    "kernel's files": "refused(lambda: open('/sys/kernel/mm/transparent_hugepage/enabled')); refused(lambda: open('/proc/sys/kernel/hostname')); refused(lambda: open('/proc/cmdline'))",
    "list processes": "import os; refused(lambda: os.listdir('/proc'))",
    "another process": "import os\nfor pid in ($victim, $client, os.getppid(), 1):\n"
    "  for name in ('environ', 'cmdline', 'mem', 'maps', 'status', 'stat'): refused(lambda: open(f'/proc/{pid}/{name}', 'rb').read(1))\n"
    "  refused(lambda: os.readlink(f'/proc/{pid}/cwd')); refused(lambda: os.listdir(f'/proc/{pid}/fd'))",
    "the machine's connections": "refused(lambda: open('/proc/self/net/tcp')); refused(lambda: open('/proc/self/mountinfo'))",
    "write a file": "refused(lambda: open($secret, 'r+')); refused(lambda: open($secret, 'a')); refused(lambda: open($secret, 'w'))",
    "write what may be read": "refused(lambda: open($shown, 'r+')); refused(lambda: open($shown, 'w'))",
    "cut off a file": "import os; refused(lambda: os.truncate($secret, 0)); refused(lambda: os.open($secret, os.O_RDONLY | os.O_TRUNC)); "
    "refused(lambda: os.open($secret, 3 | os.O_TRUNC)); refused(lambda: os.truncate($shown, 0)); refused(lambda: os.open($shown, os.O_RDONLY | os.O_TRUNC)); "
    "refused(lambda: os.open($shown, 3 | os.O_TRUNC))",
    "cut off a file by openat2": CALL + "import struct; how = ctypes.create_string_buffer(struct.pack('QQQ', 0o1000, 0, 0))\n"
    "refused(lambda: syscall(437, -100, $shown.encode(), how, 24)); refused(lambda: syscall(437, -100, $secret.encode(), how, 24))",
    "remove a file": "import os; refused(lambda: os.unlink($secret)); refused(lambda: os.rename($secret, $secret + '2'))",
    "make a file": "import os; refused(lambda: open($folder + '/x', 'w')); refused(lambda: os.mkdir($folder + '/x')); refused(lambda: os.symlink('/', $folder + '/x')); "
    "refused(lambda: os.mkfifo($folder + '/x')); refused(lambda: open('/tmp/x', 'x')); refused(lambda: open('/dev/shm/x', 'x')); refused(lambda: open('../x', 'w'))",
    "put a file out": "import os; open('x', 'w').close(); refused(lambda: os.rename('x', $folder + '/x')); refused(lambda: os.link('x', $folder + '/x'))",
    "write the system": "import os; refused(lambda: open('/usr/x', 'w')); refused(lambda: open(os.__file__, 'a')); refused(lambda: open('/dev/x', 'w'))",
    "make a device": "import os, stat; refused(lambda: os.mknod('d', 0o600 | stat.S_IFBLK, os.makedev(254, 0))); refused(lambda: os.mknod('d', 0o600 | stat.S_IFCHR, os.makedev(1, 1)))",
    "change a mode": "import os\nfor path in ($secret, $shown, $folder): os.chmod(path, 0o777)\nos.fchmod(os.open($shown, os.O_RDONLY), 0o4777)",
    "change times": "import os\nfor path in ($secret, $shown): os.utime(path, (0, 0))",
    "change an owner": "import os; refused(lambda: os.chown($secret, os.getuid(), os.getgid())); refused(lambda: os.lchown($shown, -1, os.getgid()))",
    "change attributes": "import os; refused(lambda: os.setxattr($secret, 'user.x', b'x')); refused(lambda: os.setxattr($shown, 'user.x', b'x'))",
    "change flags": "import fcntl; f = open($shown); refused(lambda: fcntl.ioctl(f, 0x40086602, b'\\x80' + bytes(7))); refused(lambda: fcntl.ioctl(f, 0x80086601, bytes(8)))",
    "watch a file": CALL + "refused(lambda: syscall(294, 0)); refused(lambda: syscall(253))",
    "tcp": "import socket; refused(lambda: socket.create_connection(('127.0.0.1', $port), 1))",
    "udp": "import socket; refused(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53)))",
    "unix socket": "import socket; refused(lambda: socket.socket(socket.AF_UNIX).connect($datagrams))",
    "abstract socket": "import socket; refused(lambda: socket.socket(socket.AF_UNIX).connect('\\0rewardranker-' + str($client)))",
    "datagrams from a pair": "import socket\ndef send(kind): a, b = socket.socketpair(socket.AF_UNIX, kind); return a.sendto(b'x', $datagrams)\n"
    "for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW): refused(lambda: send(kind))",
    "named message from a pair": "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
    "try: a.sendto(b'x', $datagrams); assert b.recv(9) == b'x'\nexcept OSError: pass",
    "signals": "import os\nfor pid in ($victim, $client, os.getppid(), 1, -$victim): refused(lambda: os.kill(pid, 0))",
    "signals to threads": CALL + "refused(lambda: syscall(234, $victim, $victim, 0)); refused(lambda: syscall(200, $victim, 0))",
    "queued signals": CALL + "info = ctypes.create_string_buffer(__import__('struct').pack('iii', 0, 0, -1), 128)\n"
    "refused(lambda: syscall(129, $victim, 0, info)); refused(lambda: syscall(297, $victim, $victim, 0, info))",
    "signals by descriptor": "import os, signal; fd = os.pidfd_open($victim); refused(lambda: signal.pidfd_send_signal(fd, 0))",
    "signals by the kernel": SHARED_PAIR + "import fcntl, struct; refused(lambda: fcntl.fcntl(a, fcntl.F_SETOWN, $victim)); "
    "refused(lambda: fcntl.fcntl(a, 15, struct.pack('ii', 1, $victim))); refused(lambda: fcntl.ioctl(a, 0x8901, struct.pack('i', $victim)))",
    "ptrace": CALL + "refused(lambda: syscall(101, 16, $victim, 0, 0)); refused(lambda: syscall(101, 0x4206, $victim, 0, 0))",
    "process_vm_readv": CALL + "refused(lambda: syscall(310, $victim, 0, 0, 0, 0, 0))",
    "take a descriptor": CALL + "import os; fd = os.pidfd_open(os.getppid()); refused(lambda: syscall(438, fd, 0, 0))",
    "limits": "import os, resource; refused(lambda: resource.prlimit($victim, resource.RLIMIT_NOFILE, (0, 0))); refused(lambda: os.setpriority(os.PRIO_PROCESS, $victim, 19)); "
    "refused(lambda: os.setpriority(os.PRIO_USER, 0, 19)); refused(lambda: os.sched_setaffinity($victim, {0}))",
    "privileges": "import os\nt = open('/proc/self/status').read(); assert 'CapEff:\\t0000000000000000' in t and 'CapPrm:\\t0000000000000000' in t and 'NoNewPrivs:\\t1' in t and 'Seccomp:\\t2' in t\n"
    "refused(lambda: os.setuid(0) if os.getuid() else -1); refused(lambda: os.setgroups([0]))\nassert os.getuid() != 0",
    "namespaces": CALL + "refused(lambda: syscall(272, 0x10000000)); refused(lambda: syscall(56, 0x10000000 | 17, 0, 0, 0, 0)); refused(lambda: syscall(435, 0, 0)); refused(lambda: syscall(308, 0, 0))",
    "mounts": CALL + "import os; refused(lambda: syscall(165, b'none', b'.', b'tmpfs', 0, 0)); refused(lambda: os.chroot('.')); refused(lambda: syscall(457, 0, 0, 0, 0)); refused(lambda: syscall(458, 0, 0, 0, 0))",
    "other calls": CALL + "refused(lambda: syscall(425, 1, 0)); refused(lambda: syscall(321, 0, 0, 0)); refused(lambda: syscall(298, 0, 0, -1, -1, 0)); "
    "refused(lambda: syscall(248, b'user', b'a', b'b', 1, -2)); refused(lambda: syscall(323, 0)); refused(lambda: syscall(319, b'm', 0))",
    "what outlives": CALL + "refused(lambda: syscall(29, 42, 4096, 0o1666)); refused(lambda: syscall(68, 42, 0o1666)); refused(lambda: syscall(240, b'q', 66, 384, 0))\n"
    "import os, _posixshmem; refused(lambda: _posixshmem.shm_open('/m', os.O_CREAT | os.O_RDWR, 0o600))",
    "terminal": "import fcntl; refused(lambda: open('/dev/tty')); refused(lambda: fcntl.ioctl(0, 0x5412, b'x'))",
    "environment": "import os; assert set(os.environ) <= {'HOME', 'LANG', 'LC_CTYPE', 'PATH', 'TMPDIR'} and os.environ['HOME'] == os.getcwd()",
    "what the child of a program reaches": "import os, subprocess\nd = subprocess.run(['cat', $secret, '/etc/passwd'], capture_output=True); assert d.returncode == 1 and not d.stdout\n"
    "d = subprocess.run(['bash', '-c', 'kill -0 ' + str($victim)], capture_output=True); assert d.returncode == 1",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_program_reaches_nothing_outside(runner, attack):
    source = ATTACKS[attack]
    if os.uname().machine != "x86_64" and CALL in source:
        pytest.skip("the numbers of these system calls are those of x86_64")
    ran = runner.run(REFUSED + source)
    assert ran.verdicts[0].strict_status == "passed", ran.verdicts[0].stderr
    assert ran.verdicts[0].isolation == "landlock"
    assert (ran.changed, ran.left, ran.is_replaced) == ([], [], False)


WORKING = {
    "files": "import os, pathlib, shutil, tempfile\nos.makedirs('a/b'); open('a/c', 'w').write('x'); os.rename('a/c', 'a/d'); assert open('a/d').read() == 'x'\n"
    "shutil.copy('a/d', 'e'); os.chmod('e', 0o700); open('e', 'r+').truncate(0); pathlib.Path('e').touch(); os.symlink('e', 'f'); os.link('e', 'g'); os.unlink('e'); shutil.rmtree('a')\n"
    "with tempfile.TemporaryFile() as f: f.write(b'x')\nwith tempfile.TemporaryDirectory() as d: assert d.startswith(os.getcwd())",
    "devices": "open('/dev/null', 'w').write('x'); assert open('/dev/zero', 'rb').read(2) == bytes(2); assert len(open('/dev/urandom', 'rb').read(2)) == 2",
    "what may be read": "import os, json, decimal, xml.etree.ElementTree; assert open($shown).read() == 'shown'; assert os.listdir('/usr/bin')",
    "subprocesses": "import subprocess; assert subprocess.run('echo $((1+1)) > x; cat < x | tr 2 3', shell=True, capture_output=True).stdout == b'3\\n'",
    "threads": "import threading, queue; q = queue.Queue(); t = [threading.Thread(target=q.put, args=(i,)) for i in range(9)]; [x.start() for x in t]; [x.join() for x in t]; assert q.qsize() == 9",
    "asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0); return 1\nassert asyncio.run(f()) == 1",
    "its own signals": "import os, signal; got = []; signal.signal(signal.SIGUSR1, lambda *_: got.append(1)); os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1); assert len(got) == 2",
    "its own process group": "import os, signal; got = []; signal.signal(signal.SIGUSR1, lambda *_: got.append(1)); os.kill(0, signal.SIGUSR1); assert got",
}  # fmt: skip


@pytest.mark.parametrize("thing", WORKING)
def test_what_programs_do_works(runner, thing):
    ((verdict,), *_) = runner.run(WORKING[thing])
    assert verdict.strict_status == "passed", verdict.stderr


def test_a_program_may_end_its_children_where_the_kernel_confines_signals(mortal):
    if landlock.abi() < 6:
        pytest.skip("this kernel does not (Linux 6.12 or later)")
    ((verdict,), *_) = mortal.run(
        "import subprocess; p = subprocess.Popen(['sleep', '9']); p.kill(); assert p.wait() == -9"
    )
    assert verdict.strict_status == "passed", verdict.stderr


SCAN_MEMORY = """
import ctypes
def hexadecimal(text):
    return all(48 <= b <= 57 or 97 <= b <= 102 for b in text)
found = 0
for line in open("/proc/self/maps"):
    span, mode, *_, = line.split()
    if "r" not in mode or "[v" in line:
        continue
    start, end = (int(x, 16) for x in span.split("-"))
    memory = ctypes.string_at(start, end - start)
    at = memory.find(b"SECRET")
    while at >= 0:
        found += len(memory) > at + 13 and hexadecimal(memory[at + 6 : at + 14])
        at = memory.find(b"SECRET", at + 1)
    del memory
print(found)
"""


def test_no_secret_is_in_memory(runner):
    ran = runner.run(
        SCAN_MEMORY, "print('SECRET44556677')", SCAN_MEMORY, "own = 'SECRET' + '0a1b2c3d'\n" + SCAN_MEMORY
    )
    parents, _, predecessors, found = (v.stdout for v in ran.verdicts)
    assert (parents, predecessors) == ("0\n", "0\n")
    assert int(found) > 0


LEFT_BEHIND = {
    "files": "import os; os.makedirs('a/b'); os.symlink('/usr', 'a/usr'); open('a/b/c', 'w').write('x'); os.mkfifo('d')",
    "a locked directory": "import os; os.mkdir('a'); open('a/x', 'w').close(); os.mkdir('a/b', 0); os.mkdir('c', 0o300); open('c/x', 'w')",
    "a deep directory": "import os\nfor i in range(900):\n    os.mkdir('d' * 200); os.chdir('d' * 200)",
    "a daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)",
    "orphans of orphans": "import os, time\nfor i in range(5):\n    if os.fork(): time.sleep(0.02); os._exit(0)\n    os.setsid()\ntime.sleep(60)",
    "a process that ignores signals": "import os, signal, time\nfor s in range(1, 64):\n    s in (9, 19, 32, 33) or signal.signal(s, signal.SIG_IGN)\nos.fork() or time.sleep(60)",
    "a stopped process": "import os, signal\nif os.fork() == 0:\n    os.setsid(); os.kill(os.getpid(), signal.SIGSTOP)",
    "another subreaper": "import ctypes, os, time\nctypes.CDLL(None).prctl(36, 1)\nif os.fork() == 0:\n    ctypes.CDLL(None).prctl(36, 1)\n    os.fork() or os.fork() or time.sleep(60)\n    time.sleep(60)",
    "a sibling": CALL + "import time\nif syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0: time.sleep(60)",
    "a sibling without an exit signal": CALL + "import time\nif syscall(56, 0x8000, 0, 0, 0, 0) == 0: time.sleep(60)",
    "a patched builtin": "import builtins, os; builtins.len = lambda x: 7; os.environ['X'] = 'y'; os.umask(0)",
}  # fmt: skip
FINDS_NOTHING = "import os; assert os.listdir('.') == [] and os.stat('.').st_mode & 0o777 == 0o700; assert len([]) == 0 and 'X' not in os.environ"


@pytest.mark.parametrize("thing", LEFT_BEHIND)
def test_the_next_program_finds_nothing_left(runner, thing):
    source = LEFT_BEHIND[thing]
    if os.uname().machine != "x86_64" and CALL in source:
        pytest.skip("the numbers of these system calls are those of x86_64")
    ran = runner.run(source, FINDS_NOTHING)
    assert ran.verdicts[1].strict_status == "passed", ran.verdicts
    assert (ran.changed, ran.left, ran.is_replaced) == ([], [], False)


EXHAUSTING = {
    "fork bomb": ("import os\nwhile True:\n    os.fork()", "timeout", "failed"),
    "fork bomb that is never there": ("import os\nwhile True:\n    if os.fork(): os._exit(0)", "timeout", "failed"),
    "fork bomb that is reaped": (
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n    try:\n        if os.fork() == 0: os._exit(0)\n    except OSError: pass",
        "timeout",
    ),
    "many sleepers": ("import os, time\nfor i in range(200):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)", "failed"),
    "thread bomb": ("import threading, time\nwhile 1: threading.Thread(target=time.sleep, args=(9,)).start()", "timeout", "failed"),
    "memory bomb": ("x = bytearray(1 << 20)\nwhile True:\n    x += x", "failed"),
    "memory in children": (
        "import os, time\nfor i in range(3): os.fork()\nx = bytearray(150 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\ntime.sleep(3)",
        "failed",
    ),
    "big file": ("f = open('f', 'wb')\nwhile True:\n    f.write(bytes(1 << 20)); f.flush()", "failed"),
    "big files": ("import time\nfor i in range(12): open(f'{i}', 'wb').write(bytes(8 << 20))\ntime.sleep(60)", "failed"),
    "many files": ("import time\nfor i in range(6000): open(f'{i}', 'wb').close()\ntime.sleep(60)", "failed"),
    "files in a locked directory": ("import os, time\nos.mkdir('a', 0o300); open('a/f', 'w').close(); time.sleep(60)", "failed"),
    "files far down": ("import os, time\nfor i in range(30):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\ntime.sleep(60)", "failed"),
    "output flood": ("while True:\n    print('x' * 10000)", "timeout"),
    "sleep": ("import time; time.sleep(99)", "timeout"),
    "stopped": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    "kills all of its own": ("import os, signal; os.kill(0, signal.SIGKILL)", "failed"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "failed"),
}  # fmt: skip


def exhausting(attack: str) -> Program:
    """With time enough for the watch to see what it does, on a busy machine too."""
    source, *expected = EXHAUSTING[attack]
    return Program("python", source, timeout_s=20.0 if expected == ["failed"] else 1.0)


@pytest.mark.parametrize("attack", EXHAUSTING)
def test_a_program_that_takes_too_much_is_ended_and_the_slot_lives(runner, attack):
    _, *expected = EXHAUSTING[attack]
    ran = runner.run(exhausting(attack), FINDS_NOTHING)
    assert ran.verdicts[0].strict_status in expected, ran.verdicts[0]
    assert ran.verdicts[1].strict_status == "passed", ran.verdicts[1]
    assert ran.left == []


def test_what_was_exceeded_is_said(runner):
    ran = runner.run(exhausting("many sleepers"), exhausting("many files"))
    assert "too much room" in ran.verdicts[1].reason
    assert "too many processes" in ran.verdicts[0].reason or "Resource temporarily" in ran.verdicts[0].stderr


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["an ordinary user, Landlock 1"], indirect=True)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_verdicts_are_strict_in_every_language(runner, language):
    if language.name == "python":
        sources = ["assert 1 + 1 == 2", "assert 1 + 1 == 3", "import sys; sys.exit(0)\nassert 1 + 1 == 3"]
    else:
        table = import_module(f"programs.{language.name}")
        sources = [table.ENDINGS["right"][0], table.ENDINGS["wrong"][0]]
        sources.append(next(iter(table.FAKED_ENDINGS.values())))
    if missing := language.missing(sources[0]):
        pytest.skip(f"{language.name} needs {missing[0].name}: make toolchains, or {missing[0].install}")
    ran = runner.run(*(Program(language.name, source, timeout_s=10) for source in sources))
    said = [(v.reason, v.stderr) for v in ran.verdicts]
    assert [v.strict_status for v in ran.verdicts] == ["passed", "failed", "failed"], said
    assert (ran.changed, ran.left, ran.is_replaced) == ([], [], False)


def test_packages_of_npm_are_found(runner):
    language = find_language("javascript")
    assert language is not None
    source = "if (require('lodash').sum([1, 1]) !== 2) throw new Error('x');"
    if missing := language.missing(source):
        pytest.skip(f"it needs {missing[0].name}: make toolchains, or {missing[0].install}")
    ((verdict,), *_) = runner.run(Program("javascript", source, timeout_s=10))
    assert verdict.strict_status == "passed", verdict


def test_tests_from_outside(runner):
    calls = CallTests.of("f", [((1,), 2), ((5,), 6)])
    stdin = StdinTests(("1 2", "3 4"), ("3", "7"))
    source = "print(sum(map(int, input().split())))"
    ran = runner.run(
        Program("python", "def f(x): return x + 1", calls),
        Program("python", "def f(x): return 2", calls),
        Program("python", source, stdin),
        Program("python", "print(3)", stdin),
    )
    assert [(v.strict_status, v.failed_test) for v in ran.verdicts] == [
        ("passed", None),
        ("failed", 1),
        ("passed", None),
        ("failed", 1),
    ]


def test_without_namespaces_it_works_and_the_default_names_it(user_folder):
    runner = start(CLIENTS["an ordinary user"], user_folder, without_namespaces=True)
    assert "--isolation landlock" in runner.ask("message")
    assert [v.strict_status for v in runner.run("assert True", "assert False").verdicts] == [
        "passed",
        "failed",
    ]
    runner.close()


def test_what_the_programs_user_may_not_read_is_named_with_what_to_do(monkeypatch, tmp_path):
    skip_unless_possible(CLIENTS["root"])
    (tmp_path / "rewardranker" / "node_modules").mkdir(parents=True)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "_base_executable", _interpreter())
    with pytest.raises(UserError, match=rf"can't read {tmp_path}.*`chmod a\+x /"):
        Pool(workers=1, isolation="landlock")


def wait_until(condition, what: str) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def are_gone(pids: list[int]) -> bool:
    """Whether they have ended; process 1 may take its time to reap those that are orphans."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in b"ZX":
                return False
    return True


FAMILY = "import os, time\nos.fork(); os.setsid() if os.fork() == 0 else 0\nprint(flush=True)\ntime.sleep(60)"


def start_family(runner: Runner) -> list[int]:
    """Let the slot run a program of four processes; the guard, the server, and those."""
    runner._connection.send(("start", [Program("python", FAMILY, timeout_s=60)]))
    guard = leftovers.children(runner.process.pid)
    found: list[int] = []

    def has_started() -> bool:
        found[:] = [pid for pid in guard if leftovers.children(pid)]
        for pid in found:
            found.extend(leftovers.children(pid))
        return len(found) == 6

    wait_until(has_started, "the program did not start")
    return found


def test_closing_leaves_nothing(mortal):
    tree, directory = mortal.ask("tree"), mortal.ask("directory")
    assert len(tree) == 2
    assert Path(directory).exists()
    mortal.close()
    assert are_gone(tree)
    assert not Path(directory).exists()


def test_a_client_that_is_killed_leaves_nothing(mortal):
    directory = mortal.ask("directory")
    family = start_family(mortal)
    mortal.process.kill()
    wait_until(lambda: are_gone(family), "processes are left")
    wait_until(lambda: not Path(directory).exists(), "its directory is left")


@pytest.mark.parametrize("number", [0, 1])
def test_a_guard_or_server_that_is_killed_takes_the_program_along(mortal, number):
    family = start_family(mortal)
    os.kill(family[number], signal.SIGKILL)
    wait_until(lambda: are_gone(family), "processes are left")


def test_directories_of_clients_that_were_killed_with_their_guards_are_removed(mortal, user_folder):
    directory = mortal.ask("directory")
    for pid in (mortal.process.pid, *mortal.ask("tree")):
        os.kill(pid, signal.SIGKILL)
    mortal.process.join()
    assert Path(directory).exists()
    runner = start(CLIENTS["an ordinary user"], user_folder)
    assert not Path(directory).exists()
    runner.close()


def test_all_processes_are_never_killed_outside_a_pid_namespace():
    with pytest.raises(RuntimeError, match="not process 1"):
        leftovers.end_all(0)


def test_only_slots_that_were_abandoned_are_removed(tmp_path: Path) -> None:
    ended = multiprocessing.get_context("fork").Process(target=int)
    ended.start()
    ended.join()
    slots = [
        landlock.make_directory([tmp_path], f"rewardranker-{pid}-0123abcd", tmp_path)
        for pid in (ended.pid, os.getpid())
    ]
    users = [
        tmp_path / f"rewardranker-{name}" for name in ("demo", "0.3", f"{ended.pid}", f"{ended.pid}-runs")
    ]
    for folder in users:
        folder.mkdir()
        (folder / "results.json").write_text("{}")
    landlock.remove_abandoned(tmp_path, "rewardranker-")
    assert set(tmp_path.iterdir()) == {slots[1], *users}
    assert all((folder / "results.json").exists() for folder in users)
