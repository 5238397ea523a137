"""What datasets can be turned into."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, cast

from ..batch import SampleBatch

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import TypeVar

    from ..dataset import Dataset
    from ..progress import Progress
    from ..sample import DictSample
    from .loading import Stream
    from .numpy import ArrayLoader
    from .torch import TensorLoader

    ST = TypeVar("ST", default=DictSample)
else:
    ST = typing.TypeVar("ST")


class Exportable(Generic[ST]):
    """A dataset, for other programs. Their libraries are imported when they are needed."""

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        sample_map: Callable[[ST], Mapping[str, Any]] | None = None,
        maxcount: int | None = None,
        *,
        row_group_size: int | None = None,
        progress: Progress = None,
        **kwargs: Any,
    ) -> list[Path]:
        """Write the samples to Parquet, in order, a row group at a time; needs the extra ``parquet``.

        An array field becomes a column of numbers where its arrays have no dimension, of lists where they have one,
        and else of ``{shape, data}`` with the elements in C order; dtypes are kept, None is null, and bytes stay
        bytes. Files appear when all are complete and replace those of the same names, with ``maxcount`` also numbered
        ones beyond the new last; after an exception everything is as it was.

        Args:
            path: the file.
            sample_map: makes of a sample the dict of column names and values that is written; by default all fields.
            maxcount: at most so many samples per file; ``data.parquet`` becomes ``data-000000.parquet`` and on.
            row_group_size: at most so many samples per row group; a row group never gets much larger than 64 MiB.
            progress: told how many samples are done; see ``atdata.progress``.
            kwargs: as for ``pandas.DataFrame.to_parquet`` with pyarrow: ``compression`` and what else
                ``pyarrow.parquet.write_table`` takes; ``engine`` and ``index`` may say what is so anyway.

        Returns:
            The paths of the files.

        Raises:
            BackendNotInstalled: pyarrow is not installed.
            SampleTypeError: a field has values that Parquet has no form for, or none in common; names the field.
        """
        from .parquet import to_parquet

        return to_parquet(
            self._dataset, path, sample_map, maxcount, row_group_size=row_group_size, progress=progress, **kwargs
        )

    def to_torch(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        collate: Callable[[SampleBatch[ST]], Any] | None = None,
        pad: Mapping[str, Any] | None = None,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool | None = None,
        device: Any = None,
        persistent_workers: bool = False,
        multiprocessing_context: Any = None,
        worker_init_fn: Callable[[int], None] | None = None,
        timeout: float = 0,
        **order: Any,
    ) -> TensorLoader:
        """A ``torch.utils.data.DataLoader`` of batches, each a dict of its fields; needs the extra ``torch``.

        Array fields are tensors (batch, ...) on the memory that they were decoded into, and numbers are tensors, too.
        A field is a list if it holds anything else, may be None, is declared with a ``Shape`` that leaves a size open,
        or holds arrays that cannot be stacked. Batches and their order are the same with any number of workers, and
        ``state_dict()`` of the loader is where its loop is.

        Args:
            batch_size: samples per batch.
            shuffle: whether batches come from ``shuffled``, else from ``ordered``.
            collate: makes of each batch what comes out instead.
            pad: what to fill up with, by field: arrays at the end of each axis, whose lengths then are in
                ``<field>_lengths``, and numbers where they are None.
            num_workers: how many processes make batches; 0 has a thread of this one make them.
            prefetch: how many batches are made ahead, by the thread or by each worker; 0 has no thread.
            pin_memory: whether batches are put into page-locked memory; by default where ``device`` is a CUDA device.
            device: where they are moved.
            persistent_workers, multiprocessing_context, worker_init_fn, timeout: as torch's ``DataLoader`` has them.
            order: what ``shuffled`` or ``ordered`` take: ``seed``, ``drop_last``, ``rank``, ``on_error``, ...

        Raises:
            BackendNotInstalled: torch is not installed.
        """
        from .torch import TensorLoader

        workers = {
            "persistent_workers": persistent_workers,
            "multiprocessing_context": multiprocessing_context,
            "worker_init_fn": worker_init_fn,
            "timeout": timeout,
        }
        return TensorLoader(
            self._batches(batch_size, shuffle, order),
            collate=collate,
            pad=pad,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            device=device,
            **workers,
        )

    def numpy_iter(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        collate: Callable[[SampleBatch[ST]], Any] | None = None,
        pad: Mapping[str, Any] | None = None,
        prefetch: int = 2,
        **order: Any,
    ) -> ArrayLoader:
        """The same as ``to_torch``, with NumPy arrays in place of tensors.

        Args:
            batch_size: samples per batch.
            shuffle: whether batches come from ``shuffled``, else from ``ordered``.
            collate: makes of each batch what comes out instead.
            pad: what to fill fields up with.
            prefetch: how many batches a thread makes ahead; 0 has no thread.
            order: what ``shuffled`` or ``ordered`` take.
        """
        from .numpy import ArrayLoader

        return ArrayLoader(self._batches(batch_size, shuffle, order), collate=collate, pad=pad, prefetch=prefetch)

    def _batches(self, batch_size: int, shuffle: bool, order: dict[str, Any]) -> Stream:
        dataset = self._dataset
        make: Callable[..., Stream] = dataset.shuffled if shuffle else dataset.ordered
        return make(batch_size=batch_size, **order)

    @property
    def _dataset(self) -> Dataset[ST]:
        return cast("Dataset[ST]", self)
