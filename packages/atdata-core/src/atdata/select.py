"""What datasets have of lists: samples by number and key, and datasets of some of them, or of several datasets."""

from __future__ import annotations

import operator
import os
import typing
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, overload

import numpy as np
import numpy.typing as npt

from .decode import Step, View
from .errors import SampleNotFound, SampleTypeError
from .feed.epoch import Epoch, Pass
from .feed.feed import Feed
from .feed.lookup import Lookup
from .feed.rows import Between, Pick, chosen, shares
from .feed.table import Joint, Tree
from .sample import is_sample_type

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .dataset import Dataset
    from .sample import DictSample

    ST = TypeVar("ST", default=DictSample)
else:
    ST = typing.TypeVar("ST")

RT = typing.TypeVar("RT")


class Selectable(Generic[ST]):
    """Samples that can be selected. Nothing is read for that; where samples must be counted, once and when needed."""

    _picks: tuple[Pick, ...] = ()

    @property
    @abstractmethod
    def _tree(self) -> Tree:
        """What the samples are."""

    @abstractmethod
    def _with_views(self, changed: Callable[[View], View]) -> Any:
        """The same samples, read as something else."""

    # --------------------------------------------------------------------------------------------- samples

    @property
    def _reader(self) -> Lookup:
        reader: Lookup | None = self.__dict__.get("_opened")
        if reader is None or reader.process != os.getpid():  # streams cannot be shared with a process that was forked
            reader = self.__dict__["_opened"] = Lookup(self._tree)
        return reader

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_opened", "_numbers")}

    @overload
    def __getitem__(self, item: int) -> ST: ...
    @overload
    def __getitem__(self, item: slice | Sequence[int] | npt.NDArray[np.integer[Any]]) -> Self: ...
    def __getitem__(self, item: Any) -> Any:
        """``ds[i]`` is a sample; ``ds[i:j]`` and ``ds[[i, j, k]]`` are datasets.

        Raises:
            IndexError: there is no such sample.
            TypeError: the number of samples is not known.
        """
        if isinstance(item, slice):
            _ = range(0)[item]  # which refuses what is no slice of integers
            return self._picking(Between(item.start, item.stop, item.step), "samples by number")
        try:
            place = operator.index(item)
        except TypeError:
            return self.select(item)
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[ST]:
        """Samples by their numbers, read together; what map-style loaders ask for."""
        self._unfiltered("samples by number")
        wanted = chosen(places)(range(len(self._reader.table.rows)))
        return self._reader.samples(np.asarray(wanted)) if len(wanted) else []

    def keys(self) -> Iterator[str]:
        """The samples' keys, in order."""
        if self._filters:
            return (key or "" for key, _ in self._keyed())
        try:
            return self._reader.keys()
        except TypeError:  # nothing is known of the shards: all are read
            return (where.key or "" for where, _ in self._feed().stored())

    def get(self, key: str) -> ST:
        """The first sample of a key. The keys of local shards are read once, then kept.

        Raises:
            SampleNotFound: there is none; a ``KeyError``.
        """
        if self._filters or not self._reader.table.local:
            for found, sample in self._keyed():
                if found == key:
                    return sample
        elif key in self._numbers:
            return self[self._numbers[key]]
        raise SampleNotFound(f"no sample has the key {key!r}; keys() gives those there are")

    def _feed(self, mixing: tuple[int, int, int] | None = None, seed: int | None = None) -> Feed:
        """All samples, in order or mixed, for this process alone."""
        return Pass(Epoch(self._tree, mixing, seed, rank=0, world_size=1), 0).feed()

    def _keyed(self) -> Iterator[tuple[str | None, ST]]:
        """All samples in order, each with its key."""
        return self._feed().keyed()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, key in enumerate(self.keys()):
            found.setdefault(key, number)
        return found

    # -------------------------------------------------------------------------------------------- datasets

    def _picking(self, pick: Pick, what: str) -> Self:
        self._unfiltered(what)
        made = copy(self)
        made._picks = (*self._picks, pick)
        return made

    @property
    def _filters(self) -> bool:
        return Epoch(self._tree).filters

    def _unfiltered(self, what: str) -> None:
        if self._filters:
            raise TypeError(
                f"a filtered dataset has no {what}, since only reading tells what is left; select, then filter"
            )

    def select(self, wanted: Iterable[int]) -> Self:
        """The samples of some numbers, in that order; also ``ds[[3, 1, 2]]``. A number may come more than once.

        Args:
            wanted: numbers from 0 on, or negative ones from the end.

        Raises:
            TypeError: something else; or the dataset is filtered.
            IndexError: when it is read: there is no such sample.
        """
        return self._picking(chosen(wanted), "samples by number")

    def take(self, count: int) -> Self:
        """The first samples, or all if there are fewer.

        Raises:
            ValueError: ``count`` is negative.
        """
        return self._picking(Between(None, _count(count)), "first samples; head(n) reads some")

    def skip(self, count: int) -> Self:
        """All but the first samples.

        Raises:
            ValueError: ``count`` is negative.
        """
        return self._picking(Between(_count(count), None), "first samples")

    def split(self, *fractions: float, seed: int = 0) -> tuple[Self, ...]:
        """Random parts that have no sample in common, each in the order of this dataset.

        Args:
            fractions: how large each part is; what they leave is one more.
            seed: decides who is in which part, the same on every machine.

        Raises:
            ValueError: fractions that are not above 0, or more than 1 together.

        Examples:
            >>> import atdata, tempfile
            >>> dataset = atdata.write_samples(({"n": n} for n in range(10)), tempfile.mkdtemp() + "/data.tar")
            >>> train, test = dataset.split(0.8, seed=1)
            >>> len(train), len(test), [sample.n for sample in test]
            (8, 2, [4, 7])
        """
        return tuple(self._picking(share, "parts") for share in shares(fractions, operator.index(seed)))

    def filter(self, function: Callable[[ST], Any]) -> Self:
        """The samples for which a function is true, in order. Batches are made of those, and full."""
        made: Self = self._with_views(lambda view: replace(view, steps=(*view.steps, Step(function, None))))
        return made

    def map(self, function: Callable[[ST], RT], sample_type: type[RT] | None = None) -> Dataset[RT]:
        """What a function makes of each sample, in order, when it is read.

        Args:
            function: takes a sample; worker processes that are not forked must be able to import it.
            sample_type: the type of what it makes, if that is a sample type and not in its annotations. It decides
                the fields of batches, and what ``as_type`` goes on from.
        """
        step = Step(function, sample_type or _made_by(function))
        made: Dataset[RT] = self._with_views(lambda view: replace(view, steps=(*view.steps, step)))
        return made


