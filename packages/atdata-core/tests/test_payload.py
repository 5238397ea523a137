"""Samples as msgpack maps, with ``ormsgpack`` as the reference."""

import collections
import dataclasses
import datetime
import decimal
import enum
import random
import uuid
from typing import Any

import numpy as np
import ormsgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atdata.errors import SampleDecodeError, SampleTypeError
from atdata.shard.array import bytes_to_array
from atdata.shard.payload import bin_parts, map_head, pack_value, unpack_map


def there_and_back(value: Any) -> Any:
    return unpack_map(map_head(1) + pack_value("field") + pack_value(value))["field"]


def reference(value: Any) -> bytes:
    return ormsgpack.packb(value, option=ormsgpack.OPT_NON_STR_KEYS)


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts | st.integers(0, 1 << 63), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(values)
def test_values_of_every_msgpack_type_come_back(value: Any) -> None:
    assert pack_value(value) == reference(value)
    assert there_and_back(value) == value


@pytest.mark.parametrize("bits", [0, 4, 5, 7, 8, 15, 16, 31, 32, 53, 62, 63])
def test_integers_of_every_width_come_back(bits: int) -> None:
    for number in (1 << bits, (1 << bits) - 1, -(1 << bits), -(1 << bits) - 1, (1 << bits) + 1):
        if number >= -(1 << 63):
            found = there_and_back(number)
            assert (type(found), found) == (int, number)
    assert there_and_back((1 << 64) - 1) == (1 << 64) - 1


@pytest.mark.parametrize(
    "number", [1 << 64, -(1 << 63) - 1, 10**400, -(10**400)], ids=lambda n: f"{n.bit_length()}-bits"
)
def test_integers_over_64_bits_are_refused(number: int) -> None:
    for value in (number, [number], {"inner": number}):
        with pytest.raises(SampleTypeError, match="64-bit"):
            pack_value(value)


@pytest.mark.parametrize("number", [0.0, -0.0, 1e-320, 1.7976931348623157e308, float("inf"), float("-inf")])
def test_floats_keep_their_bits(number: float) -> None:
    assert np.float64(there_and_back(number)).tobytes() == np.float64(number).tobytes()


def test_nan_comes_back_as_nan() -> None:
    found = there_and_back(float("nan"))
    assert found != found


@pytest.mark.parametrize("plane", range(17))
def test_strings_of_every_plane_come_back(plane: int) -> None:
    text = "".join(chr((plane << 16) + place) for place in (1, 0x41, 0x4E2D, 0xD7FF, 0xE000, 0xF600, 0xFFFF))
    assert there_and_back(text) == text
    assert there_and_back({text: [text]}) == {text: [text]}


@settings(deadline=None)
@given(texts)
@example("\0")
@example("a\0b\n\r\x1f\x7f")
def test_strings_come_back(text: str) -> None:
    assert there_and_back(text) == text


@pytest.mark.parametrize("length", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_texts_bytes_lists_and_maps_of_every_length_class_come_back(length: int) -> None:
    for value in ("a" * length, b"a" * length, [0] * length, {str(n): n for n in range(length)}):
        assert pack_value(value) == reference(value)
        assert there_and_back(value) == value


@pytest.mark.parametrize("text", [chr(0xD800), chr(0xDFFF), "a\udc80b", "\ud83d\ude00"], ids=ascii)
def test_surrogates_are_refused(text: str) -> None:
    for value in (text, [text], {"field": text}, {text: 1}):
        with pytest.raises(SampleTypeError):
            pack_value(value)


# --------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "number",
    [
        np.bool_(True),
        np.bool_(False),
        *(kind(7) for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)),
        np.int64(-(1 << 63)),
        np.uint64((1 << 64) - 1),
        np.intp(3),
        np.longlong(3),
        np.float16(0.1),
        np.float32(0.1),
        np.float64(0.1),
        np.float32("inf"),
    ],
    ids=repr,
)
def test_numpy_numbers_become_plain_numbers_of_equal_value(number: np.generic) -> None:
    for found in (there_and_back(number), there_and_back([number])[0], there_and_back({"inner": number})["inner"]):
        assert (type(found), found) == (type(number.item()), number.item())


