"""The fields of many samples at once: one walk over their msgpack maps, then one array or list per field.

Where samples share their layout the walk finds each field of all of them in a few array operations. From the first
field that it cannot follow (lists, maps, values whose types differ from sample to sample, other field orders), the
rest of each sample is unpacked one by one. Nothing but time tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import SampleDecodeError
from .array import ArrayLayout, bytes_to_array, read_layout, vector_lengths
from .payload import map_head, unpack_map
from .scan import Bytes, Positions, gather, windows

# Rows of at least this many bytes are copied one by one, which then costs less than indexing
_LONG_ROW = 16_384
_SHORT_TEXT = 48

Kind: TypeAlias = Literal["int", "float", "bool", "nil", "str", "bin"]


class _Unlike(Exception):
    """The samples do not share their layout from here on."""


class Numbers(NamedTuple):
    """A field of numbers, bools or nils: int64, float64, bool or nothing, (n,)."""

    kind: Kind
    values: npt.NDArray[Any]


class Spans(NamedTuple):
    """A field of texts or bytes: where each begins and how long it is, int64 (n,) each."""

    kind: Kind
    starts: Positions
    sizes: Positions


class Dense:
    """An array field whose arrays are alike.

    Attributes:
        layout: dtype, shape and order of every array.
    """

    def __init__(self, data: Bytes, layout: ArrayLayout, starts: Positions) -> None:
        self.layout = layout
        self._data = data
        self._starts = starts
        steps = np.diff(starts)
        self._step = int(steps[0]) if len(steps) and (steps == steps[0]).all() else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every array."""
        return self.layout.dtype

    def copy_into(self, rows: Bytes, low: int, high: int) -> None:
        """Copy the elements of arrays ``low`` to ``high`` into the rows of ``rows``, uint8 (high - low, nbytes)."""
        width = rows.shape[1]
        if self._step is not None:
            view = np.ndarray(rows.shape, np.uint8, self._data, int(self._starts[low]), (self._step, 1))
            np.copyto(rows, view)
        elif width < _LONG_ROW:
            np.copyto(rows, gather(self._data, self._starts[low:high], width))
        else:
            for row, start in zip(rows, self._starts[low:high].tolist(), strict=True):
                row[:] = self._data[start : start + width]

    def arrays(self, low: int, high: int) -> list[npt.NDArray[Any]]:
        """Arrays ``low`` to ``high``, each in memory of its own."""
        dtype, shape, fortran, _ = self.layout
        if self._step is not None and shape and not fortran:
            start = int(self._starts[low])
            inner = np.ndarray(shape, dtype, self._data, start).strides
            view = np.ndarray((high - low, *shape), dtype, self._data, start, (self._step, *inner))
            return [*map(np.ndarray.copy, view)]
        order: Literal["F", "C"] = "F" if fortran else "C"
        return [
            np.ndarray(shape, dtype, self._data, start, order=order).copy(order="K")
            for start in self._starts[low:high].tolist()
        ]


