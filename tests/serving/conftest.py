import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest
from forked import Command, Forks
from tiny import TEXTS, make_model
from transformers import PreTrainedTokenizerFast

from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokenizer import train_tokenizer

OPTIONS = ("--port", "0", "--workers", "2")


class Server:
    """`rewardranker serve` in a process of its own."""

    def __init__(self, process: Command, said: TextIO) -> None:
        self.process = process
        self.lines: list[str] = []
        for line in said:
            self.lines.append(line)
            if line.startswith("serving on "):
                break
        else:
            raise RuntimeError(f"no server: {''.join(self.lines)}")
        self.url = line.split()[2].rstrip(":")
        self.v1 = f"{self.url}/v1"
        self._reader = threading.Thread(target=lambda: self.lines.extend(said))
        self._reader.start()

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join()


Start = Callable[..., Any]


@pytest.fixture(scope="session")
def start(forks: Forks) -> Start:
    @contextmanager
    def started(*arguments: str | Path, **environment: str) -> Iterator[Server]:
        reader, writer = os.pipe()
        process = forks.start("serve", *OPTIONS, *map(str, arguments), stderr=writer, **environment)
        os.close(writer)
        with os.fdopen(reader) as said:
            server = Server(process, said)
            try:
                yield server
            finally:
                server.stop()

    return started


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 2, 400)


@pytest.fixture(scope="session")
def generator(tokenizer: PreTrainedTokenizerFast) -> Generator:
    return Generator(make_model(tokenizer), tokenizer)


@pytest.fixture(scope="session")
def ranker(tokenizer: PreTrainedTokenizerFast) -> RewardRanker:
    return RewardRanker.from_generator(Generator(make_model(tokenizer, 1), tokenizer), "likelihood", 0)


@pytest.fixture(scope="session")
def generator_folder(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "generator"
    generator.save(folder)
    return folder


@pytest.fixture(scope="session")
def ranker_folder(ranker: RewardRanker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ranker"
    ranker.save(folder)
    return folder


@pytest.fixture(scope="session")
def local(start: Start, ranker_folder: Path, generator_folder: Path) -> Iterator[Server]:
    """A server with a generator of its own."""
    with start("--ranker", ranker_folder, "--generator", generator_folder, "--best-of", "4") as server:
        yield server
