"""The run directory: stages in folders, done when renamed into place, found by the hash of what made them."""

import dataclasses
import fcntl
import glob
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewardranker import memory, progress
from rewardranker.errors import UserError
from rewardranker.files import atomic_directory, atomic_path, write_json
from rewardranker.recipe import Recipe

_SHARE = 50
"""A checkpoint takes at most about this part of the time."""
_FORMAT = 2
"""Part of every stage's key: raise it when what a stage writes changes its meaning."""


@dataclass
class Cost:
    """What a stage spent. Seconds are measured by its `Checkpoint`; the stage itself counts the rest."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of this process and of its finished children."""
    tokens: int = 0
    """Tokens sampled, scored or trained on (once an epoch)."""
    executions: int = 0
    """Programs whose verdict was asked for; identical ones are run once."""


@dataclass(frozen=True)
class Stage:
    """A finished stage."""

    name: str
    path: Path
    key: str
    cost: Cost = field(compare=False)


class Checkpoint:
    """What an unfinished stage needs to go on where it was: a file beside the stages, written now and then.

    `rewardranker.training.state` writes and reads it.

    Args:
        path: the file; it need not exist.
        cost: what the stage has spent, which goes on with it.
        every_s: least seconds between two writes; more where a write takes longer than a fiftieth of that.
    """

    def __init__(self, path: Path, cost: Cost, every_s: float = 5.0) -> None:
        self.path, self._cost, self._every_s = path, cost, every_s
        self._last = self._start = time.monotonic()
        self._start_cpu = _cpu_seconds()

    def is_due(self) -> bool:
        """Whether it is time to write it."""
        return time.monotonic() - self._last >= self._every_s

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A path that becomes the checkpoint when the block ends."""
        start = time.monotonic()
        with atomic_path(self.path) as temporary:
            yield temporary
        self._last = time.monotonic()
        self._every_s = max(self._every_s, _SHARE * (self._last - start))

    def go_on_from(self, cost: dict[str, float]) -> None:
        """Say that the work goes on; add what had been spent when the checkpoint was written to its cost."""
        for name, spent in cost.items():
            setattr(self._cost, name, getattr(self._cost, name) + spent)
        progress.console.print(f"  goes on where it was stopped, after {cost['wall_s']:.0f} s")

    def spent(self) -> Cost:
        """The stage's cost up to now."""
        return dataclasses.replace(
            self._cost,
            wall_s=self._cost.wall_s + time.monotonic() - self._start,
            cpu_s=self._cost.cpu_s + _cpu_seconds() - self._start_cpu,
        )

    def remove(self) -> None:
        """Remove the file: the stage is done."""
        self.path.unlink(missing_ok=True)


class InUseError(UserError):
    """Another process is working on the run directory."""


