import json
import subprocess
import sys
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.recipe import load_recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, checkpointed, environment, seed_for
from rewardranker.training.state import load_state, save_state


class Worker:
    """Writes one file; counts how often it was asked to."""

    def __init__(self, text: str = "x") -> None:
        self.text, self.calls = text, 0

    def __call__(self, folder: Path, cost: Cost, _: Checkpoint) -> None:
        self.calls += 1
        cost.tokens += 7
        cost.executions += 3
        (folder / "out.txt").write_text(self.text)


def fails(folder: Path, cost: Cost, _: Checkpoint) -> None:
    (folder / "out.txt").write_text("half")
    raise RuntimeError("killed in the middle")


def reopened(run: Run) -> Run:
    """The same directory as a later process would find it."""
    run._lock.close()
    return Run(run.directory)


def test_a_stage_is_done_only_when_its_folder_is_in_place(tmp_path: Path) -> None:
    run = Run(tmp_path)
    seen = []

    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        seen.append((folder, (tmp_path / "a").exists()))
        (folder / "out.txt").write_text("x")

    stage = run.stage("a", work, config=1)
    ((folder, was_there),) = seen
    assert folder != tmp_path / "a" and not was_there
    assert not folder.exists()
    assert stage.path == tmp_path / "a"
    assert {p.name for p in stage.path.iterdir()} == {"out.txt", "stage.json"}
    assert json.loads((stage.path / "stage.json").read_text())["key"] == stage.key


