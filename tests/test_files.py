import gzip
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.files import (
    atomic_directory,
    atomic_path,
    cache_folder,
    digest,
    digests,
    read_jsonl,
    read_text,
    write_json,
    write_jsonl,
    write_text,
)


class OopsError(Exception):
    pass


def test_an_error_inside_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "x.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(OopsError), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise OopsError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


def test_nothing_is_there_before_the_block_ends(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x") as temporary:
        assert not (tmp_path / "x").exists() and temporary.parent == tmp_path
    assert (tmp_path / "x").exists()


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from rewardranker.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL and path.read_text() == "old"


def test_directory_is_whole_or_absent_and_left_overs_go(tmp_path: Path) -> None:
    path = tmp_path / "stage"
    with pytest.raises(OopsError), atomic_directory(path) as folder:
        (folder / "left-over").write_text("x")
        raise OopsError
    assert not path.exists()
    with atomic_directory(path) as folder:
        (folder / "a").write_text("a")
    assert [p.name for p in path.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_write_json_refuses_nan_and_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": "ü"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, math.nan)
    assert json.loads(path.read_text("utf-8")) == {"a": "ü"}


@pytest.mark.skipif(os.name != "posix", reason="a locale that is not UTF-8")
def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rewardranker.files import read_text, write_json\n"
        "path, text = Path(sys.argv[1]), '\\u2192'\n"
        "write_json(path, text); assert read_text(path) == f'\"{text}\"\\n'\n"
    )
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", code, str(tmp_path / "x")], env=environment, check=True
    )
    assert (tmp_path / "x").read_text("utf-8") == '"→"\n'


text = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=5,
)


@given(rows=st.lists(st.dictionaries(text, values, max_size=3), max_size=4))
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_jsonl_round_trip(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / name
    write_jsonl(path, rows)
    assert list(read_jsonl(path)) == list(enumerate(rows, 1))


def test_gzip_bytes_do_not_depend_on_the_time(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.gz", [{"a": 1}])
    assert (tmp_path / "a.gz").read_bytes() == gzip.compress(b'{"a": 1}\n', mtime=0)


def test_jsonl_lines_are_counted_with_the_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"a": "\xe2\x80\xa8"}\r\n\n  \n{"a": 2}'
    )  # a byte-order mark, U+2028 in a string
    assert list(read_jsonl(path)) == [(1, {"a": "\u2028"}), (4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object, found list"),
        ("{'a': 1}", "not JSON (Expecting property"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON that can be read (an integer of more than 4,300 digits)"),
        ('{"a": ' + "[" * 100_000, "not JSON that can be read (nested too deeply)"),
    ],
)
def test_jsonl_errors_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n' + line)
    with pytest.raises(UserError) as e:
        list(read_jsonl(path))
    assert str(e.value).startswith(f"{path}:3: {message}")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.txt", b"\xff\xfe\x00"),
        ("x.gz", b"plain"),
        ("x.gz", gzip.compress(b"text" * 99, mtime=0)[:-9]),
        ("x.gz", gzip.compress(b"text" * 99, mtime=0)[:12] + b"\xff" * 30),
    ],
)
def test_unreadable_files_are_the_users_to_mend(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        read_text(tmp_path / name)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_text(tmp_path / "absent")
    with pytest.raises(UserError, match="cannot read it"):
        read_text(tmp_path)


def test_digests_are_of_contents_and_name_what_cannot_be_read(tmp_path: Path) -> None:
    for name, text in {"b": "one", "a": "two", "folder/c": "three"}.items():
        write_text(tmp_path / name, text)
    found = digests(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["b"] == digest(tmp_path / "b") == hashlib.sha256(b"one").hexdigest() != found["a"]
    with pytest.raises(UserError, match=r"none: cannot read it \(No such file or directory\)"):
        digest(tmp_path / "none")


def test_the_cache_is_where_the_user_wants_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / "rewardranker" / "x"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / ".cache" / "rewardranker" / "x"
