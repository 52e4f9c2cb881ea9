"""`LandlockSlot`: a slot for machines that refuse user namespaces; weaker, so only by explicit choice."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.execution.languages.language import node_modules
from rewardranker.execution.sandbox import landlock
from rewardranker.execution.sandbox.isolation import NODE_MODULES
from rewardranker.execution.slot import Slot

_PREFIX = "rewardranker-"


class LandlockSlot(Slot):
    """A fork server whose programs are confined by Landlock and seccomp.

    They run in a directory of their own: in /dev/shm if a cgroup limits what they can put there, else where
    temporary files go.

    Raises:
        UserError: there is no room for a directory, or (from `wait_until_ready`) programs can't be confined.
    """

    isolation = "landlock"
    _end_s = 20.0  # it may have a fork bomb to end

    def kill(self) -> None:
        """End the slot; `receive` will raise. Its guard does it, and ends what programs have started."""
        self._process.terminate()

    def close(self) -> None:
        """End the slot and every process in it, and remove its directory."""
        super().close()
        assert self._directory is not None
        shutil.rmtree(self._directory, ignore_errors=True)  # it is gone, unless the guard did not start

    def _visible(self) -> dict[str, str]:
        return {NODE_MODULES: str(node_modules())}  # nothing prebuilt: compilers that stay need namespaces

    def _make_directory(self) -> str:
        parents = [Path(tempfile.gettempdir())]
        if self._cgroup is not None:
            parents.insert(0, Path("/dev/shm"))
        for parent in parents:
            landlock.remove_abandoned(parent, _PREFIX)
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            return str(landlock.make_directory(parents, name, node_modules()))
        except OSError as e:
            if self._cgroup is not None:
                self._cgroup.close()
            raise UserError(f"no sandbox for untrusted programs: {e}") from e

    def _advice(self) -> str:
        return "What --isolation landlock needs stands in docs/how-to/execute.md, What keeps programs in."

    def _with_folders(self, part: str) -> str:
        return part.replace("{node_modules}", str(node_modules()))
