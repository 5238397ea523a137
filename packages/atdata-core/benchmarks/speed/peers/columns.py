"""Samples as Arrow columns, for the formats that are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from ..formats import SEED, Batch
from ..workloads import Field, Workload

pa.set_cpu_count(1)
pa.set_io_thread_count(1)


def schema(workload: Workload) -> pa.Schema:
    """The fields as Arrow types; arrays are flat lists."""
    return pa.schema([(name, _type(field)) for name, field in workload.fields.items()])


def _type(field: Field) -> pa.DataType:
    if not field.dtype:
        return {int: pa.int64(), float: pa.float64(), str: pa.string()}[field.hint]
    return pa.list_(pa.from_numpy_dtype(field.dtype), prod(field.shape) if field.shape else -1)


def record_batches(workload: Workload) -> Iterator[pa.RecordBatch]:
    """All samples, a batch at a time."""
    rows = workload.rows()
    types = schema(workload)
    while batch := list(islice(rows, workload.batch_size)):
        columns = zip(*batch, strict=True)
        arrays = [
            _arrow(field, values, types.field(name).type)
            for (name, field), values in zip(workload.fields.items(), columns, strict=True)
        ]
        yield pa.record_batch(arrays, schema=types)


def _arrow(field: Field, values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if not field.dtype:
        return pa.array(values, kind)
    flat = pa.array(np.concatenate([value.reshape(-1) for value in values]))
    if field.shape:
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=kind)


def decoded(workload: Workload, rows: pa.Table | pa.RecordBatch) -> Batch:
    """A batch's rows as NumPy arrays and lists that own their memory."""
    if isinstance(rows, pa.Table):
        (rows,) = rows.combine_chunks().to_batches()
    return {name: _values(field, rows.column(name)) for name, field in workload.fields.items()}


def _values(field: Field, column: pa.Array) -> Any:
    if field.shape:
        return column.flatten().to_numpy().reshape(-1, *field.shape).copy()
    if field.dtype:
        offsets = column.offsets.to_numpy()
        values = column.values.to_numpy()[offsets[0] : offsets[-1]].copy()
        return np.split(values, offsets[1:-1] - offsets[0])
    return column.to_pylist() if field.hint is str else column.to_numpy().copy()


def random_batches(workload: Workload, samples: int) -> Iterator[np.ndarray]:
    """Numbers of all samples in random order, a batch at a time."""
    order = np.random.default_rng(SEED).permutation(samples)
    return (order[start : start + workload.batch_size] for start in range(0, samples, workload.batch_size))
