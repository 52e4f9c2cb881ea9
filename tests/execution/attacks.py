# ruff: noqa: E501 - a table of programs
"""Attacks on the sandbox: what each does, what stands in its way, and how to take just that out of the way.

    python tests/execution/attacks.py             run every attack, with its defence and without it
    python tests/execution/attacks.py --table     the table of docs/security.md
    python tests/execution/ordinary_user.py attacks.py   the same as an ordinary user, if root calls

An attack that is contained proves little by itself: it may be a program that does nothing. So each is also run
in a slot without the defence that it names, and must succeed there. Attacks are bounded (150 forks, 64 MB, a
second or two, signal 0), so that success harms nothing.

Candidates that lie to tests in their own process (an `__eq__` that is always true, expected values read from the
caller) are no attack on the sandbox, and nothing in it refuses them: tests by calls do, see `test_steps.py`.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import mock

from rewardranker.execution import pool as pool_module
from rewardranker.execution import slot as slot_module
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.sandbox import request
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.tests import CallTests, StdinTests

LOST = "the slot is lost"
SECRET = "SECRET0f1e2d3c"
"""In the environment of the process that starts the sandboxes."""


@dataclass(frozen=True)
class Attack:
    """Programs that one slot runs one after the other; the last one's verdict, or the slot's end, is the outcome."""

    group: str
    defence: str
    """What contains it, in words."""
    without: str
    """What takes the defence out: Python that the fork server executes before it isolates itself; see `TAKE_OUT`."""
    programs: tuple[str | Program, ...]
    contained: str = "passed"
    """Strict status of the last program when the attack is contained. It never prints REACHED then."""
    succeeded: str = "REACHED"
    """How its success shows: it prints this, or this is the strict status of the last program, or the slot is lost."""
    timeout_s: float = 5.0
    language: str = "python"
    outside: Literal["", "environment", "memory"] = ""
    """Taken out besides, where slots are started: the empty environment, the limit on all memory together."""
    by: Literal["anybody", "root", "ordinary user"] = "anybody"
    """Who could do this at all without a sandbox."""


Outcome = Literal["contained", "succeeded", "impossible"]
"""impossible: without any defence too, because this kernel lacks the call or this user's rights do not suffice."""

# The fork server has imported its modules and is about to call `server.main`. `$CANARY` and the like as in `Host`.
TAKE_OUT = """
import os, signal, sys
from rewardranker.execution.sandbox import captured, isolation, leftovers, request, seccomp, server

def allow(*calls):
    for call in calls:
        del seccomp._DENIED[call]

def unlimit(*names):
    limit = isolation._limit
    spared = [getattr(isolation.resource, "RLIMIT_" + name) for name in names]
    isolation._limit = lambda which, wanted: which in spared or limit(which, wanted)

def show(path):
    paths = isolation.visible_paths
    isolation.visible_paths = lambda *arguments: [*paths(*arguments), path]

def stay_the_user():  # for root: not nobody
    isolation._maps_nobody = lambda: False

def after_isolation(work):
    enter = isolation.enter
    def enter_and_work(*arguments):
        enter(*arguments)
        work()
    isolation.enter = enter_and_work

def stay_dumpable():
    after_isolation(lambda: isolation._libc.prctl(4, 1, 0, 0, 0))

def keep_capabilities():
    class Libc:
        real = isolation._libc
        def __getattr__(self, name):
            return getattr(self.real, name)
        def capset(self, *_):
            return 0
    isolation._libc = Libc()

def mount_all_but(refused):
    mount = isolation._mount
    isolation._mount = lambda *arguments: refused(*arguments) or mount(*arguments)

def end_child_only(signal_number):
    def end(pid):
        os.kill(pid, signal_number)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0.0
    server.end_all = end

def isolate_nothing():  # a slot that sees the host's processes and /tmp must not kill, count or wipe them
    isolation.enter = lambda *_: None
    end_child_only(signal.SIGKILL)
    server.wipe = lambda directory, **_: True
    server._memory_bytes = lambda pids: 0
"""

ATTEMPT = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments):
    return libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
def reached():
    os.write(1, b"REACHED\\n")
def attempt(work):
    try:
        result = work()
    except OSError as e:
        return
    if result is not False and result != -1:
        reached()
def ask_kernel(*arguments):
    "Reached if the call's own code answers: with an error of its own, or by doing it."
    result = syscall(*arguments)
    error = ctypes.get_errno()
    if result == -1 and error == errno.ENOSYS:
        os.write(1, b"ABSENT\\n")
    elif result != -1 or error != errno.EPERM:
        reached()
"""

PROCESSES = "{p for p in os.listdir('/proc') if p.isdigit()} - {'1', str(os.getpid())}"
NO_FILE_LEFT = "import os\nif os.listdir('/tmp') or os.stat('/tmp').st_mode & 0o777 != 0o700 or os.listxattr('/tmp'): print('REACHED')"
NO_PROCESS_LEFT = f"import os\nif {PROCESSES}: print('REACHED')"
TESTS = "\ndef check(f):\n    assert f(1) == 2\ncheck(candidate)\n"
SCAN_MEMORY = """
import ctypes
def hexadecimal(text):
    return all(48 <= b <= 57 or 97 <= b <= 102 for b in text)
for line in open("/proc/self/maps"):
    span, mode, *_, = line.split()
    if "r" not in mode or "[v" in line:
        continue
    start, end = (int(x, 16) for x in span.split("-"))
    memory = ctypes.string_at(start, end - start)
    at = memory.find(b"SECRET")
    while at >= 0:
        if len(memory) > at + 13 and hexadecimal(memory[at + 6 : at + 14]):
            print("REACHED")
        at = memory.find(b"SECRET", at + 1)
    del memory
