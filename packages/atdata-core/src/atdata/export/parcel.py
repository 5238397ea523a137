"""Batches on their way out of a DataLoader's workers, through memory that is shared and used again.

torch alone puts every tensor of a batch into shared memory of its own, which takes a descriptor, an exchange between
the processes, and new pages to be cleared and mapped on both sides. Here all arrays of a batch lie side by side in one
of a few slots, which the worker uses again once nothing in the training process refers to the batch that was there.
If that process was forked meanwhile, the fork may refer to it still: then the slot gets other memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from itertools import count
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .numpy import Run, Texts
from .tensors import DTYPES, Tensor, native, stretches, tensor, torch

_ALIGNMENT = 64
_FREE, _GIVEN_AWAY = 1, 2
# Arrays of fewer bytes leave a worker through the pipe that all else goes through
_PIPED = 1 << 16


class _Block(NamedTuple):
    """Where an array lies in a parcel.

    Attributes:
        start: of its bytes.
        dtype: its dtype, as NumPy writes it.
        shape: its shape.
        lengths: of what lies in it one behind the other; None for a single array.
        texts: whether that are texts.
    """

    start: int
    dtype: str
    shape: tuple[int, ...]
    lengths: list[int] | None = None
    texts: bool = False

    def whole(self, memory: Tensor) -> Tensor:
        dtype = np.dtype(self.dtype)
        end = self.start + prod(self.shape) * dtype.itemsize
        return memory[self.start : end].view(DTYPES[dtype]).view(self.shape)

    def open(self, memory: Tensor) -> Any:
        whole = self.whole(memory)
        if self.lengths is None:
            return whole
        return Texts(whole.numpy(), self.lengths).strings() if self.texts else stretches(whole, self.lengths)


class Exchange:
    """What the training process and one generation of workers share: which slots of each worker are free.

    Args:
        workers: how many there are.
        slots: how many slots each has. Batches that find none free have memory of their own.

    Attributes:
        number: tells it apart from all others of the training process.
        free: uint8 (workers, slots), above 0 where a slot is free: 1 with its memory, 2 but for its memory, which a
            process that was forked meanwhile may still use. Workers clear what they take, the training process sets
            what it needs no more.
    """

    _numbers = count()

    def __init__(self, workers: int, slots: int) -> None:
        self.number = next(self._numbers)
        self.free = torch.zeros((workers, slots), dtype=torch.uint8).share_memory_()
        self._memories: dict[tuple[int, int], Tensor] = {}
        _exchanges[self.number] = self

    def __getstate__(self) -> dict[str, Any]:
        return {"number": self.number, "free": self.free}

    def arrived(self, slot: _Slot, size: int) -> Tensor:
        """The bytes in a slot, which becomes free when nothing refers to them any more."""
        if slot.memory is not None:
            self._memories[slot.worker, slot.number] = slot.memory
        array = self._memories[slot.worker, slot.number].numpy()[:size]
        weakref.finalize(array, _release, self.free, slot.worker, slot.number, _forks, os.getpid()).atexit = False
        return torch.from_numpy(array)


_exchanges: weakref.WeakValueDictionary[int, Exchange] = weakref.WeakValueDictionary()


# Grows with each fork of this process: a fork may go on to use what its parent frees
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    # twice: a batch may arrive before the process is forked, but after the first of these
    os.register_at_fork(before=_count_fork, after_in_parent=_count_fork)


def _release(free: Tensor, worker: int, number: int, forks: int, owner: int) -> None:
    if os.getpid() == owner:  # what a fork forgets its parent may still use
        free.numpy()[worker, number] = _FREE if forks == _forks else _GIVEN_AWAY


class _Slot(NamedTuple):
    """Where a parcel lies.

    Attributes:
        exchange: number of the exchange.
        worker: whose slot it is.
        number: which of them.
        memory: the slot's memory, uint8 (size,), where it is new; None if it was sent before.
    """

    exchange: int
    worker: int
    number: int
    memory: Tensor | None


class Slots:
    """The slots of one worker.

    Args:
        exchange: what is shared with the training process.
        worker: number of the worker.
    """

    def __init__(self, exchange: Exchange, worker: int) -> None:
        self._exchange = exchange.number
        self._worker = worker
        self._free: npt.NDArray[np.uint8] = exchange.free.numpy()[worker]
        self._memories: list[Tensor] = []

    def take(self, size: int) -> tuple[_Slot, Tensor] | None:
        """A slot of at least so many bytes, and its memory; None if there is none."""
        # a copy: NumPy refuses to look for what changes meanwhile
        state = self._free.tobytes()
        free = [number for number, is_free in enumerate(state) if is_free]
        fits = [number for number in free if state[number] == _FREE and len(self._memories[number]) >= size]
        if fits:
            return self._taken(fits[0], None)
        if not free and len(self._memories) == len(self._free):
            return None
        memory = _shared_memory(size + size // 8)  # the next batch may be larger
        if free:
            self._memories[free[0]] = memory
            return self._taken(free[0], memory)
        self._memories.append(memory)
        return self._taken(len(self._memories) - 1, memory)

    def _taken(self, number: int, new: Tensor | None) -> tuple[_Slot, Tensor]:
        self._free[number] = 0
        return _Slot(self._exchange, self._worker, number, new), self._memories[number]


def _shared_memory(size: int) -> Tensor:
    """New memory, as torch's own collation makes it, so that nothing has to be copied to be sent."""
    return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))