def test_numpy_text_becomes_plain_text() -> None:
    found = there_and_back(np.str_("日本"))
    assert (type(found), found) == (str, "日本")


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab"), memoryview(np.frombuffer(b"ab", np.uint8))])
def test_bytes_likes_become_bytes(value: Any) -> None:
    assert there_and_back(value) == b"ab"


def test_tuples_become_lists() -> None:
    assert there_and_back((1, (2, "x"))) == [1, [2, "x"]]


# --------------------------------------------------------------------------------------- what is refused


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    A = "a"


@dataclasses.dataclass
class Plain:
    number: int = 1


Pair = collections.namedtuple("Pair", "a b")

NOT_MSGPACK = [
    Plain(),
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    datetime.date(2020, 1, 1),
    datetime.time(1, 2),
    datetime.timedelta(1),
    uuid.UUID(int=7),
    decimal.Decimal("1.5"),
    Colour.RED,
    Level.LOW,
    Word.A,
    Pair(1, 2),
    {1, 2},
    frozenset(),
    range(3),
    collections.deque(),
    1j,
    object(),
    int,
    len,
    memoryview(b"abcd")[::2],
    ormsgpack.Ext(5, b"data"),
    np.zeros(2),
    np.zeros((), object),
    np.array(["a"]),
    np.complex64(1),
    np.datetime64("2020-01-01"),
    np.datetime64(5, "ns"),
    np.timedelta64(5, "s"),
    np.timedelta64(5, "ns"),
    np.void(b"ab"),
]
if np.dtype(np.longdouble).itemsize > 8:
    NOT_MSGPACK.append(np.longdouble(1) / 3)


@pytest.mark.parametrize("value", NOT_MSGPACK, ids=lambda value: type(value).__name__)
def test_values_that_would_come_back_as_another_type_are_refused(value: Any) -> None:
    for whole in (value, [1, value], {"inner": value}, [{"inner": [value]}]):
        with pytest.raises(SampleTypeError) as caught:
            pack_value(whole)
        assert str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        datetime.datetime(2020, 1, 1),
        datetime.date(2020, 1, 1),
        datetime.time(1),
        uuid.UUID(int=7),
        Colour.RED,
        Level.LOW,
    ],
    ids=repr,
)
def test_keys_that_would_come_back_as_another_type_are_refused(key: Any) -> None:
    with pytest.raises(SampleTypeError):
        pack_value({key: 1})
    with pytest.raises(SampleTypeError):
        pack_value([{"inner": {key: 1}}])


@pytest.mark.parametrize("key", [0, -1, 1.5, True, None, b"bytes", "text", (1, "a")], ids=repr)
def test_keys_of_inner_maps_may_be_of_any_msgpack_type(key: Any) -> None:
    assert there_and_back({key: "value"}) == {key: "value"}


def test_values_that_hold_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    ring: dict[str, Any] = {}
    ring["ring"] = [ring]
    for value in (loop, ring):
        with pytest.raises(SampleTypeError, match=r"[Rr]ecursi"):
            pack_value(value)


def test_whatever_depth_packs_also_unpacks() -> None:
    value: Any = 0
    for _ in range(5000):
        value = [value]
        try:
            pack_value(value)
        except SampleTypeError:
            break
        assert there_and_back(value) == value
    else:
        pytest.fail("no depth was refused")


def test_a_refused_value_is_named_by_its_type() -> None:
    with pytest.raises(SampleTypeError, match=r"numpy\.ndarray"):
        pack_value({"inner": np.zeros(2)})
    with pytest.raises(SampleTypeError, match="UUID"):
        pack_value([uuid.UUID(int=1)])


# ------------------------------------------------------------------------------------------- the pieces


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 65_535, 65_536])
def test_map_heads_are_those_of_ormsgpack(count: int) -> None:
    head = map_head(count)
    assert ormsgpack.packb({str(n): None for n in range(count)})[: len(head)] == head
    entries = b"".join(pack_value(str(n)) + b"\xc0" for n in range(count))
    assert len(unpack_map(head + entries)) == count


