"""The system calls that no program in a slot may make, as a seccomp filter.

The filter is installed once in the fork server and inherited by every program. A denied call fails with
EPERM, so that a program sees an ordinary error. `clone3` fails with ENOSYS, because a filter cannot read the
flags it takes from memory; libc then falls back to `clone`, whose flags are checked.
"""

import ctypes
import errno
import os
import platform
import struct

# name: (x86_64, aarch64); None where the architecture has no such call. Numbers: <asm/unistd.h>.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # network: socketpair stays allowed, asyncio needs it and it reaches nobody
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    # other processes: programs and the fork server share a uid, so permission checks would let these pass
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    # what outlives a program: System V and POSIX message queues, shared memory, semaphores, kernel keys
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186), "msgsnd": (69, 189),
    "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190), "semop": (65, 193),
    "semtimedop": (220, 192), "semctl": (66, 191), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # memory that RLIMIT_AS does not count
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # kernel surface that ordinary programs never need
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "seccomp": (317, 277), "vmsplice": (278, 75), "personality": (135, 92), "modify_ldt": (154, None),
    "iopl": (172, None), "ioperm": (173, None), "uselib": (134, None), "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42), "mbind": (237, 235), "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    # the machine itself
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58),
}  # fmt: skip
# Not done, but said to be done: mono prints a warning for each thread whose call fails.
_IGNORED = {"sched_setparam": (142, 118), "sched_setscheduler": (144, 119)}
# For programs that see the host's files. Landlock says what they may open; it knows nothing of attributes.
_IGNORED_ON_HOST_FILES = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
_DENIED_ON_HOST_FILES = {
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "inotify_init": (253, None),
    "inotify_init1": (294, 26), "statmount": (457, 457), "listmount": (458, 458),
    "open_tree_attr": (467, 467),
}  # fmt: skip
_TRUNCATE, _OPENAT2 = (76, 45), (437, 437)
_OPEN, _OPENAT = (2, None), (257, 56)
_SOCKETPAIR, _FCNTL = (53, 199), (72, 25)
_IOCTLS_OF_PIPES = (0x541B, 0x5421, 0x5450, 0x5451)  # FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_SIGNALS_BY_PID = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}  # fmt: skip
_PIDFD_SEND_SIGNAL = (424, 424)
_F_SETOWN = (8, 15)  # F_SETOWN, F_SETOWN_EX: who gets the signals of a descriptor
_AF_UNIX, _SOCKET_TYPE, _SOCK_STREAM, _SOCK_SEQPACKET = 1, 0xF, 1, 5
_O_ACCMODE, _O_TRUNC = 3, 0o1000
_CLONE3 = 435
_PRLIMIT64 = (302, 261)
_CLONE = (56, 220)
_IOCTL = (16, 29)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_X32_BIT = 0x40000000
_CLONE_NEW_ANY = 0x7E020000
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into a terminal

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 8 bytes; their low halves are read
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


def is_supported() -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return platform.machine() in _MACHINES


