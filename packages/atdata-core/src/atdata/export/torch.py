"""Batches as dicts of tensors, through torch's own ``DataLoader``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._extras import import_extra
from ..batch import SampleBatch
from ..skipping import Skipped
from .loading import Collate, Loader, Stream
from .numpy import Run, columns_and_runs

torch = import_extra("torch", "torch")

# torch need not be installed where type checkers run
Tensor: TypeAlias = Any
DataLoader: Any = torch.utils.data.DataLoader
IterableDataset: Any = torch.utils.data.IterableDataset

# Arrays of other dtypes (text, times, long doubles, records) stay NumPy arrays.
_DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in (
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
_ALIGNMENT = 64
# Batches of fewer bytes leave a worker through a pipe, which holds two of them
_PIPED = 1 << 19
_PIPE = 2 * _PIPED
_LONGEST_STATE = 4096


def _tensor(value: Any) -> Any:
    """The value, or for an array a tensor that shares its memory if torch can use that as it is."""
    if isinstance(value, Run):
        values = _tensor(value.values)
        return _parts(values, value.lengths) if isinstance(values, torch.Tensor) else value.arrays()
    if isinstance(value, list):
        return [*map(_tensor, value)] if np.ndarray in set(map(type, value)) else value
    if not isinstance(value, np.ndarray) or _native(value.dtype) not in _DTYPES:
        return value
    usable = value.dtype.isnative and value.flags.writeable and all(step >= 0 for step in value.strides)
    return torch.from_numpy(value if usable else value.astype(_native(value.dtype), "C"))


def _parts(values: Tensor, lengths: list[int]) -> list[Tensor]:
    """Stretches of a tensor that nobody else has; which is what makes this safe, and quicker than ``split``."""
    return [*torch.unsafe_split_with_sizes(values, lengths)]


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the byte order of this machine."""
    return dtype.newbyteorder("=")


