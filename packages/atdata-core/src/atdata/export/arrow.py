"""Samples as Arrow tables whose columns hold every value exactly, and what two tables need to become one.

An array field is a column of numbers where its arrays have no dimension, of lists where they have one, and else of
``{shape, data}``, the elements in C order. None is null. Elements of arrays cannot be null, and so the types of array
columns differ from those of lists.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._extras import import_extra
from ..batch import SampleBatch
from ..codecs import Codec, found
from ..errors import RaggedBatch, SampleTypeError
from ..fields import Field
from ..sample import plan_of

pa = import_extra("pyarrow", "parquet")
pc = import_extra("pyarrow.compute", "parquet")

# pyarrow has no types for checkers, and need not be installed where they run
Table: TypeAlias = Any
Array: TypeAlias = Any
Type: TypeAlias = Any
Schema: TypeAlias = Any

_PRIMITIVES = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bytes": pa.binary()}
_FAULTS = (pa.ArrowException, TypeError, ValueError, OverflowError)
_MOST = 2**31 - 1  # what Arrow's offsets can count


# ------------------------------------------------------------------------------------- samples to tables


def batch_table(batch: SampleBatch[Any]) -> Table:
    """A batch of typed samples, column by column.

    Raises:
        SampleTypeError: a value has no form in Arrow; names the field.
        FieldMismatch, SampleDecodeError: a stored value cannot be read.
    """
    owner, plan = batch.sample_type.__name__, plan_of(batch.sample_type)
    columns = {}
    for item in dataclasses.fields(batch.sample_type):
        field = plan.by_name.get(item.name)
        if field is not None and field.codec.kind == "array":
            columns[item.name] = _array_column(owner, batch, item.name)
        else:  # what is derived on construction has no codec
            columns[item.name] = _column(owner, item.name, batch.list(item.name), field and _declared(field.codec))
    return pa.table(columns)


def rows_table(owner: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table, its types inferred from their values; what a row does not have is null.

    Raises:
        SampleTypeError: a value has no form in Arrow, or is not of the type of those before it; names the field.
    """
    names = dict.fromkeys(chain.from_iterable(rows))
    return pa.table({_text(owner, name): _column(owner, name, [row.get(name) for row in rows]) for name in names})


def empty_schema(fields: Iterable[Field]) -> Schema:
    """The schema of a table of no samples, from what is declared."""
    types = []
    for field in fields:
        declared = _declared(field.codec) or pa.null()
        if field.codec.kind == "array":
            # as elsewhere, arrays are float32 unless annotated
            with contextlib.suppress(*_FAULTS):  # what has no form is told once there are values
                declared = _list_type(_elements(np.empty(0, field.codec.dtype or np.float32)).type)
        types.append((field.name, declared))
    return pa.schema(types)


def _text(owner: str, name: object) -> str:
    if type(name) is str:
        return name
    raise SampleTypeError(f"{owner}: names of columns are text; found {name!r:.100}")


def _declared(codec: Codec) -> Type | None:
    """The type of a field that holds no arrays, or None if its values decide."""
    if codec.kind in ("bool", "int", "float") and codec.text != codec.kind and codec.text in np.sctypeDict:
        return pa.from_numpy_dtype(np.dtype(codec.text))
    if codec.kind == "list" and codec.item is not None:
        item = _declared(codec.item)
        return None if item is None else pa.list_(item)
    return _PRIMITIVES.get(codec.kind)


def _refused(owner: str, name: str, error: Exception) -> SampleTypeError:
    text = " ".join(str(error).split())
    advice = f"turn it into what Parquet has: to_parquet(path, sample_map=lambda sample: {{{name!r}: ...}})"
    return SampleTypeError(f"{owner}.{name} cannot be written to Parquet: {text}; {advice}", field=name)


def _column(owner: str, name: str, values: list[Any], declared: Type | None = None) -> Array:
    try:
        if declared is not None:
            return pa.array(values, declared)
        if any(isinstance(value, np.ndarray) for value in values):
            return _arrays(values)
        _refuse_mixtures(values)
        try:
            return pa.array(values)
        except _FAULTS:
            return pa.array(_plain(values))  # perhaps arrays inside lists
    except _FAULTS as error:
        raise _refused(owner, name, error) from error


