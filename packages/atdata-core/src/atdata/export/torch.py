"""Batches as dicts of tensors, through torch's own ``DataLoader``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..batch import SampleBatch
from ..feed.skipping import Skipped
from .loading import Collate, Loader, Stream
from .numpy import columns_and_runs
from .parcel import Exchange, Parcel, Slots
from .tensors import Tensor, tensors, torch

DataLoader: Any = torch.utils.data.DataLoader
IterableDataset: Any = torch.utils.data.IterableDataset

_LONGEST_STATE = 4096
_PIPE = 1 << 20
# Batches of a worker that the training may hold at a time, beside those made ahead, before one is sent in new memory
_HELD = 4


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
        self._exchange: Exchange | None = None
        self._slots: Slots | None = None
        # workers that persist have no other way to learn of the next pass
        self._start = torch.zeros(_LONGEST_STATE, dtype=torch.uint8).share_memory_()

    def exchange_with(self, exchange: Exchange) -> None:
        """Have workers that start from now on leave their batches there."""
        self._exchange = exchange

    def start_at(self, epoch: int, state: dict[str, Any] | None) -> None:
        """Tell the workers which pass comes next, and from where on."""
        self._start.share_memory_()  # a copy of a loader has a copy, which is not shared yet
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
        if self._slots is None and self._exchange is not None:
            self._slots = Slots(self._exchange, torch.utils.data.get_worker_info().id)
        told = 0
        for batch in self._stream:
            skipped = self._stream.skipped
            yield _Sent(self._collated(batch), skipped[told:])
            told = len(skipped)
        yield _Sent(None, self._stream.skipped[told:])

    def _collated(self, batch: SampleBatch[Any]) -> Any:
        if self._collate:
            return self._collate(batch)
        return Parcel(columns_and_runs(batch, self._pad, texts=True), self._slots)


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

    _iterator: Any  # torch's: the workers, if they are to outlive a pass

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
        if self._iterator is None:  # workers are started
            self._exchange = Exchange(self.num_workers, self.prefetch_factor + _HELD)
            self.dataset.exchange_with(self._exchange)
        _used = self._exchange  # which another pass may replace, and batches need as long as they arrive
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
    """Let workers put all texts of a batch into the pipe that they share, if it is one whose size can be set."""
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