"""


def _exhausting(defence: str, without: str, source: str, **more: object) -> Attack:
    return Attack("takes too much", defence, without, (ATTEMPT + source,), **more)  # type: ignore[arg-type]


def _endless(defence: str, without: str, source: str) -> Attack:
    return _exhausting(defence, without, source, contained="timeout", timeout_s=0.5)


def _breaking(defence: str, source: str, contained: str = "failed", *, by: str = TESTS) -> Attack:
    """Ends its own process; the slot has to live on."""
    without = "after_isolation(lambda: setattr(os, 'fork', lambda: 0))"
    return Attack("breaks its process", defence, without, (source + by,), contained, LOST)


def _reaching(defence: str, without: str, source: str, **more: object) -> Attack:
    return Attack("reaches outside", defence, without, (ATTEMPT + source,), **more)  # type: ignore[arg-type]


def _calling(call: str, source: str, defence: str = "seccomp", also: str = "") -> Attack:
    return Attack("asks the kernel", defence, f"allow({call!r}); {also}", (ATTEMPT + source,))


def _leaving(defence: str, without: str, first: str, second: str, succeeded: str = "REACHED") -> Attack:
    programs = ATTEMPT + first, ATTEMPT + second
    return Attack("leaves something behind", defence, without, programs, succeeded=succeeded)


def _ending(source: str, **more: object) -> Attack:
    """Exit code 0 although the tests fail, or never run."""
    if "def candidate" not in source:
        source = "def candidate(x):\n    pass\n" + source
    defence, without = "the proof of the end", "server.STARTED = server.FINISHED"
    fields = {"defence": defence, "without": without} | more
    return Attack(
        "fakes its end", programs=(source + TESTS,), contained="failed", succeeded="passed", **fields  # type: ignore[arg-type]
    )  # fmt: skip


DEADLINE = "from types import SimpleNamespace; server.time = SimpleNamespace(monotonic=lambda: 0.0)"
"""The fork server's clock stands still."""
NO_NETWORK_NAMESPACE = "isolation._CLONE_NEW.pop('network'); allow('socket', 'connect')"

KEPT_BODY = """
bodies = []
class Kept(bytearray):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        bodies.append(self)  # as if its memory was not used again
    def __setitem__(self, key, value):
        pass
server.bytearray = Kept
"""
LONG_SECRET = f"{'#' * 60_000}\n'SECRET44556677'\n{'#' * 60_000}"
"""Long enough that a part of the memory is not used again at once."""