def _refuse_mixtures(values: Collection[Any]) -> None:
    """Refuse what pyarrow would make one type of that it is not."""
    kinds = set(map(type, values))
    for one, other in ((bool, float), (str, bytes)):
        if {one, other} <= kinds:
            raise TypeError(f"found {one.__name__} beside {other.__name__}, and a column has one type")
    if not kinds.isdisjoint((list, tuple)):
        _refuse_mixtures([item for value in values if isinstance(value, list | tuple) for item in value])
    if dict in kinds:
        dicts = [value for value in values if isinstance(value, dict)]
        for key in dict.fromkeys(chain.from_iterable(dicts)):
            _refuse_mixtures([value[key] for value in dicts if key in value])


def _plain(value: Any) -> Any:
    """A value in which all arrays have one dimension, the byte order of this machine, and lists around them."""
    if isinstance(value, np.ndarray):
        if value.ndim == 1:
            return value.astype(value.dtype.newbyteorder("="), copy=False)
        return [_plain(row) for row in value] if value.ndim else value[()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


# ------------------------------------------------------------------------------------------------ arrays


def _array_column(owner: str, batch: SampleBatch[Any], name: str) -> Array:
    try:
        stacked = batch[name]
    except RaggedBatch:
        stacked = None
    # where arrays had to be decoded one by one, stacking may have found them a common dtype: a column keeps their own
    if stacked is None or name in batch._lists or not len(batch):
        return _column(owner, name, batch.list(name))
    count, shape = len(stacked), stacked.shape[1:]
    flat = stacked.reshape(-1)
    try:
        return _build(flat, np.full(count, flat.size // count), np.full(count, len(shape)), np.tile(shape, count))
    except _FAULTS as error:
        raise _refused(owner, name, error) from error


def _arrays(values: list[Any]) -> Array:
    """Arrays of one dtype, of any shapes, and None."""
    given = [value for value in values if value is not None]
    for value in given:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"beside arrays there is {found(value)}")
    dtypes = {array.dtype for array in given}
    # texts differ in width, which Arrow does not tell apart
    if len({dtype.kind if dtype.kind in "SU" else dtype.newbyteorder("=") for dtype in dtypes}) > 1:
        raise TypeError(f"its arrays have several dtypes, {', '.join(sorted(map(str, dtypes)))}; a column has one")
    none = np.array([value is None for value in values])
    sizes, ndims = np.zeros((2, len(values)), np.int64)
    sizes[~none] = [array.size for array in given]
    ndims[~none] = [array.ndim for array in given]
    shapes = np.fromiter(chain.from_iterable(array.shape for array in given), np.int64)
    return _build(np.concatenate([array.reshape(-1) for array in given]), sizes, ndims, shapes, none)


def _build(
    flat: npt.NDArray[Any],
    sizes: npt.NDArray[np.int64],
    ndims: npt.NDArray[np.int64],
    shapes: npt.NDArray[np.int64],
    none: npt.NDArray[np.bool_] | None = None,
) -> Array:
    """A column of arrays: all their elements, and for each how many these are, its dimensions, and its shape."""
    elements = _elements(flat)
    kinds = set(ndims.tolist() if none is None else ndims[~none].tolist())
    if kinds == {0}:
        return elements if none is None else elements.take(pa.array(np.cumsum(~none) - 1, mask=none))
    if kinds == {1}:
        return _lists(sizes, elements, none)
    return _tensors(_lists(ndims, pa.array(shapes)), _lists(sizes, elements), none)


def _elements(flat: npt.NDArray[Any]) -> Array:
    dtype = flat.dtype
    if dtype.kind not in "biufmMSU" or dtype == np.longdouble:
        raise TypeError(f"arrays of dtype {dtype} have no form there")
    if dtype.kind in "mM" and np.datetime_data(dtype)[1] != 1:
        raise TypeError(f"times of dtype {dtype} count in steps that have no form there")
    if dtype.kind in "SU":  # pyarrow cuts NumPy's texts at the first NUL
        return pa.array(flat.tolist(), pa.binary() if dtype.kind == "S" else pa.string())
    return pa.array(flat.astype(dtype.newbyteorder("="), copy=False))


def _list_type(element: Type) -> Type:
    # a time may be NaT, which is null
    return pa.list_(pa.field("element", element, nullable=pa.types.is_temporal(element)))


def _lists(sizes: npt.NDArray[np.int64], elements: Array, none: npt.NDArray[np.bool_] | None = None) -> Array:
    """Lists of so many elements each, null where ``none``."""
    if len(elements) > _MOST:
        raise OverflowError(f"a batch holds {len(elements):,} elements, over {_MOST:,}")
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    mask = None if none is None else pa.array(none)
    return pa.ListArray.from_arrays(pa.array(offsets), elements, type=_list_type(elements.type), mask=mask)


def _tensors(shapes: Array, data: Array, none: npt.NDArray[np.bool_] | None = None) -> Array:
    mask = None if none is None else pa.array(none)
    return pa.StructArray.from_arrays([shapes, data], fields=[*_tensor_type(data.type.value_type)], mask=mask)


def _tensor_type(element: Type) -> Type:
    parts = {"shape": _list_type(pa.int64()), "data": _list_type(element)}
    return pa.struct([pa.field(name, kind, nullable=False) for name, kind in parts.items()])


def element_type(kind: Type) -> Type | None:
    """The type of the elements of an array column, or None if it is none; a single value may be an array, too."""
    if pa.types.is_struct(kind) and [part.name for part in kind] == ["shape", "data"]:
        kind = kind.field(1).type
    if not pa.types.is_nested(kind):
        return kind
    of_array = pa.types.is_list(kind) and (not kind.value_field.nullable or pa.types.is_temporal(kind.value_type))
    return kind.value_type if of_array else None


# ------------------------------------------------------------------------------------- tables to one type


def wider_schema(owner: str, a: Schema, b: Schema) -> Schema:
    """The schema that the rows of both fit into.

    Raises:
        SampleTypeError: a column has types that have none in common; names it and both.
    """
    if a.equals(b):
        return a
    types = {field.name: field.type for field in a}
    for field in b:
        try:
            types[field.name] = _wider(types.get(field.name, pa.null()), field.type)
        except TypeError as error:
            raise _refused(owner, field.name, error) from None
    return pa.schema(types.items())


def _wider(a: Type, b: Type) -> Type:
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    element = element_type(a)
    if element is not None and element == element_type(b):
        return _tensor_type(element)
    if {a, b} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(a) and pa.types.is_list(b) and element is None and element_type(b) is None:
        return pa.list_(_wider(a.value_type, b.value_type))
    if pa.types.is_struct(a) and pa.types.is_struct(b) and element is None and element_type(b) is None:
        types = {field.name: field.type for field in a}
        for field in b:
            types[field.name] = _wider(types.get(field.name, pa.null()), field.type)
        return pa.struct(types.items())
    raise TypeError(f"found values of type {a} and later of {b}, and a column has one")


def fitted_table(owner: str, table: Table, schema: Schema) -> Table:
    """A table under a schema that is as wide as its own, or wider.

    Raises:
        SampleTypeError: an integer among floats that no float64 is equal to; names the field.
    """
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        at = table.schema.get_field_index(field.name)
        column = pa.chunked_array([pa.nulls(len(table))]) if at < 0 else table.column(at)
        try:
            columns.append(pa.chunked_array([_fitted(chunk, field.type) for chunk in column.chunks], field.type))
        except _FAULTS as error:
            raise _refused(owner, field.name, error) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _fitted(array: Array, kind: Type) -> Array:
    if array.type == kind:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind)
    none = np.asarray(array.is_null())
    if pa.types.is_struct(kind) and not pa.types.is_struct(array.type):
        dimensions = int(pa.types.is_list(array.type))  # an array of fewer than the others
        sizes = _sizes(array) if dimensions else (~none).astype(np.int64)
        shapes = pa.array(sizes[~none]) if dimensions else pa.array([], pa.int64())
        data = (array.flatten() if dimensions else array.drop_null()).cast(element_type(kind))
        return _tensors(_lists(dimensions * ~none, shapes), _lists(sizes, data), none)
    if pa.types.is_struct(kind):
        own = {field.name: part for field, part in zip(array.type, array.flatten(), strict=True)}
        parts = [_fitted(own.get(field.name, pa.nulls(len(array))), field.type) for field in kind]
        return pa.StructArray.from_arrays(parts, fields=[*kind], mask=pa.array(none))
    if pa.types.is_list(kind):
        offsets = np.concatenate([[0], np.cumsum(_sizes(array))])
        values = _fitted(array.flatten(), kind.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind, mask=pa.array(none))
    return array.cast(kind)


def _sizes(lists: Array) -> npt.NDArray[np.int64]:
    return np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)
