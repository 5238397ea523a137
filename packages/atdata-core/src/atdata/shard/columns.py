"""The fields of many samples at once: one walk over their msgpack maps, then one array or list per field.

Where samples share their layout the walk finds each field of all of them in a few array operations. From the first
field that it cannot follow (lists, maps, values whose types differ from sample to sample, other field orders), the
rest of each sample is unpacked one by one. Nothing but time tells the two apart.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import SampleDecodeError
from .array import ArrayLayout, bytes_to_array, read_layout
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
        starts: int64 (n,), where the elements of each begin.
    """

    def __init__(self, data: Bytes, layout: ArrayLayout, starts: Positions) -> None:
        self.layout = layout
        self._data = data
        self._starts = starts
        steps = np.diff(starts)
        self._step = int(steps[0]) if len(steps) and (steps == steps[0]).all() else None

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
        order: Literal["F", "C"] = "F" if fortran else "C"
        return [
            np.ndarray(shape, dtype, self._data, start, order=order).copy(order="K")
            for start in self._starts[low:high].tolist()
        ]


class Columns:
    """The fields of samples that lie in one buffer, decoded as they are asked for.

    Args:
        data: uint8, the buffer.
        starts: int64 (n,), where each sample's map begins.
        sizes: int64 (n,), its bytes.
    """

    def __init__(self, data: Bytes, starts: Positions, sizes: Positions) -> None:
        self.data = data
        self.starts = starts
        self.sizes = sizes
        self._lists: dict[str, list[Any]] = {}
        self._dense: dict[str, Dense | None] = {}
        self._view = memoryview(data)

    def __len__(self) -> int:
        return len(self.starts)

    def payload(self, row: int) -> memoryview:
        """The bytes of one sample."""
        start = int(self.starts[row])
        return self._view[start : start + int(self.sizes[row])]

    @cached_property
    def _walked(self) -> tuple[dict[str, Numbers | Spans], Positions, int]:
        """The fields that all samples share, where the rest of each begins, and how many fields that rest has."""
        return _walk(self.data, self.starts, self.starts + self.sizes)

    @cached_property
    def rests(self) -> list[dict[str, Any]] | None:
        """What was not walked, sample by sample, arrays as bytes; None if the walk got everything.

        Raises:
            SampleDecodeError: a sample is not a msgpack map; its ``row`` attribute says which.
        """
        fields, starts, count = self._walked
        if count == 0:
            return None
        head = map_head(count) if fields else b""
        ends = (self.starts + self.sizes).tolist()
        rests = []
        for row, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
            try:
                rests.append(unpack_map(b"".join((head, self._view[start:end]))))
            except SampleDecodeError:
                # say what is wrong with the whole sample, not with a part of it
                unpack_map(self.payload(row))
                raise
        return rests

    def kind(self, name: str) -> Kind | None:
        """What a field is in all samples; None where that differs or the field is in the unwalked rest."""
        field = self._walked[0].get(name)
        return field.kind if field is not None else None

    def values(self, name: str) -> list[Any]:
        """A walked field of all samples as Python values: numbers, text, bytes, None.

        Raises:
            UnicodeDecodeError: text that is not UTF-8.
        """
        if name not in self._lists:
            field = self._walked[0][name]
            if isinstance(field, Numbers):
                self._lists[name] = field.values.tolist()
            elif field.kind == "str":
                self._lists[name] = _texts(self.data, self._view, field)
            else:
                self._lists[name] = [bytes(span) for span in self.spans(name, 0, len(self))]
        return self._lists[name]

    def spans(self, name: str, low: int, high: int) -> list[memoryview]:
        """The bytes of a walked ``bin`` field in samples ``low`` to ``high``, not copied."""
        field = self._walked[0][name]
        assert isinstance(field, Spans)
        starts = field.starts[low:high]
        ends = starts + field.sizes[low:high]
        return [self._view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    def dense(self, name: str) -> Dense | None:
        """A walked array field, if all samples have arrays of one dtype, shape and order there; else None."""
        if name not in self._dense:
            field = self._walked[0][name]
            assert isinstance(field, Spans)
            self._dense[name] = _dense(self.data, field)
        return self._dense[name]

    def arrays(self, name: str, low: int, high: int) -> list[npt.NDArray[Any]]:
        """A walked array field of samples ``low`` to ``high``, each array in memory of its own.

        Raises:
            SampleDecodeError: bytes that are no array.
        """
        dense = self.dense(name)
        if dense is not None:
            return dense.arrays(low, high)
        return [bytes_to_array(span) for span in self.spans(name, low, high)]


def _dense(data: Bytes, spans: Spans) -> Dense | None:
    start, size = int(spans.starts[0]), int(spans.sizes[0])
    try:
        layout = read_layout(memoryview(data[start : start + size]))
    except SampleDecodeError:
        return None  # the caller finds the sample that is wrong
    headers = gather(data, spans.starts, layout.start)
    if (spans.sizes != size).any() or (headers != headers[0]).any():
        return None
    return Dense(data, layout, spans.starts + layout.start)


def _texts(data: Bytes, view: memoryview, spans: Spans) -> list[str]:
    longest = int(spans.sizes.max())
    if 0 < longest <= _SHORT_TEXT and int(spans.starts.max()) + longest <= len(data):
        rows = gather(data, spans.starts, longest)
        inside = np.arange(longest) < spans.sizes[:, None]
        rows = np.where(inside, rows, 0).astype(np.uint8)
        if (rows < 128).all() and not ((rows == 0) & inside).any():
            # ASCII without NUL: NumPy's fixed-width text drops only the padding
            texts: list[str] = rows.view(f"S{longest}").ravel().astype(f"U{longest}").tolist()
            return texts
    ends = spans.starts + spans.sizes
    return [str(view[a:b], "utf-8") for a, b in zip(spans.starts.tolist(), ends.tolist(), strict=True)]


# ------------------------------------------------------------------------------------------------ walk


def _walk(data: Bytes, starts: Positions, ends: Positions) -> tuple[dict[str, Numbers | Spans], Positions, int]:
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
        here = after
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
