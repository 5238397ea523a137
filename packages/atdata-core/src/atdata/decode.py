"""Stored samples to typed values: where field plans meet the columns of the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import AtdataError
from .fields import Field, Plan
from .sample import PackableSample, plan_of
from .shard.blocks import Chunk
from .shard.payload import unpack_map

# Samples are made for about this many bytes at a time
_STEP_ROWS, _STEP_BYTES = 512, 1 << 20


class Piece(NamedTuple):
    """Some neighbours in a chunk.

    Attributes:
        chunk: the chunk.
        low: its first row that counts.
        high: the row behind the last.
    """

    chunk: Chunk
    low: int
    high: int


def located(chunk: Chunk, row: int, error: AtdataError) -> AtdataError:
    """The error, told where the sample is."""
    return error.at(**chunk.where(row)._asdict())


def maps(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """The stored maps of all samples, arrays as bytes.

    Raises:
        SampleDecodeError: a sample is not a msgpack map; says where it is.
    """
    found: list[dict[str, Any]] = []
    for chunk, low, high in pieces:
        for row in range(low, high):
            try:
                found.append(unpack_map(chunk.payload(row)))
            except AtdataError as error:
                located(chunk, row, error)
                raise
    return found


def field_values(plan: Plan, field: Field, pieces: Sequence[Piece]) -> list[Any]:
    """A field of all samples, value by value.

    Raises:
        FieldMismatch, SampleDecodeError: a value cannot be read; says where its sample is.
    """
    if len(pieces) == 1:
        return _piece_values(plan, field, pieces[0])
    return [value for piece in pieces for value in _piece_values(plan, field, piece)]


def _piece_values(plan: Plan, field: Field, piece: Piece) -> list[Any]:
    chunk, low, high = piece
    name, codec = field.name, field.codec
    kind = chunk.kind(name)
    try:
        if kind == "bin" and codec.kind == "array":
            return chunk.arrays(name, low, high)
        if kind is not None and (kind == codec.stored or (kind == "nil" and field.optional)):
            return chunk.values(name, low, high)
    except (AtdataError, UnicodeDecodeError):
        pass  # one by one, which finds the sample that is wrong, if it is one of these
    return _one_by_one(plan, field, piece)


def _one_by_one(plan: Plan, field: Field, piece: Piece) -> list[Any]:
    chunk, low, high = piece
    name = field.name
    walked = chunk.kind(name) is not None
    values = []
    for row in range(low, high):
        try:
            if not walked:
                data: Mapping[str, Any] = chunk.rest(row)
            elif chunk.kind(name) == "str":
                data = unpack_map(chunk.payload(row))
            else:
                data = {name: chunk.values(name, row, row + 1)[0]}
            values.append(plan.unpack_field(field, data[name]) if name in data else plan.missing(field))
        except AtdataError as error:
            located(chunk, row, error)
            raise
    return values


def stacked(field: Field, pieces: Sequence[Piece]) -> npt.NDArray[Any] | None:
    """An array field of all samples as one new array, where all arrays are alike; else None."""
    dense = []
    for chunk, _, _ in pieces:
        column = chunk.dense(field.name) if chunk.kind(field.name) == "bin" else None
        if column is None:
            return None
        dense.append(column)
    dtype, shape, fortran, _ = layout = dense[0].layout
    # what np.stack would turn into another dtype is left to it
    if fortran or np.promote_types(dtype, dtype) != dtype or any(column.layout[:3] != layout[:3] for column in dense):
        return None
    total = sum(high - low for _, low, high in pieces)
    out = np.empty((total, *shape), dtype)
    rows = out.view(np.uint8).reshape(total, -1) if out.nbytes else np.empty((total, 0), np.uint8)
    done = 0
    for column, (_, low, high) in zip(dense, pieces, strict=True):
        column.copy_into(rows[done : done + high - low], low, high)
        done += high - low
    return out


def samples(sample_type: type[Any], pieces: Iterable[Piece]) -> Iterator[Any]:
    """The samples one by one.

    Raises:
        FieldMismatch, SampleDecodeError: a sample cannot be read; says where it is. Those before it come out first.
    """
    return chain.from_iterable(_groups(sample_type, pieces))


def _groups(sample_type: type[Any], pieces: Iterable[Piece]) -> Iterator[Iterable[Any]]:
    plan = plan_of(sample_type) if issubclass(sample_type, PackableSample) else None
    for chunk, low, high in pieces:
        if plan is None or not plan.plain or not chunk.walked:
            yield _one_after_another(sample_type, Piece(chunk, low, high))
            continue
        mean = chunk.mean_size
        step = max(1, min(_STEP_ROWS, _STEP_BYTES // mean))
        for start in range(low, high, step):
            piece = Piece(chunk, start, min(high, start + step))
            try:
                columns = [_piece_values(plan, field, piece) for field in plan.fields]
                for name in chunk.texts():  # a sample that cannot be unpacked alone is bad in company, too
                    chunk.values(name, 0, 0)
            except (AtdataError, UnicodeDecodeError):
                yield _one_after_another(sample_type, piece)
            else:
                yield _build(sample_type, plan, columns, piece.high - piece.low)


def _build(sample_type: type[Any], plan: Plan, columns: list[list[Any]], count: int) -> list[Any]:
    """Instances without a call of ``__init__`` each, which the plan says makes no difference."""
    made = [*map(object.__new__, repeat(sample_type, count))]
    # what a frozen class forbids is not meant for us
    own: Any = sample_type.__setattr__
    put: Any = setattr if own is object.__setattr__ else object.__setattr__
    for field, values in zip(plan.fields, columns, strict=True):
        deque(map(put, made, repeat(field.name), values), maxlen=0)
    return made


def _one_after_another(sample_type: type[Any], piece: Piece) -> Iterator[Any]:
    for row in range(piece.low, piece.high):
        try:
            sample = sample_type.from_bytes(bytes(piece.chunk.payload(row)))
        except AtdataError as error:
            located(piece.chunk, row, error)
            raise
        yield sample
