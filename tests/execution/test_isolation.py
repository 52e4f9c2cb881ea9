# ruff: noqa: E501 - tables of programs
"""Attacks on the sandbox: each program passes if, and only if, what it tries is refused."""

import os
import socket
import threading

import pytest

from rewardranker.execution.pool import Pool, Program

REFUSED = """
def refused(work):
    try:
        result = work()
    except OSError:
        return
    assert result == -1, f"reached: {result!r}"
"""
CALL = "import ctypes; syscall = ctypes.CDLL(None, use_errno=True).syscall\n"

REACHING_OUT = {
    "tcp": "import socket; refused(lambda: socket.create_connection(('127.0.0.1', {port}), 1))",
    "udp": "import socket; refused(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53)))",
    "unix socket": "import socket; refused(lambda: socket.socket(socket.AF_UNIX))",
    "vsock": "import socket; refused(lambda: socket.socket(40, socket.SOCK_STREAM))",
    "dns": "import socket; refused(lambda: socket.gethostbyname('example.org'))",
    "passwd": "refused(lambda: open('/etc/passwd').read())",
    "home": "import os; assert not set(os.listdir('/')) & {{'home', 'work', 'mnt', 'old', 'sys', 'run'}}",
    "var": "import os; assert not os.path.exists('/var') or os.listdir('/var/lib') == ['ghc']",
    "settings": "import os; known = {{'R', 'alternatives', 'mono', 'php', 'racket'}}; "
    "assert all(d in known or d.startswith('java-') for d in (os.listdir('/etc') if os.path.exists('/etc') else []))",
    "write the settings": "import os; assert not os.path.exists('/etc') or os.statvfs('/etc').f_flag & os.ST_RDONLY; "
    "assert all(os.statvfs(f'/etc/{{d}}').f_flag & os.ST_RDONLY for d in (os.listdir('/etc') if os.path.exists('/etc') else []))",
    "write the npm packages": "refused(lambda: open('/node_modules/x', 'w'))",
    "root's files": "import os; refused(lambda: open('/root/.bashrc')); refused(lambda: open('/root/.profile'))",
    "this file": "refused(lambda: open({test_file!r}))",
    "parent's environment": "refused(lambda: open('/proc/{parent}/environ').read())",
    "server's environment": "refused(lambda: open('/proc/1/environ').read())",
    "server's memory": "refused(lambda: open('/proc/1/mem', 'r+b'))",
    "server's maps": "refused(lambda: open('/proc/1/maps').read())",
    "server's files": "import os; refused(lambda: os.listdir('/proc/1/fd'))",
    "other processes": "import os; assert {{p for p in os.listdir('/proc') if p.isdigit()}} == {{'1', str(os.getpid())}}",
    "kill the parent": "import os; {parent} in (1, os.getpid()) or refused(lambda: os.kill({parent}, 9))",
    "write /usr": "refused(lambda: open('/usr/x', 'w')); refused(lambda: open('/x', 'w'))",
    "write the standard library": "import os; refused(lambda: open(os.__file__, 'a'))",
    "write /dev": "refused(lambda: open('/dev/x', 'w'))",
    "write /proc": "refused(lambda: open('/proc/sys/kernel/core_pattern', 'w')); "
    "refused(lambda: open('/proc/sys/user/max_user_namespaces', 'w')); refused(lambda: open('/proc/1/oom_adj', 'w'))",
    "device node": "import os, stat; refused(lambda: os.mknod('/tmp/d', 0o600 | stat.S_IFBLK, os.makedev(254, 0)))",
    "set-uid program": "import os; open('/tmp/s', 'w').close(); os.chmod('/tmp/s', 0o4755); "
    "assert os.statvfs('/tmp').f_flag & os.ST_NOSUID and os.statvfs('/usr').f_flag & os.ST_NOSUID",
    "capabilities": "t = open('/proc/self/status').read(); assert 'CapEff:\\t0000000000000000' in t and "
    "'CapBnd:\\t0000000000000000' in t and 'NoNewPrivs:\\t1' in t and 'Seccomp:\\t2' in t",
    "server's limits": "import resource; refused(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)))",
    "server's priority": "import os; refused(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))",
    "server's cpu": "import os; refused(lambda: os.sched_setaffinity(1, {{0}}))",
    "ptrace": CALL + "refused(lambda: syscall(101, 16, 1, 0, 0))",
    "process_vm_readv": CALL + "refused(lambda: syscall(310, 1, 0, 0, 0, 0, 0))",
    "unshare": CALL + "refused(lambda: syscall(272, 0x10000000))",
    "clone": CALL + "refused(lambda: syscall(56, 0x10000000 | 17, 0, 0, 0, 0))",
    "clone3": CALL + "refused(lambda: syscall(435, 0, 0))",
    "setns": CALL + "refused(lambda: syscall(308, 0, 0))",
    "mount": CALL + "refused(lambda: syscall(165, b'none', b'/tmp', b'tmpfs', 0, 0))",
    "io_uring": CALL + "refused(lambda: syscall(425, 1, 0))",
    "bpf": CALL + "refused(lambda: syscall(321, 0, 0, 0))",
    "perf": CALL + "refused(lambda: syscall(298, 0, 0, -1, -1, 0))",
    "keyring": CALL + "refused(lambda: syscall(248, b'user', b'a', b'b', 1, -2))",
    "userfaultfd": CALL + "refused(lambda: syscall(323, 0))",
    "shared memory": CALL + "refused(lambda: syscall(29, 42, 4096, 0o1666))",
    "message queue": CALL
    + "refused(lambda: syscall(68, 42, 0o1666)); refused(lambda: syscall(240, b'q', 66, 384, 0))",
    "terminal input": "import fcntl; refused(lambda: fcntl.ioctl(0, 0x5412, b'x'))",
}


