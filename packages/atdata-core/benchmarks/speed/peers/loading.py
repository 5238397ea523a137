"""Rows of the peers' datasets as batches of tensors, for their loaders."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from ..formats import Batch
from ..workloads import Workload

warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # it is stacked, and so copied


def as_it_is(batch: Batch) -> Batch:
    """For a loader that is given whole batches."""
    return batch


def collate(workload: Workload) -> Any:
    """What a loader makes batches with: torch's own, except that it cannot make them of arrays of differing lengths."""
    return partial(_collated, tuple(workload.ragged))  # which can be sent to a worker, as a workload cannot


def _collated(ragged: tuple[str, ...], rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    batch = default_collate([{name: row[name] for name in row if name not in ragged} for row in rows])
    # sent as arrays, since a tensor costs a descriptor and an exchange with the worker
    return batch | {name: [row[name] for row in rows] for name in ragged}


def opened(workload: Workload, batches: Iterable[dict[str, Any]]) -> Iterator[Batch]:
    """Batches whose arrays are all tensors."""
    for batch in batches:
        yield batch | {name: [*map(_tensor, batch[name])] for name in workload.ragged}


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())
