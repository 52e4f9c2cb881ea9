"""Made once, whole, by whoever is first; seen by programs, who can't change it."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.compilers.prebuilt import fill_in, prepare, visible_folders
from rewardranker.execution.languages import find_language
from rewardranker.execution.languages.language import Prebuilt
from rewardranker.execution.pool import Pool, Program


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rewardranker" / "prebuilt"


def language(command="cat given > made", text="text"):
    prebuilt = Prebuilt({"folder/given": text}, (("sh", "-c", f"cd folder; {command}"),))
    return dataclasses.replace(find_language("bash"), prebuilt=prebuilt)


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_it_is_made_once(base):
    folder = prepare(language())
    assert folder.parent == base
    assert (folder / "folder" / "made").read_text() == "text"
    before = (folder / "folder" / "made").stat()
    assert prepare(language()) == folder
    assert (folder / "folder" / "made").stat().st_mtime_ns == before.st_mtime_ns
    assert names_in(base) == {folder.name}


def test_other_sources_or_commands_are_another_folder(base):
    folders = {prepare(language()), prepare(language(text="other")), prepare(language("cp given made"))}
    assert len(folders) == 3


TWO = """
import dataclasses
from rewardranker.execution.compilers.prebuilt import prepare
from rewardranker.execution.languages import find_language
from rewardranker.execution.languages.language import Prebuilt
prebuilt = Prebuilt({"given": "x"}, (("sh", "-c", "sleep 1; echo made > made"),))
print(prepare(dataclasses.replace(find_language("bash"), prebuilt=prebuilt)))
"""


def test_two_processes_at_once(base):
    both = [
        subprocess.Popen([sys.executable, "-c", TWO], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    one, other = (process.communicate(timeout=60)[0] for process in both)
    assert one == other
    assert [process.returncode for process in both] == [0, 0]
    assert names_in(base) == {Path(one.strip()).name}


def test_what_was_not_used_for_long_is_removed(base):
    long_ago = time.time() - 30 * 24 * 3600
    names = ("bash-old", ".bash-killed", "cpp-old", "bash-new")
    for name in names:
        (base / name).mkdir(parents=True)
        if name != "bash-new":
            os.utime(base / name, (long_ago, long_ago))
    folder = prepare(language())
    assert names_in(base) == {"cpp-old", "bash-new", folder.name}
    os.utime(folder, (long_ago, long_ago))
    prepare(language())
    prepare(language(text="other"))
    assert folder.exists()


def test_a_command_that_fails_is_named(base):
    with pytest.raises(UserError, match=r"sh -c .* exit code 3: why"):
        prepare(language("echo why >&2; exit 3"))
    assert names_in(base) == set()


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert visible_folders()
    with pytest.raises(UserError, match="set XDG_CACHE_HOME"):
        prepare(language())


def test_programs_see_it_and_cannot_change_it(base, isolation):
    with Pool(workers=1) as pool:
        bash = language()
        prepare(bash)  # later than the sandbox
        (path,) = fill_in(["{prebuilt}/folder/made"], bash)
        source = f"print(open({path!r}).read())\ntry: open({path!r}, 'a')\nexcept OSError: print('refused')"
        ((_, verdict),) = pool.run([Program("python", source)])
    assert verdict.stdout == "text\nrefused\n", verdict.stderr
