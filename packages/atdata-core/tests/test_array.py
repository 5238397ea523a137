"""Arrays as bytes: ``.npy`` both ways and the compact form on reading, with NumPy as the reference."""

import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atdata.errors import SampleDecodeError, SampleTypeError
from atdata.shard.array import array_parts, array_to_bytes, bytes_to_array, read_layout

MAGIC = b"\x93NUMPY"


def npy(descr: object, shape: object, data: bytes = b"", *, order: object = False, version: int = 2) -> bytes:
    """``.npy`` bytes with a header of whatever is given; text goes in as it is."""
    descr, order, shape = (item if isinstance(item, str) else repr(item) for item in (descr, order, shape))
    return npy_header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n", version) + data


def npy_header(text: str | bytes, version: int = 2) -> bytes:
    encoded = text if isinstance(text, bytes) else text.encode("utf-8" if version == 3 else "latin-1")
    return MAGIC + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(encoded)) + encoded


def compact(dtype: bytes, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """The compact form, as the docstring of ``atdata.shard.array`` has it."""
    return bytes((len(dtype),)) + dtype + bytes((len(shape),)) + struct.pack(f"<{len(shape)}q", *shape) + data


def numpy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy tells when a dtype needs version 3
        np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert type(found) is np.ndarray
    assert found.dtype == expected.dtype
    assert found.dtype.str == expected.dtype.str
    assert found.shape == expected.shape
    assert _values(found) == _values(expected)


def _values(array: np.ndarray) -> object:
    """What decides equality: bytes, NaN payloads included, but not the padding between fields."""
    if array.dtype.names is None:
        return array.tobytes()
    return [_values(np.ascontiguousarray(array[name])) for name in array.dtype.names]


def assert_own(array: np.ndarray) -> None:
    assert array.flags.writeable
    assert array.flags.owndata
    assert array.base is None


# ----------------------------------------------------------------------------------------- round trips

SCALARS = sorted({np.dtype(kind).str for kind in np.sctypeDict.values() if not np.dtype(kind).hasobject} - {"|V0"})
UNITS = ["", "[Y]", "[M]", "[W]", "[D]", "[h]", "[m]", "[s]", "[ms]", "[us]", "[ns]", "[ps]", "[fs]", "[as]", "[25s]"]
DTYPES: list[Any] = [
    *(name.replace("|", order).replace("<", order) if order == ">" else name for name in SCALARS for order in "<>"),
    *(order + kind + "8" + unit for kind in "mM" for unit in UNITS for order in "<>"),
    *("<U1", ">U7", "|S1", "|S300", "|V1", "|V17"),
    [("a", "<i4")],
    [("a", ">f8"), ("b", "|S3"), ("c", "<U2", (2, 3))],
    [("outer", [("inner", [("a", "<f2", (3,)), ("b", "?")]), ("t", "<M8[ns]")]), ("z", ">c16")],
    [(("a title", "name"), "<i4")],
    [("é", "<i4"), ("日本語 'quoted' \"twice\"\n", "<i4"), ("😀", "|b1")],
    [("empty", "<U0"), ("void", "|V0"), ("x", "|u1")],
    np.dtype({"names": ["a", "b"], "formats": ["<i2", "<f8"], "offsets": [1, 8], "itemsize": 32}),
    np.dtype([("a", "|i1"), ("b", "<f8"), ("c", "|i1")], align=True),
    np.dtype((np.record, [("a", "<i4"), ("b", "<f4")])),
    [(f"field_{n}", "<f4") for n in range(300)],
    [(f"field_{n}", "<f4") for n in range(2500)],
]


SHAPES: list[tuple[int, ...]] = [(), (0,), (5,), (2, 3), (4, 0, 2), (1, 1, 1, 1)]


def filled(dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array of that dtype with something in it."""
    array = np.zeros(shape, dtype)
    if array.dtype.kind in "USb":
        array[...] = "ab" if array.dtype.kind in "US" else True
    elif array.dtype.names is None and array.nbytes:
        array.reshape(-1).view(np.uint8)[:] = np.arange(array.nbytes) % 251
    return array


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[:40])
def test_every_fixed_dtype_comes_back(dtype: Any) -> None:
    for shape in SHAPES:
        array = filled(dtype, shape)
        found = bytes_to_array(array_to_bytes(array))
        assert_same(found, array)
        assert_own(found)


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
scalar_dtypes = hnp.scalar_dtypes() | hnp.datetime64_dtypes() | hnp.timedelta64_dtypes()
fixed_dtypes = (
    scalar_dtypes
    | hnp.byte_string_dtypes(max_len=9)
    | hnp.unicode_string_dtypes(max_len=9)
    | hnp.nested_dtypes(subtype_strategy=scalar_dtypes, max_leaves=6, max_itemsize=200)
    | hnp.array_dtypes(subtype_strategy=scalar_dtypes)
).filter(lambda dtype: dtype.subdtype is None and dtype.itemsize)


def _strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "transposed": lambda array: np.ascontiguousarray(array).T,
    "reversed": lambda array: array[tuple(slice(None, None, -1) for _ in array.shape)],
    "strided": _strided,
    "swapped": lambda array: np.moveaxis(array, 0, -1) if array.ndim > 2 else array,
    "broadcast": lambda array: np.broadcast_to(array, (3, *array.shape)),
    "subclass": lambda array: array.view(type("Sub", (np.ndarray,), {})),
}


@settings(deadline=None)
@given(hnp.arrays(fixed_dtypes, shapes), st.sampled_from([*LAYOUTS]))
def test_arrays_of_any_dtype_and_memory_layout_come_back(base: np.ndarray, layout: str) -> None:
    array = LAYOUTS[layout](base)
    data = array_to_bytes(array)
    found = bytes_to_array(data)
    assert_same(found, np.asarray(array))
    assert_own(found)
    assert not np.shares_memory(found, base)
    assert_same(found, np.load(io.BytesIO(data), allow_pickle=False))


@pytest.mark.parametrize("dtype", ["<f4", ">i8", "<U3", "<M8[ns]", "|V24", [("a", "<f4"), ("b", "|u1")]], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_arrays_come_back_from_every_memory_layout(dtype: Any, layout: str) -> None:
    array = LAYOUTS[layout](filled(dtype, (17, 3, 101)))
    found = bytes_to_array(array_to_bytes(array))
    assert_same(found, np.asarray(array))
    assert_own(found)


def test_fortran_order_is_kept() -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3))
    found = bytes_to_array(array_to_bytes(array))
    assert found.flags.f_contiguous
    assert not found.flags.c_contiguous
    assert bytes_to_array(array_to_bytes(array[:, ::2])).flags.c_contiguous


@pytest.mark.parametrize("order", ["C", "F"])
def test_elements_of_large_contiguous_arrays_are_not_copied(order: Any) -> None:
    array = np.asarray(np.arange(5000, dtype=np.float64).reshape(50, 100), order=order)
    array.flags.writeable = False
    _, elements = array_parts(array)
    assert np.shares_memory(np.frombuffer(elements, np.uint8), array)
    assert bytes(elements) == array.tobytes(order)


@pytest.mark.parametrize(
    "scalar",
    [np.float32(1.5), np.bool_(True), np.str_("abc"), np.bytes_(b"x\0y"), np.datetime64(3, "ns"), np.void(b"xyz")],
    ids=repr,
)
def test_scalars_become_arrays_of_no_dimension(scalar: np.generic) -> None:
    found = bytes_to_array(array_to_bytes(scalar))
    assert_same(found, np.asarray(scalar))


@settings(deadline=None)
@given(hnp.arrays(np.float64, shapes, elements=st.floats(allow_nan=True)))
def test_nan_payloads_infinities_and_negative_zeros_keep_their_bits(array: np.ndarray) -> None:
    assert bytes_to_array(array_to_bytes(array)).tobytes() == array.tobytes()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_text_of_all_planes_comes_back(texts: list[str]) -> None:
    array = np.array(texts)
    assert_same(bytes_to_array(array_to_bytes(array)), array)


def test_bytes_come_as_bytes_bytearray_or_memoryview() -> None:
    array = np.arange(4, dtype="<u2")
    data = array_to_bytes(array)
    for buffer in (data, bytearray(data), memoryview(data), memoryview(b"xx" + data)[2:]):
        assert_same(bytes_to_array(buffer), array)


def test_the_result_does_not_change_with_the_buffer_it_came_from() -> None:
    buffer = bytearray(array_to_bytes(np.arange(4, dtype="<u2")))
    found = bytes_to_array(buffer)
    buffer[-8:] = bytes(8)
    assert found.tolist() == [0, 1, 2, 3]


# --------------------------------------------------------------------------------- what NumPy has written


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES[::7], ids=lambda dtype: str(dtype)[:40])
def test_npy_files_of_every_version_are_read(dtype: Any, version: tuple[int, int]) -> None:
    array = filled(dtype, (3, 2))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version, allow_pickle=False)
    assert_same(bytes_to_array(buffer.getvalue()), array)


@settings(deadline=None)
@given(hnp.arrays(fixed_dtypes, shapes))
def test_what_numpy_saves_is_read_as_numpy_loads_it(array: np.ndarray) -> None:
    data = numpy_bytes(array)
    assert_same(bytes_to_array(data), np.load(io.BytesIO(data), allow_pickle=False))


# ------------------------------------------------------------------------------------ the compact form


def compact_dtype(array: np.ndarray) -> bytes:
    return array.dtype.str.encode()


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if isinstance(dtype, str)])
def test_compact_arrays_of_every_dtype_are_read(dtype: str) -> None:
    for shape in SHAPES:
        array = filled(dtype, shape)
        found = bytes_to_array(compact(compact_dtype(array), shape, array.tobytes()))
        assert_same(found, array)
        assert_own(found)


@settings(deadline=None)
@given(hnp.arrays(scalar_dtypes | hnp.byte_string_dtypes(max_len=9) | hnp.unicode_string_dtypes(max_len=9), shapes))
def test_compact_arrays_come_back(array: np.ndarray) -> None:
    found = bytes_to_array(compact(compact_dtype(array), array.shape, array.tobytes()))
    assert_same(found, array)
    assert_own(found)


def test_compact_records_come_back_as_void_of_their_size() -> None:
    array = np.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")])
    found = bytes_to_array(compact(compact_dtype(array), (1,), array.tobytes()))
    assert found.dtype == np.dtype("V12")
    assert found.view(array.dtype).tolist() == array.tolist()


def test_compact_arrays_of_many_dimensions_are_read() -> None:
    shape = (1,) * np.empty((1,) * 32).ndim
    assert bytes_to_array(compact(b"<f4", shape, bytes(4))).shape == shape


# -------------------------------------------------------------------------------------- what is refused

OBJECT_DTYPES: list[Any] = [object, [("a", "<i4"), ("b", object)], [("a", [("b", object)])], [("a", object, (2,))]]


@pytest.mark.parametrize("shape", [(), (0,), (2,)], ids=str)
@pytest.mark.parametrize("dtype", OBJECT_DTYPES, ids=str)
def test_arrays_of_objects_are_not_stored(dtype: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(SampleTypeError, match="objects"):
        array_to_bytes(np.zeros(shape, dtype))


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no StringDType")
def test_arrays_of_variable_width_text_are_not_stored() -> None:
    with pytest.raises(SampleTypeError, match="astype"):
        array_to_bytes(np.array(["a", "bc"], np.dtypes.StringDType()))


@pytest.mark.parametrize("array", [np.ma.masked_array([1, 2], [True, False]), np.ma.masked_array([1]), np.ma.masked])
def test_masked_arrays_are_not_stored(array: np.ndarray) -> None:
    with pytest.raises(SampleTypeError, match="mask"):
        array_to_bytes(array)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i4"], "offsets": [4, 0]}),
        np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i4"], "offsets": [0, 2]}),
        np.dtype(("<i4", [("low", "<u2"), ("high", "<u2")])),
        np.dtype([((object(), "a"), "<i4")]),
        [(f"field_{n}", "<f4") for n in range(5000)],
        np.dtype("V0"),
        [],
    ],
    ids=["out-of-order", "overlapping", "view", "odd-title", "endless", "void-of-no-size", "no-fields"],
)
def test_dtypes_that_no_header_can_tell_are_not_stored(dtype: Any) -> None:
    with pytest.raises(SampleTypeError):
        array_to_bytes(np.zeros(2, dtype))


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("shape", ["()", "(1,)", "(0,)"])
@pytest.mark.parametrize(
    "descr",
    ["'|O'", "'O'", "'object'", "'<O8'", "'i4,O'", "[('a', '|O')]", "[('a', [('b', '<i4'), ('c', 'O')])]", "'T'"],
)
def test_stored_objects_are_never_read(descr: str, shape: str, tmp_path: Path) -> None:
    trap = pickle.dumps(np.array([Trap(tmp_path / "sprung")], object))
    for version in (1, 2, 3):
        with pytest.raises(SampleDecodeError):
            bytes_to_array(npy(descr, shape, trap, version=version))
        with pytest.raises(SampleDecodeError):
            bytes_to_array(npy(descr, shape, bytes(8), version=version))
    assert not (tmp_path / "sprung").exists()


def test_pickled_arrays_are_never_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(tmp_path / "sprung")], object), allow_pickle=True)
    with pytest.raises(SampleDecodeError, match="object"):
        bytes_to_array(buffer.getvalue())
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("dtype", [b"|O8", b"|O", b"<O8", b"|T16", b"T"], ids=repr)
def test_compact_objects_are_never_read(dtype: bytes) -> None:
    for count in (0, 1):
        with pytest.raises(SampleDecodeError):
            bytes_to_array(compact(dtype, (count,), bytes(8 * count)))


# ------------------------------------------------------------------------------------- hostile headers

HOSTILE = {
    "empty": b"",
    "magic-only": MAGIC,
    "magic-and-version": MAGIC + b"\x01\x00",
    "version-0": npy("'<f4'", "(1,)", bytes(4), version=2).replace(b"NUMPY\x02", b"NUMPY\x00"),
    "version-4": npy("'<f4'", "(1,)", bytes(4), version=2).replace(b"NUMPY\x02", b"NUMPY\x04"),
    "header-4-gib": MAGIC + b"\x02\x00\xff\xff\xff\xff{}",
    "header-not-a-dict": npy_header("['<f4', False, (1,)]") + bytes(4),
    "header-empty-dict": npy_header("{}") + bytes(4),
    "header-number": npy_header("1"),
    "header-empty": npy_header(""),
    "header-code": npy_header("__import__('os').getcwd()"),
    "header-not-utf8": npy_header(b"{'descr': '\xff\xfe'}", 3),
    "header-nul": npy_header("{'descr': '<f4'\0}"),
    "extra-key": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}") + bytes(4),
    "missing-key": npy_header("{'descr': '<f4', 'shape': (1,)}") + bytes(4),
    "unhashable-key": npy_header("{[]: 1}"),
    "shape-list": npy("'<f4'", "[1]", bytes(4)),
    "shape-int": npy("'<f4'", "1", bytes(4)),
    "shape-none": npy("'<f4'", "None", bytes(4)),
    "shape-bool": npy("'<f4'", "(True,)", bytes(4)),
    "shape-float": npy("'<f4'", "(1.0,)", bytes(4)),
    "shape-text": npy("'<f4'", "('1',)", bytes(4)),
    "shape-nested": npy("'<f4'", "((1,),)", bytes(4)),
    "shape-negative": npy("'<f4'", "(-1,)", bytes(4)),
    "shape-two-negatives": npy("'<f4'", "(-1, -1)", bytes(4)),
    "shape-negative-empty": npy("'<f4'", "(-1, 0)"),
    "shape-huge": npy("'<f4'", (1 << 40,), bytes(4)),
    "shape-product-wraps": npy("'<f4'", (1 << 32, 1 << 30), b""),
    "shape-product-wraps-to-size": npy("'|u1'", ((1 << 62) + 1, 4), bytes(4)),
    "shape-empty-and-huge": npy("'<f4'", (0, 1 << 62)),
    "shape-empty-and-over-int64": npy("'<f4'", (0, 1 << 70)),
    "shape-huge-of-void": npy("'|V0'", (1 << 70,)),
    "shape-of-65-dimensions": npy("'<f4'", (1,) * 65, bytes(4)),
    "shape-of-5000-hex-digits": npy("'<f4'", "(0x" + "f" * 5000 + ",)", bytes(4)),
    "shape-of-5000-negative-hex-digits": npy("'<f4'", "(-0x" + "f" * 5000 + ",)", bytes(4)),
    "shape-of-5000-decimal-digits": npy("'<f4'", "(" + "9" * 5000 + ",)", bytes(4)),
    "shape-whose-product-has-8000-digits": npy("'<f4'", "(" + ("9" * 4000 + ",") * 2 + ")", bytes(4)),
    "order-int": npy("'<f4'", "(1,)", bytes(4), order="1"),
    "order-none": npy("'<f4'", "(1,)", bytes(4), order="None"),
    "descr-of-no-size": npy("'|V0'", (3,)),
    "descr-text-of-no-size": npy("'<U0'", (3,)),
    "descr-of-no-fields": npy("[]", (3,)),
    "descr-none": npy("None", "(1,)", bytes(8)),
    "descr-int": npy("1", "(1,)", bytes(8)),
    "descr-dict": npy("{'names': ['a'], 'formats': ['O']}", "(1,)", bytes(8)),
    "descr-unknown": npy("'<f99'", "(1,)", bytes(99)),
    "descr-endless": npy("'|V99999999999999999999'", "(1,)", bytes(8)),
    "descr-over-a-c-int": npy("[('a', '<f4', (1 << 30, 1 << 30))]", "(0,)"),
    "descr-twice-the-same-name": npy("[('a', '<f4'), ('a', '<f4')]", "(1,)", bytes(8)),
    "descr-subarray": npy("('<f4', (2,))", "(1,)", bytes(8)),
    "descr-subarray-text": npy("'(2,)<f4'", "(1,)", bytes(8)),
    "descr-subarray-negative": npy("[('a', '<f4', (-1,))]", "(1,)", bytes(8)),
    "descr-deep": npy("[('a'," * 95 + "'<f4'" + ")]" * 95, "(1,)"),
    "too-short": npy("'<f4'", "(2,)", bytes(7)),
    "too-long": npy("'<f4'", "(2,)", bytes(9)),
    "empty-but-data": npy("'<f4'", "(0,)", bytes(4)),
    "compact-no-dtype": compact(b"", (1,), bytes(4)),
    "compact-dtype-not-ascii": compact("<f٤".encode(), (1,), bytes(4)),
    "compact-dtype-record": compact(b"<f4,<f4", (1,), bytes(8)),
    "compact-dtype-subarray": compact(b"(2,)<f4", (1,), bytes(8)),
    "compact-dtype-name": compact(b"float32", (1,), bytes(4)),
    "compact-dtype-unknown": compact(b"<f99", (1,), bytes(99)),
    "compact-dtype-unit": compact(b"<M8[_]", (1,), bytes(8)),
    "compact-dtype-unit-huge": compact(b"<M8[99999999999999s]", (1,), bytes(8)),
    "compact-dtype-endless": compact(b"<U99999999999999999999", (1,), bytes(4)),
    "compact-negative": compact(b"<f4", (-1,), bytes(4)),
    "compact-two-negatives": compact(b"<f4", (-1, -1), bytes(4)),
    "compact-huge": compact(b"<f4", (1 << 40,), bytes(4)),
    "compact-product-wraps": compact(b"<f4", (1 << 32, 1 << 30)),
    "compact-empty-and-huge": compact(b"<f4", (0, 1 << 62)),
    "compact-65-dimensions": compact(b"<f4", (1,) * 65, bytes(4)),
    "compact-255-dimensions": compact(b"<f4", (0,) * 255),
    "compact-too-short": compact(b"<f4", (2,), bytes(7)),
    "compact-too-long": compact(b"<f4", (2,), bytes(9)),
    "text": b"a plain text that is no array at all, of some length",
    "zeros": bytes(200),
    "ones": b"\xff" * 200,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SampleDecodeError) as caught:
        bytes_to_array(data)
    assert str(caught.value)


ENDLESS = {
    "void": npy("'|V0'", (1 << 40,)),
    "no-fields": npy("[]", (1 << 40,)),
    "empty-field": npy("[('a', '|S0')]", (1 << 20, 1 << 20)),
    "text": npy("'<U0'", (1 << 40,)),
    "gigabytes-of-text": npy("'<U0'", (1 << 31,)),
    "bytes": npy("'|S0'", (1 << 40,)),
    "compact-void": compact(b"|V0", (1 << 40,)),
    "compact-text": compact(b"<U0", (1 << 40,)),
}

DECODE_FROM_STDIN = """
import sys
from atdata.errors import SampleDecodeError
from atdata.shard.array import bytes_to_array

if sys.platform == "linux":  # others have no such limit, or refuse to set it
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
try:
    bytes_to_array(sys.stdin.buffer.read())
except SampleDecodeError:
    print("refused")
"""


def decoded_elsewhere(data: bytes) -> str:
    """What becomes of the bytes in a process that may hang or crash."""
    command = [sys.executable, "-c", DECODE_FROM_STDIN]
    done = subprocess.run(command, input=data, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS)
def test_endless_arrays_of_no_bytes_take_neither_time_nor_memory(data: bytes) -> None:
    assert decoded_elsewhere(data) == "refused"


DEEP = {
    "parentheses": "(" * 60_000,
    "brackets": "[" * 60_000,
    "braces": "{" * 60_000,
    "minus": "-" * 60_000 + "1",
    "sums": "1" + "+1" * 30_000,
    "powers": "1" + "**1" * 20_000,
    "attributes": "a" + ".a" * 30_000,
    "calls": "a" + "()" * 30_000,
    "subscripts": "a" + "[0]" * 20_000,
    "lambdas": "lambda:" * 8_000 + "1",
    "conditions": "1 if 1 else " * 5_000 + "1",
    "tuples": "(" * 150 + "1" + ",)" * 150,
    "descr": "{'descr': " + "[('a'," * 90 + "'<f4'" + ")]" * 90 + ", 'shape': (1,), 'fortran_order': False}",
}


def test_deeply_nested_headers_are_refused_without_a_crash() -> None:
    script = DECODE_FROM_STDIN.replace("sys.stdin.buffer.read()", "bytes.fromhex(line)").replace("\n", "\n    ")
    script = f"import sys\nfor line in sys.stdin:\n    {script}"
    lines = "\n".join(npy_header(text).hex() for text in DEEP.values())
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=lines, capture_output=True, timeout=300, check=False, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * len(DEEP)), done.stderr


@pytest.mark.parametrize(
    "data",
    [
        array_to_bytes(np.arange(6, dtype="<f4").reshape(2, 3)),
        npy("'<f4'", "(2,)", bytes(8), version=1),
        npy("[('é', '<f4')]", "(2,)", bytes(8), version=3),
        compact(b"<M8[ns]", (2, 1), bytes(16)),
        compact(b"|u1", (), b"x"),
        array_to_bytes(np.empty((0, 3))),
    ],
    ids=["v1", "short-v1", "v3", "compact", "compact-0d", "no-elements"],
)
def test_arrays_truncated_anywhere_or_with_more_behind_them_are_refused(data: bytes) -> None:
    bytes_to_array(data)
    for length in range(len(data)):
        with pytest.raises(SampleDecodeError):
            bytes_to_array(data[:length])
    with pytest.raises(SampleDecodeError):
        bytes_to_array(data + b"\0")


def decoded(data: bytes) -> np.ndarray | None:
    """The array, or None if it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged header may hold what Python or NumPy has deprecated
        try:
            return bytes_to_array(data)
        except SampleDecodeError:
            return None


@pytest.mark.parametrize("dimensions", [32, 33, 64])
def test_many_dimensions_are_read_where_numpy_has_them(dimensions: int) -> None:
    shape = (1,) * dimensions
    array = decoded(npy("'<f4'", shape, bytes(4)))
    assert array is None if dimensions > 32 and np.__version__.startswith("1.") else array.shape == shape


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(MAGIC + b"\x01\x00\x00\x00")
def test_garbage_is_refused_or_is_an_array_of_its_length(data: bytes) -> None:
    array = decoded(data)
    assert array is None or array.nbytes <= len(data)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([1, 2, 3]))
def test_garbage_behind_the_magic_is_refused(data: bytes, version: int) -> None:
    assert decoded(npy_header(data, version)) is None


GOOD = [
    array_to_bytes(np.arange(2, dtype="<f4")),
    array_to_bytes(np.zeros(2, [("a", "<i2"), ("b", "|S2", (2,))])),
    array_to_bytes(np.asfortranarray(np.zeros((2, 3), ">M8[s]"))),
    compact(b"<f4", (1, 2), bytes(8)),
]


@settings(deadline=None)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 140), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4),
)
def test_damaged_arrays_are_refused_or_read_as_numpy_reads_them(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        place %= len(damaged)
        damaged[place : place + len(value)] = value
    array = decoded(bytes(damaged))
    if array is None or damaged[:6] != MAGIC:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(array, np.load(io.BytesIO(damaged), allow_pickle=False))


def test_layout_tells_dtype_shape_order_and_where_elements_begin() -> None:
    array = np.asfortranarray(np.zeros((2, 3), ">f8"))
    data = array_to_bytes(array)
    dtype, shape, fortran, start = layout = read_layout(data)
    assert (dtype, shape, fortran, data[start:]) == (array.dtype, array.shape, True, array.tobytes("F"))
    assert layout.nbytes == array.nbytes
