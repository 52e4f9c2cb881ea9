"""What clients of servers do about errors: which requests to send again, when, and how to tell of them."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

_SHOWN = 200
"""Characters of a server's answer in a message."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0


def may_pass(response: httpx.Response) -> bool:
    """Whether an error may be gone the next time: 429 and 5xx."""
    return response.status_code == 429 or response.status_code >= 500


def pause_s(attempt: int, response: httpx.Response | None) -> float | None:
    """Seconds before the next try: what the server asks for, else growing ones; None: it asks for too many.

    Args:
        attempt: which has failed, from 1.
        response: that said so; None: there was none.
    """
    asked = None if response is None else _retry_after(response)
    if asked is not None:
        return asked if asked <= _LONGEST_WAIT_S else None
    return random.uniform(0.5, 1) * min(_FIRST_WAIT_S * 2.0 ** (attempt - 1), _LONGEST_WAIT_S)


def excerpt(response: httpx.Response, key: str) -> str:
    """Status and beginning of an answer, without `key`."""
    text = response.text.replace(key, "***") if key else response.text
    shown = f"{text[:_SHOWN]}..." if len(text) > _SHOWN else text
    return f"status {response.status_code}: {shown}"


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait; None: it doesn't say."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
