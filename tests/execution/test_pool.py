"""Order, shared verdicts, replaced slots, and nothing left behind."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.execution import slot as slot_module
from rewardranker.execution.compilers import compiler as compiler_module
from rewardranker.execution.languages import find_language
from rewardranker.execution.pool import Pool, Program, execute
from rewardranker.execution.sandbox import request

pytestmark = pytest.mark.usefixtures("isolation")


def slot_processes(parent: int) -> list[int]:
    """Processes of the slots that process `parent` started, by their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"server.main({parent},".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_until(condition, what: str) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_verdicts_come_in_order_and_progress_is_told():
    programs = [Program("python", f"import time; time.sleep({0.2 / (i + 1)}); print({i})") for i in range(8)]
    told: list[int] = []
    verdicts = execute(programs, workers=3, on_progress=told.append)
    assert [v.stdout for v in verdicts] == [f"{i}\n" for i in range(8)]
    assert sum(told) == 8


def test_nothing_to_run():
    assert execute([], workers=1) == []


def test_identical_programs_run_once_whatever_their_language_is_called():
    programs = [Program("python", "import os; print(os.urandom(8).hex())"), Program("python", "print(1)")]
    programs += [Program("py", programs[0].source), programs[0]]
    a, b, c, d = execute(programs, workers=2)
    assert a is c is d
    assert b.stdout == "1\n"


def test_a_language_that_is_not_here_is_unavailable():
    (verdict,) = execute([Program("cobol", "x")], workers=1)
    assert (verdict.status, verdict.strict_status) == ("unavailable", "unavailable")
    assert "cobol" in verdict.reason


def test_a_pool_is_used_again_and_again():
    with Pool(workers=2) as pool:
        for call in range(5):
            verdicts = dict(pool.run([Program("python", f"assert {i} != {call}") for i in range(10)]))
            assert [i for i in range(10) if not verdicts[i].passed] == [call]
    assert slot_processes(os.getpid()) == []


def test_a_call_that_is_left_in_the_middle_does_not_disturb_the_next():
    with Pool(workers=2) as pool:
        for _ in pool.run(
            [Program("python", f"import time; time.sleep({i / 10}); print('old')") for i in range(9)]
        ):
            break
        assert [v.stdout for _, v in pool.run([Program("python", "print('new')")])] == ["new\n"]


def test_verdicts_in_order_of_an_endless_iterable():
    def endless():
        for i in itertools.count():
            yield Program("python", f"import time; time.sleep({0.3 if i == 0 else 0}); print({i})")

    taken = 0

    def counted():
        nonlocal taken
        for program in endless():
            taken += 1
            yield program

    with Pool(workers=3) as pool, contextlib.closing(pool.run(counted(), in_order=True)) as verdicts:
        for expected, (index, verdict) in zip(range(200), verdicts, strict=False):
            assert (index, verdict.stdout) == (expected, f"{expected}\n")
    assert taken <= 200 + 1000 + 3


def test_programs_are_taken_as_slots_get_free():
    taken = []
    programs = (taken.append(i) or Program("python", f"print({i})") for i in range(50))
    with Pool(workers=2) as pool:
        for n, _ in enumerate(pool.run(programs)):
            assert len(taken) <= n + 1 + 2 * 2


def test_what_comes_again_later_is_not_run_again():
    source = "import os; print(os.urandom(8).hex())"
    with Pool(workers=1) as pool:
        programs = (Program("python", s) for s in [source, "", "1", "2", source])
        verdicts = [v for _, v in pool.run(programs, in_order=True)]
    assert verdicts[0] is verdicts[4]


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


def test_memory_that_a_program_took_before_its_timeout_is_not_held_against_the_next():
    bomb = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        x = b"x" * (200 << 20)
        time.sleep(60)