def _count(count: int) -> int:
    if operator.index(count) < 0:
        raise ValueError(f"{count} is no number of samples; it must be 0 or more")
    return operator.index(count)


def _made_by(function: Callable[..., Any]) -> type[Any]:
    try:
        made = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return object
    return made if is_sample_type(made) else object


def concat(*datasets: Dataset[RT]) -> Dataset[RT]:
    """Datasets of one sample type as one, one after another.

    Raises:
        SampleTypeError: their types differ; ``as_type`` shows them as one.
    """
    return _joined(datasets, Joint(tuple(dataset._tree for dataset in datasets)))


def interleave(
    datasets: Sequence[Dataset[RT]], *, weights: Sequence[float] | None = None, seed: int = 0
) -> Dataset[RT]:
    """Datasets of one sample type mixed evenly, so that any stretch has of each about its part.

    Args:
        datasets: the datasets; how many samples each has must be known.
        weights: how much of each, in relation to the others. It ends where the first of them has no more, and takes
            only as much of the others. By default all samples are in it.
        seed: decides which comes where, the same on every machine.

    Raises:
        SampleTypeError: their types differ; ``as_type`` shows them as one.
        ValueError: weights that are not one for each, or negative, or all 0.
    """
    given = None if weights is None else tuple(float(weight) for weight in weights)
    if given is not None and (len(given) != len(datasets) or not all(0 <= w < np.inf for w in given) or not any(given)):
        raise ValueError(
            f"interleave takes a weight of 0 or more for each of {len(datasets)} datasets; found {weights}"
        )
    trees = tuple(dataset._tree for dataset in datasets)
    return _joined(datasets, Joint(trees, given, operator.index(seed)))


def _joined(datasets: Sequence[Dataset[RT]], tree: Joint) -> Dataset[RT]:
    from .dataset import Dataset

    types = {dataset.sample_type for dataset in datasets}
    if len(types) != 1:
        names = ", ".join(sorted(found.__name__ for found in types)) or "none"
        raise SampleTypeError(
            f"datasets are joined if they have one sample type; found {names}. as_type shows one as another"
        )
    return Dataset._of_tree(tree)
