# ruff: noqa: E501 - fragments of programs
"""Random hostile programs against the sandbox, each followed by one that looks for what it left.

    python tests/execution/fuzz.py [--programs 2000] [--seed 0] [--jobs 2] [-o FOLDER]
    python tests/execution/fuzz.py --only 17 -o FOLDER     program 17 of the seed alone
    python tests/execution/ordinary_user.py fuzz.py        as an ordinary user, if root calls

Programs put together random system calls, file operations, processes, signals, threads, limits, outputs,
descriptors and ends, in Python, Bash and what else is installed. Checked from outside, for each program:

- the pool answers it exactly once, and not with "error";
- a program that can't reach its end (most of them close with a failing assertion) does not pass strictly;
- the probe that follows in the same slot sees what a probe in a new slot sees;

and at the end: no process, cgroup, System V segment or mount is left on the host, and its canaries (a file, a
process, listening sockets) were not touched. Findings are printed, and written to FOLDER as programs. Exit code 1
if there are any.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.thread import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rewardranker.execution.languages import LANGUAGES
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.verdict import Verdict

TIMEOUT_S = 0.3
_PR_SET_CHILD_SUBREAPER = 36

_PROBE = """
import hashlib, json, os, random, resource, signal, sys, time
seen = {
    "processes": sorted(set(p for p in os.listdir("/proc") if p.isdigit()) - {"1", str(os.getpid())}),
    "files": os.listdir("/tmp"),
    "attributes": [os.stat("/tmp").st_mode, os.stat("/tmp").st_uid, *os.listxattr("/tmp")],
    "free": [os.statvfs("/tmp").f_bfree, os.statvfs("/tmp").f_ffree],
    "shared memory": os.listdir("/dev/shm"),
    "System V": [len(open(f"/proc/sysvipc/{kind}").readlines()) for kind in ("shm", "msg", "sem")],
    "limits": [resource.getrlimit(which) for which in range(16)],
    "server's limits": [resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(os.PRIO_PROCESS, 1)],
    "environment": dict(os.environ),
    "directory": os.getcwd(),
    "umask": os.umask(0),
    "priority": os.getpriority(os.PRIO_PROCESS, 0),
    "cores": sorted(os.sched_getaffinity(0)),
    "scheduler": [os.sched_getscheduler(0), os.sched_getscheduler(1)],
    "random state": random.random(),
    "hash": hash("x"),
    "descriptors": sorted(os.listdir("/proc/self/fd"), key=int),
    "signals": [[l for l in open("/proc/self/status") if l.startswith(name)] for name in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "Seccomp", "NoNewPrivs", "Cap", "Threads", "CoreDumping", "THP")],
    "timers": [signal.getitimer(which) for which in range(3)],
    "identity": [os.getresuid(), os.getresgid(), os.getgroups(), os.getppid(), os.getpgid(0) == os.getsid(0) == os.getpid()],
    "machine": list(os.uname())[:2],
    "mounts": open("/proc/self/mounts").read(),
    "modules": sorted(sys.modules),
    "builtins": sorted(dir(__builtins__)),
    "oom": open("/proc/self/oom_score_adj").read(),
    "keys": [l for l in open("/proc/keys") if "fuzzed" in l] if os.path.exists("/proc/keys") else [],  # all of the user's, of other slots too
    "descriptors' kinds": [os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in (0, 1, 2, 63)],
}
expected, said = $EXPECTED, {}
for key, value in seen.items():
    digest = hashlib.md5(json.dumps(value).encode()).hexdigest()[:8]
    if digest != expected.get(key):
        said[key] = json.dumps(value)[:200] if expected else digest
print(json.dumps([time.time(), said]))  # $NUMBER
"""

_CALLS_THAT_ONLY_END_IT = {
    15,
    58,
    60,
    231,
}  # rt_sigreturn, vfork (returns twice on one stack), exit, exit_group

_PYTHON_START = """
import ctypes, os, sys, time, signal, random as _random
r = _random.Random($SEED)
libc = ctypes.CDLL(None, use_errno=True)
def attempt(work, *arguments):
    try: return work(*arguments)
    except (OSError, ValueError, OverflowError, RuntimeError, MemoryError, TypeError, AttributeError): pass