ATTACKS: dict[str, Attack] = {
    # takes too much
    "fork bomb": _exhausting(
        "RLIMIT_NPROC", "unlimit('NPROC')",
        "import time\ntry:\n    for _ in range(150):\n        os.fork() or time.sleep(30)\nexcept BlockingIOError:\n    pass\nelse:\n    reached()",
    ),
    "thread bomb": _exhausting(
        "RLIMIT_NPROC", "unlimit('NPROC')",
        "import threading, time\nthreading.stack_size(1 << 16)\ntry:\n    for _ in range(150):\n"
        "        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\nexcept RuntimeError:\n    pass\nelse:\n    reached()",
    ),
    "memory bomb": _exhausting(
        "RLIMIT_AS; cgroup, or a watch on all processes", "unlimit('AS'); request._SLOT_MB = 1 << 20",
        "x = []\nfor _ in range(20):\n    x.append(b'x' * (20 << 20))\nreached()", contained="failed", outside="memory",
    ),
    "memory bomb of several processes": _exhausting(
        "cgroup, or a watch on all processes", "request._SLOT_MB = 1 << 20",
        "import time\nchildren = [os.fork() for _ in range(2)]\nx = b'x' * (120 << 20)\ntime.sleep(0.3)\n"
        "if all(children):\n    while True:\n        try:\n            assert os.wait()[1] == 0\n        except ChildProcessError:\n"
        "            break\n    reached()", contained="failed", outside="memory",
    ),
    "big file": _exhausting(
        "size of /tmp, RLIMIT_FSIZE", "isolation._TMP_OPTIONS = 'mode=700'; unlimit('FSIZE')",
        "f = open('/tmp/f', 'wb')\nfor _ in range(64):\n    f.write(bytes(1 << 20)); f.flush()\nreached()", contained="failed",
    ),
    "several big files": _exhausting(
        "size of /tmp", "isolation._TMP_OPTIONS = 'mode=700'",
        "for i in range(12):\n    with open(f'/tmp/{i}', 'wb') as f:\n        f.write(bytes(8 << 20))\nreached()", contained="failed",
    ),
    "many files": _exhausting(
        "inodes of /tmp", "isolation._TMP_OPTIONS = 'mode=700'",
        "for i in range(6000):\n    open(f'/tmp/{i}', 'w').close()\nreached()", contained="failed",
    ),
    "many open files": _exhausting(
        "RLIMIT_NOFILE", "unlimit('NOFILE')", "x = [open('/dev/null') for _ in range(500)]\nreached()", contained="failed",
    ),
    "output flood": Attack(
        "takes too much", "outputs are cut while they are read", "start = captured.Captured.open; captured.Captured.open = lambda self, capacity: start(self, 64 << 20)",
        ("import os\nfor _ in range(400):\n    print('x' * 99_999, flush=True)\n"
         "if int(open('/proc/1/statm').read().split()[1]) > 8192: os.write(2, b'REACHED')",),
    ),
    "sleep for ever": _endless("the deadline", DEADLINE, "import time; time.sleep(0.9); reached()"),
    "loop for ever": _endless("the deadline", DEADLINE, "import time\nwhile time.process_time() < 0.6: pass\nreached()"),
    "closed outputs": Attack(
        "takes too much", "the deadline", DEADLINE,
        ("import os, time; os.close(1); os.close(2); time.sleep(0.9)",), "timeout", "passed", timeout_s=0.5,
    ),
    "thread that goes on": _endless(
        "the deadline", DEADLINE, "import threading, time\ndef f(): time.sleep(0.9); reached()\nthreading.Thread(target=f).start()"
    ),
    "stopped": _endless(
        "the deadline", DEADLINE,
        "import signal, time\nif os.fork() == 0:\n    time.sleep(0.9); os.kill(os.getppid(), signal.SIGCONT); os._exit(0)\n"
        "os.kill(os.getpid(), signal.SIGSTOP); reached()",
    ),
    "ignored signals": _endless(
        "it is ended by SIGKILL", "end_child_only(signal.SIGTERM)",
        "import signal, time\nfor s in range(1, 32):\n    s in (9, 19) or signal.signal(s, signal.SIG_IGN)\n"
        "while time.process_time() < 0.6: pass\nreached()",
    ),
    "blocked stdin": Attack(
        "takes too much", "stdin is at its end",
        "start = server._Slot.__init__; server._Slot.__init__ = lambda self, connection, _, **options: start(self, connection, os.pipe()[0], **options)",
        ("import sys; assert sys.stdin.read() == ''",), "passed", "timeout", timeout_s=0.5,
    ),
    "orphan that holds stdout": _exhausting(
        "the end is that of the process, not of its output",
        """
watch = server._Slot._watch
def watch_output(self, *arguments):
    output = server.select.poll()
    output.register(self._stdout.reader, 0)
    output.poll(2000)
    return watch(self, *arguments)
server._Slot._watch = watch_output
""",
        "import time\nif os.fork() == 0:\n    time.sleep(0.4); reached()",
    ),
    # breaks its process
    "parser bomb": _breaking("a process of its own", "(" * 100_000, "syntax_error", by=""),
    "expression bomb": _breaking("a process of its own", "-" * 100_000 + "1", "syntax_error", by=""),
    "segfault": _breaking("a process of its own", "import ctypes; ctypes.string_at(0)"),
    "SIGKILL to itself": _breaking("a process of its own", "import os; os.kill(os.getpid(), 9); os._exit(3)", by=""),
    "stack overflow": _breaking(
        "a process of its own", "import sys; sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)"
    ),
    "SIGKILL to the parent": Attack(
        "breaks its process", "pid namespace", "isolate_nothing()",
        ("import os, time; os.kill(os.getppid(), 9); time.sleep(0.1)",), succeeded=LOST,
    ),
    # reaches outside
    "TCP": _reaching(
        "network namespace, seccomp", NO_NETWORK_NAMESPACE,
        "import socket; attempt(lambda: socket.create_connection(('127.0.0.1', $TCP), 1))",
    ),
    "UDP": _reaching(
        "network namespace, seccomp", NO_NETWORK_NAMESPACE + "; allow('bind')",
        "import socket; attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $UDP)))",
    ),
    "DNS": _reaching(
        "network namespace, seccomp", NO_NETWORK_NAMESPACE,
        "import socket\ndef ask():\n    s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(1)\n"
        "    s.sendto(b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7example\\3org\\0\\0\\1\\0\\1', ('127.0.0.1', $UDP)); return s.recv(512)\nattempt(ask)",
    ),
    "UNIX socket": _reaching(
        "root of its own, seccomp, another user", "show('$CANARY'); stay_the_user(); allow('socket', 'connect')",
        "import socket; attempt(lambda: socket.socket(socket.AF_UNIX).connect('$CANARY/socket'))",
    ),
    "abstract UNIX socket": _reaching(
        "network namespace, seccomp", NO_NETWORK_NAMESPACE,
        "import socket; attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0$ABSTRACT'))",
    ),
    "/etc/passwd": _reaching("root of its own", "show('/etc')", "attempt(lambda: open('/etc/passwd').read())"),
    "the user's files, such as /root": _reaching(
        "root of its own, another user", "show('$CANARY'); stay_the_user()", "attempt(lambda: open('$CANARY/secret').read())"
    ),
    "other directories of the host": _reaching(
        "root of its own", "show('/home')",
        "attempt(lambda: bool({'home', 'mnt', 'media', 'opt', 'srv', 'sys', 'run', 'boot', 'old'} & set(os.listdir('/'))))",
    ),
    "devices": _reaching(
        "root of its own",
        "isolation._make_devices = lambda path: (os.mkdir(path), isolation._mount('/dev', path, None, 4096 | 16384))",
        "attempt(lambda: bool(set(os.listdir('/dev')) - {'null', 'zero', 'full', 'random', 'urandom', 'fd', 'stdin', 'stdout', 'stderr', 'shm'}))",
    ),
    "write to the host's files": _reaching(
        "root of its own, read-only mounts, another user",
        "show('$CANARY'); stay_the_user(); isolation._make_read_only = lambda path: None",
        "attempt(lambda: open('$CANARY/written', 'w'))",
    ),
    "write to /usr, the interpreter, the settings in /etc": _reaching(
        "read-only mounts", "isolation._make_read_only = lambda path: None",
        """
for line in open("/proc/self/mounts"):
    _, where, _, options, *_ = line.split()
    if where not in ("/tmp", "/proc") and not where.startswith("/dev/") and "ro" not in options.split(","):
        reached()
""",
    ),
    "write to /": _reaching(
        "read-only mounts", "mount_all_but(lambda source, target, kind, flags, *_: target == '/' and flags & 1)",
        "attempt(lambda: open('/x', 'w')); attempt(lambda: open('/dev/x', 'w'))",
    ),
    "write to /proc": _reaching(
        "read-only mounts, no capabilities",
        "keep_capabilities(); mount_all_but(lambda source, target, kind, flags, *_: target.endswith('/proc') and flags & 1)",
        "attempt(lambda: open('/proc/sys/user/max_user_namespaces', 'w'))",
    ),
    "set-uid program": _reaching(
        "nosuid mounts, no_new_privs, user namespace", "isolate_nothing()",
        """
import subprocess, time
with subprocess.Popen(["/usr/bin/su"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as su:
    for _ in range(100):
        try:
            with open(f"/proc/{su.pid}/status") as f:
                uids = f.read().split("Uid:")[1].split()[:4]
        except OSError:
            break
        if uids[1] != str(os.geteuid()):
            reached()
            break
        time.sleep(0.002)
    su.stdin.close()
""",
        by="ordinary user",
    ),
    "set-uid bit": _reaching(
        "nosuid mounts", "isolation._MS_NOSUID = 0",
        "attempt(lambda: not os.statvfs('/tmp').f_flag & os.ST_NOSUID); attempt(lambda: not os.statvfs('/usr').f_flag & os.ST_NOSUID)",
    ),
    "device node": _reaching(
        "user namespace, nodev mounts", "isolate_nothing()",
        "import stat, tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
        "    attempt(lambda: os.mknod(d + '/null', 0o600 | stat.S_IFCHR, os.makedev(1, 3)))",
        by="root",
    ),
    "another process's environ": _reaching(
        "user, pid and mount namespaces", "isolate_nothing()", "attempt(lambda: open('/proc/$PARENT/environ').read())"
    ),
    "another process's maps": _reaching(
        "user, pid and mount namespaces", "isolate_nothing()", "attempt(lambda: open('/proc/$PARENT/maps').read())"
    ),
    "another process's command line": _reaching(
        "/proc of its own", "isolation._mount_proc = lambda path: isolation._mount('/proc', path, None, 4096 | 16384)",
        "attempt(lambda: open('/proc/$PARENT/cmdline').read()); attempt(lambda: len([p for p in os.listdir('/proc') if p.isdigit()]) > 2)",
    ),
    "kill the parent": _reaching(
        "pid namespace", "isolate_nothing()", "$PARENT in (1, os.getpid()) or attempt(lambda: os.kill($PARENT, 0))"
    ),
    "kill all": _reaching(
        "pid namespace", "isolate_nothing()",
        "import signal, time\ntry:\n    os.kill(-1, 0)\nexcept ProcessLookupError:\n    os.fork() or time.sleep(60)\n"
        "    os.kill(-1, signal.SIGKILL); assert os.wait()[1] == signal.SIGKILL\nelse:\n    reached()",
    ),
    "the server's environ": _reaching("not dumpable", "stay_dumpable()", "attempt(lambda: open('/proc/1/environ').read())"),
    "the server's maps": _reaching("not dumpable", "stay_dumpable()", "attempt(lambda: open('/proc/1/maps').read())"),
    "the server's memory": _reaching("not dumpable", "stay_dumpable()", "attempt(lambda: os.open('/proc/1/mem', os.O_RDONLY))"),
    "the server's files": _reaching("not dumpable", "stay_dumpable()", "attempt(lambda: os.listdir('/proc/1/fd') != [])"),
    "the server's open files": _reaching(
        "descriptors are closed", "os.closerange = lambda *_: None", "for n in range(3, 62): attempt(lambda: os.fstat(n))"
    ),
    "the server's limits": _reaching(
        "seccomp", "seccomp._PRLIMIT64 = (9999, 9999)",
        "import resource; attempt(lambda: resource.prlimit(1, resource.RLIMIT_CORE, (0, 0)))",
    ),
    "the server's priority": _reaching(
        "seccomp", "allow('setpriority')", "attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))"
    ),
    "the server's cores": _reaching(
        "seccomp", "allow('sched_setaffinity')", "attempt(lambda: os.sched_setaffinity(1, os.sched_getaffinity(1)))"
    ),
    "process 1": Attack(
        "reaches outside", "process 1 has no handlers",
        "after_isolation(lambda: signal.signal(signal.SIGTERM, signal.default_int_handler))",
        ("import os\nfor s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass",
         "assert True"), succeeded=LOST,
    ),
    "capabilities": _reaching(
        "no capabilities", "keep_capabilities()",
        "attempt(lambda: 'CapEff:\\t0000000000000000' not in open('/proc/self/status').read())",
    ),
    "the parent's secrets in the environment or on the stack": Attack(
        "reaches outside", "the server is started with an empty environment", "", (SCAN_MEMORY,), outside="environment"
    ),
    # asks the kernel (x86_64's numbers)
    "ptrace": _calling("ptrace", "attempt(lambda: syscall(101, 0x4206, os.getppid(), 0, 0))", "seccomp, not dumpable", "stay_dumpable()"),
    "process_vm_readv": _calling(
        "process_vm_readv",
        "local, remote = ctypes.create_string_buffer(16), (ctypes.c_size_t * 2)(id(sys), 16)\n"
        "mine = (ctypes.c_size_t * 2)(ctypes.addressof(local), 16)\n"
        "attempt(lambda: syscall(310, os.getppid(), mine, 1, remote, 1, 0))",
        "seccomp, not dumpable", "stay_dumpable()",
    ),
    "unshare": _calling(
        "unshare", "attempt(lambda: syscall(272, 0x10000000))", "seccomp, max_user_namespaces",
        "isolation._mount_proc = lambda path: isolation._mount('proc', path, 'proc', 0)",
    ),
    "clone(NEWUSER)": Attack(
        "asks the kernel", "seccomp, max_user_namespaces",
        "seccomp._CLONE_NEW_ANY = 0; isolation._mount_proc = lambda path: isolation._mount('proc', path, 'proc', 0)",
        (ATTEMPT + "made = syscall(56, 0x10000000 | 17, 0, 0, 0, 0)\nmade == 0 and os._exit(0)\nattempt(lambda: made)",),
    ),
    "clone3(NEWUSER)": Attack(
        "asks the kernel", "seccomp, max_user_namespaces",
        "seccomp._CLONE3 = 9999; isolation._mount_proc = lambda path: isolation._mount('proc', path, 'proc', 0)",
        (ATTEMPT + "flags = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)\nmade = syscall(435, flags, 64)\n"
         "made == 0 and os._exit(0)\nattempt(lambda: made)",),
    ),
    "setns": _calling("setns", "ask_kernel(308, -1, 0)"),
    "mount": _calling(
        "mount", "os.mkdir('/tmp/m'); attempt(lambda: syscall(165, b'none', b'/tmp/m', b'tmpfs', 0, 0))",
        "seccomp, no capabilities", "keep_capabilities()",
    ),
    "mount_setattr": _calling("mount_setattr", "ask_kernel(442, -1, 0, 0, 0, 0)"),
    "pivot_root": _calling("pivot_root", "attempt(lambda: syscall(155, b'/tmp/a', b'/tmp/b') == -1 and ctypes.get_errno() == errno.ENOENT)",
                           "seccomp, no capabilities", "keep_capabilities()"),
    "open_by_handle_at": _calling(
        "open_by_handle_at", "ask_kernel(304, -1, ctypes.create_string_buffer(64), 0)", "seccomp, no capabilities", "keep_capabilities()"
    ),
    "io_uring": _calling("io_uring_setup", "ask_kernel(425, 1, 0)"),
    "bpf": _calling("bpf", "ask_kernel(321, 0, 0, 1 << 20)"),
    "perf": _calling("perf_event_open", "ask_kernel(298, 0, 0, -1, -1, -1)"),
    "keyctl": _calling("keyctl", "ask_kernel(250, 9999, 0, 0, 0, 0)"),
    "userfaultfd": _calling("userfaultfd", "ask_kernel(323, 1)"),
    "vsock": _calling("socket", "ask_kernel(41, 40, 1, 0)"),
    "netlink": _calling("socket", "ask_kernel(41, 16, 3, 0)"),
    "memfd": _calling("memfd_create", "ask_kernel(319, b'x', 0)"),
    "personality": _calling("personality", "ask_kernel(135, 0xffffffff)"),
    "vmsplice": _calling("vmsplice", "ask_kernel(278, -1, 0, 0, 0)"),
    "32-bit calls": Attack(
        "asks the kernel", "seccomp: only this architecture",
        "seccomp._KILL = seccomp._ALLOW",
        (ATTEMPT + """
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("53 b814000000 cd80 5b c3"))  # getpid by int 0x80
pid = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
attempt(lambda: pid == os.getpid())
os._exit(1)
""",),
        contained="failed",
    ),
    "TIOCSTI": Attack(
        "asks the kernel", "seccomp", "seccomp._TERMINAL_INPUT = (9999, 9999)", (ATTEMPT + "ask_kernel(16, 0, 0x5412, b'x')",)
    ),
    # leaves something behind
    "a file": _leaving("/tmp is wiped", "server.wipe = lambda directory, **_: True", "open('/tmp/left', 'w').write('x')", NO_FILE_LEFT),
    "a file of another language": dataclasses.replace(
        _leaving("/tmp is wiped", "server.wipe = lambda directory, **_: True", "", ""),
        programs=("echo x > /tmp/left", "[[ ! -e /tmp/left ]] || echo REACHED"), language="bash", succeeded=LOST,
    ),
    "a chmod-0 directory": _leaving(
        "wiping unlocks first", "import shutil; leftovers._remove = lambda directory, entry: shutil.rmtree(f'{directory}/{entry}')",
        "os.makedirs('/tmp/a/b/c'); os.chmod('/tmp/a/b', 0); os.chmod('/tmp/a', 0); os.chmod('/tmp', 0)", NO_FILE_LEFT, LOST,
    ),
    "900 directories in each other": _leaving(
        "wiping takes no path longer than two names", """
def remove(path):
    for name in os.listdir(path):
        remove(f"{path}/{name}")
    os.rmdir(path)
leftovers._remove = lambda directory, entry: remove(f"{directory}/{entry}")
""",
        "for i in range(900):\n    os.mkdir('d' * 200); os.chdir('d' * 200)", NO_FILE_LEFT, LOST,
    ),
    "a symlink in place of a directory": _leaving(
        "wiping follows no link", "after_isolation(lambda: setattr(os, 'lstat', os.stat))",
        "os.symlink('/usr', '/tmp/usr'); os.symlink('/', '/tmp/root'); os.link('/tmp/usr', '/tmp/again')", NO_FILE_LEFT, LOST,
    ),
    "a directory and a symlink that are swapped": _leaving(
        "nothing runs while /tmp is wiped", "end_child_only(signal.SIGKILL)",
        "os.mkdir('/tmp/d'); os.symlink('/usr', '/tmp/l')\nif os.fork() == 0:\n    for _ in range(100_000):\n"
        "        try:\n            os.mkdir('/tmp/d')\n            os.rename('/tmp/d', '/tmp/e'); os.symlink('/usr', '/tmp/d')\n"
        "        except OSError: pass\n        try: os.unlink('/tmp/d')\n        except OSError: pass",
        NO_FILE_LEFT + "\n" + NO_PROCESS_LEFT,
    ),
    "all inodes": _leaving(
        "/tmp is wiped", "server.wipe = lambda directory, **_: True",
        "try:\n    for i in range(6000):\n        open(f'/tmp/{i}', 'w').close()\nexcept OSError:\n    pass", NO_FILE_LEFT,
    ),
    "an attribute of /tmp": _leaving(
        "/tmp is wiped, and nothing takes up space in it", "os.listxattr = lambda path: []; leftovers._is_freed = lambda directory: True",
        "try:\n    os.setxattr('/tmp', 'user.note', b'x')\nexcept OSError:\n    os.write(1, b'ABSENT')",
        "import ctypes; name = ctypes.create_string_buffer(99); attempt(lambda: ctypes.CDLL(None).listxattr(b'/tmp', name, 99) or -1)",
    ),
    "files held by messages between sockets": Attack(
        "leaves something behind", "wiping waits until the kernel has freed them", "leftovers._is_freed = lambda directory: True",
        tuple(f"""
import os, socket
if os.statvfs("/tmp").f_ffree < 4095: print("REACHED")
a, b = socket.socketpair()
file = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
os.write(file, bytes(15 << 20))
socket.send_fds(a, [b"x"], [file, a.fileno(), b.fileno()])  # {i}
""" for i in range(9)),
    ),
    "orphan daemon": _leaving(
        "all processes are killed", "end_child_only(signal.SIGKILL)",
        "import time\nif os.fork() == 0:\n    os.setsid()\n    os.fork() and os._exit(0)\n    time.sleep(60)", NO_PROCESS_LEFT,
    ),
    "an orphan that ignores signals": _leaving(
        "all processes are killed", "end_child_only(signal.SIGKILL)",
        "import signal, time\nfor s in range(1, 64):\n    s in (9, 19, 32, 33) or signal.signal(s, signal.SIG_IGN)\nos.fork() or time.sleep(60)",
        NO_PROCESS_LEFT,
    ),
    "System V shared memory": _leaving(
        "seccomp", "allow('shmget', 'shmat')", "syscall(29, 42, 4096, 0o1666)", "attempt(lambda: syscall(29, 42, 4096, 0))"
    ),
    "System V message queue": _leaving(
        "seccomp", "allow('msgget')", "syscall(68, 42, 0o1666)", "attempt(lambda: syscall(68, 42, 0))"
    ),
    "System V semaphore": _leaving(
        "seccomp", "allow('semget')", "syscall(64, 42, 1, 0o1666)", "attempt(lambda: syscall(64, 42, 1, 0))"
    ),
    "POSIX message queue": _leaving(
        "seccomp", "allow('mq_open')", "syscall(240, b'q', 66, 384, 0)", "attempt(lambda: syscall(240, b'q', 0, 0, 0))"
    ),
    "POSIX shared memory": _leaving(
        "/dev/shm is /tmp", """
make_devices = isolation._make_devices
def make_devices_and_shm(path):
    make_devices(path)
    os.unlink(path + "/shm")
    os.mkdir(path + "/shm")
    isolation._mount("tmpfs", path + "/shm", "tmpfs", 0)
isolation._make_devices = make_devices_and_shm
""",
        "import _posixshmem; os.write(_posixshmem.shm_open('/m', os.O_CREAT | os.O_RDWR, 0o600), b'x')",
        "attempt(lambda: os.listdir('/dev/shm') != [])",
    ),
    "a kernel key": _leaving(
        "seccomp", "allow('add_key', 'request_key', 'keyctl')", "syscall(248, b'user', b'left', b'x', 1, -5)",
        "attempt(lambda: syscall(249, b'user', b'left', 0, 0))",
    ),
    "a host name": _leaving(
        "seccomp, no capabilities", "allow('sethostname'); keep_capabilities()",
        "syscall(170, b'mine', 4)", "attempt(lambda: os.uname().nodename != 'sandbox')",
    ),
    "random state": _leaving(
        "random is seeded once, and not at each fork",
        "prepare = server._prepare_interpreter; server._prepare_interpreter = lambda: (prepare(), sys.modules['random'].seed())",
        "import random; random.seed(99)",
        "import random\nif random.random() != random.Random(0).random(): reached()",
    ),
    "hash seed": Attack(
        "leaves something behind", "the server is started with a fixed hash seed", "sys.flags.hash_randomization or os.execve(sys.executable, sys.orig_argv, {})",
        ("import subprocess, sys\n"
         "other = subprocess.check_output([sys.executable, '-c', \"print(hash('a'))\"], env={'PYTHONHASHSEED': '0'})\n"
         "if int(other) != hash('a'): print('REACHED')",),
    ),
    "its source in memory": Attack(
        "leaves something behind", "buffers are overwritten", KEPT_BODY,
        (LONG_SECRET, SCAN_MEMORY),
    ),
    "its source in memory, and what it is called with": Attack(
        "leaves something behind", "buffers are overwritten", KEPT_BODY,
        (Program("python", "def f(x): pass\n" + LONG_SECRET, CallTests.of("f", [(["SECRET44556677" + "#" * 60_000], 0)])), SCAN_MEMORY),
    ),
    "its input in memory": Attack(
        "leaves something behind", "buffers are overwritten", KEPT_BODY,
        (Program("python", "import sys; sys.stdin.read()", StdinTests(("#" * 60_000 + "SECRET44556677" + "#" * 60_000,), ("",))), SCAN_MEMORY),
    ),
    "its output in memory": Attack(
        "leaves something behind", "buffers are overwritten", "captured.Captured.erase = lambda self: None",
        ("print('SECRET' + '4455' + '6677')", SCAN_MEMORY),
    ),
    # fakes its end
    "sys.exit(0)": _ending("import sys; sys.exit(0)"),
    "quit()": _ending("quit()"),
    "os._exit(0)": _ending("import os; os._exit(0)"),
    "libc's _exit": _ending("import ctypes; ctypes.CDLL(None)._exit(0)"),
    "the system call": _ending("import ctypes; ctypes.CDLL(None).syscall({'x86_64': 231, 'aarch64': 94}[__import__('os').uname().machine], 0)"),
    "the candidate exits": _ending("def candidate(x):\n    raise SystemExit"),
    "atexit": _ending("import atexit, os; atexit.register(os._exit, 0); assert False"),
    "atexit after sys.exit(1)": _ending("import atexit, os, sys; atexit.register(os._exit, 0); sys.exit(1)"),
    "a swallowed exception": _ending("import os, sys; sys.excepthook = lambda *_: os._exit(0); assert False"),
    "a destructor": _ending("import os\nclass A:\n    def __del__(self): os._exit(0)\ndef f():\n    a = A()\n    assert False\nf()"),
    "a thread": _ending("import os, threading; threading.Thread(target=os._exit, args=(0,)).start()\nwhile True: pass"),
    "another program": _ending("import os; os.execv('/bin/true', ['true'])"),
    "a signal handler": _ending("import os, signal; signal.signal(15, lambda *_: os._exit(0)); os.kill(os.getpid(), 15); assert 0"),
    "a patched os._exit": _ending("import os; leave = os._exit; os._exit = lambda code: leave(0); assert False"),
    "descriptors in messages": _ending(
        "import os, socket\ns = socket.socket(fileno=63)\nsocket.send_fds(s, [bytes(16)], [0, 1])\ns.send(b'')\nos._exit(0)"
    ),
    "empty messages": _ending(
        "import os\nfor n in range(3, 64):\n    try: os.write(n, b'')\n    except OSError: pass\nos._exit(0)"
    ),
    "every message to every descriptor": _ending("""
import os
for n in range(3, 1024):
    for message in (b"D", bytes(16), bytes(32), os.urandom(32)):
        try: os.write(n, message)
        except OSError: pass
os._exit(0)"""),
    "a guessed marker": _ending(
        "import os; os.write(63, bytes(16)); os._exit(0)", defence="the marker is random", without="os.urandom = bytes",
    ),
    "a child's marker": _ending(
        "import os\nif os.fork():\n    os.wait(); os._exit(0)\ncandidate = lambda x: x + 1",
        defence="the kernel names the sender", without="""
def sent_by_anyone(control, pid):
    control.setblocking(False)
    sent = []
    while True:
        try:
            message = control.recv(64)
        except OSError:
            return sent
        if not message:
            return sent
        sent.append(message)
server._sent = sent_by_anyone
"""),
    "what the frames hold": _ending("""
import gc, os, sys
found, frames, frame = [], [], sys._getframe()
while frame:
    frames.append(frame); found += list(frame.f_locals.values()) + list(frame.f_globals.values()) + list(frame.f_code.co_consts)
    frame = frame.f_back
gc.unfreeze()
seen = set()
queue = found + frames + gc.get_referents(*frames) + gc.get_objects()
while queue:
    thing = queue.pop()
    if id(thing) in seen: continue
    seen.add(id(thing))
    if isinstance(thing, (bytes, bytearray)) and len(thing) in (16, 32):
        for n in range(3, 64):
            try: os.write(n, thing)
            except OSError: pass
    queue += gc.get_referents(thing)
os._exit(0)"""),
    "the harness's own functions": _ending("""
import os, sys
harness = sys._getframe(1).f_globals
harness["_send"](harness["_announced_key"](), None)
os._exit(0)"""),
    "a patched harness": _ending("""
import os, sys
harness = sys._getframe(1).f_globals
harness["_shut_down"] = lambda code: 0
def lie(*_): harness["_send"](b"", None); os._exit(0)
harness["_print_exception"] = lie
assert False"""),
    "a reopened channel": _ending("""
import os
for n in os.listdir("/proc/self/fd"):
    try:
        if int(n) > 2: os.write(int(n), os.read(os.open(f"/proc/self/fd/{n}", os.O_RDONLY), 16))
    except OSError: pass
os._exit(0)"""),
}  # fmt: skip


