"""Batches as dicts of NumPy arrays and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..batch import SampleBatch
from ..decode import run, text_run
from ..errors import RaggedBatch, SampleTypeError
from ..fields import Field
from ..sample import DictSample, PackableSample, plan_of
from ..schema.shape import Shape
from .loading import Collate, Loader, Stream

_DTYPES = {"bool": "bool", "int": "int64", "float": "float64"}


class Run(NamedTuple):
    """Arrays of one dimension, one behind the other.

    Attributes:
        values: all their elements.
        lengths: how many each has.
    """

    values: npt.NDArray[Any]
    lengths: list[int]

    def arrays(self) -> list[npt.NDArray[Any]]:
        """The arrays, which share the memory of all."""
        ends = [*accumulate(self.lengths)]
        return [self.values[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Texts(NamedTuple):
    """Texts, one behind the other.

    Attributes:
        values: their bytes in UTF-8.
        lengths: how many bytes each has.
    """

    values: npt.NDArray[np.uint8]
    lengths: list[int]

    def strings(self) -> list[str]:
        """The texts."""
        data, ends = self.values.data, [*accumulate(self.lengths)]
        return [str(data[start:end], "utf-8") for start, end in zip([0, *ends], ends, strict=False)]


class ArrayLoader(Loader):
    """Batches as dicts of arrays and lists, pass after pass; see ``Dataset.numpy_iter``.

    Args:
        stream: the batches.
        collate: makes something else of each.
        pad: what to fill fields up with.
        prefetch: how many a thread makes ahead; 0 for none.
    """

    def __init__(
        self, stream: Stream, *, collate: Collate | None = None, pad: Mapping[str, Any] | None = None, prefetch: int = 2
    ) -> None:
        super().__init__(stream, prefetch)
        self._make = collate or partial(columns, pad=pad)

    def __iter__(self) -> Iterator[Any]:
        """A pass, from its beginning or from where the state that was loaded says."""
        return self._made_here(self._make)


def columns(batch: SampleBatch[Any], pad: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A batch as a dict of its fields.

    Arrays are stacked, and numbers become an array of their declared dtype, int64, float64 or bool. A field is a list
    if it holds anything else, may be None, is declared with a ``Shape`` that leaves a size open, or holds arrays that
    cannot be stacked.

    Args:
        batch: the batch.
        pad: what to fill up with, by field: arrays at the end of each axis, numbers in place of None. The lengths of
            the arrays then are in ``<field>_lengths``, as ``SampleBatch.pad`` gives them.

    Raises:
        SampleTypeError: a number does not fit its dtype, or samples have no fields.
        AttributeError: the samples have no field that ``pad`` names.
        RaggedBatch: a field to be padded holds arrays that differ in their number of dimensions, or no arrays.
        FieldMismatch, SampleDecodeError: a stored value cannot be read; names shard, key and offset.
    """
    parts = columns_and_runs(batch, pad)
    return {name: part.arrays() if isinstance(part, Run) else part for name, part in parts.items()}


def columns_and_runs(
    batch: SampleBatch[Any], pad: Mapping[str, Any] | None = None, *, texts: bool = False
) -> dict[str, Any]:
    """What ``columns`` gives, with runs in place of some lists of arrays, and if asked for, of some lists of texts."""
    typed = issubclass(batch.sample_type, PackableSample)
    if not typed and not issubclass(batch.sample_type, DictSample):
        raise SampleTypeError(
            f"a {batch.sample_type.__name__} has no fields to make columns of; map to a sample type, or give collate="
        )
    declared = plan_of(batch.sample_type).by_name if typed else {}
    pad = pad or {}
    if not isinstance(pad, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"pad names fields and what fills them up, as in pad={{'tokens': 0}}; found {pad!r:.100}")
    made: dict[str, Any] = {}
    names = dict.fromkeys([*batch._fields(), *pad])
    for name in names:
        field = declared.get(name)
        dtype = _dtype(batch, name, field)
        if name not in pad:
            made[name] = (_texts(batch, name) if texts else None) or _column(batch, name, field, dtype)
        elif dtype is None:
            if f"{name}_lengths" in names:
                raise ValueError(f"{name} cannot be padded: its lengths would be in {name}_lengths, which is a field")
            made[name], made[f"{name}_lengths"] = batch.pad(name, pad[name])
        else:
            made[name] = _numbers(batch, name, dtype, pad[name])
    return made


def _dtype(batch: SampleBatch[Any], name: str, field: Field | None) -> str | None:
    """What a field of numbers becomes; None for any other."""
    if field is not None:
        return _DTYPES.get(field.codec.text, field.codec.text) if field.codec.kind in _DTYPES else None
    kinds = {type(value).__name__ for value in batch.list(name) if value is not None}
    return _DTYPES.get("float" if kinds == {"int", "float"} else " or ".join(kinds))


def _column(batch: SampleBatch[Any], name: str, field: Field | None, dtype: str | None) -> Any:
    stored = batch._stored_field(name)
    found = run(stored[1], batch._pieces) if stored is not None and stored[1].codec.kind == "array" else None
    if field is not None and (field.optional or _differ(field)):
        return batch.list(name) if found is None else Run(*found)
    if dtype is not None:
        return _numbers(batch, name, dtype, None)
    if found is not None:
        values, lengths = found
        return values.reshape(len(lengths), lengths[0]) if len(set(lengths)) == 1 else Run(values, lengths)
    try:
        return batch[name]
    except RaggedBatch:
        return batch.list(name)


def _texts(batch: SampleBatch[Any], name: str) -> Texts | None:
    stored = batch._stored_field(name)
    found = text_run(stored[1], batch._pieces) if stored is not None else None
    return None if found is None else Texts(*found)


def _differ(field: Field) -> bool:
    """Whether arrays are declared to differ in shape."""
    return any(isinstance(note, Shape) and None in note.sizes for note in field.codec.notes)


def _numbers(batch: SampleBatch[Any], name: str, dtype: str, fill: Any) -> Any:
    values = batch.list(name)
    if None in values:
        if fill is None:
            return values
        values = [fill if value is None else value for value in values]
    try:
        return np.array(values, dtype)
    except OverflowError as error:
        raise SampleTypeError(
            f"{batch.sample_type.__name__}.{name}: a number does not fit {dtype}; declare another, such as np.uint64",
            field=name,
        ) from error
