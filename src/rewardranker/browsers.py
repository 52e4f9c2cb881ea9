"""Which requests web pages of others make: what a server on this machine has in place of a password."""

import re
from collections.abc import Collection

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(:\d+)?")

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""How a server is called that listens on this machine alone."""


def from_elsewhere(
    host: str | None, origin: str | None, fetch_site: str | None, names: Collection[str] = ()
) -> bool:
    """Whether a page of another site sent a request, by its headers Host, Origin and Sec-Fetch-Site.

    Such a page can have its own name point at this machine (DNS rebinding): then Host is not one of `names`.
    Or it asks this address, which the other two tell. Programs that are no browsers send neither of them.

    Args:
        host: None: there is no such header; likewise of the others.
        origin: see `host`.
        fetch_site: see `host`.
        names: by which the server is called, in lower case and without a port, which a tunnel may change;
            IPv6 in brackets. None given: any.
    """
    host = (host or "").lower()
    name = _HOST.fullmatch(host)
    if names and (name is None or name[1] not in names):
        return True
    if origin is not None and origin.lower().partition("://")[2] != host:
        return True
    return fetch_site not in (None, "same-origin", "none")
