"""Kinds of isolation are chosen by name, and a sandbox of one's own is used as those of the package are."""

import sys

import pytest

from rewardranker.errors import UserError
from rewardranker.execution.backends import find_backend
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.pool import Pool, Program, execute
from rewardranker.execution.slot import Slot

OWN = """
from rewardranker.execution.slot import Slot

class Own(Slot):
    isolation = "own"

nothing = None
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_sandbox.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_sandbox", None)


def test_the_default_is_namespaces():
    assert find_backend("namespaces") is Slot


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chroot", "isolation 'chroot' is unknown; known: namespaces, .*package.module:factory"),
        ("", "unknown"),
        ("os:system('x')", "unknown"),
        ("no_such_module:factory", "No module named 'no_such_module'; is its folder on PYTHONPATH"),
        ("own_sandbox:Other", "module own_sandbox has no Other"),
        ("own_sandbox:nothing", "nothing is not a function"),
    ],
)
def test_a_wrong_name_is_refused(own_module, name, message):
    with pytest.raises(UserError, match=message):
        Pool(isolation=name)


def test_a_sandbox_of_ones_own_marks_the_verdicts_and_their_cache(isolation, own_module, tmp_path):
    cache = VerdictCache(tmp_path / "cache")
    program = Program("python", "print(1)")
    for name, hits in [("own_sandbox:Own", 0), ("own_sandbox:Own", 1), ("namespaces", 1), ("namespaces", 2)]:
        (verdict,) = execute([program], workers=1, isolation=name, cache=cache)
        assert (verdict.isolation, cache.hits) == (name.rpartition(":")[2].lower(), hits)
    cache.close()


def test_a_sandbox_of_ones_own_that_does_not_isolate_is_refused(isolation, own_module, tmp_path):
    module = tmp_path / "own_sandbox.py"
    leaking = "import subprocess, sys\nfrom rewardranker.execution.slot import Outcome\n" + OWN
    leaking += """
class Leaking(Own):
    def send(self, request, body):
        self._done = subprocess.run([sys.executable, "-c", body], capture_output=True)

    def receive(self):
        return Outcome(0, 2, self._done.returncode, self._done.stdout, self._done.stderr, b"", 0.0, 0.0)
"""
    module.write_text(leaking)
    with pytest.raises(UserError, match="a program in it reached host files, the network"):
        Pool(workers=1, isolation="own_sandbox:Leaking")