class Run:
    """A run directory, held by one process at a time.

    A stage is its folder: `<name>/` with `stage.json` (key, cost) and whatever the stage wrote. Its key is
    the hash of its name, its config and its inputs' keys. A stage whose folder is there under the same key is
    not run again; one under another key is moved to `superseded/`, and back when a later recipe asks for it
    again.

    Args:
        directory: made if it isn't there.
        side_by_side: stages of one name lie beside each other, in `<name>-<key>/`: for studies, whose arms
            are variants of one run and share most of it.
    """

    def __init__(self, directory: Path, *, side_by_side: bool = False) -> None:
        self.directory, self._side_by_side = directory, side_by_side
        self.stages: list[Stage] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = (directory / ".lock").open("w")
        except OSError as e:
            raise UserError(f"{directory}: cannot be a run directory ({e.strerror}); choose --dir") from e
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise InUseError(
                f"{directory}: another process is working on this run; wait for it or choose --dir"
            ) from e
        for left_over in directory.glob(".*.tmp"):  # of a killed process that was writing a file
            left_over.unlink()

    def stage(
        self,
        name: str,
        work: Callable[[Path, Cost, Checkpoint], None],
        *,
        config: Any,
        inputs: Sequence[Stage] = (),
    ) -> Stage:
        """Return the finished stage `name`, running `work(folder, cost, checkpoint)` if it isn't there.

        Args:
            name: the folder's name.
            work: writes the stage's artifacts into the folder it gets, counts into `cost`, and if it is
                long leaves in `checkpoint` what it needs to go on after it was killed.
            config: everything, JSON-able, that decides the outcome beside `inputs`.
            inputs: the stages whose artifacts `work` reads.
        """
        key = _key(name, config, inputs)
        if self._side_by_side:
            path = self.directory / f"{name}-{key}"
        else:
            path = self.directory / name
            self._put_in_place(path, key)
        if path.is_dir():
            finished = json.loads((path / "stage.json").read_text())
            stage = Stage(name, path, key, Cost(**finished["cost"]))
            if not self._side_by_side:  # where most stages are asked for again and again
                progress.console.print(
                    f"[green]✓[/] {name}  [dim]already done ({stage.cost.wall_s:.0f} s)[/]"
                )
        else:
            checkpoint = _checkpoint(path, key, cost := Cost())
            with progress.stage(name), atomic_directory(path) as folder:
                work(folder, cost, checkpoint)
                cost = checkpoint.spent()
                write_json(folder / "stage.json", {"key": key, "cost": vars(cost)})
            checkpoint.remove()
            memory.give_back()
            stage = Stage(name, path, key, cost)
            progress.console.print(f"[green]✓[/] {name}  [dim]{cost.wall_s:.0f} s[/]")
        if stage not in self.stages:
            self.stages.append(stage)
        return stage

    def close(self) -> None:
        """Let other processes work on the directory."""
        self._lock.close()

    def write_cost(self) -> Cost:
        """Write cost.json: what each stage spent, whenever it ran, and the total, which is returned."""
        rows = [{"stage": s.name, **vars(s.cost)} for s in self.stages]
        total = {name: sum(vars(s.cost)[name] for s in self.stages) for name in vars(Cost())}
        write_json(self.directory / "cost.json", {"stages": rows, "total": total})
        return Cost(**total)

    def _put_in_place(self, path: Path, key: str) -> None:
        """Leave at `path` the stage made under `key`, or nothing."""
        found = _key_of(path)
        if found == key:
            return
        superseded = self.directory / "superseded"
        if path.exists():
            superseded.mkdir(exist_ok=True)
            path.rename(superseded / f"{path.name}-{found or 'unknown'}")
        if (earlier := superseded / f"{path.name}-{key}").is_dir():
            earlier.rename(path)


@contextmanager
def checkpointed(out: Path, config: Any) -> Iterator[Checkpoint]:
    """A checkpoint for work that is no stage of a run: a file beside `out`, removed when the block has ended.

    Args:
        out: what the block writes.
        config: everything, JSON-able, that decides the outcome. A checkpoint that was made under another is
            removed.

    Example:
        >>> with checkpointed(Path("sft"), [settings, seed, examples]) as checkpoint:  # doctest: +SKIP
        ...     history = train_sft(generator, examples, settings, seed=seed, checkpoint=checkpoint)
        ...     generator.save(Path("sft"))
    """
    checkpoint = _checkpoint(out, _key(out.name, config, []), Cost())
    yield checkpoint
    checkpoint.remove()


def environment(recipe: Recipe) -> dict[str, Any]:
    """What the run ran on: versions, hardware, seed."""
    packages = ("rewardranker", "torch", "transformers", "tokenizers", "numpy", "pyarrow")
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "seed": recipe.seed,
    }


def seed_for(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that adding one stage changes no other."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


def _key(name: str, config: Any, inputs: Sequence[Stage]) -> str:
    content = json.dumps([_FORMAT, name, config, [s.key for s in inputs]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _key_of(path: Path) -> str | None:
    try:
        key: str = json.loads((path / "stage.json").read_text())["key"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    return key


def _checkpoint(out: Path, key: str, cost: Cost) -> Checkpoint:
    """That of what `out` will be under `key`; those under other keys and half-written ones are removed."""
    path = out.with_name(f".{out.name}.{key}.checkpoint")
    a_key = "[0-9a-f]" * len(key)  # and no more: the name of another `out` may begin with this one's
    any_key = f".{glob.escape(out.name)}.{a_key}.checkpoint"
    for other in (*out.parent.glob(any_key), *out.parent.glob(f".{any_key}.*.tmp")):
        if other != path:
            other.unlink()
    return Checkpoint(path, cost)


def _cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def processor() -> str:
    """The model name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