class Vectors:
    """An array field of one-dimensional arrays that differ in length only.

    Attributes:
        dtype: dtype of every array.
    """

    def __init__(self, data: Bytes, dtype: np.dtype[Any], starts: Positions, lengths: Positions) -> None:
        self._data = data
        self.dtype = dtype
        self._starts = starts
        self._lengths = lengths

    def arrays(self, low: int, high: int) -> list[npt.NDArray[Any]]:
        """Arrays ``low`` to ``high``, each in memory of its own."""
        # a memoryview lends its memory in half the time that an array needs for that
        data, dtype, make = self._data.data, self.dtype, np.ndarray
        spans = zip(self._starts[low:high].tolist(), self.lengths(low, high), strict=True)
        return [*map(make.copy, [make(length, dtype, data, start) for start, length in spans])]

    def lengths(self, low: int, high: int) -> list[int]:
        """How many elements arrays ``low`` to ``high`` have."""
        found: list[int] = self._lengths[low:high].tolist()
        return found

    def spans(self, low: int, high: int) -> list[memoryview]:
        """The elements of arrays ``low`` to ``high``, not copied."""
        starts = self._starts[low:high]
        ends = starts + self._lengths[low:high] * self.dtype.itemsize
        return [self._data.data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


class Columns:
    """The fields of samples that lie in one buffer, decoded as they are asked for.

    Args:
        data: uint8, the buffer.
        starts: int64 (n,), where each sample's map begins.
        sizes: int64 (n,), its bytes.
        cut: an array field whose elements are not in the buffer, and how many bytes they are; None if all is there.
    """

    def __init__(self, data: Bytes, starts: Positions, sizes: Positions, cut: tuple[str, int] | None = None) -> None:
        self.data = data
        self.starts = starts
        self.sizes = sizes
        self._cut = cut
        self._lists: dict[str, list[Any]] = {}
        self._rests: dict[int, dict[str, Any]] = {}
        self._arrays: dict[str, Dense | Vectors | None] = {}
        self._view = data.data

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def mean_size(self) -> int:
        """Bytes of a sample on average, at least 1."""
        return max(1, int(self.sizes.mean()) + (self._cut[1] if self._cut else 0))

    def payload(self, row: int) -> memoryview:
        """The bytes of one sample."""
        start = int(self.starts[row])
        return self._view[start : start + int(self.sizes[row])]

    @cached_property
    def _walked(self) -> tuple[dict[str, Numbers | Spans], Positions, int]:
        """The fields that all samples share, where the rest of each begins, and how many fields that rest has."""
        fields, starts, count = _walk(self.data, self.starts, self.starts + self.sizes, self._cut)
        if fields and count and self._names_again(fields, starts):
            return {}, self.starts, 1
        return fields, starts, count

    def _names_again(self, names: Iterable[str], starts: Positions) -> bool:
        """Whether a walked field may come again in what was not walked: of two equal keys the last counts."""
        ends = self.starts + self.sizes
        rests = b"".join(self._view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
        return any(name.encode() in rests for name in names)

    @property
    def walked(self) -> bool:
        """Whether the walk got all fields of all samples."""
        return self._walked[2] == 0

    def rest(self, row: int) -> dict[str, Any]:
        """What was not walked of one sample, arrays as bytes.

        Raises:
            SampleDecodeError: the sample is not a msgpack map.
        """
        if row not in self._rests:
            self._rests[row] = self._unpack_rest(row)
        return self._rests[row]

    def _unpack_rest(self, row: int) -> dict[str, Any]:
        fields, starts, count = self._walked
        if count == 0:
            return {}
        if not fields:
            return unpack_map(self.payload(row))
        end = int(self.starts[row] + self.sizes[row])
        return unpack_map(b"".join((map_head(count), self._view[int(starts[row]) : end])))

    def bins(self) -> list[tuple[str, int, int]]:
        """The walked ``bin`` fields of the first sample: name, where it begins in the buffer, its bytes."""
        return [
            (name, int(field.starts[0]), int(field.sizes[0]))
            for name, field in self._walked[0].items()
            if isinstance(field, Spans) and field.kind == "bin"
        ]

    def texts(self) -> list[str]:
        """Names of the walked text fields."""
        return [name for name, field in self._walked[0].items() if field.kind == "str"]

    def kind(self, name: str) -> Kind | None:
        """What a field is in all samples; None where that differs or the field is in the unwalked rest."""
        field = self._walked[0].get(name)
        return field.kind if field is not None else None

    def values(self, name: str, low: int, high: int) -> list[Any]:
        """A walked field of samples ``low`` to ``high`` as Python values: numbers, text, bytes, None.

        Raises:
            UnicodeDecodeError: text that is not UTF-8, here or in another sample.
        """
        field = self._walked[0][name]
        if field.kind == "bin":
            return [bytes(span) for span in self.spans(name, low, high)]
        if name not in self._lists:
            # converted for all samples at once, so that each batch only slices
            self._lists[name] = (
                field.values.tolist() if isinstance(field, Numbers) else _texts(self.data, self._view, field)
            )
        return self._lists[name][low:high]

    def spans(self, name: str, low: int, high: int) -> list[memoryview]:
        """The bytes of a walked ``bin`` field in samples ``low`` to ``high``, not copied."""
        field = self._walked[0][name]
        assert isinstance(field, Spans)
        starts = field.starts[low:high]
        ends = starts + field.sizes[low:high]
        return [self._view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    def dense(self, name: str) -> Dense | None:
        """A walked array field, if all samples have arrays of one dtype, shape and order there; else None."""
        arrays = self._array_column(name)
        return arrays if isinstance(arrays, Dense) else None

    def vectors(self, name: str) -> Vectors | None:
        """A walked array field, if its arrays have one dtype, one dimension, and lengths that differ; else None."""
        arrays = self._array_column(name)
        return arrays if isinstance(arrays, Vectors) else None

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """The dtype of a walked array field, if it is one of all samples; else None."""
        column = self._array_column(name)
        return None if column is None else column.dtype

    def _array_column(self, name: str) -> Dense | Vectors | None:
        if name not in self._arrays:
            field = self._walked[0][name]
            assert isinstance(field, Spans)
            self._arrays[name] = _array_column(self.data, field)
        return self._arrays[name]

    def arrays(self, name: str, low: int, high: int) -> list[npt.NDArray[Any]]:
        """A walked array field of samples ``low`` to ``high``, each array in memory of its own.

        Raises:
            SampleDecodeError: bytes that are no array.
        """
        column = self._array_column(name)
        if column is not None:
            return column.arrays(low, high)
        return [bytes_to_array(span) for span in self.spans(name, low, high)]


def _array_column(data: Bytes, spans: Spans) -> Dense | Vectors | None:
    start, size = int(spans.starts[0]), int(spans.sizes[0])
    try:
        layout = read_layout(data[start : start + size].data)
        headers = gather(data, spans.starts, layout.start)
    except (SampleDecodeError, IndexError):
        return None  # one by one, which finds the sample that is wrong
    starts = spans.starts + layout.start
    if (spans.sizes == size).all() and (headers == headers[0]).all():
        return Dense(data, layout, starts)
    if len(layout.shape) != 1 or (spans.sizes < layout.start).any():
        return None
    lengths = vector_lengths(headers)
    if lengths is None or (lengths < 0).any() or (lengths > spans.sizes).any():
        return None
    if (lengths * layout.dtype.itemsize != spans.sizes - layout.start).any():
        return None
    return Vectors(data, layout.dtype, starts, lengths)


def _texts(data: Bytes, view: memoryview, spans: Spans) -> list[str]:
    longest = int(spans.sizes.max())
    if 0 < longest <= _SHORT_TEXT and int(spans.starts.max()) + longest <= len(data):
        rows = gather(data, spans.starts, longest)
        rows *= np.arange(longest, dtype=np.uint8) < spans.sizes.astype(np.uint8)[:, None]
        if int(rows.max()) < 128 and np.count_nonzero(rows) == int(spans.sizes.sum()):
            # ASCII without NUL: NumPy's fixed-width text drops only the padding
            texts: list[str] = rows.view(f"S{longest}").ravel().astype(f"U{longest}").tolist()
            return texts
    ends = spans.starts + spans.sizes
    return [str(view[a:b], "utf-8") for a, b in zip(spans.starts.tolist(), ends.tolist(), strict=True)]


# ------------------------------------------------------------------------------------------------ walk


def _walk(
    data: Bytes, starts: Positions, ends: Positions, cut: tuple[str, int] | None
) -> tuple[dict[str, Numbers | Spans], Positions, int]:
    fields: dict[str, Numbers | Spans] = {}
    try:
        here, count = _map_heads(data, starts)
    except (_Unlike, IndexError):
        return {}, starts, 1
    for number in range(count):
        try:
            after, name = _key(data, here)
            if name in fields:
                return {}, starts, 1  # of two equal keys the last counts: leave that to the unpacker
            after, field = _value(data, after)
        except (_Unlike, IndexError):
            if (here > ends).any():
                return {}, starts, 1
            return fields, here, count - number
        fields[name] = field
        here = after - cut[1] if cut is not None and cut[0] == name else after
    # every length was read from inside its own sample if, and only if, all end where they should
    return (fields, here, 0) if (here == ends).all() else ({}, starts, 1)


def _map_heads(data: Bytes, starts: Positions) -> tuple[Positions, int]:
    heads = data[starts]
    first = int(heads[0])
    if (heads != first).any():
        raise _Unlike
    if 0x80 <= first <= 0x8F:
        return starts + 1, first & 15
    if first == 0xDE:
        counts = _big_endian(data, starts + 1, 2)
        if (counts == counts[0]).all():
            return starts + 3, int(counts[0])
    raise _Unlike


def _key(data: Bytes, here: Positions) -> tuple[Positions, str]:
    first = int(here[0])
    head = int(data[first])
    if 0xA0 <= head <= 0xBF:
        width, skip = head & 31, 1
    elif head == 0xD9:
        width, skip = int(data[first + 1]), 2
    else:
        raise _Unlike
    keys = gather(data, here, skip + width)
    if (keys != keys[0]).any():
        raise _Unlike
    try:
        return here + skip + width, keys[0, skip:].tobytes().decode()
    except UnicodeDecodeError:
        raise _Unlike from None


def _value(data: Bytes, here: Positions) -> tuple[Positions, Numbers | Spans]:
    heads = data[here]
    first = int(heads[0])
    alike = bool((heads == first).all())
    if first in _LENGTH_BYTES or 0xA0 <= first <= 0xBF:
        return _span(data, here, heads, alike)
    if first == 0xCB and alike:
        doubles = gather(data, here + 1, 8).view(">f8").ravel().astype(np.float64)
        return here + 9, Numbers("float", doubles)
    if first == 0xCA and alike:
        singles = gather(data, here + 1, 4).view(">f4").ravel().astype(np.float64)
        return here + 5, Numbers("float", singles)
    if ((heads | 1) == 0xC3).all():
        return here + 1, Numbers("bool", heads == 0xC3)
    if first == 0xC0 and alike:
        return here + 1, Numbers("nil", np.full(len(here), None, object))
    return _integers(data, here, heads)


_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}


def _span(data: Bytes, here: Positions, heads: Bytes, alike: bool) -> tuple[Positions, Spans]:
    text = heads[0] not in (0xC4, 0xC5, 0xC6)
    if alike and int(heads[0]) in _LENGTH_BYTES:
        width = _LENGTH_BYTES[int(heads[0])]
        sizes = _big_endian(data, here + 1, width)
        starts = here + 1 + width
    else:
        short = (heads & 0xE0) == 0xA0
        starts = here + 1
        sizes = (heads & 0x1F).astype(np.int64)
        seen = short if text else np.zeros(len(heads), np.bool_)
        for head, width in _LENGTH_BYTES.items():
            if (head >= 0xD9) == text and (rows := heads == head).any():
                sizes[rows] = _big_endian(data, here[rows] + 1, width)
                starts[rows] += width
                seen = seen | rows
        if not seen.all():
            raise _Unlike
    return starts + sizes, Spans("str" if text else "bin", starts, sizes)


# first byte -> bytes that follow, and whether they are signed
_INTEGERS = {
    0xCC: (1, False),
    0xCD: (2, False),
    0xCE: (4, False),
    0xCF: (8, False),
    0xD0: (1, True),
    0xD1: (2, True),
    0xD2: (4, True),
    0xD3: (8, True),
}


def _integers(data: Bytes, here: Positions, heads: Bytes) -> tuple[Positions, Numbers]:
    small = heads < 0x80
    if small.all():
        return here + 1, Numbers("int", heads.astype(np.int64))
    values = heads.astype(np.int8).astype(np.int64)  # right for the one-byte forms, of either sign
    after = here + 1
    seen = small | (heads >= 0xE0)
    for head, (width, signed) in _INTEGERS.items():
        rows = heads == head
        if not rows.any():
            continue
        number = _big_endian(data, here[rows] + 1, width)
        if signed and width < 8:
            number = (number ^ (1 << (8 * width - 1))) - (1 << (8 * width - 1))
        elif not signed and width == 8 and (number < 0).any():
            raise _Unlike  # over int64
        values[rows] = number
        after[rows] += width
        seen |= rows
    if not seen.all():
        raise _Unlike
    return after, Numbers("int", values)


def _big_endian(data: Bytes, positions: Positions, width: int) -> Positions:
    """Integers of ``width`` bytes, unsigned below 8."""
    if len(positions) and int(positions.max()) + width > len(data):
        raise IndexError("beyond the data")
    if width == 1:
        return data[positions].astype(np.int64)
    raw = windows(data, width)[positions]
    return raw.view(f">{'i' if width == 8 else 'u'}{width}").astype(np.int64)
