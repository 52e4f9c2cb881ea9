"""The system calls that no program in a slot may make, as a seccomp filter.

The filter is installed once in the fork server and inherited by every program. A denied call fails with
EPERM, so that a program sees an ordinary error. `clone3` fails with ENOSYS, because a filter cannot read the
flags it takes from memory; libc then falls back to `clone`, whose flags are checked.
"""

import ctypes
import errno
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
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
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


def install() -> None:
    """Install the filter in this process and all that it will start; it can't be removed.

    Raises:
        OSError: the kernel has no seccomp filters.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = build_filter(platform.machine())
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