time.sleep(60)
"""
    programs = [Program("python", bomb), Program("python", "")]
    with Pool(timeout_s=1.0, memory_mb=256, workers=1) as pool:
        first, second = (verdict for _, verdict in pool.run(programs, in_order=True))
    assert first.strict_status in ("timeout", "failed")  # failed: without a control group it ends at once
    assert second.passed, second


def kill_slots() -> None:
    for pid in slot_processes(os.getpid()):
        with contextlib.suppress(ProcessLookupError):  # it ended with the one before
            os.kill(pid, signal.SIGKILL)


def test_the_program_of_a_slot_that_dies_runs_again():
    slow = [Program("python", f"import time; time.sleep(1); print({i})") for i in range(2)]
    with Pool(workers=3) as pool:
        results = {}
        for index, verdict in pool.run([Program("python", "print('first')"), *slow]):
            if index == 0:
                kill_slots()
            results[index] = verdict.stdout
    assert results == {0: "first\n", 1: "0\n", 2: "1\n"}


def test_slots_that_died_between_calls_are_replaced():
    with Pool(workers=2) as pool:
        kill_slots()
        wait_until(lambda: not any(slot.is_alive() for slot in pool.slots), "the slots live on")
        assert [v.passed for _, v in pool.run([Program("python", "")])] == [True]


def test_a_program_whose_slots_keep_dying_is_an_error_and_not_lost(monkeypatch):
    send = slot_module.Slot.send

    def send_and_kill(self, *arguments):
        send(self, *arguments)
        self.kill()

    with Pool(workers=1) as pool:
        monkeypatch.setattr(slot_module.Slot, "send", send_and_kill)
        ((_, verdict),) = pool.run([Program("python", "import time; time.sleep(9)")])
        monkeypatch.undo()
        assert (verdict.status, verdict.strict_status) == ("error", "error")
        assert "3 times" in verdict.reason
        assert [v.passed for _, v in pool.run([Program("python", "")])] == [True]


def test_programs_of_a_compiler_that_never_starts_are_compiled_without(monkeypatch, capsys):
    java = find_language("java")
    if java.missing(""):
        pytest.skip("java needs javac: make toolchains LANGUAGES=java")
    broken = "import sys; sys.exit('no such service')  # {root} {pid} {visible} {command}"
    monkeypatch.setattr(compiler_module, "_STARTER", broken)
    sources = [
        f"class Problem {{ public static void main(String[] a) {{ assert {i} < 1; }} }}" for i in (0, 1)
    ]
    verdicts = execute([Program("java", source) for source in sources], workers=1)
    assert [v.strict_status for v in verdicts] == ["passed", "failed"]
    assert capsys.readouterr().err.count("java is compiled slowly") == 1


def test_a_slot_that_hangs_is_replaced(monkeypatch):
    monkeypatch.setattr(request, "_GRACE_S", -14.0)
    with Pool(workers=1) as pool:
        slot = pool.slots[0]
        (inner,) = (int(p) for p in _children(slot._process.pid))
        os.kill(inner, signal.SIGSTOP)
        assert [v.passed for _, v in pool.run([Program("python", "")])] == [True]
        assert pool.slots[0] is not slot


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_time_spent_waiting_for_a_busy_cpu_is_given_back():
    cores = len(os.sched_getaffinity(0))
    busy = [
        Program("python", f"import time\nwhile time.process_time() < 0.6: pass  # {i}")
        for i in range(3 * cores)
    ]
    verdicts = execute(busy, timeout_s=1.2, workers=3 * cores)
    assert [v.strict_status for v in verdicts] == ["passed"] * len(busy)


PARENT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell that runs in the background
from rewardranker.execution.pool import Pool, Program
with Pool(timeout_s=60, workers=2) as pool:
    print("ready", flush=True)
    source = "import os, time\\nos.fork()\\ntime.sleep(50)"
    list(pool.run([Program("python", f"{source}  # {i}") for i in range(4)]))
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_parent_that_is_stopped_leaves_no_process(blow):
    before = {p.name for p in Path("/dev/shm").iterdir()}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        wait_until(lambda: len(slot_processes(parent.pid)) >= 8, "the programs did not start")
    finally:
        parent.send_signal(blow)
    parent.wait(timeout=20)
    parent.stdout.close()
    wait_until(lambda: not slot_processes(parent.pid), "processes are left")
    assert {p.name for p in Path("/dev/shm").iterdir()} == before


def test_without_a_sandbox_nothing_is_run(monkeypatch):
    monkeypatch.setattr(
        slot_module,
        "_STARTER",
        "import sys; sys.exit('namespaces are not allowed')  # {root} {pid} {visible} {watches_memory}",
    )
    with pytest.raises(UserError, match=r"no sandbox .* namespaces are not allowed"):
        execute([Program("python", "")])


def test_a_sandbox_that_leaks_is_refused(monkeypatch):
    # /tmp is the host's then: it must not be wiped.
    leaking = "isolation._new_root = len; server.wipe = lambda directory, **_: True; server.main("
    starter = slot_module._STARTER.replace("server.main(", leaking)
    monkeypatch.setattr(slot_module, "_STARTER", starter)
    with pytest.raises(UserError, match="self-test: a program in it reached host files"):
        execute([Program("python", "")])
    assert slot_processes(os.getpid()) == []