buffer = ctypes.create_string_buffer(b"/tmp/x", 1 << 16)
def argument():
    return r.choice([0, 1, 2, 3, 63, -1, -2, 42, 1 << 12, 1 << 31, (1 << 63) - 1, os.getpid(), os.getppid(), 0x10000000, 0o777,
        ctypes.addressof(buffer), ctypes.addressof(buffer) + 8, r.getrandbits(64), r.getrandbits(8), r.getrandbits(16)])
def system_call(number=None):
    if number is None:
        number = r.choice([n for n in range(461) if n not in $SKIPPED])
    libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(argument()) for _ in range(6)])
def in_child(work, seconds=0.05):
    pid = attempt(os.fork)
    if pid == 0:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        finally:
            os._exit(0)
    if pid: attempt(os.waitpid, pid, r.choice([0, os.WNOHANG]))
def name():
    return os.fsencode("/tmp/") + bytes(r.choice(b"abcxyz\\xff\\n \\t-*") for _ in range(r.choice([1, 1, 2, 200])))
"""

_PYTHON = [
    # system calls
    "for _ in range(r.randrange(1, 40)): in_child(system_call)",
    "for _ in range(r.randrange(1, 40)): in_child(system_call)",
    "for _ in range(r.randrange(1, 12)): system_call()",
    "for _ in range(30): system_call(r.choice([157, 157, 72, 16, 9, 10, 11, 25, 28, 149, 151, 160, 302]))",
    "in_child(lambda: [system_call() for _ in range(200)])",
    "for n in (9, 10, 25, 218, 273, 334, 158, 157): in_child(lambda: system_call(n))",
    "for n in (29, 64, 68): libc.syscall(ctypes.c_long(n), 42, r.choice([1, 4096]) if n != 68 else 0o1666, 0o1666)",
    "libc.syscall(ctypes.c_long(240), b'left', 66, 0o600, None); libc.syscall(ctypes.c_long(248), b'user', b'fuzzed', b'x', ctypes.c_long(1), ctypes.c_long(-4))",
    # files
    "for _ in range(r.randrange(60)): attempt(os.mkdir, name(), r.choice([0, 0o777, 0o111]))",
    "for _ in range(r.randrange(60)): attempt(os.symlink, r.choice(['/', '/usr', '/tmp', '..', '/proc/1', 'x' * 200]), name())",
    "for _ in range(40): attempt(os.mkfifo, name()); attempt(os.link, name(), name()); attempt(os.rename, name(), name())",
    "for _ in range(20): attempt(os.mknod, name(), r.choice([0o140600, 0o100600, 0o010600, 0o020600]), 0x103)",
    "attempt(os.chmod, '/tmp', r.choice([0, 0o1777, 0o7777, 0o111]))",
    "attempt(os.rmdir, '/tmp'); attempt(os.rename, '/tmp', '/x'); attempt(os.chmod, '/', 0o777)",
    "for _ in range(r.choice([10, 300])):\n    attempt(os.mkdir, 'd' * 250); attempt(os.chdir, 'd' * 250)",
    "fd = attempt(os.open, '/tmp/big', os.O_CREAT | os.O_RDWR)\nif fd: attempt(os.posix_fallocate, fd, 0, 1 << r.choice([20, 23, 26, 40])); attempt(os.ftruncate, fd, 1 << 40)",
    "for i in range(r.choice([50, 2000])):\n    if attempt(os.close, attempt(os.open, f'/tmp/{i}', os.O_CREAT, 0)): break",
    "fd = attempt(os.open, '/tmp', os.O_TMPFILE | os.O_RDWR)\nif fd: attempt(os.write, fd, bytes(1 << 20)); attempt(os.link, f'/proc/self/fd/{fd}', '/tmp/linked', follow_symlinks=True) if 0 else None",
    "attempt(os.setxattr, '/tmp', b'user.' + os.urandom(3).hex().encode(), b'x' * r.choice([0, 9, 60000]))",
    "attempt(os.setxattr, '/tmp', r.choice(['trusted.x', 'security.x', 'system.posix_acl_default', 'system.posix_acl_access']), bytes.fromhex('0200000001000700ffffffff04000700ffffffff20000700ffffffff'))",
    "import fcntl\nfd = attempt(os.open, '/tmp/lock', os.O_CREAT | os.O_RDWR)\nif fd: attempt(fcntl.flock, fd, fcntl.LOCK_EX); os.set_inheritable(fd, True)",
    "import mmap\nfd = attempt(os.open, '/tmp/mapped', os.O_CREAT | os.O_RDWR)\nif fd: attempt(os.ftruncate, fd, 1 << 16); attempt(mmap.mmap, fd, 1 << 16); attempt(os.unlink, '/tmp/mapped')",
    "for f in ('/proc/self/oom_score_adj', '/proc/1/oom_score_adj', '/proc/self/timens_offsets', '/proc/self/coredump_filter', '/proc/self/comm', '/proc/self/clear_refs', '/proc/sysrq-trigger', '/dev/null', '/dev/full'):\n    fd = attempt(os.open, f, os.O_WRONLY)\n    if fd: attempt(os.write, fd, r.choice([b'0', b'-1000', b'x']))",
    "import _posixshmem; fd = attempt(_posixshmem.shm_open, '/left', os.O_CREAT | os.O_RDWR, 0o600)",
    # processes
    "for _ in range(r.randrange(1, 7)): attempt(os.fork)",
    "while attempt(os.fork) is not None: pass",
    "for _ in range(r.randrange(1, 12)):\n    if attempt(os.fork) == 0:\n        attempt(os.setsid); attempt(os.fork); time.sleep(60)",
    "if attempt(os.fork) == 0:\n    os.closerange(0, 64)\n    while True: attempt(os.fork); time.sleep(0.01)",
    "if attempt(os.fork) == 0: os.kill(os.getpid(), signal.SIGSTOP)",
    "if attempt(os.fork) == 0:\n    while True: attempt(os.write, 1, b'x' * 9999)",
    "if attempt(os.fork) == 0:\n    while True: attempt(os.mkdir, name()); attempt(os.rename, name(), name())",
    "libc.prctl(36, 1)\nif attempt(os.fork) == 0: attempt(os.fork); time.sleep(60)",
    "import subprocess; attempt(subprocess.Popen, r.choice([['sleep', '60'], ['sh', '-c', 'sleep 60 & disown'], ['yes'], [sys.executable, '-c', 'import time; time.sleep(60)']]))",
    "pid = attempt(os.fork)\nif pid == 0: os.execv('/bin/sleep', ['sleep', '60'])",
    "attempt(os.posix_spawn, '/bin/sleep', ['sleep', '60'], {})",
    # signals
    "for s in range(1, 65): attempt(signal.signal, s, r.choice([signal.SIG_IGN, signal.SIG_DFL, lambda *_: None]))",
    "signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))",
    "for _ in range(20): attempt(os.kill, r.choice([0, 1, -1, os.getppid(), os.getpid() + 1]), r.randrange(1, 65))",
    "attempt(signal.setitimer, r.choice([0, 1, 2]), r.random() / 50, 0.001)",
    "for p in range(2, 200): attempt(os.kill, p, signal.SIGSTOP) if p != os.getpid() else None",
    "for s in (34, 40, 64): libc.sigqueue(1, s, ctypes.c_void_p(7)); libc.sigqueue(os.getpid(), s, None) if r.random() < 0.1 else None",
    "fd = libc.signalfd(-1, buffer, 0); libc.timerfd_create(1, 0); libc.eventfd(9, 0); libc.inotify_init(); libc.epoll_create(1)",
    # threads
    "import threading\nfor _ in range(r.randrange(1, 70)):\n    attempt(threading.Thread(target=time.sleep, args=(r.choice([0, 60]),), daemon=r.random() < 0.8).start)",
    "import threading\nattempt(threading.Thread(target=lambda: [attempt(os.fork) for _ in range(9)]).start)",
    "import _thread\nfor _ in range(5): attempt(_thread.start_new_thread, system_call, ())",
    # limits
    "import resource\nfor which in range(16): attempt(resource.setrlimit, which, (r.choice([0, 1, 10, 1 << 30]),) * 2)",
    "attempt(os.nice, 19); os.umask(0o777); attempt(os.sched_setaffinity, 0, {0}); attempt(os.setpriority, 0, 0, 19)",
    "attempt(os.sched_setscheduler, 0, os.SCHED_IDLE, os.sched_param(0)); attempt(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))",
    "x = attempt(bytearray, r.choice([1 << 20, 1 << 27, 1 << 40]))",
    "import mmap\nkept = [attempt(mmap.mmap, -1, 1 << r.choice([20, 26])) for _ in range(r.randrange(30))]",
    "import resource\nattempt(resource.prlimit, 1, resource.RLIMIT_SIGPENDING, (200, 200)); attempt(os.setpriority, os.PRIO_PROCESS, 1, 5); attempt(os.sched_setaffinity, 1, {0})",
    # outputs
    "attempt(os.write, 1, os.urandom(r.choice([1, 5000, 300_000])))",
    "attempt(print, '\\ud800\\x00\\x1b[2J' * 9); attempt(os.write, 2, b'\\xff' * 9000)",
    "import fcntl\nfor fd in (0, 1, 2, 63): attempt(fcntl.fcntl, fd, fcntl.F_SETFL, r.choice([os.O_NONBLOCK, os.O_APPEND, 0o20000, 0o40000])); attempt(fcntl.fcntl, fd, 1031, r.choice([4096, 1 << 20]))",
    "import fcntl\nfor fd in (1, 2, 63): attempt(fcntl.fcntl, fd, fcntl.F_SETOWN, r.choice([1, os.getpid()])); attempt(fcntl.fcntl, fd, fcntl.F_SETSIG, 9) if hasattr(fcntl, 'F_SETSIG') else None",
    "os.close(r.choice([0, 1, 2]))",
    "sys.stdout = sys.stderr = None",
    "sys.stdout = open('/dev/full', 'w'); print('x')",
    "attempt(os.splice, 0, 1, 99); attempt(os.sendfile, 1, 0, 0, 99)",
    # descriptors
    "for n in range(3, 70): attempt(os.write, n, r.choice([b'', bytes(16), bytes(32), os.urandom(16), b'D', bytes(61)]))",
    "for n in range(0, 70): attempt(os.read, n, 99) if n not in (63,) else None",
    "os.closerange(r.choice([0, 3, 60]), 64)",
    "for n in range(3, 63): attempt(os.dup2, r.choice([0, 1, 2, 63]), n)",
    "import socket\ns = attempt(socket.socket, socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, 63)\nif s: attempt(s.shutdown, r.choice([0, 1, 2])); attempt(s.setsockopt, 1, r.choice([7, 8, 16]), r.choice([0, 1, 1 << 30]))",
    "import socket\na, b = socket.socketpair()\nfor _ in range(r.choice([1, 30])):\n    fd = attempt(os.open, '/tmp', os.O_TMPFILE | os.O_RDWR)\n    if fd: attempt(os.write, fd, bytes(1 << 16)); attempt(socket.send_fds, a, [b'x'], [fd, a.fileno(), b.fileno()]); os.close(fd)",
    "import socket\ns = attempt(socket.socket, fileno=63)\nif s: attempt(socket.send_fds, s, [os.urandom(16)], [0, 1, 2, 63]); s.detach()",
    # the interpreter
    "import builtins; builtins.len = builtins.print = builtins.open = lambda *_: 7",
    "sys.modules.clear()",
    "import gc; gc.disable(); gc.unfreeze(); gc.set_threshold(1)",
    "_random.seed(r.random()); os.environ.clear(); os.environ.update(A='b'); attempt(os.chdir, '/')",
    "sys.settrace(lambda *_: None); sys.setrecursionlimit(10**6); sys.setswitchinterval(1e-9)",
    "import atexit; atexit.register(r.choice([time.sleep, os._exit, sys.exit, print, os.abort][1:]), *([0] if 1 else []))",
    "sys.excepthook = lambda *_: os._exit(0)",
    "frame = sys._getframe(1)\nfor key in list(frame.f_globals):\n    if r.random() < 0.2: frame.f_globals[key] = lambda *a, **k: r.choice([None, 0, b'', bytes(16)])",
    "class Exploding:\n    def __del__(self): os._exit(0)\nexploding = Exploding()",
]

_PYTHON_ENDS = [
    "os._exit(0)", "sys.exit(0)", "sys.exit(7)", "os.abort()", "os.kill(os.getpid(), r.randrange(1, 65))", "libc._exit(0)",
    "os.execv('/bin/true', ['true'])", "attempt(os.execv, '/bin/sh', ['sh', '-c', 'exec sleep 60'])", "time.sleep(60)",
    "while True: pass", "ctypes.string_at(0)", "raise KeyboardInterrupt", "raise SystemExit(None)", "quit()",
    "while True: attempt(os.fork)", "while True: attempt(os.write, 1, b'x' * 65536)", "x = [0]\nwhile True: x += x",
    "signal.pause()", "os.kill(0, 9)", "os.kill(-1, 9)", "def f(): f()\nf()", "os.kill(os.getppid(), 9)",
]  # fmt: skip

_BASH = [
    "for i in {1..9}; do sleep 60 & done; disown -a", "(trap '' TERM INT HUP; sleep 60) &", "setsid sleep 60 &", "exec 1>&-", "exec 2>&1",
    "mkdir -p /tmp/a/b/c; chmod 0 /tmp/a", "ln -s / /tmp/root; ln -s loop /tmp/loop", "touch /tmp/$'\\n' /tmp/-rf '/tmp/ '",
    "yes | head -c 300000", "head -c 20000000 /dev/zero > /tmp/big", "cat /proc/*/environ", "kill -9 -1", "kill -STOP 1; kill -INT 1",
    "ulimit -n 3; ulimit -u 1", "trap 'echo out' EXIT", "umask 777", "cd /proc/self/fd && ls -la", "echo x >&63", "cat <&63 &", "exec 63>&-",
    "f() { f | f & }; f", "mkfifo /tmp/p; cat /tmp/p &", "printf '\\xff\\x00'", "for fd in /proc/self/fd/*; do echo x > $fd; done", "chmod 0 /tmp",
    "true() { return 1; }", "shopt -s extglob nullglob", "IFS=x", "unset PATH", "set -o pipefail", "for i in {1..500}; do : > /tmp/$i; done",
]  # fmt: skip
_BASH_ENDS = [
    "exit 0", "exit 5", "kill -9 $$", "exec true", "exec sleep 60", "while :; do :; done", "kill -9 0", "return 0", "logout", "(exit 0); exit",
    ":(){ :|:& };:; sleep 60",
]  # fmt: skip

_OTHERS = {  # language: fragments, ends, what fails at the end, text around
    "php": (
        ["file_put_contents('/tmp/x', str_repeat('x', 100000));", "@symlink('/', '/tmp/root');", "echo random_bytes(9999);", "@mkdir('/tmp/d', 0);",
         "ob_start();", "register_shutdown_function(fn() => print('late'));", "@shell_exec('sleep 60 > /dev/null 2>&1 &');"],
        ["exit(0);", "die('x');", "posix_kill(getmypid(), 9);", "while (true);", "function f() { f(); } f();"],
        "throw new Exception('end');", "<?php\n$BODY\n",
    ),
    "javascript": (
        ["require('fs').writeFileSync('/tmp/x', 'y'.repeat(99999));", "setTimeout(() => {}, 60000);", "process.on('exit', () => {});",
         "require('child_process').spawn('sleep', ['60'], {detached: true});", "console.log('x'.repeat(99999));", "try { require('fs').symlinkSync('/', '/tmp/r'); } catch {}"],
        ["process.exit(0);", "process.abort();", "process.kill(process.pid, 'SIGKILL');", "while (true);", "process.reallyExit(0);"],
        "throw new Error('end');", "$BODY\n",
    ),
    "cpp": (
        ["if (!fork()) { setsid(); sleep(60); }", "symlink(\"/\", \"/tmp/root\");", "for (int i = 0; i < 70; i++) if (fork() < 0) break;", "close(1); close(2);",
         "for (int n = 3; n < 70; n++) (void)!write(n, \"xxxxxxxxxxxxxxxx\", 16);", "signal(SIGTERM, SIG_IGN);", "for (int i = 0; i < 30; i++) if (!fork()) { syscall(rand() % 450, rand(), rand(), rand()); _exit(0); }"],
        ["_exit(0);", "exit(0);", "raise(SIGKILL);", "*(volatile int*)0 = 0;", "for (;;);", "abort();", "quick_exit(0);"],
        "assert(1 == 2);",
        "#include <cassert>\n#include <csignal>\n#include <cstdlib>\n#include <unistd.h>\n#include <sys/syscall.h>\nint main() {\n$BODY\n}\n",
    ),
}  # fmt: skip


class Hostile(NamedTuple):
    program: Program
    may_pass: bool


def available_languages() -> list[str]:
    return [language.name for language in LANGUAGES if not language.missing("")]


def hostile(seed: str, languages: list[str]) -> Hostile:
    """The program that belongs to `seed`, in one of `languages`."""
    rng = random.Random(seed)
    language = rng.choices(
        ["python", "bash", "php", "javascript", "cpp"], weights=[80, 16, 2, 1, 1]
    )[0]  # fmt: skip
    if language not in languages:
        language = "python"
    may_pass = rng.random() < 0.15
    fragments, ends, failing, frame = {
        "python": (_PYTHON, _PYTHON_ENDS, "assert 1 == 2", _PYTHON_START + "$BODY\n"),
        "bash": (_BASH, _BASH_ENDS, "[ 1 = 2 ]", "$BODY\n"),
        **_OTHERS,
    }[language]
    lines = rng.choices(fragments, k=rng.randrange(1, 6))
    if rng.random() < 0.35:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(ends))
    if not may_pass:
        lines.append(failing)
    lines.append(
        f"{'#' if language in ('python', 'bash') else '//'} {seed}"
    )  # identical programs are run once
    source = frame.replace("$SEED", str(rng.getrandbits(32))).replace(
        "$SKIPPED", str(_CALLS_THAT_ONLY_END_IT)
    )
    return Hostile(Program(language, source.replace("$BODY", "\n".join(lines))), may_pass)


@dataclass
class Report:
    statuses: Counter[str] = field(default_factory=Counter)
    """Strict status by language."""
    replaced: list[str] = field(default_factory=list)
    """After which programs (or the probe that followed) the slot was replaced."""
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """What broke, the seed of the program and its source."""

    @property
    def programs(self) -> int:
        return self.statuses.total()


def fuzz(seeds: list[str], jobs: int) -> Report:
    """Run the programs of `seeds` in `jobs` slots side by side."""
    report, languages = Report(), available_languages()
    shares = [seeds[i::jobs] for i in range(jobs) if seeds[i::jobs]]
    with host_is_watched() as wrong, ThreadPoolExecutor() as threads:
        for part in threads.map(lambda share: _fuzz_slot(share, languages), shares):
            report.statuses += part.statuses
            report.replaced += part.replaced
            report.findings += part.findings
    report.findings += [(what, "", "") for what in wrong]
    return report


def _fuzz_slot(seeds: list[str], languages: list[str]) -> Report:
    """Run the programs of `seeds` in one slot, each before a probe."""
    report = Report()
    programs = [hostile(seed, languages) for seed in seeds]
    with Pool(timeout_s=TIMEOUT_S, memory_mb=256, workers=1) as pool:
        (probed,) = dict(pool.run([_probe({}, 0)])).values()
        assert probed.passed, probed
        clean = json.loads(probed.stdout)[1]
        sequence = []
        for i, one in enumerate(programs, start=1):
            sequence += [one.program, _probe(clean, i)]
        slot, answered = pool.slots[0], Counter[int]()
        for index, verdict in pool.run(sequence):
            answered[index] += 1
            number, is_probe = divmod(index, 2)
            program, may_pass = programs[number]
            if is_probe:
                for what in _strange(verdict):
                    report.findings.append((what, seeds[number], program.source))
            else:
                report.statuses[f"{program.language}: {verdict.strict_status}"] += 1
                if verdict.strict_status == "error":
                    report.findings.append((verdict.reason, seeds[number], program.source))
                if verdict.passed and not may_pass:
                    report.findings.append(("passed although its end fails", seeds[number], program.source))
            if pool.slots[0] is not slot:
                slot = pool.slots[0]
                report.replaced.append(f"{seeds[number]}, {program.language}: {verdict.reason or 'passed'}")
    if set(answered) != set(range(len(sequence))) or set(answered.values()) != {1}:
        report.findings.append((f"answers that are missing or came twice: {answered}", "", ""))
    return report


def _probe(expected: dict[str, str], number: int) -> Program:
    source = _PROBE.replace("$EXPECTED", repr(expected)).replace("$NUMBER", str(number))
    return Program("python", source, timeout_s=5.0)


def _strange(verdict: Verdict) -> Iterator[str]:
    """What a probe saw that it should not have seen."""
    if not verdict.passed:
        yield f"the probe: {verdict.strict_status}: {verdict.reason}"
        return
    at, seen = json.loads(verdict.stdout)
    if abs(time.time() - at) > 600:
        yield f"the clock: {at}"
    for what, value in seen.items():
        yield f"left behind: {what}: {value}"


@contextlib.contextmanager
def host_is_watched() -> Iterator[list[str]]:
    """Fills the list, at the end, with what programs left on this machine or did to its canaries."""
    wrong: list[str] = []
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # whatever is left becomes our child
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        file = folder / "canary"
        file.write_text("untouched")
        listeners = [
            exits.enter_context(socket.socket(family))
            for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_UNIX)
        ]
        for listener, address in zip(
            listeners,
            (("127.0.0.1", 0), str(folder / "socket"), f"\0rewardranker-{os.getpid()}"),
            strict=True,
        ):
            listener.bind(address)
            listener.listen()
            listener.setblocking(False)
        earlier = _children()  # of what else this process has done, such as reading syntax
        canary = exits.enter_context(subprocess.Popen(["sleep", "100000"]))
        exits.callback(canary.kill)
        before = _state_of_host(folder)
        yield wrong
        if canary.poll() is not None:
            wrong.append(f"the canary process ended: {canary.returncode}")
        for listener in listeners:
            with contextlib.suppress(BlockingIOError):
                wrong.append(f"a connection: {listener.accept()}")
        deadline = time.monotonic() + 5
        while (left := _children() - earlier - {canary.pid}) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        wrong += [f"process {pid} is left: {Path('/proc', str(pid), 'cmdline').read_text()}" for pid in left]
        wrong += [
            f"cgroup {path} is left" for path in Path("/sys/fs/cgroup").rglob(f"rewardranker-{os.getpid()}-*")
        ]
        after = _state_of_host(folder)
        wrong += [
            f"{what}: {after[what]!r}, before {before[what]!r}"
            for what in before
            if after[what] != before[what]
        ]


def _children() -> set[int]:
    found = set[int]()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found.update(map(int, (task / "children").read_text().split()))
    return found


def _state_of_host(folder: Path) -> dict[str, object]:
    file = folder / "canary"
    return {
        "files": sorted(path.name for path in folder.iterdir()),
        "canary": [file.read_text(), file.stat().st_mtime_ns, file.stat().st_mode],
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "System V": {kind: Path("/proc/sysvipc", kind).read_text() for kind in ("shm", "msg", "sem")},
        "name": os.uname().nodename,
        "settings": [
            Path("/proc/sys", name).read_text()
            for name in ("user/max_user_namespaces", "kernel/core_pattern")
        ],
        "own limits": [resource.getrlimit(which) for which in range(16)],
        "own priority": [
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getscheduler(0),
            os.sched_getaffinity(0),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="slots side by side")
    parser.add_argument("--only", type=int, action="append", help="number of a program")
    parser.add_argument("-o", "--out", type=Path, help="folder for programs that broke something")
    arguments = parser.parse_args()
    numbers = arguments.only or range(arguments.programs)
    seeds = [f"{arguments.seed}/{number}" for number in numbers]
    start = time.monotonic()
    report = fuzz(seeds, arguments.jobs)
    seconds = time.monotonic() - start
    print(
        f"{report.programs} programs as user {os.geteuid()} in {seconds:.0f} s: {len(report.findings)} findings"
    )
    for status, n in sorted(report.statuses.items()):
        print(f"{n:7} {status}")
    print(f"{len(report.replaced):7} slots replaced")
    for text in report.replaced:
        print(f"        after {text}")
    for i, (what, seed, source) in enumerate(report.findings):
        print(f"FINDING {i} (program {seed}): {what}")
        if arguments.out and source:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{i}.txt").write_text(source, "utf-8", "surrogatepass")
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