def build_filter(machine: str) -> bytes:
    """The classic-BPF program for `machine` ("x86_64" or "aarch64"), 8 bytes an instruction."""
    column, architecture = _MACHINES[machine]
    code: list[tuple[int, int, int, int]] = []  # operation, jump if true, jump if false, constant

    def fail_if(operation: int, constant: int, error: int) -> None:
        code.extend([(operation, 0, 1, constant), (_RETURN, 0, 0, _FAIL | error)])

    code += [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    code.append((_LOAD, 0, 0, _NUMBER))
    fail_if(_AT_LEAST, _X32_BIT, errno.EPERM)
    fail_if(_EQUAL, _CLONE3, errno.ENOSYS)
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            fail_if(_EQUAL, number, errno.EPERM)
    for numbers in _IGNORED.values():
        fail_if(_EQUAL, numbers[column], 0)
    # clone(flags): no new namespaces
    code += [(_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, _ARGUMENTS)]
    fail_if(_ANY_BIT, _CLONE_NEW_ANY, errno.EPERM)
    # prlimit64(pid, ...): only the caller's own limits, or a program could strangle the fork server
    code += [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, 4, _PRLIMIT64[column]), (_LOAD, 0, 0, _ARGUMENTS)]
    code += [(_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _FAIL | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    # ioctl(fd, request): nothing typed into a terminal
    code += [(_EQUAL, 0, 5, _IOCTL[column]), (_LOAD, 0, 0, _ARGUMENTS + 8)]
    for request in _TERMINAL_INPUT:
        fail_if(_EQUAL, request, errno.EPERM)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def build_host_filter(machine: str, *, denies_truncation: bool, only_signals: int) -> bytes:
    """A second filter, for programs that share user, files and processes with the host, beside Landlock.

    Attributes of files are not changed (mode and times seem to be: compilers and `touch` insist), files are
    not watched, no datagram is sent to a named socket, no descriptor is controlled by `ioctl`.

    Args:
        denies_truncation: Landlock does not (before version 3).
        only_signals: Landlock does not confine signals (before version 6), so the only process that may be
            signalled is this one; 0: it does.
    """
    column, architecture = _MACHINES[machine]
    code: list[tuple[int, int, int, int]] = []

    def argument(n: int) -> tuple[int, int, int, int]:
        return (_LOAD, 0, 0, _ARGUMENTS + 8 * n)

    def rule(numbers: tuple[int | None, int | None], *checks: tuple[int, int, int, int], error: int) -> None:
        """Go through `checks` if it is this call; they jump over the failure at their end if all is well."""
        if (number := numbers[column]) is not None:
            length = len(checks) + 1
            code.extend([(_EQUAL, 0, length, number), *checks, (_RETURN, 0, 0, _FAIL | error)])
            code.append((_LOAD, 0, 0, _NUMBER))

    code += [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    code.append((_LOAD, 0, 0, _NUMBER))
    for numbers in _IGNORED_ON_HOST_FILES.values():
        rule(numbers, error=0)
    for numbers in _DENIED_ON_HOST_FILES.values():
        rule(numbers, error=errno.EPERM)
    allowed = [(_EQUAL, len(_IOCTLS_OF_PIPES) - i, 0, r) for i, r in enumerate(_IOCTLS_OF_PIPES)]
    rule(_IOCTL, argument(1), *allowed, error=errno.ENOTTY)
    unix = (_EQUAL, 0, 4, _AF_UNIX)
    kind = ((_AND, 0, 0, _SOCKET_TYPE), (_EQUAL, 2, 0, _SOCK_STREAM), (_EQUAL, 1, 0, _SOCK_SEQPACKET))
    rule(_SOCKETPAIR, argument(0), unix, argument(1), *kind, error=errno.EPERM)
    rule(_FCNTL, argument(1), (_EQUAL, 1, 0, _F_SETOWN[0]), (_EQUAL, 0, 1, _F_SETOWN[1]), error=errno.EPERM)
    if denies_truncation:
        rule(_TRUNCATE, error=errno.EPERM)
        rule(_OPENAT2, error=errno.ENOSYS)
        writing = ((_EQUAL, 2, 0, os.O_WRONLY), (_EQUAL, 1, 0, os.O_RDWR))
        for numbers, n in ((_OPEN, 1), (_OPENAT, 2)):  # the kernel cuts off what is opened to be read, too
            cut = ((_ANY_BIT, 0, 4, _O_TRUNC), (_AND, 0, 0, _O_ACCMODE), *writing)
            rule(numbers, argument(n), *cut, error=errno.EPERM)
    if only_signals:
        rule(_PIDFD_SEND_SIGNAL, error=errno.EPERM)
        for name, numbers in _SIGNALS_BY_PID.items():
            group = ((_EQUAL, 2, 0, 0),) if name == "kill" else ()  # 0: its own process group
            rule(numbers, argument(0), *group, (_EQUAL, 1, 0, only_signals), error=errno.EPERM)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install(program: bytes = b"") -> None:
    """Install the filter, or the one given, in this process and all that it will start, for good.

    Raises:
        OSError: the kernel has no seccomp filters.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = program or build_filter(platform.machine())
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
