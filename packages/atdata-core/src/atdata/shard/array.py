"""NumPy arrays as bytes: ``.npy`` both ways, and the compact form of older shards on reading.

The compact form is ``u8 n``, a dtype string of ``n`` bytes such as ``<f4``, ``u8 ndim``, ``ndim`` little-endian
``i64`` sizes, and the elements in C order.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import re
import struct
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import SampleDecodeError, SampleTypeError

Buffer: TypeAlias = bytes | bytearray | memoryview

# Up to this size, copying the elements costs less than handing them over
COPIED = 32 << 10
_MAX_DIMENSIONS = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
_MAGIC = b"\x93NUMPY"
# NumPy's own limit is 10,000 because literal_eval once could crash on more; CPython >= 3.9 raises instead.
# Wide record dtypes need the room.
_MAX_HEADER = 1 << 16
_COMPACT_DTYPE = re.compile(r"[<>|=][a-zA-Z]\d+(\[\w+\])?")


class ArrayLayout(NamedTuple):
    """What an array's header says, and where its elements begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take."""
        return math.prod(self.shape) * self.dtype.itemsize


@lru_cache(maxsize=4096)
def array_header(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> bytes:
    """The ``.npy`` header for arrays of this dtype, shape and order.

    Raises:
        SampleTypeError: the dtype holds Python objects, or is one that ``.npy`` cannot express.
    """
    if dtype.hasobject or dtype.kind == "T":
        raise SampleTypeError(
            f"arrays of dtype {dtype} hold Python objects, which are never stored; "
            "convert first, for example with .astype('U') for text"
        )
    header, told = b"", None
    with contextlib.suppress(ValueError, SampleDecodeError):  # fields that overlap or are named by objects
        header = _npy_header(dtype, shape, fortran)
        told = _parse_npy(header, 10 if header[6] == 1 else 12).dtype
    if told != dtype:
        raise SampleTypeError(
            f"dtype {dtype!s:.100} cannot be told in a .npy header, so it would come back as another; "
            "store a .view() of a standard dtype of the same size"
        )
    return header


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> bytes:
    descr = np.lib.format.dtype_to_descr(dtype)
    fields = {"descr": descr, "fortran_order": fortran, "shape": shape}
    out = io.BytesIO()
    try:
        np.lib.format.write_array_header_1_0(out, fields)
    except (ValueError, UnicodeEncodeError):
        # Version 1 has no room for it (over 65,535 bytes) or no letters for it (names outside latin-1);
        # version 3 is version 2 in UTF-8.
        text = (repr(fields) + "\n").encode()
        pad = -(12 + len(text)) % 64
        if len(text) + pad > _MAX_HEADER:
            raise SampleTypeError(
                f"a dtype of {len(dtype.names or ())} fields takes {len(text):,} bytes to describe; "
                f"the limit is {_MAX_HEADER:,}"
            ) from None
        text = text[:-1] + b" " * pad + b"\n"
        return _MAGIC + b"\x03\x00" + struct.pack("<I", len(text)) + text
    return out.getvalue()


def array_parts(value: npt.NDArray[Any] | np.generic) -> tuple[bytes, Buffer]:
    """An array as ``.npy`` header and element bytes; elements of large contiguous arrays are not copied.

    Raises:
        SampleTypeError: masked array, or a dtype that cannot be stored.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise SampleTypeError("a masked array would lose its mask; use .filled(value) or two fields")
    array = np.asarray(value)
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    header = array_header(array.dtype, array.shape, fortran)
    if array.nbytes < COPIED or not (fortran or array.flags.c_contiguous):
        return header, array.tobytes("F" if fortran else "C")
    return header, (array.T if fortran else array).reshape(-1).view(np.uint8).data


def array_to_bytes(value: npt.NDArray[Any] | np.generic) -> bytes:
    """An array as ``.npy`` bytes, dtype, byte order, shape and C/Fortran order kept.

    Raises:
        SampleTypeError: object dtype, masked array, or a dtype that ``.npy`` cannot express.
    """
    return b"".join(array_parts(value))


@lru_cache(maxsize=4096)
def _parse_npy(header: bytes, start: int) -> ArrayLayout:
    try:
        fields = ast.literal_eval(header[start:].decode("latin-1" if header[6] < 3 else "utf-8"))
        shape, fortran = fields["shape"], fields["fortran_order"]
        dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(fields["descr"])
        if len(fields) != 3 or not isinstance(fortran, bool) or not isinstance(shape, tuple):
            raise ValueError("unexpected entries")
    except Exception as error:  # literal_eval and NumPy raise half a dozen classes on hostile text
        raise SampleDecodeError(f"array with an unreadable .npy header: {error}") from error
    return _checked(ArrayLayout(dtype, shape, fortran, len(header)))


@lru_cache(maxsize=4096)
def _parse_compact(header: bytes) -> ArrayLayout:
    name = header[1 : 1 + header[0]]
    try:
        text = name.decode("ascii")
        if not _COMPACT_DTYPE.fullmatch(text):
            raise ValueError("not a dtype string")
        dtype: np.dtype[Any] = np.dtype(text)
    except (ValueError, TypeError) as error:
        raise SampleDecodeError(f"not an array: dtype {name!r} ({error})") from error
    shape = struct.unpack_from(f"<{header[1 + header[0]]}q", header, 2 + header[0])
    return _checked(ArrayLayout(dtype, shape, False, len(header)))


def _checked(layout: ArrayLayout) -> ArrayLayout:
    dtype, shape = layout.dtype, layout.shape
    # elements of no bytes could be any number of them
    if dtype.hasobject or dtype.subdtype is not None or dtype.itemsize == 0:
        raise SampleDecodeError(f"array of dtype {dtype}: only dtypes of a fixed size without objects are read")
    if (
        len(shape) > _MAX_DIMENSIONS
        or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape)
        or layout.nbytes >= 1 << 63
    ):
        raise SampleDecodeError("array with an impossible shape")
    if layout.nbytes == 0:
        try:
            np.empty(shape, dtype)  # NumPy has limits of its own, also where there is nothing to hold
        except ValueError as error:
            raise SampleDecodeError(f"array of shape {shape}: {error}") from error
    return layout


def read_layout(data: Buffer, size: int | None = None) -> ArrayLayout:
    """Parse an array's header, in either form. Parses are cached by the header's bytes.

    Args:
        data: the array's bytes, or as many as hold its header.
        size: how many bytes it has in all, if ``data`` is not all of them.

    Raises:
        SampleDecodeError: not an array, truncated, or of a dtype that is refused.
    """
    given = len(data)
    size = given if size is None else size
    if given >= 10 and data[:6] == _MAGIC:
        version = data[6]
        start = 10 if version == 1 else 12
        if version not in (1, 2, 3) or data[7]:
            raise SampleDecodeError(f"array in .npy version {version}.{data[7]}; versions 1.0, 2.0 and 3.0 are known")
        stop = start + int.from_bytes(data[8:start], "little")
        if stop > given or stop - start > _MAX_HEADER:
            raise SampleDecodeError("array with a truncated or oversized .npy header")
        layout = _parse_npy(bytes(data[:stop]), start)
    else:
        ndim_at = 1 + data[0] if given else 0
        stop = ndim_at + 1 + 8 * data[ndim_at] if ndim_at < given else given + 1
        if stop > given:
            raise SampleDecodeError(f"not an array: {size} bytes with no array header")
        layout = _parse_compact(bytes(data[:stop]))
    if layout.nbytes != size - layout.start:
        raise SampleDecodeError(
            f"array of shape {layout.shape} and dtype {layout.dtype} needs {layout.nbytes} bytes, "
            f"found {size - layout.start}"
        )
    return layout


def bytes_to_array(data: Buffer) -> npt.NDArray[Any]:
    """The array stored in ``data``, as a writable array that owns its memory.

    Raises:
        SampleDecodeError: not an array, truncated, or of a dtype that is refused.
    """
    dtype, shape, fortran, start = read_layout(data)
    view: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=data, offset=start, order="F" if fortran else "C")
    return view.copy(order="K")


_SHAPE = b"'shape': ("


def vector_lengths(headers: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64] | None:
    """Lengths of one-dimensional arrays from all their headers at once; None if these need a closer look.

    Args:
        headers: uint8 (n, width), headers of one width that differ at most in the length.
    """
    first = headers[0].tobytes()
    if first[:6] != _MAGIC:
        # compact form with ndim 1: all but the last 8 bytes are the same
        if first[1 + first[0]] != 1 or (headers[:, :-8] != headers[0, :-8]).any():
            return None
        return np.ascontiguousarray(headers[:, -8:]).view("<i8").ravel().astype(np.int64)
    digits_at = first.find(_SHAPE) + len(_SHAPE)
    if digits_at < len(_SHAPE) or (headers[:, :digits_at] != headers[0, :digits_at]).any():
        return None
    text = headers[:, digits_at:]
    counts = (text[:, :12] == ord(",")).argmax(axis=1)
    lengths = np.empty(len(headers), np.int64)
    for count in np.flatnonzero(np.bincount(counts)).tolist():
        rows = counts == count
        digits = text[rows, :count] - np.uint8(ord("0"))
        # what NumPy writes behind the length: anything else is looked at more closely
        rest = np.frombuffer(b",), }".ljust(text.shape[1] - count - 1) + b"\n", np.uint8)
        padded = count > 1 and not digits[:, 0].all()
        if count == 0 or padded or (digits > 9).any() or (text[rows, count:] != rest).any():
            return None
        lengths[rows] = digits.astype(np.int64) @ (10 ** np.arange(count - 1, -1, -1, dtype=np.int64))
    return lengths