class Host:
    """What an attacker would like to reach on this machine."""

    def __init__(self) -> None:
        self._exits = contextlib.ExitStack()
        self.values: dict[str, str] = {}

    def __enter__(self) -> "Host":
        # Not in /tmp, where a slot has a directory of its own.
        folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
        self._exits.callback(shutil.rmtree, folder)
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        abstract = f"rewardranker-{os.urandom(8).hex()}"
        tcp = self._exits.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        udp = self._exits.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        for address in (f"\0{abstract}", str(folder / "socket")):
            listener = self._exits.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(128)
        echo = threading.Thread(target=_echo, args=(udp,))
        echo.start()
        self._exits.callback(echo.join)
        self._exits.callback(udp.sendto, b"", udp.getsockname())
        before = os.environ.get("TEST_TOKEN")
        os.environ["TEST_TOKEN"] = SECRET
        self._exits.callback(_set_token, before)
        self.values = {
            "$CANARY": str(folder),
            "$ABSTRACT": abstract,
            "$TCP": str(tcp.getsockname()[1]),
            "$UDP": str(udp.getsockname()[1]),
            "$PARENT": str(os.getpid()),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def fill_in(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(name, value)
        return text


def _echo(udp: socket.socket) -> None:
    """Answer every question with itself, until an empty one comes."""
    while True:
        question, address = udp.recvfrom(512)
        if not question:
            return
        udp.sendto(question, address)


def _set_token(value: str | None) -> None:
    os.environ.pop("TEST_TOKEN")
    if value is not None:
        os.environ["TEST_TOKEN"] = value


@contextlib.contextmanager
def taken_out(code: str, outside: str = "") -> Iterator[None]:
    """Slots that start now execute `code` (after `TAKE_OUT`) before they isolate themselves.

    The pool's self-test would refuse most of them, so it is left out too.
    """
    head, call, tail = slot_module._STARTER.partition("server.main(")
    assert call, "the fork server is started in another way"
    prefix = f"exec({TAKE_OUT + code!r}); ".replace("{", "{{").replace("}", "}}")
    with contextlib.ExitStack() as patches:

        def patch(module: object, name: str, value: object) -> None:
            patches.enter_context(mock.patch.object(module, name, value))

        patch(slot_module, "_STARTER", head + prefix + call + tail)
        patch(pool_module, "check_isolation", lambda slot: None)
        if outside == "environment":
            patch(slot_module, "_ENVIRONMENT", {**os.environ, **slot_module._ENVIRONMENT})
        if outside == "memory":
            patch(request, "_SLOT_MB", 1 << 20)
        yield


def new_pool(timeout_s: float) -> Pool:
    """One slot, so that every program runs where the one before it has run."""
    return Pool(timeout_s=timeout_s, memory_mb=256, workers=1)


def attempt(attack: Attack, host: Host, pool: Pool) -> tuple[Outcome | Literal["unclear"], list[Verdict]]:
    """Run `attack` in `pool`, and see what it comes to."""
    slots = list(pool.slots)
    verdicts = []
    for source in attack.programs:
        program = source if isinstance(source, Program) else Program(attack.language, host.fill_in(source))
        ((_, verdict),) = pool.run([program])
        verdicts.append(verdict)
    last = verdicts[-1]
    said = {line for v in verdicts for line in (v.stdout + "\n" + v.stderr).splitlines()}
    lost = pool.slots != slots
    if attack.succeeded in said | {last.strict_status} | ({LOST} if lost else set()):
        return "succeeded", verdicts
    if "ABSENT" in said:
        return "impossible", verdicts
    is_contained = last.strict_status == attack.contained and not lost and "REACHED" not in said
    return "contained" if is_contained else "unclear", verdicts


def attempt_without_defence(attack: Attack, host: Host) -> tuple[Outcome | Literal["unclear"], list[Verdict]]:
    """Run `attack` in a slot of its own that lacks the defence which the attack names."""
    if attack.by == ("ordinary user" if os.geteuid() == 0 else "root"):
        return "impossible", []
    with taken_out(host.fill_in(attack.without), attack.outside):
        for _ in range(_RACES):
            with new_pool(attack.timeout_s) as pool:
                outcome, verdicts = attempt(attack, host, pool)
            if outcome in ("succeeded", "impossible"):
                break
    return outcome, verdicts


_RACES = 5
"""Times an attack is tried without its defence: some must win a race."""


def attacks_of_this_machine() -> dict[str, Attack]:
    """All but those whose system calls have other numbers here."""
    if platform.machine() == "x86_64":
        return ATTACKS
    return {name: attack for name, attack in ATTACKS.items() if "syscall(" not in str(attack.programs)}


def table() -> str:
    """The attacks by what they try, and what contains each, as Markdown."""
    lines = ["| attack | contained by |", "| --- | --- |"]
    group = ""
    for name, attack in ATTACKS.items():
        if attack.group != group:
            group = attack.group
            lines.append(f"| **{group}** | |")
        lines.append(f"| {name} | {attack.defence} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true")
    parser.add_argument("attacks", nargs="*")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    with Host() as host, new_pool(5.0) as patient, new_pool(0.5) as quick:
        for name, attack in attacks_of_this_machine().items():
            if arguments.attacks and name not in arguments.attacks:
                continue
            defended, verdicts = attempt(attack, host, quick if attack.timeout_s < 1 else patient)
            undefended, others = attempt_without_defence(attack, host)
            row = {"attack": name, "with": defended, "without": undefended}
            if (defended, undefended) not in (("contained", "succeeded"), ("contained", "impossible")):
                row["verdicts"] = [str(v)[:2000] for v in (*verdicts, *others)]
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
