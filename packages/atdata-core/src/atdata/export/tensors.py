"""Batches as tensors on the memory that they were decoded into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from .._extras import import_extra
from ..batch import SampleBatch
from .numpy import Run, columns_and_runs

torch = import_extra("torch", "torch")

# torch need not be installed where type checkers run
Tensor: TypeAlias = Any

# Arrays of other dtypes (text, times, long doubles, records) stay NumPy arrays.
DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in (
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the byte order of this machine."""
    return dtype.newbyteorder("=")


def stretches(values: Tensor, lengths: list[int]) -> list[Tensor]:
    """A tensor in pieces. Nobody may use the whole of it any more: that makes this safe, and quicker than ``split``."""
    return [*torch.unsafe_split_with_sizes(values, lengths)]


def tensor(value: Any) -> Any:
    """The value, or for an array a tensor that shares its memory if torch can use that as it is."""
    if isinstance(value, Run):
        values = tensor(value.values)
        return stretches(values, value.lengths) if isinstance(values, torch.Tensor) else value.arrays()
    if isinstance(value, list):
        return [*map(tensor, value)] if np.ndarray in set(map(type, value)) else value
    if not isinstance(value, np.ndarray) or native(value.dtype) not in DTYPES:
        return value
    usable = value.dtype.isnative and value.flags.writeable and all(step >= 0 for step in value.strides)
    return torch.from_numpy(value if usable else value.astype(native(value.dtype), "C"))


def tensors(batch: SampleBatch[Any], pad: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A batch as a dict of its fields: what ``atdata.export.numpy.columns`` gives, with tensors in place of arrays.

    Args:
        batch: the batch.
        pad: what to fill fields up with.
    """
    return {name: tensor(values) for name, values in columns_and_runs(batch, pad).items()}
