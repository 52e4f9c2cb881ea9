"""Kinds of isolation: what every sandbox can do, and the one that a user chose by name."""

import importlib
import re
from collections.abc import Callable
from typing import Protocol

from rewardranker.errors import UserError
from rewardranker.execution.landlock_slot import LandlockSlot
from rewardranker.execution.sandbox.request import Request
from rewardranker.execution.slot import Outcome, Slot

NAMESPACES = "namespaces"
"""The default, and the strongest that needs nothing but this machine."""

BUILT_IN: dict[str, Callable[[], "Sandbox"]] = {NAMESPACES: Slot, LandlockSlot.isolation: LandlockSlot}
"""Kinds that come with the package, by name."""
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Sandbox(Protocol):
    """Runs one process after the other, each shut in: what `Slot` does, here or on another machine.

    A pool starts several, each by one call of the factory that the user chose, waits until each is ready and
    then uses each from one thread. `send` starts a process; when `fileno` is readable, `receive` tells what
    came of it. Requests say by `goes_on` and `keeps` which of them share a working directory; between all
    others nothing may stay behind. What a request and an outcome mean stands in `sandbox.request` and
    `slot.Outcome`.
    """

    @property
    def isolation(self) -> str:
        """Name of the kind, as verdicts are marked with it."""
        ...

    @property
    def is_worn(self) -> bool:
        """Whether it can take no other request; the pool then closes it and starts another."""
        ...

    def fileno(self) -> int:
        """Descriptor that gets readable when an outcome is there, or when the sandbox has died."""
        ...

    def wait_until_ready(self) -> None:
        """Wait until requests can be sent.

        Raises:
            UserError: it can't be used; the message says what to do.
        """
        ...

    def send(self, request: Request, body: bytes) -> None:
        """Start a process; `body` is the content of its files and its input. Failures are told by `receive`.

        In the request's command, "{node_modules}" stands for the folder of the npm packages.
        """
        ...

    def receive(self) -> Outcome:
        """The outcome of the request that was sent; waits for it.

        Raises:
            SlotFailedError: there is none, and the program must run again in another sandbox.
        """
        ...

    def is_alive(self) -> bool:
        """Whether it can still be used."""
        ...

    def kill(self) -> None:
        """End it at once, because it hangs; `receive` will raise."""
        ...

    def close(self) -> None:
        """End it and every process in it."""
        ...


def find_backend(isolation: str) -> Callable[[], Sandbox]:
    """What starts a sandbox of the kind called `isolation`.

    Args:
        isolation: "namespaces", "landlock", or "package.module:factory" for one's own: the factory takes no
            arguments and returns a `Sandbox`.

    Raises:
        UserError: there is no such kind; the message names those there are.

    Example:
        >>> find_backend("namespaces")().isolation
        'namespaces'
    """
    if isolation in BUILT_IN:
        return BUILT_IN[isolation]
    if not _PLACE.fullmatch(isolation):
        known = ", ".join(BUILT_IN)
        raise UserError(f"isolation {isolation!r} is unknown; known: {known}, package.module:factory")
    module_name, _, name = isolation.partition(":")
    try:
        factory: Callable[[], Sandbox] = getattr(importlib.import_module(module_name), name)
    except ImportError as e:
        raise UserError(f"isolation {isolation}: {e}; is its folder on PYTHONPATH?") from e
    except AttributeError as e:
        raise UserError(f"isolation {isolation}: module {module_name} has no {name}") from e
    if not callable(factory):
        raise UserError(f"isolation {isolation}: {name} is not a function that returns a sandbox")
    return factory
