"""Parquet files, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._extras import import_extra
from ..errors import RowError
from ..export.arrow import element_type
from .infer import items, ndarray, primitive
from .rows import Row, field_names

pa = import_extra("pyarrow", "parquet")
pq = import_extra("pyarrow.parquet", "parquet")

# Rows and bytes that are read at a time, at most
_ROWS, _BYTES = 1000, 16 << 20


class ParquetRows:
    """The rows of a Parquet file.

    Lists of numbers become arrays of the dtype that the file has for them, and so does what ``to_parquet`` makes of
    arrays of more dimensions. Times become arrays without dimensions; images as ``{bytes, path}`` become bytes.

    Args:
        path: the file.
    """

    text = False

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened() as file:
            self.count: int | None = file.metadata.num_rows
            self._schema = file.schema_arrow
            self._optional = [_may_be_null(file.metadata, column.name) for column in self._schema]
            self._row_bytes = sum(
                file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)
            ) // max(1, file.metadata.num_rows)
        self._names = field_names(self._schema.names, path.name)

    def _opened(self) -> Any:
        try:
            return pq.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as error:
            raise RowError(f"{self._path.name} cannot be read as Parquet: {error}") from error

    def fields(self) -> list[dict[str, Any]]:
        """See ``Rows``."""
        return [
            {"name": name, "fieldType": self._type(column.name, column.type), "optional": optional}
            for name, column, optional in zip(self._names, self._schema, self._optional, strict=True)
        ]

    def _type(self, name: str, kind: Any) -> dict[str, Any]:
        where = f"{name!r:.80} in {self._path.name}"
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        dtype = _array_dtype(kind)
        if dtype is not None:
            return ndarray(dtype, where)
        for test, made in _PRIMITIVES:
            if test(kind):
                return primitive(made)
        if _is_list(kind):
            return items(self._type(name, kind.value_type))
        raise RowError(f"{where} is of type {kind}, which fields have no form for; cast it, or leave the column out")

    def __iter__(self) -> Iterator[Row]:
        readers = [_reader(column.type) for column in self._schema]
        number = 0
        size = max(1, min(_ROWS, _BYTES // max(1, self._row_bytes)))
        with self._opened() as file:
            try:
                for batch in file.iter_batches(batch_size=size):
                    columns = [read(column) for read, column in zip(readers, batch.columns, strict=True)]
                    for values in zip(*columns, strict=True):
                        yield Row(f"{self._path.name}, row {number:,}", dict(zip(self._names, values, strict=True)))
                        number += 1
            except (pa.ArrowException, OSError) as error:
                raise RowError(f"{self._path.name} cannot be read behind row {number:,}: {error}") from error


def _may_be_null(metadata: Any, name: str) -> bool:
    """Whether a column may have nulls, as far as the file says; in a column of lists, empty ones count as well."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema.partition(".")[0] == name:
                known: Any = column.statistics
                if known is None or not known.has_null_count or known.null_count:
                    return True
    return False


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_image(kind: Any) -> bool:
    return bool(pa.types.is_struct(kind)) and {part.name for part in kind} == {"bytes", "path"}


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


_PRIMITIVES: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (pa.types.is_boolean, "bool"),
    (pa.types.is_integer, "int"),
    (pa.types.is_floating, "float"),
    (_is_text, "str"),
    (_is_bytes, "bytes"),
    (_is_image, "bytes"),
)


def _array_dtype(kind: Any) -> np.dtype[Any] | None:
    """The dtype of a column of arrays, or None if it is none."""
    if pa.types.is_struct(kind) and [part.name for part in kind] == ["shape", "data"]:
        kind = element_type(kind)
    elif _is_list(kind) and _is_number(kind.value_type):
        kind = kind.value_type
    elif not pa.types.is_temporal(kind):
        return None
    if pa.types.is_temporal(kind):
        return np.dtype("timedelta64" if pa.types.is_duration(kind) else "datetime64")
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype


def _reader(kind: Any) -> Callable[[Any], list[Any]]:
    """What makes the values of fields of a column."""
    if pa.types.is_dictionary(kind):
        return lambda column: column.dictionary_decode().to_pylist()
    if _is_image(kind):
        return lambda column: [None if value is None else value["bytes"] for value in column.to_pylist()]
    if _array_dtype(kind) is None:
        return lambda column: column.to_pylist()
    if pa.types.is_struct(kind):
        return lambda column: [_tensor(value) for value in column]
    if _is_list(kind):
        return lambda column: [_flat(value.values) if value.is_valid else None for value in column]
    return lambda column: [
        array if valid else None
        for array, valid in zip(map(np.array, _flat(column)), column.is_valid().to_pylist(), strict=True)
    ]


def _flat(values: Any) -> np.ndarray[Any, Any]:
    if values.null_count and not pa.types.is_temporal(values.type):
        raise pa.ArrowInvalid("null inside of a list of numbers, where arrays have a number")
    return np.array(values.to_numpy(zero_copy_only=False))


def _tensor(value: Any) -> np.ndarray[Any, Any] | None:
    if not value.is_valid:
        return None
    shape = value["shape"].as_py()
    return _flat(value["data"].values).reshape(shape)