class Parcel:
    """A batch on its way, its arrays side by side in one piece of memory.

    Args:
        columns: the batch, as ``columns_and_runs`` gives it.
        slots: where it may lie; None for memory of its own.
    """

    def __init__(self, columns: Mapping[str, Any], slots: Slots | None = None) -> None:
        self._parts = dict(columns)
        arrays: list[tuple[_Block, npt.NDArray[Any]]] = []
        size = 0
        for name, value in columns.items():
            runs = isinstance(value, Run | Texts)
            array = value.values if runs else value
            if isinstance(array, np.ndarray) and (dtype := native(array.dtype)) in DTYPES:
                lengths = value.lengths if runs else None
                block = _Block(size, dtype.str, array.shape, lengths, isinstance(value, Texts))
                arrays.append((block, array))
                self._parts[name] = block
                size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._slot: _Slot | None = None
        self._size = size
        if size <= _PIPED:
            self._memory = torch.empty(size, dtype=torch.uint8)
        elif slots is not None and (taken := slots.take(size)) is not None:
            self._slot, self._memory = taken
        else:
            self._memory = _shared_memory(size)
        for block, array in arrays:
            block.whole(self._memory).numpy()[...] = array

    def __reduce__(self) -> tuple[Any, ...]:
        # of what torch pickles, tuples of plain values cost a fraction of anything else
        plain = [
            (name, block := isinstance(part, _Block), tuple(part) if block else part)
            for name, part in self._parts.items()
        ]
        memory = self._memory.numpy().tobytes() if self._size <= _PIPED else None if self._slot else self._memory
        return _arrived, (plain, self._size, self._slot and tuple(self._slot), memory)

    def pin_memory(self, _device: Any = None) -> Parcel:
        """The parcel in page-locked memory; what torch calls."""
        self._memory = self._memory.pin_memory()
        return self

    def open(self) -> dict[str, Any]:
        """The batch, its tensors in the parcel's memory."""
        return {
            name: part.open(self._memory) if isinstance(part, _Block) else tensor(part)
            for name, part in self._parts.items()
        }


def _arrived(parts: list[Any], size: int, slot: tuple[Any, ...] | None, memory: Any) -> Parcel:
    """A parcel in another process than the one that made it."""
    parcel = Parcel({})
    parcel._parts = {name: _Block(*part) if block else part for name, block, part in parts}
    parcel._size = size
    if slot is not None:
        parcel._slot = _Slot(*slot)
        parcel._memory = _exchanges[parcel._slot.exchange].arrived(parcel._slot, size)
    elif isinstance(memory, bytes):
        parcel._memory = torch.from_numpy(np.frombuffer(bytearray(memory), np.uint8))
    else:
        parcel._memory = memory
    return parcel
