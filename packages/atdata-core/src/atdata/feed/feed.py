"""From groups of stored samples to samples and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import length_hint
from typing import Any

from ..batch import SampleBatch
from ..decode import OneByOne, Piece, View, groups
from ..errors import AtdataError
from ..shard.blocks import Chunk, Where
from .groups import Group
from .skipping import Faults

_GONE = object()


class Tally:
    """How many samples have come out.

    Nothing is counted for single samples: what is left of the list that they come from tells.

    Attributes:
        over: whether there are no more.
    """

    def __init__(self) -> None:
        self.over = False
        self._before = 0
        self._size = 0
        self._rest: Any = iter(())

    @property
    def done(self) -> int:
        """How many there were, with those that were left out before the last one."""
        return self._before + self._size - length_hint(self._rest)

    def add(self, count: int) -> None:
        """So many more came out at once."""
        self._before += count

    def each(self, lists: Iterable[Iterable[Any]]) -> Iterator[Iterator[Any]]:
        """Lists, as iterators that are watched."""
        for made in lists:
            self._before += self._size
            self._size = length_hint(made)
            self._rest = iter(made)
            del made  # so that its memory is free when the next one is made
            yield self._rest


class Feed:
    """What comes out of a pass.

    Args:
        found: the samples, as they are brought together.
        views: what they are read as.
        progress: told how many came out.
        faults: told which were left out.
        even: whether one that is left out is replaced, by the one before it.
    """

    def __init__(
        self, found: Iterator[Group], views: Sequence[View], progress: Tally, faults: Faults, *, even: bool
    ) -> None:
        self._found = found
        self._views = views
        self._progress = progress
        self._faults = faults
        self._even = even
        self._last: Any = _GONE

    # --------------------------------------------------------------------------------------- single samples

    def singly(self) -> Iterator[Any]:
        """Samples one by one. No code of ours runs for each, unless there are faults or several views."""
        if len(self._views) > 1 or self._faults.allowed is not None:
            made = self._progress.each(map(self._finished, self._found))
            return filter(_is_there, chain.from_iterable(made))
        (view,) = self._views
        pieces = (Piece(chunk, 0, len(chunk)) for group in self._found for _, chunk in group.parts)
        found: Iterator[Any] = chain.from_iterable(self._progress.each(groups(view, pieces)))
        for step in view.then:
            found = step(found)
        return found

    def stored(self) -> Iterator[tuple[Where, bytes]]:
        """Samples as they are stored, and where."""
        for group in self._found:
            for part, row in group.rows():
                chunk = group.parts[part][1]
                yield chunk.where(row), bytes(chunk.payload(row))

    def together(self) -> Iterator[SampleBatch[Any]]:
        """Samples, as many to a batch as were brought together."""
        for group in self._found:
            if len(self._views) == 1 and not self._views[0].filters:
                yield from (SampleBatch.from_pieces(view, [Piece(chunk, 0, len(chunk))]) for view, chunk in group.parts)
            elif batch := [*filter(_is_there, self._finished(group))]:
                yield SampleBatch.from_samples(self._views[0], batch)

    def keyed(self) -> Iterator[tuple[str | None, Any]]:
        """Samples with their keys."""
        for group in self._found:
            makers = [self._maker(view, chunk) for view, chunk in group.parts]
            for part, row in group.rows():
                sample = makers[part]()
                if sample is not _GONE:
                    yield group.parts[part][1].where(row).key, sample

    def _finished(self, group: Group) -> OneByOne:
        makers = [self._maker(view, chunk) for view, chunk in group.parts]
        which = group.order()
        for hole in group.holes:
            which.insert(hole, -1)
        return OneByOne(lambda place: _GONE if which[place] < 0 else makers[which[place]](), range(len(which)))

    def _maker(self, view: View, chunk: Chunk) -> Callable[[], Any]:
        """What gives the samples of a chunk one after another, finished."""
        rows = iter(range(len(chunk)))
        try:
            stored: list[Any] | None = [*chain.from_iterable(groups(view, [Piece(chunk, 0, len(chunk))]))]
        except AtdataError:
            stored = None  # one by one, which finds the one that cannot be read

        def make() -> Any:
            row = next(rows)
            try:
                sample = view.from_payload(bytes(chunk.payload(row))) if stored is None else stored[row]
                for step in view.then:
                    if step.makes is None and not step.function(sample):
                        return _GONE
                    sample = sample if step.makes is None else step.function(sample)
            except Exception as error:
                return self._without(error, chunk.where(row))
            self._faults.good()
            self._last = sample
            return sample

        return make

    def _without(self, error: Exception, where: Where) -> Any:
        """What stands for a sample that cannot be read."""
        if isinstance(error, AtdataError):
            error.at(**where._asdict())
        self._faults.bad(error, where)
        if self._even and self._last is _GONE:
            raise error
        return self._last if self._even else _GONE

    # --------------------------------------------------------------------------------------------- batches

    def batched(self, size: int, *, full: bool) -> Iterator[SampleBatch[Any]]:
        """Batches.

        Args:
            size: samples per batch, where they are not dealt in batches already.
            full: leave out the last one if it is short.
        """
        if len(self._views) > 1 or self._views[0].filters:
            return self._collected(size, full=full)
        return self._sliced(self._views[0], size, full=full)

    def _collected(self, size: int, *, full: bool) -> Iterator[SampleBatch[Any]]:
        """Batches of samples that are made first."""
        found = self.singly()
        while batch := [*islice(found, size)]:
            if len(batch) == size or not full:
                yield SampleBatch.from_samples(self._views[0], batch)

    def _sliced(self, view: View, size: int, *, full: bool) -> Iterator[SampleBatch[Any]]:
        """Batches whose fields are decoded when they are asked for."""
        batch: list[Piece] = []
        missing = size
        for group in self._found:
            if not group.parts:  # nothing of it can be read
                self._progress.add(sum(group.sizes or ()))
                continue
            ((_, chunk),) = group.parts
            low = 0
            for dealt in group.sizes or ():
                high = low + dealt - len(group.holes)
                yield from self._out(view, [Piece(chunk, low, high)], dealt)
                low = high
            while low < len(chunk):
                high = min(len(chunk), low + missing)
                batch.append(Piece(chunk, low, high))
                missing -= high - low
                low = high
                if not missing:
                    yield from self._out(view, batch, size)
                    batch, missing = [], size
        if batch and not full:
            yield from self._out(view, batch, size - missing)

    def _out(self, view: View, pieces: list[Piece], count: int) -> Iterator[SampleBatch[Any]]:
        if self._faults.allowed is not None:
            pieces = self._sound(view, pieces)
        self._progress.add(count)
        if pieces:
            yield SampleBatch.from_pieces(view, pieces)

    def _sound(self, view: View, pieces: list[Piece]) -> list[Piece]:
        """Those of a batch that can be read."""
        try:
            SampleBatch.from_pieces(view, pieces)._decode_all()
        except Exception:
            return self._sound_ones(
                view, [Piece(c, row, row + 1) for c, low, high in pieces for row in range(low, high)]
            )
        self._faults.good()
        self._last = pieces[-1]._replace(low=pieces[-1].high - 1)
        return pieces

    def _sound_ones(self, view: View, pieces: list[Piece]) -> list[Piece]:
        errors = [_error(view, piece) for piece in pieces]
        if self._last is _GONE and None in errors:  # nothing before the first: what comes next stands for it
            self._last = pieces[errors.index(None)]
        found = []
        for piece, error in zip(pieces, errors, strict=True):
            if error is None:
                self._faults.good()
                self._last = piece
            found.append(piece if error is None else self._without(error, piece.chunk.where(piece.low)))
        return [piece for piece in found if piece is not _GONE]


def _is_there(sample: Any) -> bool:
    return sample is not _GONE


def _error(view: View, piece: Piece) -> Exception | None:
    try:
        SampleBatch.from_pieces(view, [piece])._decode_all()
    except Exception as error:
        return error
    return None
