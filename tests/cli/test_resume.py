"""Long commands that were killed by SIGKILL or interrupted, and given again."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked import Forks

from rewardranker.models.generator import Generator
from rewardranker.run import Checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("isolation")]

EAGER = "from rewardranker.run import Checkpoint; Checkpoint.is_due = lambda self: True"
"""Writes a checkpoint whenever it can, for these trainings are too short for one every five seconds."""
LONG = {"sft.epochs": 150, "reward.epochs": 100, "ppo.iterations": 25, "ppo.check_every": 5}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the process that is killed: sums over several threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kill(forks: Forks, words: list[str], folder: Path) -> None:
    """Start the command in this folder and kill it when it has written a few checkpoints."""
    folder.mkdir()
    said = folder.with_suffix(".stderr")
    with said.open("w") as stderr:
        process = forks.start(*words, "-o", str(folder / "out"), stderr=stderr.fileno(), first=EAGER)
    seen: set[int] = set()
    while len(seen) < 4:
        assert process.poll() is None, said.read_text()
        for path in folder.glob(".out.*.checkpoint"):
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "out").exists()
    assert len([*folder.glob(".out.*.checkpoint")]) == 1


def contents(out: Path) -> dict[str, bytes]:
    files = sorted(out.rglob("*")) if out.is_dir() else [out]
    return {str(p.relative_to(out)): p.read_bytes() for p in files if p.is_file()}


@pytest.fixture
def words(request, workshop, small) -> list[str]:
    """A command that writes `out`."""
    models = ["--generator", str(workshop.sft)]
    arguments = {
        "train-sft": [str(workshop.folder / "problems.jsonl")],
        "train-reward": [str(workshop.pairs), *models],
        "train-ppo": [str(workshop.folder / "problems.jsonl"), *models, "--ranker", str(workshop.ranker)],
    }[request.param]
    settings = [word for key, value in LONG.items() for word in ("--set", f"{key}={value}")]
    return [request.param, *arguments, *small, *settings]


@pytest.mark.parametrize("words", ["train-sft", "train-reward", "train-ppo"], indirect=True)
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been(
    words: list[str], rewardranker, forks: Forks, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert "goes on" not in rewardranker(*words, "-o", whole / "out").err
    kill(forks, words, killed)
    assert "goes on where it was stopped" in rewardranker(*words, "-o", killed / "out").err
    assert contents(killed / "out") == contents(whole / "out")
    assert [p.name for p in killed.iterdir()] == ["out"]  # no checkpoint is left


@pytest.mark.parametrize("words", ["train-sft"], indirect=True)
def test_a_checkpoint_is_for_the_same_settings_and_inputs_only(
    words, workshop, rewardranker, forks, tmp_path
) -> None:
    killed = tmp_path / "killed"
    kill(forks, words, killed)
    lines = (workshop.folder / "problems.jsonl").read_text().splitlines(keepends=True)
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(lines[1:]))
    for name, other in {
        "settings": [*words, "--set", "sft.learning_rate=1e-3"],
        "seed": [*words, "--set", "seed=2"],
        "problems": [words[0], str(fewer), *words[2:]],
        "model": [*words, "--generator", str(workshop.aligned)],
    }.items():
        folder = tmp_path / name
        shutil.copytree(killed, folder)
        result = rewardranker(*other, "-o", folder / "out")
        assert result.code == 0 and "goes on" not in result.err, (name, result.err)
        assert [p.name for p in folder.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_what_was_sampled_is_not_sampled_again(
    command, rewardranker, workshop, small, tmp_path, monkeypatch
) -> None:
    asked = []
    real = Generator.sample

    def sample(self, problems, *, on_batch, **settings):
        def stops(batch) -> None:
            on_batch(batch)
            if interrupted:
                raise KeyboardInterrupt

        asked.append([p.id for p in problems])
        return real(self, problems, on_batch=stops, **settings)

    monkeypatch.setattr(Generator, "sample", sample)
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: True)
    models = ["--generator", workshop.sft]
    few = (
        ["-n", 3, "--batch-size", 3, "--max-new-tokens", 32]
        if command == "sample"
        else [*small, "--set", "sampling.batch_size=3"]
    )
    words = [command, workshop.folder / "problems.jsonl", *models, *few, "-o"]
    interrupted = False
    assert rewardranker(*words, tmp_path / "whole" / "out").code == 0
    interrupted = True
    stopped = rewardranker(*words, tmp_path / "out")
    assert stopped.code == 130 and "interrupted; give the same command again" in stopped.err
    assert not (tmp_path / "out").exists()
    calls, interrupted = len(asked), False
    assert "goes on where it was stopped" in rewardranker(*words, tmp_path / "out").err
    assert contents(tmp_path / "out") == contents(tmp_path / "whole" / "out")
    assert len(asked[calls]) == len(asked[0]) - 1  # without the problem whose candidates were there
