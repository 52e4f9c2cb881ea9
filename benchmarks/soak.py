"""Many programs of many languages, right, wrong and hostile, in one pool whose workers are killed meanwhile.

    python benchmarks/soak.py [-o OUT.json] [--programs 50000] [--kill-every 500] [--seed 0]

Every program is written so that its strict verdict is known. Checked: each is answered exactly once and with
that verdict; the memory of this process and of the sandboxes stays bounded; afterwards no process,
descriptor, control group or file is left.
"""

import argparse
import collections
import contextlib
import gc
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from processes import descendants
from rewardranker import progress
from rewardranker.execution.cgroup import _parents
from rewardranker.execution.languages import LANGUAGES
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.sandbox.leftovers import children
from rewardranker.files import write_json


class Kind(NamedTuple):
    language: str
    name: str
    share: float
    expected: str
    source: str
    """{i} stands for the program's number."""


def _python(name: str, share: float, expected: str, source: str) -> Kind:
    return Kind("python", name, share, expected, source + "\n# {i}")


FORKS = "import os, time\ntry:\n    while True: os.fork()\nexcept OSError: time.sleep(9)"
FILES = "try:\n    for j in range(9999): open(f'/tmp/{{j}}', 'w')\nexcept OSError: pass"
JAVA = "class Problem {{ public static void main(String[] a) {{ %s }} }}"
CSHARP = "class P {{ static void Main() {{ int x = {i}; if (x %s 0) throw null; }} }}"

KINDS = (
    _python("right", 20, "passed", "def f(x): return x + {i}\nassert f(1) == 1 + {i}"),
    _python("wrong", 15, "failed", "def f(x): return x + {i}\nassert f(1) == {i}"),
    _python("raises", 5, "failed", "raise ValueError({i})"),
    _python("does not parse", 4, "syntax_error", "def f(: {i}"),
    _python("exits early", 4, "failed", "import sys; sys.exit(0)"),
    _python("leaves at once", 2, "failed", "import os; os._exit(0)"),
    _python("loops", 0.2, "timeout", "while True: pass"),
    _python("sleeps", 0.3, "timeout", "import time; time.sleep(99)"),
    _python("memory", 0.5, "failed", "x = bytearray(1 << 20)\nwhile True: x += x"),
    _python("forks", 0.3, "timeout", FORKS),
    _python("orphan", 1, "passed", "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(99)"),
    _python("kills all", 0.5, "failed", "import os; os.kill(-1, 9); os.kill(os.getpid(), 9)"),
    _python("floods", 0.2, "timeout", "while True: print('x' * 9999)"),
    _python("files", 0.5, "passed", FILES),
    _python("deep directories", 0.3, "passed", "import os\nfor j in range(99): os.mkdir('d'); os.chdir('d')"),
    _python("locked", 0.3, "passed", "import os; os.mkdir('a'); os.mkdir('a/b'); os.chmod('a', 0)"),
    _python("crashes", 0.5, "failed", "import ctypes; ctypes.string_at(0)"),
    Kind("bash", "right", 6, "passed", "x=$(({i} + 1))\n[[ $x == $(({i} + 1)) ]]"),
    Kind("bash", "wrong", 3, "failed", "x={i}\n[[ $x == no ]]"),
    Kind("bash", "exits early", 1, "failed", "exit 0 # {i}"),
    Kind("bash", "does not parse", 1, "syntax_error", "if {i}; then ( fi"),
    Kind("php", "right", 3, "passed", "<?php if ({i} + 1 < {i}) throw new Exception('x');"),
    Kind("php", "exits early", 1, "failed", "<?php exit(0); // {i}"),
    Kind("javascript", "right", 2, "passed", "if ({i} + 1 < {i}) throw new Error('x');"),
    Kind("javascript", "wrong", 1, "failed", "console.assert({i} < 0);"),
    Kind("ruby", "right", 1, "passed", "raise if {i} + 1 < {i}"),
    Kind("ruby", "exits early", 0.5, "failed", "exit! 0 # {i}"),
    Kind("cpp", "right", 0.6, "passed", "#include <bits/stdc++.h>\nint main() {{ assert({i} >= 0); }}"),
    Kind("cpp", "wrong", 0.3, "failed", "#include <bits/stdc++.h>\nint main() {{ assert({i} < 0); }}"),
    Kind("cpp", "does not compile", 0.2, "syntax_error", "#include <bits/stdc++.h>\nint main() {{ x{i}; }}"),
    Kind("java", "right", 2, "passed", JAVA % "assert {i} >= 0;"),
    Kind("java", "wrong", 1, "failed", JAVA % "assert {i} < 0;"),
    Kind("java", "does not compile", 0.5, "syntax_error", "class Problem {{ int x{i} = \"\"; }}"),
    Kind("typescript", "right", 1, "passed", "const x: number = {i};\nif (x < 0) throw new Error('x');"),
    Kind("typescript", "does not compile", 0.5, "syntax_error", "const x: string = {i};"),
    Kind("csharp", "right", 1, "passed", CSHARP % "<"),
    Kind("csharp", "wrong", 0.5, "failed", CSHARP % ">="),
)  # fmt: skip


