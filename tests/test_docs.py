import doctest
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import Forks
from real import PUBLISHED, write_checkpoint
from tiny import TEXTS, make_model
from transformers import AutoModelForCausalLM

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokenizer import train_tokenizer

DOCS = Path(__file__).parents[1] / "docs"
FILE = re.compile(r"^`([^`\n]+)`\n\n```(?:json|python|toml)\n(?!>>>)(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A file that a page shows: its name, an empty line, its content."""
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["how-to/problems.md", "how-to/preferences.md"])
def test_the_examples_of_a_page_work_as_written(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    run_examples(page)


def test_the_page_on_sharing_data_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks
) -> None:
    follow("how-to/share-data.md", tmp_path, monkeypatch, forks.bin)


@pytest.mark.parametrize("page", ["how-to/execute.md", "how-to/remote-sandbox.md", "how-to/evaluate.md"])
def test_the_commands_of_a_page_do_what_its_examples_show(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks, isolation: None
) -> None:
    follow(page, tmp_path, monkeypatch, forks.bin)


def test_the_page_on_real_models_works_with_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks, isolation: None
) -> None:
    folder = tmp_path / "models" / "Qwen2.5-Coder-0.5B-Instruct"
    write_checkpoint(folder, "qwen2.5-coder", ["def add(a, b):\n    return a + b\n"] * 2, instruct=True)
    follow("how-to/real-models.md", tmp_path, monkeypatch, forks.bin)


@pytest.mark.slow
def test_the_page_on_ranking_works_with_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks, isolation: None
) -> None:
    tokenizer = train_tokenizer(TEXTS * 2, 400)
    generator = Generator(make_model(tokenizer), tokenizer)
    generator.save(tmp_path / "my-model")
    RewardRanker.from_generator(generator, "likelihood", seed=1).save(tmp_path / "my-ranker")
    follow("how-to/rank.md", tmp_path, monkeypatch, forks.bin)


@pytest.mark.slow
def test_the_page_on_training_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks, isolation: None
) -> None:
    follow("how-to/train.md", tmp_path, monkeypatch, forks.bin)


@pytest.mark.slow
def test_the_page_on_the_report_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks, tiny_run: tuple[Path, str]
) -> None:
    """With a run that is done: its command goes on from there."""
    shutil.copytree(tiny_run[0], tmp_path / "runs" / "tiny")
    follow("how-to/read-report.md", tmp_path, monkeypatch, forks.bin)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler: apt-get install gcc")
def test_the_page_on_adding_a_language_adds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: None
) -> None:
    root = DOCS.parent
    for name in ("src", "tests"):  # a clone
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    follow("how-to/add-a-language.md", tmp_path, monkeypatch)


def test_the_memory_of_real_models_is_that_of_their_configs() -> None:
    text = (DOCS / "how-to/real-models.md").read_text("utf-8")
    for name, config in PUBLISHED.items():
        with torch.device("meta"):
            n = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        read, trained, ppo = (n * per / 2**30 for per in (4, 16, 2 * 16 + 2 * 4))
        assert f"| {name} | {n:,} | {read:.1f} | {trained:.0f} | {ppo:.0f} |" in text


def follow(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *programs: Path) -> None:
    """Write the page's files in `folder`, run its commands there, then its examples."""
    write_files(page, folder)
    monkeypatch.chdir(folder)
    run_commands(page, *programs)
    run_examples(page)


def run_commands(page: str, *programs: Path) -> None:
    """What a shell makes of the page's commands, with these folders and the interpreter's before its PATH."""
    path = os.pathsep.join(map(str, [*programs, Path(sys.executable).parent, os.environ["PATH"]]))
    for script in COMMANDS.findall((DOCS / page).read_text("utf-8")):
        done = subprocess.run(
            ["bash", "-ec", script],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"


def write_files(page: str, folder: Path) -> None:
    for name, content in FILE.findall((DOCS / page).read_text("utf-8")):
        if ".json" in name:
            for line in content.splitlines():
                json.loads(line)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def run_examples(page: str) -> None:
    examples = doctest.DocTestParser().get_doctest((DOCS / page).read_text("utf-8"), {}, page, page, 0)
    assert len(examples.examples) > 1
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
    assert not report, "".join(report)


def test_links_between_pages_lead_somewhere() -> None:
    root = DOCS.parent
    for page in (*DOCS.rglob("*.md"), *root.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(root)}: {target}"
