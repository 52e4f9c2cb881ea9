"""Become a compiler that compiles one untrusted program after the other, shut into namespaces of its own.

Started by `rewardranker.execution.compilers.compiler` as

    python -P -s -S -B -c "... service.main(parent_pid, visible, command)"

with an empty environment and a socket as descriptor 0, which the compiler answers on.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from rewardranker.execution.sandbox import isolation

_MEMORY_MB = 2048
"""As for compilers that are started for one program."""
_CPU_S = 3600
"""Of its whole life: a compiler that has taken this much is hung, and its client gone or hung too."""


def main(parent_pid: int, visible: Mapping[str, str], command: list[str]) -> None:
    """Isolate this process and become `command`, process 1 of the new namespaces.

    What goes wrong is told on stderr.
    """
    try:
        isolation.enter(Path(sys.base_prefix), visible, parent_pid)
        isolation.limit_program(_MEMORY_MB << 20, _CPU_S, reserves_memory=True)
        environment = {"PATH": isolation.PATH, "HOME": "/tmp", "LANG": "C.UTF-8"}
        os.execvpe(command[0], command, environment)
    except OSError as e:
        sys.exit(str(e))
