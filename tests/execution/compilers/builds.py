"""Cold and warm builds of the same program, side by side."""

import base64
import hashlib
import os
import secrets
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace

import pytest

from rewardranker.execution.compilers.compiler import Built, Compiler, CompilerFailedError
from rewardranker.execution.compilers.prebuilt import fill_in, prepare
from rewardranker.execution.judging import judge
from rewardranker.execution.languages import find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.sandbox.request import NOT_STARTED, Request
from rewardranker.execution.slot import Outcome, Slot
from rewardranker.execution.verdict import Verdict

KEPT_BYTES = 8192
_LISTED_BYTES = 32 << 20
_LIST = ("sh", "-c", r"find . -type f -printf '%P ' -exec base64 -w 0 {} \; -printf '\n' | sort")


@dataclass(frozen=True)
class Build:
    """What a build said and made: hash by name of every file that is there afterwards."""

    returncode: int
    stdout: str
    stderr: str
    files: dict[str, str]


def toolchain(name: str) -> Language:
    """The language `name`, prepared; the test is skipped where its tools are missing."""
    language = find_language(name)
    assert language is not None
    if missing := [tool for tool in language.missing() if not tool.needed_by]:
        pytest.skip(f"{name} needs {missing[0].name}: make toolchains, or {missing[0].install}")
    prepare(language)
    return language


def encoded_files(language: Language, source: str, key: str = "") -> dict[str, bytes]:
    files = language.files(source, key).items()
    return {name: text.encode("utf-8", "surrogatepass") for name, text in files}


class Cold:
    """Builds and runs programs as the pool does, in one slot."""

    def __init__(self) -> None:
        self._slot = Slot()
        self._slot.wait_until_ready()

    def close(self) -> None:
        self._slot.close()

    def build(self, language: Language, source: str) -> Build:
        outcome = self._run(language, source, list(language.build), list(_LIST))
        stdout, stderr = (b.decode(errors="replace") for b in (outcome.stdout, outcome.stderr))
        if outcome.steps == NOT_STARTED:
            return Build(outcome.returncode, stdout, stderr, {})
        assert outcome.returncode == 0
        lines = (line.split(" ") for line in stdout.splitlines())
        return Build(0, "", "", {name: _digest(name, base64.b64decode(text)) for name, text in lines})

    def verdict(self, language: Language, source: str, options: tuple[str, ...] = ()) -> Verdict:
        build = [*language.build, *fill_in(options, language)]
        run = [part.replace("{memory_mb}", "512") for part in language.run]
        return judge(language, self._run(language, source, build, run), 10.0, 512)

    def _run(self, language: Language, source: str, build: list[str], run: list[str]) -> Outcome:
        key = secrets.token_hex(16)
        files = encoded_files(language, source, key)
        request = Request(
            command=build,
            files=[(name, len(content)) for name, content in files.items()],
            input_bytes=0,
            timeout_s=60.0,
            memory_mb=2048,
            environment=dict(language.environment),
            reserves_memory=True,
            keeps=True,
        )
        self._slot.send(request, b"".join(files.values()))
        built = self._slot.receive()
        if built.returncode != 0:
            return replace(built, steps=NOT_STARTED)
        request = request._replace(
            command=run,
            files=[],
            timeout_s=10.0,
            memory_mb=512,
            reserves_memory=language.reserves_memory,
            key=key,
            sends_key=not language.key_is_in_files,
            kept_bytes=_LISTED_BYTES,
            goes_on=True,
            keeps=False,
        )
        self._slot.send(request, b"")
        return self._slot.receive()


class Warm:
    """A compiler that is replaced when it is worn, as a pool would."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.compiler: Compiler | None = None

    def compile(self, source: str) -> Built:
        """Raises CompilerFailedError where the cold compiler must go on."""
        if self.compiler is None or self.compiler.is_worn:
            self.close()
            self.compiler = Compiler(self.language)
            self.compiler.wait_until_ready()
        self.compiler.send(encoded_files(self.language, source))
        return self.compiler.receive()

    def build(self, source: str) -> Build | None:
        """None: left to the cold compiler."""
        try:
            built = self.compile(source)
        except CompilerFailedError:
            return None
        files = {}
        if built.returncode == 0:
            files = {**encoded_files(self.language, source), **built.files}
        return Build(
            returncode=built.returncode,
            stdout=_kept(built.stdout) if built.returncode else "",
            stderr=_kept(built.stderr) if built.returncode else "",
            files={name: _digest(name, content) for name, content in files.items()},
        )

    def close(self) -> None:
        if self.compiler is not None:
            self.compiler.close()
            self.compiler = None


def _digest(name: str, content: bytes) -> str:
    if name.endswith(".exe"):  # mcs gives each a random identity
        metadata = content.index(b"BSJB")
        (offset,) = struct.unpack_from("<I", content, content.index(b"#GUID\0", metadata) - 8)
        identity = content[metadata + offset : metadata + offset + 16]
        content = content.replace(identity, bytes(16))
    return hashlib.sha256(content).hexdigest()


def _kept(text: bytes) -> str:
    return text[:KEPT_BYTES].decode(errors="replace")


def sample(programs: Collection[str], every: int = 8) -> set[str]:
    """Those that are compared with a cold compiler, which takes seconds; all with ALL_GOLD_PROGRAMS=1."""
    if os.environ.get("ALL_GOLD_PROGRAMS"):
        return set(programs)
    return {name for i, name in enumerate(programs) if i % every == 0}
