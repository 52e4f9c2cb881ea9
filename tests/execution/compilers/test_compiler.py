"""A compiler that stays: its life, its end, its isolation. By the example of the one that starts fastest."""

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builds import encoded_files, toolchain
from ordinary_user import run_as_ordinary_user

from rewardranker.execution.compilers import compiler as compiler_module
from rewardranker.execution.compilers.compiler import Compiler, CompilerFailedError
from rewardranker.execution.languages import LANGUAGES

pytestmark = pytest.mark.usefixtures("isolation")

SOURCE = "let x: number = 1;"
SLOW = "".join(f"function f{i}(x: number): string {{ return x + '{i}'; }}\n" for i in range(30_000))


@pytest.fixture(scope="module")
def typescript():
    return toolchain("typescript")


@contextlib.contextmanager
def started(language):
    compiler = Compiler(language)
    try:
        compiler.wait_until_ready()
        yield compiler
    finally:
        compiler.close()


@pytest.fixture
def compiler(typescript):
    with started(typescript) as compiler:
        yield compiler


def compile_one(compiler, source=SOURCE):
    compiler.send(encoded_files(compiler.language, source))
    return compiler.receive()


def processes(parent: int) -> list[int]:
    """Processes that are, or guard, compilers that process `parent` started."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and f"service.main({parent},".encode() in (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
    return found + [child for pid in found for child in children(pid)]


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def wait_until(condition, what: str) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_what_is_built(compiler):
    built = compile_one(compiler)
    assert (built.returncode, built.stdout, built.stderr) == (0, b"", b"")
    assert built.files == {"program.js": b"let x = 1;\n"}
    assert built.wall_s > 0
    assert built.cpu_s > 0


def test_errors(compiler):
    built = compile_one(compiler, "let x: number = 'a';")
    assert built.returncode == 2
    assert built.stdout.startswith(b"program.ts(1,5): error TS2322: ")


def test_nothing_of_a_program_stays(compiler):
    compile_one(compiler, "export const secret = 1; declare global { interface Array<T> { left(): T } }")
    built = compile_one(compiler, "[1].left(); import './secret';")
    assert b"TS2339: Property 'left' does not exist on type 'number[]'" in built.stdout
    if os.geteuid() == 0:  # others may not look into its /tmp
        wait_until(lambda: not list(Path(f"/proc/{compiler._pid}/root/tmp").iterdir()), "files are left")


def test_in_an_event_loop(typescript):
    compiler = Compiler(typescript)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(compiler, selectors.EVENT_READ)
            assert not compiler.is_ready
            assert selector.select(30)
            compiler.wait_until_ready(within_s=1.0)
            assert not selector.select(0)
            compiler.send(encoded_files(typescript, SOURCE))
            assert selector.select(30)
            assert compiler.receive(within_s=1.0).returncode == 0
    finally:
        compiler.close()


def test_a_large_program_and_a_large_answer(compiler):
    source = f"const x = '{'x' * 3_000_000}';"
    assert len(compile_one(compiler, source).files["program.js"]) > 3_000_000
    assert not compiler.is_worn


def test_it_is_worn_after_many_programs(compiler, monkeypatch):
    monkeypatch.setattr(compiler_module, "_MAX_COMPILATIONS", 3)
    worn = []
    for _ in range(3):
        compile_one(compiler)
        worn.append(compiler.is_worn)
    assert worn == [False, False, True]


def test_it_is_worn_when_it_takes_much_memory(compiler, monkeypatch):
    monkeypatch.setattr(compiler_module, "_MAX_MEMORY_MB", 10)
    compile_one(compiler)
    assert compiler.is_worn


def test_a_compiler_that_is_killed(compiler):
    compiler.send(encoded_files(compiler.language, SLOW))
    os.kill(compiler._pid, signal.SIGKILL)
    with pytest.raises(CompilerFailedError, match="typescript compiler does not answer"):
        compiler.receive()
    assert compiler.is_worn


def test_a_compiler_that_was_killed_before(compiler):
    os.kill(compiler._pid, signal.SIGKILL)
    wait_until(lambda: not compiler.is_alive(), "it lives on")
    with pytest.raises(CompilerFailedError):
        compile_one(compiler)
    assert compiler.is_worn


def test_a_compiler_that_hangs(compiler):
    os.kill(compiler._pid, signal.SIGSTOP)
    compiler.send(encoded_files(compiler.language, SOURCE))
    with pytest.raises(CompilerFailedError, match="timed out"):
        compiler.receive(within_s=0.5)
    assert compiler.is_worn
    wait_until(lambda: not compiler.is_alive(), "it lives on")


ODD_SERVICES = {
    "says nothing": "exit 0",
    "says why": "echo why >&2; exit 1",
    "is not ready": "printf abcd >&0; sleep 9",
    "answers half": "head -c 4 /dev/zero >&0; head -c 9 <&0; printf '\\0\\0\\0\\4ab' >&0",
    "answers nonsense": "head -c 4 /dev/zero >&0; head -c 9 <&0; printf '\\0\\0\\0\\4abcd' >&0; sleep 9",
    "answers without an end": "head -c 4 /dev/zero >&0; head -c 9 <&0; tr '\\0' z </dev/zero >&0",
    "names too many files": "head -c 4 /dev/zero >&0; head -c 9 <&0; printf '\\0\\0\\0\\31' >&0; "
    "head -c 21 /dev/zero >&0; printf '\\0\\0\\377\\377' >&0; sleep 9",
}


@pytest.mark.parametrize("service", ODD_SERVICES)
def test_a_service_that_does_not_keep_to_the_protocol(typescript, service):
    odd = dataclasses.replace(typescript, warm=("sh", "-c", ODD_SERVICES[service]))
    compiler = Compiler(odd)
    try:
        with pytest.raises(CompilerFailedError) as failure:
            compiler.wait_until_ready()
            compile_one(compiler)
        assert compiler.is_worn
        assert service != "says why" or "why" in str(failure.value)
    finally:
        compiler.close()


def test_a_compiler_that_is_not_installed(typescript):
    compiler = Compiler(dataclasses.replace(typescript, warm=("no-such-compiler",)))
    with pytest.raises(CompilerFailedError, match=r"does not start .*No such file"):
        compiler.wait_until_ready()
    compiler.close()


def test_nothing_is_left_behind(typescript):
    with started(typescript) as compiler:
        compile_one(compiler)
        assert len(processes(os.getpid())) == 2
    assert processes(os.getpid()) == []
    compiler = Compiler(typescript)
    compiler.close()  # while it starts
    with started(typescript) as compiler:
        compiler.send(encoded_files(typescript, SLOW))  # closed while it works
    assert processes(os.getpid()) == []


PARENT = """
from rewardranker.execution.compilers.compiler import Compiler
from rewardranker.execution.languages import find_language
compiler = Compiler(find_language("typescript"))
compiler.wait_until_ready()
print("ready", flush=True)
compiler.send({"program.ts": b"let x = 1;" * 100_000})
compiler.receive()
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_parent_that_is_stopped_leaves_no_process(typescript, blow):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    assert len(processes(parent.pid)) == 2
    left = [pid for guard in processes(parent.pid) for pid in (guard, *children(guard))]
    parent.send_signal(blow)
    parent.wait(timeout=20)
    parent.stdout.close()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "processes are left")