def test_what_failed_is_not_done_and_its_remains_are_cleaned(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(RuntimeError):
        run.stage("a", fails, config=1)
    (partial,) = (p for p in tmp_path.iterdir() if p.is_dir())
    (partial / "deep").mkdir()
    (partial / "deep/more.txt").write_text("left over")
    (tmp_path / ".metrics.json.abc.tmp").write_text("{")
    assert not (tmp_path / "a").exists()
    stage = reopened(run).stage("a", Worker(), config=1)
    assert {p.name for p in stage.path.iterdir()} == {"out.txt", "stage.json"}
    assert {p.name for p in tmp_path.iterdir()} == {".lock", "a"}


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    run, work = Run(tmp_path), Worker()
    first = run.stage("a", work, config={"n": 1})
    second = reopened(run).stage("a", work, config={"n": 1})
    assert work.calls == 1
    assert second == first
    assert second.cost == first.cost


def test_the_key_is_decided_by_name_config_and_inputs(tmp_path: Path) -> None:
    def key(name: str, config: object, inputs: list[Stage]) -> str:
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        return Run(directory).stage(name, Worker(), config=config, inputs=inputs).key

    one, other = (Stage("x", tmp_path, text, Cost()) for text in ("k1", "k2"))
    base = key("a", {"n": 1, "m": 2}, [one, other])
    assert key("a", {"m": 2, "n": 1}, [one, other]) == base
    assert key("a", {"m": 2, "n": 1}, [Stage("y", tmp_path / "y", "k1", Cost(9)), other]) == base
    assert (
        len({base, key("b", {"n": 1, "m": 2}, [one, other]), key("a", {"n": 2, "m": 2}, [one, other])}) == 3
    )
    assert key("a", {"n": 1, "m": 2}, [other, one]) != base
    assert key("a", {"n": 1, "m": 2}, [one]) != base


def test_stages_of_one_name_can_lie_side_by_side(tmp_path: Path) -> None:
    run, first, second = Run(tmp_path, side_by_side=True), Worker("1"), Worker("2")
    a = run.stage("a", first, config=1)
    b = run.stage("a", second, config=2)
    assert run.stage("a", first, config=1) == a != b and first.calls == 1
    assert [(s.path / "out.txt").read_text() for s in run.stages] == ["1", "2"]


def test_a_superseded_stage_is_kept_and_comes_back(tmp_path: Path) -> None:
    run, old, new = Run(tmp_path), Worker("old"), Worker("new")
    first = run.stage("a", old, config=1)
    run = reopened(run)
    second = run.stage("a", new, config=2)
    assert (second.path / "out.txt").read_text() == "new"
    assert (tmp_path / "superseded" / f"a-{first.key}" / "out.txt").read_text() == "old"
    for config, text in ((1, "old"), (2, "new"), (1, "old")):
        run = reopened(run)
        assert (run.stage("a", old, config=config).path / "out.txt").read_text() == text
        assert len(list((tmp_path / "superseded").iterdir())) == 1
    assert old.calls == new.calls == 1


def test_a_changed_stage_makes_new_ones_of_those_that_read_it(tmp_path: Path) -> None:
    run, work = Run(tmp_path), Worker()
    first = run.stage("b", work, config=0, inputs=[run.stage("a", work, config=1)])
    run = reopened(run)
    second = run.stage("b", work, config=0, inputs=[run.stage("a", work, config=2)])
    assert second.key != first.key
    assert work.calls == 4


def test_a_run_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    held = Run(tmp_path / "r")
    with pytest.raises(UserError, match="another process is working on this run"):
        Run(tmp_path / "r")
    code = f"from pathlib import Path; from rewardranker.run import Run; Run(Path({str(tmp_path / 'r')!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode == 1 and "another process" in other.stderr
    reopened(held)


def test_a_file_in_the_place_of_the_directory_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("")
    with pytest.raises(UserError, match="cannot be a run directory"):
        Run(tmp_path / "r")


def test_cost_is_added_up_whenever_a_stage_ran(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.stage("a", Worker(), config=1)
    run = reopened(run)
    a = run.stage("a", Worker(), config=1)
    b = run.stage("b", Worker(), config=1, inputs=[a])
    run.write_cost()
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert [row["stage"] for row in cost["stages"]] == ["a", "b"]
    assert cost["stages"][0] == {"stage": "a", **vars(a.cost)}
    assert cost["total"]["tokens"] == 14
    assert cost["total"]["executions"] == 6
    assert cost["total"]["wall_s"] == pytest.approx(a.cost.wall_s + b.cost.wall_s)
    assert cost["total"]["cpu_s"] >= 0


def test_cpu_seconds_include_finished_children(tmp_path: Path) -> None:
    def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
        spin = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", spin], check=True)

    assert Run(tmp_path).stage("a", work, config=1).cost.cpu_s >= 0.3


def test_every_purpose_has_a_seed_of_its_own() -> None:
    seeds = {seed_for(seed, purpose) for seed in range(20) for purpose in ("sft", "sample", "reward-1")}
    assert len(seeds) == 60
    assert seed_for(1, "sft") == seed_for(1, "sft")
    assert all(0 <= s < 2**32 for s in seeds)


def test_the_environment_is_written_down() -> None:
    found = environment(load_recipe("tiny", ("seed=5",)))
    assert found["seed"] == 5
    assert found["cores"] >= 1 and found["memory_gb"] > 0
    assert set(found["packages"]) >= {"rewardranker", "torch", "transformers"}
    assert json.loads(json.dumps(found)) == found


def test_a_killed_stage_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        state = load_state(checkpoint) or {"steps": 0}
        for step in range(state["steps"], 5):
            cost.tokens += 1
            checkpoint._last = float("-inf")  # it is time
            save_state(checkpoint, lambda done=step + 1: {"steps": done})
            if step == 2 and not state["steps"]:
                raise RuntimeError("killed in the middle")
        (folder / "steps.txt").write_text(f"{state['steps']}")

    run = Run(tmp_path)
    with pytest.raises(RuntimeError):
        run.stage("a", work, config=1)
    stage = reopened(run).stage("a", work, config=1)
    assert (stage.path / "steps.txt").read_text() == "3"
    assert stage.cost.tokens == 5
    assert list(tmp_path.glob(".*checkpoint")) == []


def test_a_checkpoint_of_another_config_is_not_used(tmp_path: Path) -> None:
    def killed(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        checkpoint._last = float("-inf")  # it is time
        save_state(checkpoint, lambda: {"steps": 1})
        raise RuntimeError("killed in the middle")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        assert load_state(checkpoint) is None

    run = Run(tmp_path)
    with pytest.raises(RuntimeError):
        run.stage("a", killed, config=1)
    reopened(run).stage("a", work, config=2)


def saved(checkpoint: Checkpoint) -> Checkpoint:
    checkpoint._last = float("-inf")  # it is time
    save_state(checkpoint, lambda: {"steps": 1})
    return checkpoint


def test_work_outside_a_run_goes_on_from_its_checkpoint(tmp_path: Path, capsys) -> None:
    out = tmp_path / "not" / "yet" / "sft[1]"
    with pytest.raises(RuntimeError), checkpointed(out, {"epochs": 1}) as checkpoint:
        saved(checkpoint)
        raise RuntimeError("killed in the middle")
    assert capsys.readouterr().err == ""
    with checkpointed(out, {"epochs": 1}) as checkpoint:
        assert load_state(checkpoint) == {"steps": 1}
    assert "goes on where it was stopped" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_work_outside_a_run_leaves_no_other_checkpoint_of_its_own(tmp_path: Path) -> None:
    def names() -> set[str]:
        return {p.name for p in tmp_path.iterdir()}

    with pytest.raises(RuntimeError), checkpointed(tmp_path / "sft", 1) as first:
        saved(first)
        (tmp_path / f".{first.path.name}.xyz.tmp").touch()  # of a process that was killed while it wrote
        raise RuntimeError("killed in the middle")
    for other in ("sft.old", "my.sft", "sft-2"):
        with checkpointed(tmp_path / other, 2) as checkpoint:
            assert load_state(checkpoint) is None
        assert names() == {first.path.name, f".{first.path.name}.xyz.tmp"}
    with checkpointed(tmp_path / "sft", 2) as checkpoint:
        assert load_state(checkpoint) is None
        assert names() == set()


def test_checkpoints_are_written_when_it_is_time(tmp_path: Path) -> None:
    often, seldom = (Checkpoint(tmp_path / f"{s}", Cost(), every_s=s) for s in (0.0, 1e9))
    for checkpoint in (often, seldom):
        save_state(checkpoint, lambda: {"x": 1})
    assert load_state(often) == {"x": 1}
    assert load_state(seldom) is None
