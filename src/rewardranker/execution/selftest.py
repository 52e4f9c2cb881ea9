"""Prove, before anything untrusted runs, that a program in a sandbox reaches nothing outside."""

import json
import os
import socket
import tempfile
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.execution.backends import BUILT_IN, Sandbox
from rewardranker.execution.sandbox.request import FINISHED, Request
from rewardranker.execution.slot import SlotFailedError

_PROBE = """
import json, os, socket
reached = []
def attempt(what, work):
    try:
        if work() is not False:
            reached.append(what)
    except OSError:
        pass
attempt("host files", lambda: open({canary!r}))
attempt("host files", lambda: open({canary!r}, "r+b"))
"""
_REMOTE_PROBE = """
attempt("the network", lambda: socket.create_connection(("127.0.0.1", {port}), 1))
"""
# What another machine may well have, but programs that are shut in on this one must not reach.
_LOCAL_PROBE = """
import ctypes
attempt("the network", lambda: socket.socket())
attempt("host files (/etc)", lambda: open("/etc/passwd"))
if {parent} not in (1, os.getpid()):
    attempt("the parent process", lambda: os.kill({parent}, 0))
own = {{"1", str(os.getpid())}}
attempt("other processes", lambda: any(p.isdigit() and p not in own for p in os.listdir("/proc")))
server = os.getppid()
attempt("the fork server", lambda: server != 1 and os.kill(server, 0))
attempt("the fork server's memory", lambda: open(f"/proc/{{server}}/mem", "rb"))
attempt("a writable /usr", lambda: os.access("/usr", os.W_OK))
attempt("new namespaces", lambda: ctypes.CDLL(None).unshare(0x10000000) == 0)
known = {{"HOME", "LANG", "LC_CTYPE", "PATH", "TMPDIR"}}
attempt("environment variables", lambda: not set(os.environ) <= known)
attempt("", lambda: bool(os.chmod({canary!r}, 0o777)))  # tells from outside
attempt("", lambda: bool(os.truncate({canary!r}, 0)))
attempt("", lambda: bool(os.utime({canary!r}, (0, 0))))
"""


def check_isolation(sandbox: Sandbox) -> None:
    """Run a program in `sandbox` that tries to get out.

    Of a sandbox that does not come with the package, only this machine's network and files are checked.

    Raises:
        UserError: it reached something, so untrusted programs must not be run here.
    """
    probe = (
        _PROBE
        + (_LOCAL_PROBE if sandbox.isolation in BUILT_IN else _REMOTE_PROBE)
        + "print(json.dumps(reached))\n"
    )
    with tempfile.NamedTemporaryFile() as canary, socket.create_server(("127.0.0.1", 0)) as listener:
        canary.write(b"canary")
        canary.flush()
        before = Path(canary.name).stat()
        port = listener.getsockname()[1]
        source = probe.format(canary=canary.name, parent=os.getpid(), port=port).encode()
        request = Request([], [("program.py", len(source))], 0, timeout_s=10.0, memory_mb=512, environment={})
        sandbox.send(request, source)
        try:
            outcome = sandbox.receive()
        except SlotFailedError as e:
            raise UserError(f"the sandbox failed its self-test: {e}") from e
        is_changed = Path(canary.name).stat() != before
    if outcome.steps != FINISHED:
        raise UserError(f"the sandbox failed its self-test: {outcome.stderr.decode(errors='replace')[-500:]}")
    reached = json.loads(outcome.stdout)
    if is_changed:
        reached.append("the attributes of host files")
    if reached:
        raise UserError(
            f"the sandbox failed its self-test: a program in it reached {', '.join(dict.fromkeys(reached))}. "
            "Untrusted programs are not run here; please report this with your kernel's version."
        )