def test_it_is_shut_in(compiler, tmp_path):
    own, its = Path("/proc/self"), Path(f"/proc/{compiler._pid}")
    status = (its / "status").read_text()
    for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status
    if os.geteuid() == 0:
        for kind in ("net", "pid", "mnt", "user", "ipc"):
            assert (its / "ns" / kind).readlink() != (own / "ns" / kind).readlink()
    (tmp_path / "secret.ts").write_text("let secret = 1;")
    built = compile_one(compiler, f'/// <reference path="{tmp_path}/secret.ts" />')
    assert b"TS6053: File" in built.stdout
    assert b"not found" in built.stdout


def test_its_environment_is_empty(typescript, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", "SECRET0f1e2d3c")
    with started(typescript) as compiler:
        environment = Path(f"/proc/{compiler._pid}/environ")
        if not os.access(environment, os.R_OK):
            pytest.skip("this user may not read another process's environment")
        names = {entry.partition(b"=")[0] for entry in environment.read_bytes().split(b"\0")}
    assert names == {b"PATH", b"HOME", b"LANG", b""}


def test_an_ordinary_user_has_warm_compilers_too():
    if os.geteuid() != 0:
        pytest.skip("the tests run as one already")
    done = run_as_ordinary_user("warm.py", capture_output=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    here = [language.name for language in LANGUAGES if language.warm and not language.missing("")]
    assert [name for name, _ in rows] == here
    assert all(right == 0 and wrong != 0 for _, (right, wrong) in rows)