def tensors(batch: SampleBatch[Any], pad: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A batch as a dict of its fields: what ``atdata.export.numpy.columns`` gives, with tensors in place of arrays.

    Args:
        batch: the batch.
        pad: what to fill fields up with.
    """
    return {name: _tensor(values) for name, values in columns_and_runs(batch, pad).items()}


# ----------------------------------------------------------------------------- from workers


class _Block(NamedTuple):
    """Where an array lies in a parcel."""

    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def open(self, memory: Tensor) -> Tensor:
        size = prod(self.shape) * self.dtype.itemsize
        return memory[self.start : self.start + size].view(_DTYPES[self.dtype]).view(self.shape)


class _Blocks(NamedTuple):
    """Where arrays of one dimension lie in a parcel, one behind the other."""

    all: _Block
    lengths: list[int]

    def open(self, memory: Tensor) -> list[Tensor]:
        return _parts(self.all.open(memory), self.lengths)


class Parcel:
    """A batch on its way out of a worker, its arrays side by side in one piece of memory.

    torch alone would put every tensor into shared memory of its own. Each piece of that costs a descriptor and an
    exchange between the processes, which is more than a pipe costs for what is not large.

    Args:
        columns: the batch, as ``columns_and_runs`` gives it.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._parts = dict(columns)
        arrays: list[tuple[_Block, npt.NDArray[Any]]] = []
        size = 0
        for name, value in columns.items():
            array = value.values if isinstance(value, Run) else value
            if isinstance(array, np.ndarray) and (dtype := _native(array.dtype)) in _DTYPES:
                block = _Block(size, dtype, array.shape)
                arrays.append((block, array))
                self._parts[name] = _Blocks(block, value.lengths) if isinstance(value, Run) else block
                size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._shared = size > _PIPED
        # as torch's own collation does it, so that nothing has to be copied there later
        storage = torch.UntypedStorage._new_shared(size) if self._shared else torch.UntypedStorage(size)
        self._memory = torch.empty(0, dtype=torch.uint8).set_(storage)
        for block, array in arrays:
            block.open(self._memory).numpy()[...] = array

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) if self._shared else {**vars(self), "_memory": self._memory.numpy().tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if not self._shared:
            self._memory = torch.from_numpy(np.frombuffer(bytearray(state["_memory"]), np.uint8))

    def pin_memory(self, _device: Any = None) -> Parcel:
        """The parcel in page-locked memory; what torch calls."""
        self._memory = self._memory.pin_memory()
        return self

    def open(self) -> dict[str, Any]:
        """The batch, its tensors in the parcel's memory."""
        return {
            name: part.open(self._memory) if isinstance(part, _Block | _Blocks) else _tensor(part)
            for name, part in self._parts.items()
        }


# ----------------------------------------------------------------------------- the loader


class _Sent(NamedTuple):
    """What leaves a worker.

    Attributes:
        batch: a parcel, or what the caller's collation made; None behind the last.
        skipped: the samples that were left out since the batch before.
    """

    batch: Any
    skipped: Sequence[Skipped]


class _InWorkers(IterableDataset):  # type: ignore[misc]
    """The dataset of a loader that has workers.

    Args:
        stream: the batches; every worker has its share of them.
        collate: what is made of each; None makes parcels.
        pad: what to fill fields up with.
    """

    def __init__(self, stream: Stream, collate: Collate | None, pad: Mapping[str, Any] | None) -> None:
        self._stream = stream
        self._collate = collate
        self._pad = pad
        # workers that persist have no other way to learn of the next pass
        self._start = torch.zeros(_LONGEST_STATE, dtype=torch.uint8).share_memory_()

    def start_at(self, epoch: int, state: dict[str, Any] | None) -> None:
        """Tell the workers which pass comes next, and from where on."""
        text = json.dumps([epoch, state]).encode().ljust(_LONGEST_STATE)
        self._start.numpy()[...] = np.frombuffer(text, np.uint8)

    def __iter__(self) -> Iterator[_Sent]:
        text = self._start.numpy().tobytes().strip(b"\0")
        if not text:
            raise RuntimeError(
                "a trainer has made a loader of its own of to_torch()'s, whose batches are shared out already; it must "
                "leave that one alone: with accelerate, do not give it to prepare()"
            )
        epoch, state = json.loads(text)
        self._stream.set_epoch(epoch)
        if state is not None:
            self._stream.load_state_dict(state)
        told = 0
        for batch in self._stream:
            skipped = self._stream.skipped
            yield _Sent(self._collated(batch), skipped[told:])
            told = len(skipped)
        yield _Sent(None, self._stream.skipped[told:])

    def _collated(self, batch: SampleBatch[Any]) -> Any:
        return self._collate(batch) if self._collate else Parcel(columns_and_runs(batch, self._pad))


class TensorLoader(Loader, DataLoader):  # type: ignore[misc]
    """Batches of tensors, pass after pass; see ``Dataset.to_torch``.

    Args:
        stream: the batches.
        collate: makes something else of each.
        pad: what to fill fields up with.
        num_workers: how many processes make batches; without any a thread does.
        prefetch: how many batches are made ahead, by each worker.
        pin_memory: whether they are put into page-locked memory; None if ``device`` needs that.
        device: where they are moved.
        options: for torch's ``DataLoader``.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        collate: Collate | None = None,
        pad: Mapping[str, Any] | None = None,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool | None = None,
        device: Any = None,
        **options: Any,
    ) -> None:
        Loader.__init__(self, stream, prefetch)
        if num_workers and not prefetch:
            raise ValueError("prefetch is 0; workers make at least 1 batch ahead")
        self._collate = collate
        self._pad = pad
        self._device = None if device is None else torch.device(device)
        self._told: list[Skipped] = []  # by workers
        DataLoader.__init__(
            self,
            _InWorkers(stream, collate, pad),
            batch_size=None,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            pin_memory=self._device is not None and self._device.type == "cuda" if pin_memory is None else pin_memory,
            prefetch_factor=prefetch if num_workers else None,
            **options,
        )

    def __iter__(self) -> Iterator[Any]:
        """A pass, from its beginning or from where the state that was loaded says."""
        batches = self._made_by_workers() if self.num_workers else self._made_here(self._make)
        return batches if self._device is None else map(self._moved, batches)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass is, as something small that JSON can hold.

        Raises:
            TypeError: the number of samples is not known, or with workers, how many a filter has left out.
        """
        if self.num_workers:
            return self._stream.state_after(self._done or 0, self.num_workers)
        return super().state_dict()

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What the latest pass left out, with ``on_error="skip"``."""
        return self._told if self.num_workers else super().skipped

    def _make(self, batch: SampleBatch[Any]) -> Any:
        made = self._collate(batch) if self._collate else tensors(batch, self._pad)
        return _each(made, torch.Tensor.pin_memory) if self.pin_memory and torch.cuda.is_available() else made

    def _made_by_workers(self) -> Iterator[Any]:
        iter(self._stream)  # a pass, which this process only counts
        self._done, self._told = 0, []
        self.dataset.start_at(self.epoch, self._start())
        arriving = DataLoader.__iter__(self)
        _widen(arriving)
        failed = True
        try:
            for sent in arriving:
                self._told += sent.skipped
                if sent.batch is not None:
                    self._done += 1
                    yield sent.batch.open() if isinstance(sent.batch, Parcel) else sent.batch
            failed = False
        except GeneratorExit:
            failed = False
            raise
        finally:
            if failed or not self.persistent_workers:
                # torch would keep them as long as the traceback, and not notice in the next pass that they are gone
                arriving._shutdown_workers()
                self._iterator = None

    def _start(self) -> dict[str, Any] | None:
        with contextlib.suppress(TypeError):  # the number of samples is not known
            return self._stream.state_after(0, self.num_workers)
        return None

    def _moved(self, batch: Any) -> Any:
        return _each(batch, lambda tensor: tensor.to(self._device, non_blocking=self.pin_memory))


def _widen(arriving: Any) -> None:
    """Let workers put a whole batch into the pipe that they share, if it is one whose size can be set."""
    # every 64 KiB, which is what pipes hold otherwise, two processes would wait for each other
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(arriving._worker_result_queue._reader.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def _as_it_is(batch: Any) -> Any:
    return batch


def _each(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A batch with something done to all tensors in it."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {name: _each(item, function) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each(item, function) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(_each(item, function) for item in value)
    return value
