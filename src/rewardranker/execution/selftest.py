"""Prove, before anything untrusted runs, that a program in a slot reaches nothing outside."""

import json
import os
import tempfile

from rewardranker.errors import UserError
from rewardranker.execution.sandbox.request import FINISHED, Request
from rewardranker.execution.slot import Slot, SlotFailedError

_PROBE = """
import ctypes, json, os, socket
reached = []
def attempt(what, work):
    try:
        if work() is not False:
            reached.append(what)
    except OSError:
        pass
attempt("the network", lambda: socket.socket())
attempt("host files", lambda: open({canary!r}))
attempt("host files (/etc)", lambda: open("/etc/passwd"))
if {parent} not in (1, os.getpid()):
    attempt("the parent process", lambda: os.kill({parent}, 0))
own = {{"1", str(os.getpid())}}
attempt("other processes", lambda: any(p.isdigit() and p not in own for p in os.listdir("/proc")))
attempt("the fork server's memory", lambda: open("/proc/1/mem", "rb"))
attempt("a writable /usr", lambda: os.access("/usr", os.W_OK))
attempt("new namespaces", lambda: ctypes.CDLL(None).unshare(0x10000000) == 0)
attempt("environment variables", lambda: not set(os.environ) <= {{"HOME", "LANG", "LC_CTYPE", "PATH"}})
print(json.dumps(reached))
"""


def check_isolation(slot: Slot) -> None:
    """Run a program in `slot` that tries to get out.

    Raises:
        UserError: it reached something, so untrusted programs must not be run here.
    """
    with tempfile.NamedTemporaryFile() as canary:
        source = _PROBE.format(canary=canary.name, parent=os.getpid()).encode()
        request = Request([], [("program.py", len(source))], 0, timeout_s=10.0, memory_mb=512, environment={})
        slot.send(request, source)
        try:
            outcome = slot.receive()
        except SlotFailedError as e:
            raise UserError(f"the sandbox failed its self-test: {e}") from e
    if outcome.steps != FINISHED:
        raise UserError(f"the sandbox failed its self-test: {outcome.stderr.decode(errors='replace')[-500:]}")
    if reached := json.loads(outcome.stdout):
        raise UserError(
            f"the sandbox failed its self-test: a program in it reached {', '.join(reached)}. "
            "Untrusted programs are not run here; please report this with your kernel's version."
        )