@pytest.mark.parametrize("attack", REACHING_OUT)
def test_a_program_reaches_nothing_outside(sandbox, attack):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        source = REACHING_OUT[attack].format(port=port, parent=os.getpid(), test_file=__file__)
        verdict = sandbox(REFUSED + source)
    if os.uname().machine != "x86_64" and CALL in source:
        pytest.skip("the numbers of these system calls are those of x86_64")
    assert verdict.strict_status == "passed", verdict.stderr


SCAN_MEMORY = """
import ctypes, re
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


def test_no_secret_of_the_parent_is_in_memory(sandbox):
    assert "SECRET" not in sandbox("import os; print(os.environ)").stdout
    assert sandbox(SCAN_MEMORY).stdout == "0\n"


def test_the_memory_scan_finds_what_is_there(sandbox):
    assert int(sandbox("own = 'SECRET' + '0a1b2c3d'\n" + SCAN_MEMORY).stdout) > 0


def test_nothing_of_a_program_is_in_the_memory_of_the_next(sandbox):
    _, verdict = sandbox.run("print('SECRET44556677'); raise ValueError('SECRET44556677')", SCAN_MEMORY)
    assert verdict.stdout == "0\n", verdict.stderr


def test_nothing_of_a_program_in_another_language_is_in_the_memory_of_the_next(sandbox):
    source = "echo SECRET44556677; echo SECRET44556677 >&2; exit 1"
    ((_, leaving),) = sandbox.pool.run([Program("bash", source)])
    assert leaving.stdout == "SECRET44556677\n"
    verdict = sandbox(SCAN_MEMORY)
    assert verdict.stdout == "0\n", verdict.stderr


LEFT_BEHIND = {
    "a file": ("open('/tmp/left', 'w').write('x')", "import os; assert os.listdir('/tmp') == []"),
    "a locked directory": (
        "import os; os.makedirs('/tmp/a/b/c'); os.chmod('/tmp/a/b', 0); os.chmod('/tmp/a', 0); os.chmod('/tmp', 0)",
        "import os; assert os.listdir('/tmp') == [] and os.stat('/tmp').st_mode & 0o777 == 0o700",
    ),
    "900 directories in each other": (
        "import os\nfor i in range(900):\n    os.mkdir('d' * 200); os.chdir('d' * 200)",
        "import os; assert os.listdir('/tmp') == []",
    ),
    "all inodes": (
        "try:\n    for i in range(5000):\n        open(f'/tmp/{i}', 'w').close()\nexcept OSError:\n    pass",
        "for i in range(500):\n    open(f'/tmp/{i}', 'w').close()",
    ),
    "a link to the outside": (
        "import os; os.symlink('/usr', '/tmp/usr'); os.symlink('/', '/tmp/root'); os.link('/tmp/usr', '/tmp/again')",
        "import os; assert os.listdir('/tmp') == [] and os.listdir('/usr/bin')",
    ),
    "an attribute of /tmp": (
        "import os\ntry:\n    os.setxattr('/tmp', 'user.note', b'x')\nexcept OSError:\n    pass",
        "import os; assert os.listxattr('/tmp') == []",
    ),
    "POSIX shared memory": (
        "import _posixshmem, os; os.write(_posixshmem.shm_open('/m', os.O_CREAT | os.O_RDWR, 0o600), b'x')",
        "import os; assert os.listdir('/dev/shm') == []",
    ),
    "a process": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)",
        "import os; assert {p for p in os.listdir('/proc') if p.isdigit()} == {'1', str(os.getpid())}",
    ),
    "a process that ignores signals": (
        "import os, signal, time\nfor s in range(1, 64):\n    s in (9, 19, 32, 33) or signal.signal(s, signal.SIG_IGN)\n"
        "os.fork() or time.sleep(60)",
        "import os; assert {p for p in os.listdir('/proc') if p.isdigit()} == {'1', str(os.getpid())}",
    ),
    "random state": (
        "import random; random.seed(99); random.random()",
        "import random; assert random.random() == {r}",
    ),
    "a patched builtin": ("import builtins; builtins.len = lambda x: 7", "assert len([]) == 0"),
}


@pytest.mark.parametrize("thing", LEFT_BEHIND)
def test_the_next_program_finds_nothing_left(sandbox, thing):
    first, second = LEFT_BEHIND[thing]
    expected = sandbox("import random; print(random.random())").stdout.strip()
    leaving, finding = sandbox.run(first, second.replace("{r}", expected))
    assert leaving.strict_status == "passed", leaving.stderr
    assert finding.strict_status == "passed", finding.stderr


def test_hash_seed_and_random_state_are_fixed(sandbox):
    source = "import random; print(hash('a'), random.random(), list({'x', 'y', 'z'}))"
    with Pool(workers=2) as pool:
        others = {v.stdout for _, v in pool.run([Program("python", f"{source}  # {i}") for i in range(8)])}
    assert others == {sandbox(source).stdout}


EXHAUSTING = {
    "fork bomb": ("import os\nwhile True:\n    os.fork()", "timeout", "failed"),
    "thread bomb": (
        "import threading, time\nwhile 1: threading.Thread(target=time.sleep, args=(9,)).start()",
        "timeout",
    ),
    "memory bomb": ("x = bytearray(1 << 20)\nwhile True:\n    x += x", "failed"),
    "memory in children": ("import os\nfor i in range(20): os.fork()\nx = bytearray(300 << 20)", "failed"),
    "big file": ("f = open('/tmp/f', 'wb')\nwhile True:\n    f.write(bytes(1 << 20)); f.flush()", "failed"),
    "output flood": ("while True:\n    print('x' * 10000)", "timeout"),
    "sleep": ("import time; time.sleep(99)", "timeout"),
    "loop": ("while True:\n    pass", "timeout"),
    "ignored signals": (
        "import signal\nfor s in range(1, 32):\n    s in (9, 19) or signal.signal(s, signal.SIG_IGN)\nwhile 1:\n    pass",
        "timeout",
    ),
    "thread that goes on": (
        "import threading, time; threading.Thread(target=time.sleep, args=(99,)).start()",
        "timeout",
    ),
    "stopped": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "failed"),
    "deep recursion": ("def f(): f()\nf()", "failed"),
    "stack overflow": (
        "import sys; sys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        "failed",
    ),
    "parser bomb": ("(" * 100_000, "syntax_error", "failed"),
    "expression bomb": ("-" * 100_000 + "1", "syntax_error", "failed"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "failed"),
    "kills all": ("import os, signal; os.kill(-1, signal.SIGKILL); os.killpg(0, signal.SIGKILL)", "failed"),
    "kills process 1": (
        "import os\nfor s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass\nassert 0",
        "failed",
    ),
}


@pytest.mark.parametrize("attack", EXHAUSTING)
def test_a_program_that_takes_too_much_is_ended_and_the_slot_lives(sandbox, attack):
    source, *expected = EXHAUSTING[attack]
    before = list(sandbox.pool._slots)
    verdict, following = sandbox.run(source, "assert True")
    assert verdict.strict_status in expected, verdict
    assert following.strict_status == "passed"
    assert sandbox.pool._slots == before, "the slot had to be replaced"


def test_slots_can_be_started_beside_threads():
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with Pool(workers=1) as pool:
            assert [v.strict_status for _, v in pool.run([Program("py", "print(1)")])] == ["passed"]
    finally:
        stop.set()
