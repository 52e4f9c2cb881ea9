"""`VerdictCache`: verdicts kept on disk, so that a program that was run need not run again."""

import hashlib
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

from rewardranker import __version__, progress
from rewardranker.execution.backends import NAMESPACES
from rewardranker.execution.languages import find_language
from rewardranker.execution.program import Program
from rewardranker.execution.verdict import Verdict
from rewardranker.files import cache_folder

_FORMAT = 2
"""To be raised when the sandbox or the judging changes what is said of a program between two versions."""
_MAX_BYTES = 256 * 2**20
_TRIM_EVERY = 1000
_PATIENCE_S = 10.0
_TROUBLE = (sqlite3.Error, OSError, RuntimeError, ValueError, TypeError)
_SIGKILL = -9


class VerdictCache:
    """Verdicts by language, version of its toolchain, program, limits, isolation, version of RewardRanker.

    SQLite in write-ahead mode; several processes may use one folder at once. At more than 256 MB the older
    half is dropped. A cache that can't be used is told of once, and what follows goes on without one.

    Not kept is what another run might not repeat: timeouts and programs ended by SIGKILL (a loaded machine
    makes them), and "unavailable" and "error", which say nothing about the program.

    Args:
        folder: where it is; without one `$XDG_CACHE_HOME/rewardranker/verdicts`, else in `~/.cache`.

    Example:
        >>> import tempfile
        >>> from rewardranker.execution.pool import execute
        >>> folder = tempfile.TemporaryDirectory()
        >>> cache = VerdictCache(Path(folder.name))
        >>> for _ in range(2):
        ...     (verdict,) = execute([Program("python", "print(6 * 7)")], cache=cache)
        ...     print(verdict.stdout.strip(), cache.hits)
        42 0
        42 1
        >>> cache.close(); folder.cleanup()
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.hits = 0
        """Verdicts that `find` knew."""
        self._versions: dict[str, str] = {}
        self._n_added = 0
        self._database: sqlite3.Connection | None = None
        try:
            self._folder = folder or cache_folder("verdicts")
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(
                self._folder / "verdicts.sqlite", timeout=_PATIENCE_S, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS verdicts"
                " (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, verdict TEXT NOT NULL)"
            )
        except _TROUBLE as e:
            self._give_up(e)

    def close(self) -> None:
        """Close the file; what was added is safe without it."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def find(
        self, program: Program, timeout_s: float, memory_mb: int, isolation: str = NAMESPACES
    ) -> Verdict | None:
        """The verdict on `program` under these limits and in this kind of sandbox, if it is known."""
        if self._database is None or (key := self._key(program, timeout_s, memory_mb, isolation)) is None:
            return None
        try:
            row = self._database.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,)).fetchone()
            verdict = Verdict(**json.loads(row[0])) if row else None
        except _TROUBLE as e:
            self._give_up(e)
            return None
        self.hits += verdict is not None
        return verdict

    def add(
        self,
        program: Program,
        timeout_s: float,
        memory_mb: int,
        verdict: Verdict,
        isolation: str = NAMESPACES,
    ) -> None:
        """Keep `verdict`, if another run would repeat it."""
        if self._database is None or not _is_lasting(verdict):
            return
        if (key := self._key(program, timeout_s, memory_mb, isolation)) is None:
            return
        try:
            self._database.execute(
                "INSERT OR IGNORE INTO verdicts (key, verdict) VALUES (?, ?)",
                (key, json.dumps(asdict(verdict))),
            )
            if self._n_added % _TRIM_EVERY == 0:
                self._trim(self._database)
            self._n_added += 1
        except _TROUBLE as e:
            self._give_up(e)

    def _key(self, program: Program, timeout_s: float, memory_mb: int, isolation: str) -> bytes | None:
        language = find_language(program.language)
        if language is None:
            return None
        if language.name not in self._versions:
            try:
                self._versions[language.name] = language.version()
            except OSError:  # the toolchain is not here
                self._versions[language.name] = ""
        if not (version := self._versions[language.name]):
            return None
        limits = float(program.timeout_s or timeout_s), program.memory_mb or memory_mb
        tests = "" if program.tests is None else repr(program.tests)
        what = [_FORMAT, __version__, language.name, version, *limits, isolation, program.source, tests]
        return hashlib.sha256(json.dumps(what).encode()).digest()

    def _trim(self, database: sqlite3.Connection) -> None:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > _MAX_BYTES:
            database.execute(
                "DELETE FROM verdicts WHERE number <= (SELECT (min(number) + max(number)) / 2 FROM verdicts)"
            )

    def _give_up(self, error: Exception) -> None:
        self.close()
        where = getattr(self, "_folder", "the cache")
        progress.console.print(
            f"verdicts are not cached: {where}: {error}. If it is broken, remove that folder.",
            markup=False,
            soft_wrap=True,
        )


def _is_lasting(verdict: Verdict) -> bool:
    return (
        not {verdict.status, verdict.strict_status} & {"timeout", "unavailable", "error"}
        and verdict.exit_code != _SIGKILL
    )