def kinds_here() -> list[Kind]:
    missing = {language.name for language in LANGUAGES if language.missing("")}
    return [kind for kind in KINDS if kind.language not in missing]


def kind_of(kinds: list[Kind], i: int, seed: int) -> Kind:
    """The kind of program `i`, found again without a list of all."""
    return random.Random(seed * 1_000_003 + i).choices(kinds, [k.share for k in kinds])[0]


def programs(kinds: list[Kind], n: int, seed: int) -> Iterator[Program]:
    for i in range(n):
        kind = kind_of(kinds, i, seed)
        yield Program(kind.language, kind.source.format(i=i))


def workers() -> list[int]:
    """The processes that the pool has started, and process 1 of each of their sandboxes."""
    started = children(os.getpid())
    return [*started, *(inner for pid in started for inner in children(pid))]


def resident_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    return 0.0


def state() -> dict[str, set[str]]:
    """What must be the same before and after."""
    own = f"rewardranker-{os.getpid()}-*"
    groups = {str(g) for parent, _ in _parents() for g in parent.glob(own)}
    files = {str(p) for folder in ("/dev/shm", tempfile.gettempdir()) for p in Path(folder).glob(own)}
    descriptors = set(map(str, Path("/proc/self/fd").iterdir()))
    return {"groups": groups, "files": files, "descriptors": descriptors}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--programs", type=int, default=50_000)
    parser.add_argument("--kill-every", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    kinds = kinds_here()
    before, start = state(), time.monotonic()
    n, seed, chance = arguments.programs, arguments.seed, random.Random(arguments.seed)
    answered = bytearray(n)
    wrong: list[str] = []
    memory: list[tuple[int, float, float]] = []
    statuses: collections.Counter[str] = collections.Counter()
    kills = 0
    with Pool(timeout_s=1.0, memory_mb=256) as pool, progress.task("soak", n) as bar:
        for count, (i, verdict) in enumerate(pool.run(programs(kinds, n, seed)), 1):
            answered[i] += 1
            kind = kind_of(kinds, i, seed)
            statuses[f"{kind.language}: {verdict.strict_status}"] += 1
            if verdict.strict_status != kind.expected:
                wrong.append(f"{i} {kind.language} {kind.name}: {kind.expected}, {verdict}")
            if count % arguments.kill_every == 0:
                os.kill(chance.choice(workers()), signal.SIGKILL)
                kills += 1
            if count % (n // 20 or 1) == 0:
                ours = resident_mb(os.getpid())
                memory.append((count, ours, sum(map(resident_mb, descendants(os.getpid())))))
            bar.advance(1)
    wall_s = time.monotonic() - start
    gc.collect()
    left = {name: sorted(now - before[name]) for name, now in state().items()}
    left["processes"] = list(map(str, descendants(os.getpid())))
    unanswered = answered.count(0)
    report = {
        "programs": n,
        "kills": kills,
        "wall_s": wall_s,
        "answered_once": answered.count(1),
        "wrong": wrong,
        "statuses": dict(sorted(statuses.items())),
        "memory_mb": [{"programs": c, "client": a, "sandboxes": b} for c, a, b in memory],
        "left": left,
    }
    print(
        f"{n} programs in {wall_s:.0f} s, {kills} workers killed; {answered.count(1)} answered exactly once"
    )
    print(f"{len(wrong)} with another verdict than they must have", *wrong[:20], sep="\n  ")
    print("memory in MB (client, sandboxes):", *(f"{c}: {a:.0f}, {b:.0f};" for c, a, b in memory))
    print("left behind:", left)
    if arguments.out:
        write_json(arguments.out, report)
    if unanswered or wrong or any(left.values()) or answered.count(1) != n:
        sys.exit(1)


if __name__ == "__main__":
    main()
