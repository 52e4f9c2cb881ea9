"""What is made once for a version of a toolchain: services, launchers, snapshots, precompiled headers.

In `$XDG_CACHE_HOME/rewardranker/prebuilt`, else in `~/.cache`: one folder for each language, named by a hash
of its sources, commands and tools. All of it is ours and trusted; sandboxes see it read-only.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.execution.languages.language import Language, node_modules
from rewardranker.execution.sandbox.isolation import NODE_MODULES, PATH, PREBUILT
from rewardranker.files import cache_folder

_UNUSED_AFTER_S = 7 * 24 * 3600
_TIMEOUT_S = 300


def visible_folders() -> dict[str, str]:
    """The folders that sandboxes see besides the system's: path inside to folder of this machine."""
    with contextlib.suppress(OSError):  # it must be there when a sandbox starts, for what is prepared later
        _base().mkdir(parents=True, exist_ok=True)
    return {NODE_MODULES: str(node_modules()), PREBUILT: str(_base())}


def fill_in(command: Iterable[str], language: Language) -> list[str]:
    """`command` of `language` with the folders for "{prebuilt}" and "{node_modules}", as sandboxes see them.

    Example:
        >>> from rewardranker.execution.languages import find_language
        >>> fill_in(["{node_modules}/typescript/bin/tsc"], find_language("typescript"))
        ['/node_modules/typescript/bin/tsc']
    """
    return _filled_in(command, f"{PREBUILT}/{_name(language)}", NODE_MODULES)


def prepare(language: Language) -> Path:
    """Make what `language` wants prebuilt, unless it is there; its folder.

    Seconds of work for the first caller. Two processes may do it at once: the first one's stays. What no
    process asked for within a week, of other versions too, is removed.

    Raises:
        UserError: the folder can't be written, or a command failed; the message says which.
    """
    assert language.prebuilt is not None
    folder = _base() / _name(language)
    try:
        if not folder.is_dir():
            _make(language, folder)
            _remove_unused(language)
        os.utime(folder)
    except OSError as e:
        raise UserError(
            f"{folder}: cannot prepare compilers there ({e.strerror or e}). "
            "Make it writable, or set XDG_CACHE_HOME to a folder that is."
        ) from e
    return folder


def _make(language: Language, folder: Path) -> None:
    assert language.prebuilt is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o755)  # sandboxes read it as another user
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        temporary = Path(name, folder.name)
        temporary.mkdir()
        for file, text in language.prebuilt.sources.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            (temporary / file).write_text(text, "utf-8")
        for command in language.prebuilt.commands:
            _run(_filled_in(command, str(temporary), str(node_modules())), temporary)
        for path in (temporary, *temporary.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            _flush(path)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": PATH, "HOME": str(folder), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise UserError(
            f"preparing a compiler failed: {' '.join(command)}: exit code {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()[-500:]}"
        )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unused(language: Language) -> None:
    for pattern in (f"{language.name}-*", f".{language.name}-*"):  # the latter of attempts that were killed
        for other in _base().glob(pattern):
            if other.stat().st_mtime < time.time() - _UNUSED_AFTER_S:
                shutil.rmtree(other, ignore_errors=True)


def _name(language: Language) -> str:
    """Name of the folder: changes with our sources and with the tools, which a new version replaces."""
    assert language.prebuilt is not None
    tools = []
    for tool in language.tools:
        if path := tool.path():
            file = path / "package.json" if path.is_dir() else path.resolve()
            tools.append([str(file), file.stat().st_size, file.stat().st_mtime_ns])
    what = [dict(language.prebuilt.sources), language.prebuilt.commands, tools]
    return f"{language.name}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}"


def _filled_in(command: Iterable[str], prebuilt: str, modules: str) -> list[str]:
    return [part.replace("{prebuilt}", prebuilt).replace("{node_modules}", modules) for part in command]


def _base() -> Path:
    return cache_folder("prebuilt")
