"""Stored samples to typed values: where field plans meet the columns of the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from operator import length_hint
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .codecs import WrongValue
from .dtypes import DtypePolicy
from .errors import AtdataError
from .fields import Field, Plan
from .lens import Lens
from .lens.base import chained
from .sample import PackableSample, plan_of
from .shard.blocks import Chunk
from .shard.payload import unpack_map

# Samples are made for about this many bytes at a time, and so few that their two objects each stay below the 700 at
# which CPython looks for garbage
_STEP_ROWS, _STEP_BYTES = 256, 1 << 20
# Texts of more bytes on average leave a process faster as they are stored
_LONG_TEXT = 200


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


class Step(NamedTuple):
    """Something that is done with each sample.

    Attributes:
        function: makes another sample of it, or tells whether it stays.
        makes: the type of the other sample, ``object`` if unknown; None for a function that tells whether it stays.
    """

    function: Callable[[Any], Any]
    makes: type[Any] | None

    def __call__(self, samples: Iterable[Any]) -> Iterator[Any]:
        return filter(self.function, samples) if self.makes is None else map(self.function, samples)


@dataclass(frozen=True)
class View:
    """What stored samples are read as.

    Attributes:
        stored: the type that their shards were written with, or ``DictSample``.
        lens: what they are seen through; None shows them as they are.
        dtypes: which arrays are converted to their declared dtype.
        steps: what is done with the samples behind that, in order.
    """

    stored: type[Any]
    lens: Lens[Any, Any] | None = None
    dtypes: DtypePolicy = "same-kind"
    steps: tuple[Step, ...] = ()

    @property
    def sample_type(self) -> type[Any]:
        """The type of what comes out; ``object`` where only the samples themselves tell."""
        types = [step.makes for step in self.steps if step.makes is not None]
        return types[-1] if types else self.stored if self.lens is None else self.lens.view_type

    @property
    def filters(self) -> bool:
        """Whether it leaves out samples."""
        return any(step.makes is None for step in self.steps)

    def seen(self, lens: Lens[Any, Any]) -> View:
        """The same, seen through one more lens."""
        if self.steps:
            return replace(self, steps=(*self.steps, Step(lens.get, lens.view_type)))
        return replace(self, lens=lens if self.lens is None else self.lens | lens)

    @cached_property
    def _reading(self) -> tuple[type[Any], Plan | None, tuple[Lens[Any, Any], ...]]:
        made, plan = self.stored, plan_of(self.stored) if issubclass(self.stored, PackableSample) else None
        parts = self.lens.parts if self.lens is not None else ()
        # lenses that only pick fields need not be applied: what they leave out is not read at all
        while parts and (picks := parts[0].picks) is not None:
            if plan is not None and not (plan.plain and plan.by_name.keys() >= set(picks.values())):
                break  # making a sample of that type runs code, or fills in a default that is picked
            made = parts[0].view_type
            plan = plan_of(made).picking(picks, plan)
            parts = parts[1:]
        return made, plan.reading(self.dtypes) if plan is not None else None, parts

    @property
    def made(self) -> type[Any]:
        """The type of the samples that are made of stored fields."""
        return self._reading[0]

    @property
    def plan(self) -> Plan | None:
        """How they are made; None where their type alone knows."""
        return self._reading[1]

    @cached_property
    def then(self) -> tuple[Step, ...]:
        """What is applied to each of them."""
        parts, lens = self._reading[2], self.lens
        seen = (
            () if lens is None or not parts else (Step(chained(parts, self.made, lens.view_type).get, lens.view_type),)
        )
        return (*seen, *self.steps)

    def from_payload(self, payload: bytes) -> Any:
        """A sample that is made of stored fields.

        Raises:
            SampleDecodeError: not msgpack, or not a map.
            FieldMismatch: a field is missing or of another type.
        """
        if self.plan is None or self.plan is plan_of(self.made):
            return self.made.from_bytes(payload)
        return self.made(**self.plan.unpack(unpack_map(payload)))

    def __reduce__(self) -> tuple[Any, ...]:
        return View, (self.stored, self.lens, self.dtypes, self.steps)


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
    name, codec = field.key, field.codec
    kind = chunk.kind(name)
    try:
        if kind == "bin" and codec.kind == "array":
            arrays = chunk.arrays(name, low, high)
            # NumPy takes None for float64, too
            if codec.convert is None or ((dtype := chunk.dtype(name)) is not None and dtype == codec.dtype):
                return arrays
            return [*map(codec.convert, arrays)]
        if kind is not None and (kind == codec.stored or (kind == "nil" and field.optional)):
            return chunk.values(name, low, high)
    except (AtdataError, UnicodeDecodeError, WrongValue):
        pass  # one by one, which finds the sample that is wrong, if it is one of these
    return _one_by_one(plan, field, piece)


def _one_by_one(plan: Plan, field: Field, piece: Piece) -> list[Any]:
    chunk, low, high = piece
    name = field.key
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
            if name not in data and field.required:
                data = unpack_map(chunk.payload(row))  # all that there is, for the message
            values.append(plan.unpack_field(field, data[name]) if name in data else plan.missing(field, data))
        except AtdataError as error:
            located(chunk, row, error)
            raise
    return values


def stacked(field: Field, pieces: Sequence[Piece]) -> npt.NDArray[Any] | None:
    """An array field of all samples as one new array, where all arrays are alike; else None."""
    dense = []
    for chunk, _, _ in pieces:
        column = chunk.dense(field.key) if chunk.kind(field.key) == "bin" else None
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
    try:
        return out if field.codec.convert is None else field.codec.convert(out)
    except WrongValue:
        return None  # one by one, which finds the sample


def run(field: Field, pieces: Sequence[Piece]) -> tuple[npt.NDArray[Any], list[int]] | None:
    """An array field of all samples, one array behind the other in new memory, and their lengths.

    None where they are not of one dimension each and of one dtype, the declared one, or where a chunk's are all alike.
    """
    spans: list[memoryview] = []
    lengths: list[int] = []
    dtypes: set[np.dtype[Any]] = {field.codec.dtype} if field.codec.dtype is not None else set()
    for chunk, low, high in pieces:
        column = chunk.vectors(field.key) if chunk.kind(field.key) == "bin" else None
        if column is None or not column.dtype.itemsize or dtypes - {column.dtype}:
            return None
        dtypes = {column.dtype}
        spans += column.spans(low, high)
        lengths += column.lengths(low, high)
    return np.frombuffer(bytearray().join(spans), dtypes.pop()), lengths


def text_run(field: Field, pieces: Sequence[Piece]) -> tuple[npt.NDArray[np.uint8], list[int]] | None:
    """A text field of all samples in UTF-8, one text behind the other, and how many bytes each has.

    None where not all are texts that can be read, or where they are so short that they are better off one by one.
    """
    spans: list[memoryview] = []
    for chunk, low, high in pieces:
        if chunk.kind(field.key) != "str" or field.codec.stored != "str":
            return None
        spans += chunk.spans(field.key, low, high)
    lengths = [*map(len, spans)]
    if sum(lengths) < _LONG_TEXT * len(lengths):
        return None
    joined = b"".join(spans)
    if not joined.isascii():
        try:
            for span in spans:
                str(span, "utf-8")
        except UnicodeDecodeError:
            return None
    return np.frombuffer(joined, np.uint8), lengths


def samples(view: View, pieces: Iterable[Piece]) -> Iterator[Any]:
    """The samples one by one.

    Raises:
        FieldMismatch, SampleDecodeError: a sample cannot be read; says where it is. Those before it come out first.
    """
    made: Iterator[Any] = chain.from_iterable(groups(view, pieces))
    for step in view.then:
        made = step(made)
    return made


def groups(view: View, pieces: Iterable[Piece]) -> Iterator[Iterable[Any]]:
    """The samples as they are made of stored fields, some at a time; raises like ``samples``."""
    plan = view.plan
    for chunk, low, high in pieces:
        if plan is None or not plan.plain or not chunk.walked:
            yield _one_after_another(view, Piece(chunk, low, high))
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
                yield _one_after_another(view, piece)
            else:
                yield _build(view.made, plan, columns, piece.high - piece.low)


def _build(sample_type: type[Any], plan: Plan, columns: list[list[Any]], count: int) -> list[Any]:
    """Instances without a call of ``__init__`` each, which the plan says makes no difference."""
    made = [*map(object.__new__, repeat(sample_type, count))]
    # what a frozen class forbids is not meant for us
    own: Any = sample_type.__setattr__
    put: Any = setattr if own is object.__setattr__ else object.__setattr__
    for field, values in zip(plan.fields, columns, strict=True):
        deque(map(put, made, repeat(field.name), values), maxlen=0)
    return made


def _one_after_another(view: View, piece: Piece) -> OneByOne:
    def make(row: int) -> Any:
        try:
            return view.from_payload(bytes(piece.chunk.payload(row)))
        except AtdataError as error:
            located(piece.chunk, row, error)
            raise

    return OneByOne(make, range(piece.low, piece.high))


class OneByOne:
    """Things that are made when they are asked for, as an iterator that knows how many are left.

    Args:
        make: makes one, of its number.
        rows: the numbers.
    """

    def __init__(self, make: Callable[[int], Any], rows: range) -> None:
        self._make = make
        self._rows = iter(rows)

    def __iter__(self) -> OneByOne:
        return self

    def __next__(self) -> Any:
        return self._make(next(self._rows))

    def __length_hint__(self) -> int:
        return length_hint(self._rows)
