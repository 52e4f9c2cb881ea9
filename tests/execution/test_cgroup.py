"""A limit for all processes of a slot; without control groups the fork server watches."""

import os
import subprocess
from pathlib import Path

import pytest

from rewardranker.execution.cgroup import _V1, _V2, Cgroup, _parents
from rewardranker.execution.pool import Pool, Program

MOUNTS_V1 = """\
30 25 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 /docker/7f {top} rw,relatime - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
MOUNTS_V2 = "35 24 0:30 / {top} rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
LAYOUTS = {  # mounts, groups of the process, where a group may be made
    "version 1, in a container": (MOUNTS_V1, "4:memory:/docker/7f/worker\n0::/\n", ["worker"], _V1),
    "version 2, a user's scope": (
        MOUNTS_V2,
        "0::/user.slice/user@1000.service/app.slice/run-1.scope\n",
        ["user.slice/user@1000.service/app.slice/run-1.scope", "user.slice/user@1000.service/app.slice"],
        _V2,
    ),
    "version 2, the root": (MOUNTS_V2, "0::/\n", [""], _V2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_a_group_may_be_made(tmp_path, layout):
    mounts, groups, expected, files = LAYOUTS[layout]
    (tmp_path / "mountinfo").write_text(mounts.format(top=tmp_path / "top"))
    (tmp_path / "cgroup").write_text(groups)
    found = [(path, kind) for path, kind in _parents(tmp_path) if path.is_relative_to(tmp_path)]
    assert found == [(tmp_path / "top" / path, files) for path in expected]


@pytest.fixture
def group():
    group = Cgroup.create()
    if group is None:
        pytest.skip("this user may make no control groups here; the fork server watches memory instead")
    yield group
    group.close()


def test_a_group_is_removed_with_those_that_were_abandoned(group):
    ended = subprocess.Popen(["true"])
    ended.wait()
    abandoned = group._directory.with_name(f"rewardranker-{ended.pid}-0")
    abandoned.mkdir()
    other = Cgroup.create()
    assert other is not None
    assert not abandoned.exists()
    assert group._directory.exists()
    other.close()
    assert not other._directory.exists()


def test_the_limit_is_set_both_up_and_down(group):
    file = group._directory / group._files.limits[0]
    for mb in (512, 2048, 64):
        group.limit(mb)
        assert int(file.read_text()) == mb << 20
    assert not group.was_exceeded()


TREE = """
import os, time
for _ in range({forks}): os.fork()
x = bytearray({mb} << 20)
for i in range(0, len(x), 4096): x[i] = 1
time.sleep(0.5)
"""


@pytest.mark.parametrize("has_cgroup", [True, False])
def test_memory_is_limited_for_all_processes_together(isolation, monkeypatch, has_cgroup):
    if not has_cgroup:
        monkeypatch.setattr(Cgroup, "create", lambda: None)
    elif (probe := Cgroup.create()) is None:
        pytest.skip("this user may make no control groups here")
    else:
        probe.close()
    with Pool(timeout_s=5.0, memory_mb=200, workers=1) as pool:
        programs = [Program("python", TREE.format(forks=forks, mb=40)) for forks in (2, 5)]
        programs.append(Program("python", "assert True"))
        few, many, following = (v for _, v in pool.run(programs, in_order=True))
    assert few.strict_status == "passed", few
    assert many.strict_status == "failed", many
    assert many.reason == "its processes together took more than 200 MB"
    assert following.passed


def test_no_group_is_left(isolation):
    with Pool(workers=2) as pool:
        list(pool.run([Program("python", "")]))
    for parent, _ in _parents():
        assert not list(parent.glob(f"rewardranker-{os.getpid()}-*"))
    assert Path("/proc/self/cgroup").exists()
