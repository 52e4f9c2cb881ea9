"""The filter, run by a small interpreter of its instructions."""

import errno
import re
import struct
from pathlib import Path

import pytest

from rewardranker.execution.sandbox import seccomp

ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(
    machine: str, number: int, *arguments: int, architecture: int | None = None, code: bytes = b""
) -> int:
    """What the filter for `machine`, or the one in `code`, answers to a system call."""
    architecture = ARCHITECTURES[machine] if architecture is None else architecture
    values = [a & (1 << 64) - 1 for a in (*arguments, *[0] * 6)][:6]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *values)
    instructions = list(struct.iter_unpack("=HBBI", code or seccomp.build_filter(machine)))
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, constant = instructions[at]
        at += 1
        if operation == 0x06:
            return constant
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, constant)
            continue
        if operation == 0x54:
            accumulator &= constant
            continue
        holds = {
            0x15: accumulator == constant,
            0x35: accumulator >= constant,
            0x45: bool(accumulator & constant),
        }[operation]
        at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_denied_calls_fail_and_the_rest_is_allowed(machine, column):
    denied = {numbers[column] for numbers in seccomp._DENIED.values()} - {None}
    ignored = {numbers[column] for numbers in seccomp._IGNORED.values()}
    assert {decide(machine, number) for number in ignored} == {FAIL}  # with error 0: it "succeeded"
    special = {435, *ignored, *(n[column] for n in (seccomp._PRLIMIT64, seccomp._CLONE, seccomp._IOCTL))}
    for number in range(600):
        expected = FAIL | errno.EPERM if number in denied else ALLOW
        if number not in special:
            assert decide(machine, number) == expected


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_arguments_decide(machine, column):
    clone, prlimit, ioctl = (n[column] for n in (seccomp._CLONE, seccomp._PRLIMIT64, seccomp._IOCTL))
    assert decide(machine, clone, 17) == ALLOW
    assert decide(machine, clone, 0x10000000 | 17) == FAIL | errno.EPERM
    assert decide(machine, 435) == FAIL | errno.ENOSYS
    assert decide(machine, prlimit, 0, 7) == ALLOW
    assert decide(machine, prlimit, 1, 7) == FAIL | errno.EPERM
    assert decide(machine, ioctl, 0, 0x5401) == ALLOW
    assert decide(machine, ioctl, 0, 0x5412) == FAIL | errno.EPERM


REFUSED_ON_HOST = FAIL | errno.EPERM
HOST_CALLS = {
    "ioctl": [((0, 0x5421), ALLOW), ((0, 0x541B), ALLOW), ((0, 0x5401), FAIL | errno.ENOTTY)],
    "socketpair": [
        ((1, 1), ALLOW),
        ((1, 0x80805), ALLOW),
        ((1, 2), REFUSED_ON_HOST),
        ((1, 3), REFUSED_ON_HOST),
        ((30, 1), REFUSED_ON_HOST),
    ],
    "fcntl": [((0, 4), ALLOW), ((0, 8), REFUSED_ON_HOST), ((0, 15), REFUSED_ON_HOST), ((0, 9), ALLOW)],
    "chmod": [((0,), FAIL)],
    "fchownat": [((0,), REFUSED_ON_HOST)],
}
OLD_HOST_CALLS = {
    "truncate": [((0,), REFUSED_ON_HOST)],
    "openat2": [((0,), FAIL | errno.ENOSYS)],
    "open": [((0, 0), ALLOW), ((0, 0o1000), REFUSED_ON_HOST), ((0, 0o1001), ALLOW)],
    "openat": [
        ((0, 0, 0o1000), REFUSED_ON_HOST),
        ((0, 0, 0o1001), ALLOW),
        ((0, 0, 0o1102), ALLOW),
        ((0, 0, 0o1003), REFUSED_ON_HOST),
    ],
    "kill": [((7, 9), ALLOW), ((0, 9), ALLOW), ((8, 9), REFUSED_ON_HOST), ((-1, 9), REFUSED_ON_HOST)],
    "tkill": [((7, 9), ALLOW), ((0, 9), REFUSED_ON_HOST), ((8, 9), REFUSED_ON_HOST)],
    "tgkill": [((7, 8, 9), ALLOW), ((8, 7, 9), REFUSED_ON_HOST)],
    "pidfd_send_signal": [((3, 9), REFUSED_ON_HOST)],
}
HOST_NUMBERS = {
    **seccomp._IGNORED_ON_HOST_FILES,
    **seccomp._DENIED_ON_HOST_FILES,
    **seccomp._SIGNALS_BY_PID,
    "ioctl": seccomp._IOCTL,
    "socketpair": seccomp._SOCKETPAIR,
    "fcntl": seccomp._FCNTL,
    "truncate": seccomp._TRUNCATE,
    "openat2": seccomp._OPENAT2,
    "open": seccomp._OPEN,
    "openat": seccomp._OPENAT,
    "pidfd_send_signal": seccomp._PIDFD_SEND_SIGNAL,
}


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
@pytest.mark.parametrize("is_old", [False, True])
def test_programs_on_the_host_are_refused_more(machine, column, is_old):
    code = seccomp.build_host_filter(machine, denies_truncation=is_old, only_signals=7 if is_old else 0)
    for name, cases in {**HOST_CALLS, **OLD_HOST_CALLS}.items():
        for arguments, expected in cases:
            if (number := HOST_NUMBERS[name][column]) is not None:
                answer = decide(machine, number, *arguments, code=code)
                assert answer == (expected if is_old or name in HOST_CALLS else ALLOW), (name, arguments)
    assert decide(machine, 1, architecture=0x40000003, code=code) == KILL
    special = {numbers[column] for numbers in HOST_NUMBERS.values()}
    for number in set(range(600)) - special:
        assert decide(machine, number, code=code) == ALLOW


def test_other_ways_into_the_kernel_are_closed():
    assert decide("x86_64", 1, architecture=0x40000003) == KILL  # 32-bit calls have other numbers
    assert decide("x86_64", 0x40000000 | 41) == FAIL | errno.EPERM  # x32


@pytest.mark.parametrize(
    ("header", "column"),
    [("x86_64-linux-gnu/asm/unistd_64.h", 0), ("asm-generic/unistd.h", 1)],
)
def test_numbers_are_those_of_the_kernel(header, column):
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    known = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())}
    for name, numbers in {**seccomp._DENIED, **HOST_NUMBERS}.items():
        assert numbers[column] in (None, known.get(name, numbers[column])), name