@pytest.mark.parametrize("total", [128, 255, 256, 65_535, 65_536, 70_000])
def test_arrays_are_bin_values_in_every_length_class(total: int) -> None:
    array = (np.arange(total - 128) % 256).astype(np.uint8)
    head, elements = bin_parts(array)
    stored = ormsgpack.unpackb(head + bytes(elements))
    assert len(stored) == total
    assert head + bytes(elements) == ormsgpack.packb(stored)
    assert (bytes_to_array(stored) == array).all()


# ------------------------------------------------------------------------------------------- unpacking


def unpacked(data: bytes) -> dict[str, Any] | None:
    try:
        found = unpack_map(data)
    except SampleDecodeError:
        return None
    assert type(found) is dict
    assert all(type(name) is str for name in found)
    return found


@settings(deadline=None)
@given(st.dictionaries(texts, values, max_size=6))
def test_maps_are_unpacked_as_ormsgpack_unpacks_them(value: dict[str, Any]) -> None:
    data = reference(value)
    assert unpack_map(data) == ormsgpack.unpackb(data, option=ormsgpack.OPT_NON_STR_KEYS) == value
    assert unpack_map(bytearray(data)) == unpack_map(memoryview(data)) == value


@settings(deadline=None)
@given(st.binary(max_size=100))
@example(b"")
@example(b"\xc1")
@example(b"\x81\xa1a\xc1")
def test_garbage_is_refused_or_is_a_map(data: bytes) -> None:
    found = unpacked(data)
    assert found is None or len(found) <= len(data)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage_behind_a_map_head_is_refused_or_is_a_map(data: bytes) -> None:
    found = unpacked(b"\x81\xa1a" + data)
    assert found is None or list(found) == ["a"]


EVERYTHING = {
    "array": b"\x93NUMPY" + bytes(300),
    "float": 1.5,
    "ints": [0, -1, 127, 128, 1 << 20, 1 << 40, -(1 << 40)],
    "text": "日本語",
    "long": "x" * 70_000,
    "map": {"a": [None, True, False], 5: {}},
}


def test_maps_truncated_anywhere_are_refused() -> None:
    data = pack_value({**EVERYTHING, "long": "x" * 40})
    for length in range(len(data)):
        with pytest.raises(SampleDecodeError):
            unpack_map(data[:length])


def test_damaged_maps_are_refused_or_are_maps() -> None:
    rng = random.Random(1)
    good = pack_value({**EVERYTHING, "long": "x" * 40})
    outcomes = collections.Counter()
    for _ in range(3000):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice([rng.randrange(256), 0xC1, 0xDD, 0xDF, 0xC6, 0xDB, 0xC9])
        outcomes[unpacked(bytes(damaged)) is None] += 1
    assert min(outcomes[True], outcomes[False]) > 100


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.5, "text", b"bytes", [], [1, 2], [["a", 1]], {1: 2}, {None: 1}, {"a": 1, 2: 3}, {b"a": 1}],
)
def test_what_is_no_map_with_text_keys_is_refused(value: Any) -> None:
    with pytest.raises(SampleDecodeError, match="map"):
        unpack_map(reference(value))


@pytest.mark.parametrize(
    "inner",
    [
        b"\xd4\x05x",
        b"\xc7\x00\x05",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\x81\x80\x01",
        b"\x81\x91\x80\x01",
        b"\xa2\xff\xfe",
        b"\xa3\xed\xa0\x80",
        b"\xc1",
    ],
    ids=["ext", "empty-ext", "timestamp", "map-as-key", "map-in-a-key", "not-utf-8", "surrogate", "reserved"],
)
def test_values_that_have_no_python_form_are_refused(inner: bytes) -> None:
    with pytest.raises(SampleDecodeError):
        unpack_map(b"\x81\xa1a" + inner)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=bytes.hex)
def test_lengths_that_the_data_do_not_have_are_refused(head: bytes) -> None:
    for nested in (1, 100):
        with pytest.raises(SampleDecodeError):
            unpack_map(b"\x81\xa1a" + (head + b"\xff\xff\xff\xff") * nested)


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\x81"], ids=["lists", "maps", "keys"])
def test_deep_nesting_is_refused(head: bytes) -> None:
    with pytest.raises(SampleDecodeError):
        unpack_map(b"\x81\xa1a" + head * 200_000 + b"\xc0")
