"""Plain data as one line of JSON and back: what a function is given and what it returns, between processes.

Lists, strings, numbers, booleans and None are themselves; the other types are an object with one name:
{"tuple": [...]}, {"set": [...]}, {"frozenset": [...]}, {"dict": [[key, value], ...]}, {"bytes": "hex"},
{"complex": [real, imaginary]}, and for integers that are too long for JSON's readers {"int": "hex"}.

The sandbox writes these lines in the candidate's process, so `decode` takes them for what they are: claims of
a program that may lie, which become data and never code.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_LONG_BITS = 4096  # Python reads no decimal numbers of more than 4,300 digits


def encode(value: object) -> str:
    """One line of JSON; a subclass (`Counter`, a named tuple) is written as the plain type it derives from.

    Raises:
        TypeError: there is something in `value` that is not plain data.
        RecursionError: it is nested too deeply, or holds itself.

    Example:
        >>> encode((1, {"a": {2.0}}))
        '{"tuple": [1, {"dict": [["a", {"set": [2.0]}]]}]}'
    """
    return json.dumps(_to_json(value))


def decode(line: str | bytes) -> Any:
    """The value that `encode` wrote.

    Raises:
        ValueError: this is no such line.

    Example:
        >>> decode(encode(([1, 2], None, b"x")))
        ([1, 2], None, b'x')
    """
    try:
        return _from_json(json.loads(line))
    except (TypeError, LookupError, RecursionError) as e:
        raise ValueError(f"not plain data ({type(e).__name__}: {e})") from e


class _Kind(NamedTuple):
    """A type that JSON lacks."""

    type: type
    to_json: Callable[[Any], object]
    from_json: Callable[[Any], object]


def _items(value: Iterable[Any]) -> list[object]:
    return [_to_json(v) for v in value]


_KINDS = {
    "tuple": _Kind(tuple, _items, lambda inner: tuple(map(_from_json, inner))),
    "set": _Kind(set, _items, lambda inner: set(map(_from_json, inner))),
    "frozenset": _Kind(frozenset, _items, lambda inner: frozenset(map(_from_json, inner))),
    "dict": _Kind(
        dict,
        lambda value: [[_to_json(k), _to_json(v)] for k, v in dict.items(value)],
        lambda inner: {_from_json(k): _from_json(v) for k, v in inner},
    ),
    "bytes": _Kind(bytes, bytes.hex, bytes.fromhex),
    "complex": _Kind(
        complex, lambda value: [value.real, value.imag], lambda inner: complex(inner[0], inner[1])
    ),
    "int": _Kind(int, hex, lambda inner: int(inner, 16)),
}


def _to_json(value: object) -> object:
    if value is None or isinstance(value, (str, float, bool)):
        return value
    if isinstance(value, int) and value.bit_length() < _LONG_BITS:
        return int(value)
    if isinstance(value, list):
        return _items(value)
    if isinstance(value, bytearray):
        value = bytes(value)
    for name, kind in _KINDS.items():
        if isinstance(value, kind.type):
            return {name: kind.to_json(value)}
    raise TypeError(f"{type(value).__name__} is no plain data")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((name, inner),) = value.items()
    return _KINDS[name].from_json(inner)
