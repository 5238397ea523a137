"""Finding samples in a piece of a tar at once: all headers of a block as one matrix.

Only plain archives of ``.msgpack`` members are read this way, with or without the PAX record of a fractional mtime
that WebDataset's writer leaves before each. ``TarReader`` reads all others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .reader import SUFFIX
from .tar import BLOCK

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

_OCTAL = 8 ** np.arange(10, -1, -1, dtype=np.int64)
_USTAR = int.from_bytes(b"usta", "little")
_SUFFIX = np.frombuffer(SUFFIX.encode(), np.uint8)
_SUFFIX_END = np.append(_SUFFIX, np.uint8(0))
_EVEN_BYTES, _EVEN_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)

# Bits that all plain headers share: octal digits of size and checksum, NUL or space behind them, no name prefix
_mask, _bits, _summed = np.zeros((3, BLOCK), np.uint8)
_mask[124:135], _bits[124:135] = 0xF8, 0x30
_mask[148:154], _bits[148:154] = 0xF8, 0x30
_mask[[135, 154]] = 0xDF
_mask[345] = 0xFF
_summed[:148] = _summed[156:] = 0xFF
_FIXED = np.flatnonzero(_mask.view(np.uint64))
_FIXED_MASK, _FIXED_BITS = _mask.view(np.uint64)[_FIXED], _bits.view(np.uint64)[_FIXED]
_SUMMED = _summed.view(np.uint64)

# Larger members are found faster by hopping from one to the next than by looking at every block
_HOP = 16_384


class Members(NamedTuple):
    """Samples found in a piece of a tar; positions count from the start of the piece.

    Attributes:
        heads: int64 (n,), where each member's first header begins.
        starts: int64 (n,), where its content begins.
        sizes: int64 (n,), bytes of content.
        end: where the next header is expected.
        wanted: bytes that the member at ``end`` takes, if it is only cut off; 0 if it needs a closer look.
    """

    heads: Positions
    starts: Positions
    sizes: Positions
    end: int
    wanted: int


def windows(data: Bytes, width: int) -> npt.NDArray[np.void]:
    """Every run of ``width`` bytes in ``data``, as a view; indexing it gathers runs at any positions."""
    return np.ndarray((len(data) - width + 1,), f"V{width}", buffer=data, strides=(1,))


def gather(data: Bytes, positions: Positions, width: int) -> Bytes:
    """Runs of ``width`` bytes at the given positions, as rows (n, width).

    Raises:
        IndexError: a run does not lie inside ``data``.
    """
    if len(positions) and positions[-1] > len(data) - width:
        raise IndexError("beyond the data")
    if width == 0 or len(positions) == 0:
        return np.empty((len(positions), width), np.uint8)
    return windows(data, width)[positions].view(np.uint8).reshape(len(positions), width)


def _header_offsets(data: Bytes) -> Positions:
    """Where headers are, if the archive is regular; the caller checks what is there."""
    first = _size_at(data, 0) if len(data) >= BLOCK else None
    if first is not None and data[156] == ord("x"):
        first = _size_at(data, BLOCK + -(-first // BLOCK) * BLOCK)
    if first is None:
        return np.empty(0, np.int64)
    if first < _HOP:
        marks = np.ndarray((len(data) // BLOCK,), "<u4", buffer=data, offset=257, strides=(BLOCK,))
        offsets = np.flatnonzero(marks == _USTAR) * BLOCK
        sizes = _sizes(gather(data, offsets + 124, 11))
        after = offsets + BLOCK + -(-sizes // BLOCK) * BLOCK
        if len(offsets) and offsets[0] == 0 and (after[:-1] == offsets[1:]).all():
            return offsets
    hops = []
    position: int = 0
    while position + BLOCK <= len(data) and (size := _size_at(data, position)) is not None:
        hops.append(position)
        position += BLOCK + -(-size // BLOCK) * BLOCK
    return np.array(hops, np.int64)


def _size_at(data: Bytes, offset: int) -> int | None:
    digits = data[offset + 124 : offset + 135].tobytes()
    return int(digits, 8) if len(digits) == 11 and digits.isdigit() and max(digits) < 0x38 else None


def _sizes(digits: Bytes) -> Positions:
    numbers: Positions = (digits - np.uint8(0x30)).astype(np.int64) @ _OCTAL
    return numbers


def _byte_sums(words: npt.NDArray[np.uint64]) -> Positions:
    """The sum of the bytes of each row, of at most 64 words."""
    # four 16-bit sums to a word, which 64 words cannot overflow
    sums = (words & _EVEN_BYTES).sum(axis=1) + ((words >> np.uint64(8)) & _EVEN_BYTES).sum(axis=1)
    pairs = (sums & _EVEN_PAIRS) + ((sums >> np.uint64(16)) & _EVEN_PAIRS)
    totals: Positions = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64) + (pairs >> np.uint64(32)).astype(np.int64)
    return totals


def _header_sums(words: npt.NDArray[np.uint64]) -> Positions:
    """The checksum of each header (n, 64). What is the same in all, which is most of them, is summed once."""
    varying = (words != words[:1]).any(axis=0)
    # in its own sum the checksum counts as eight spaces
    return (
        _byte_sums(words[:, varying] & _SUMMED[varying])
        + _byte_sums(words[:1, ~varying] & _SUMMED[~varying])
        + 8 * 0x20
    )


def stated_sizes(headers: Bytes) -> Positions:
    """The sizes that headers (n, 512) state; they mean something where ``plain_headers`` does."""
    return _sizes(headers[:, 124:135])


def plain_headers(headers: Bytes) -> npt.NDArray[np.bool_]:
    """Which rows (n, 512) are headers of a form that needs no closer look, with a right checksum."""
    words = headers.view(np.uint64)
    stated = (headers[:, 148:154] - np.uint8(0x30)).astype(np.int64) @ _OCTAL[5:]
    fixed = ((words[:, _FIXED] & _FIXED_MASK) == _FIXED_BITS).all(axis=1)
    ok: npt.NDArray[np.bool_] = fixed & (_header_sums(words) == stated)
    return ok


def sample_names(headers: Bytes) -> npt.NDArray[np.bool_]:
    """Which rows (n, 512) name a visible ``.msgpack`` member."""
    if len(headers) == 0:
        return np.empty(0, np.bool_)
    names = headers[:, :100]
    length = names[0].tobytes().find(b"\0")
    stem = length - len(_SUFFIX)
    if stem > 0 and (names[:, stem : length + 1] == _SUFFIX_END).all() and names[:, :stem].all():
        ok = np.ones(len(names), np.bool_)  # all are of one length
    else:
        blank = names == 0
        lengths = np.where(blank.any(axis=1), blank.argmax(axis=1), 100)
        ok = lengths > len(_SUFFIX)
        for back in range(1, len(_SUFFIX) + 1):
            ok &= names[np.arange(len(names)), lengths - back] == _SUFFIX[-back]
    first = names[:, 0]
    ok &= (first != ord(".")) & (first != ord("_")) & (first != ord("/"))
    slashes = names[:, :-1] == ord("/")
    if slashes.any():
        ok &= ~(slashes & (names[:, 1:] == ord("."))).any(axis=1)
    return ok


def scan(data: Bytes) -> Members:
    """The samples at the start of ``data``, up to the first that is cut off or needs a closer look.

    Args:
        data: uint8 (n,), a piece of a tar that starts with a header.
    """
    offsets = _header_offsets(data)
    headers = gather(data, offsets, BLOCK)
    sizes = stated_sizes(headers)
    after = offsets + BLOCK + -(-sizes // BLOCK) * BLOCK
    kinds = headers[:, 156]
    extended = kinds == ord("x")
    regular = (kinds == ord("0")) | (kinds == 0)
    plain = plain_headers(headers) & ((regular & sample_names(headers)) | extended)
    ok = plain & (after <= len(data))
    if extended.any():
        ok[extended] &= _only_mtime(data, offsets[extended], sizes[extended])
        # each extended header belongs to the regular one behind it
        ok[:-1] &= ~extended[:-1] | regular[1:]
    count = len(ok) if ok.all() else int(ok.argmin())
    while count and extended[count - 1]:
        count -= 1
    end = int(after[count - 1]) if count else 0
    cut = count < len(ok) and bool(plain[count]) and int(after[-1]) > len(data)
    members = regular[:count]
    heads = offsets[:count]
    if extended[:count].any():
        heads = np.where(np.concatenate(([False], extended[: count - 1])), np.roll(heads, 1), heads)
    return Members(
        heads[members],
        offsets[:count][members] + BLOCK,
        sizes[:count][members],
        end,
        int(after[-1]) - end if cut else 0,
    )


def _only_mtime(data: Bytes, offsets: Positions, sizes: Positions) -> npt.NDArray[np.bool_]:
    """Which extended headers hold a single mtime record of two-digit length, which changes nothing for us."""
    records = offsets + BLOCK
    inside = (sizes > 9) & (records + sizes <= len(data))
    records, sizes = records[inside], sizes[inside]
    starts = gather(data, records, 9)
    digits = (starts[:, :2] - np.uint8(0x30)).astype(np.int64)
    ok = np.zeros(len(offsets), np.bool_)
    ok[inside] = (
        (digits <= 9).all(axis=1)
        & (digits @ np.array([10, 1]) == sizes)
        & (starts[:, 2:] == np.frombuffer(b" mtime=", np.uint8)).all(axis=1)
        & (data[records + sizes - 1] == ord("\n"))
    )
    return ok
