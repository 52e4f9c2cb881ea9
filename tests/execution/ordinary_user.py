"""Run a script of this folder as an ordinary user, if root runs the tests.

python tests/execution/ordinary_user.py attacks.py
python tests/execution/ordinary_user.py fuzz.py --programs 2000
"""

import ctypes
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import rewardranker
from rewardranker.execution.languages.language import node_modules

UID = 61_000
_HERE = Path(__file__).parent
_PR_SET_DUMPABLE = 4


def run_as_ordinary_user(script: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `script` of this folder as user `UID` on a copy that this user can read; `options` as of `run`."""
    assert os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(rewardranker.__file__).parent, folder / "rewardranker", ignore=ignored)
        for file in _HERE.glob("*.py"):
            shutil.copy(file, folder)
        if node_modules().is_dir():
            packages = folder / "data" / "rewardranker" / "node_modules"
            shutil.copytree(node_modules(), packages, ignore=shutil.ignore_patterns(".bin"))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        (folder / "cache").mkdir()
        os.chown(folder / "cache", UID, UID)
        return subprocess.run(
            [sys.executable, folder / Path(__file__).name, "--as-user", script, *arguments],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": name,
                "HOME": name,
                "XDG_CACHE_HOME": f"{name}/cache",
                "XDG_DATA_HOME": f"{name}/data",
            },
            text=True,
            check=False,
            **options,  # type: ignore[call-overload]
        )


def _become_ordinary_user() -> None:
    """Everything must have been imported: the user may have no access to our interpreter's files."""
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as a process is that never was root's
    if not os.access(sys._base_executable, os.X_OK):  # type: ignore[attr-defined]
        sys._base_executable = "/usr/bin/python3"  # type: ignore[attr-defined]


def main() -> None:
    if sys.argv[1] != "--as-user":
        sys.exit(run_as_ordinary_user(*sys.argv[1:]).returncode)
    sys.argv = sys.argv[2:]
    script = importlib.import_module(Path(sys.argv[0]).stem)
    _become_ordinary_user()
    script.main()


if __name__ == "__main__":
    main()
