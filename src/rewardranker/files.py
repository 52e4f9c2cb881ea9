"""Files that are whole or absent, and JSON lines whose errors name their line."""

import gzip
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place when the block ends without an error.

    What stands at `path` is therefore the old file, or the new one in full, whatever kills the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as f:
            os.fsync(f.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; rename it into place when the block ends without an error.

    A left-over of an earlier, killed attempt is removed first. `path` itself must not exist yet.
    """
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    temporary.rename(path)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """As `atomic_directory`, and nothing is left when the block ends with an error."""
    with atomic_directory(path) as temporary:
        try:
            yield temporary
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 (gzip when the name ends in .gz), atomically."""
    data = text.encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def encodable(text: str) -> str:
    """`text` with ? for each half of a surrogate pair, as tools that cut strings leave it: UTF-8 has none."""
    return text.encode(errors="replace").decode()


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line (gzip when the name ends in .gz), atomically."""
    write_text(path, "".join(map(_json_line, rows)))


def _json_line(row: dict[str, Any]) -> str:
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # as of `encodable`; JSON can say it in ASCII
        line = json.dumps(row)
    return f"{line}\n"


def read_text(path: Path) -> str:
    """The text of a file, unpacked when its name ends in .gz.

    Raises:
        UserError: the file is missing, unreadable, not UTF-8 or not gzip.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror or e})") from e
    except (UnicodeDecodeError, EOFError, zlib.error) as e:
        raise UserError(f"{path}: not a readable text file ({e})") from e


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file, one after the other, unpacked when its name ends in .gz.

    Raises:
        UserError: as `read_text`, when the fault is reached.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="\n")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="\n")
        ) as lines:
            yield from lines
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror or e})") from e
    except (UnicodeDecodeError, EOFError, zlib.error) as e:
        raise UserError(f"{path}: not a readable text file ({e})") from e


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line that isn't blank.

    Raises:
        UserError: at the first line that isn't a JSON object, naming file and line.
    """
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise UserError(f"{path}:{number}: {json_fault(e)}") from e
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
        yield number, row


def json_fault(error: ValueError | RecursionError) -> str:
    """What is wrong with a text that `json.loads` refused with `error`."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    # Python has two more complaints.
    deep = isinstance(error, RecursionError)
    why = "nested too deeply" if deep else "an integer of more than 4,300 digits"
    return f"not JSON that can be read ({why})"


def digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        UserError: the file can't be read.
    """
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror})") from e


def digests(folder: Path) -> dict[str, str]:
    """The digest of each file in a folder, such as a model's, by name."""
    return {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}


def cache_folder(name: str) -> Path:
    """The folder called `name` in the user's cache of RewardRanker, by the XDG base directory specification.

    Raises:
        RuntimeError: there is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"  # relative ones are invalid
    return cache / "rewardranker" / name
