"""What goes in comes out, subclasses as what they derive from; hostile lines are ValueErrors."""

import collections
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.problems.plain_data import decode, encode

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
plain = st.recursive(
    hashable | st.sets(hashable, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(hashable, inner, max_size=3)
    ),
    max_leaves=10,
)


def same(a, b) -> bool:
    return type(a) is type(b) and a == b and repr(a) == repr(b)


@given(plain)
def test_round_trip(value):
    line = encode(value)
    assert "\n" not in line
    decoded = decode(line)
    assert type(decoded) is type(value)
    assert decoded == value


def test_types_are_kept_apart():
    for value in (1, 1.0, True, "1", (1,), [1], {1}, frozenset({1}), {1: 1}, b"1", 1j, float("inf")):
        assert same(decode(encode(value)), value)
    assert decode(encode([10**5000, -(10**5000)])) == [10**5000, -(10**5000)]
    assert decode(encode(float("nan"))) != decode(encode(float("nan")))


def test_subclasses_are_written_as_what_they_derive_from():
    class Sly(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    point = collections.namedtuple("point", "x y")
    assert decode(encode([Sly(3), collections.Counter("aa"), point(1, 2)])) == [3, {"a": 2}, (1, 2)]
    assert type(decode(encode(Sly(3)))) is int
    assert decode(encode(bytearray(b"x"))) == b"x"


@pytest.mark.parametrize("value", [object(), print, [lambda: 1], {1: open}, range(3)])
def test_what_is_no_plain_data(value):
    with pytest.raises(TypeError, match="no plain data"):
        encode(value)


def test_a_list_that_holds_itself():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        encode(loop)


HOSTILE = [
    *("", "nonsense", '{"object": 1}', "{}", '{"set": [[]]}', '{"tuple": 1}', '{"dict": [1]}'),
    *('{"bytes": "x"}', '{"bytes": 1}', '{"int": "0xg"}', '{"complex": []}', '{"complex": ["a"]}'),
    *('{"a": 1, "b": 2}', '{"dict": [[[], 1]]}', "[" * 100_000, "9" * 10_000, '"\\ud8', b"\xff\xfe\xff"),
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_lines(line):
    with pytest.raises(ValueError):
        decode(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | st.sampled_from(["set", "dict", "int", "bytes", "complex"]), inner, max_size=2
        )
    ),
)


@given(json_values)
def test_any_json_is_data_or_a_value_error(value):
    with contextlib.suppress(ValueError):
        decode(json.dumps(value))
