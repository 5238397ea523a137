"""Splits: which shards are for training, validation and test, and ``DatasetDict``, which holds a dataset of each."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Generic, NoReturn

from .dataset import Dataset
from .errors import SplitNotFound
from .find import Found
from .progress import known_total

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .sample import DictSample

    ST = TypeVar("ST", default=DictSample)
else:
    ST = typing.TypeVar("ST")

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing"),
}
_WORDS = {word: split for split, words in _SPLITS.items() for word in words}


class DatasetDict(dict[str, Dataset[ST]], Generic[ST]):
    """Datasets by the name of their split.

    Args:
        splits: the datasets by name.
        sample_type: type of the samples in all of them.
        streaming: whether streaming was asked for; see ``load_dataset``.

    Raises:
        SplitNotFound: from ``splits[name]``, as a ``KeyError``: there is no such split; names those there are.
    """

    def __init__(
        self,
        splits: Mapping[str, Dataset[ST]] | None = None,
        sample_type: type[ST] | None = None,
        streaming: bool = False,
    ) -> None:
        super().__init__(splits or {})
        self._sample_type = sample_type
        self._streaming = streaming

    @property
    def num_shards(self) -> dict[str, int]:
        """How many shards each split has."""
        return {name: len(dataset.list_shards()) for name, dataset in self.items()}

    @property
    def sample_type(self) -> type[ST] | None:
        """The type of the samples of all splits; None where they differ, or where there is no split."""
        types = {dataset.sample_type for dataset in self.values()}
        return self._sample_type or (types.pop() if len(types) == 1 else None)

    @property
    def streaming(self) -> bool:
        """Whether streaming was asked for."""
        return self._streaming

    def __missing__(self, split: str) -> NoReturn:
        raise no_such_split(split, self.num_shards)

    def __repr__(self) -> str:
        kind = self.sample_type
        lines = "".join(f"    {name}: {_size(dataset)}\n" for name, dataset in self.items())
        return f"DatasetDict{f'[{kind.__name__}]' if kind else ''}(" + (f"\n{lines}" if lines else "") + ")"


def _size(dataset: Dataset[typing.Any]) -> str:
    samples = known_total(dataset)
    shards = shard_count(len(dataset.list_shards()))
    return shards if samples is None else f"{shards}, {samples:,} sample{'s'[: samples != 1]}"


def shard_count(count: int) -> str:
    """A number of shards in words."""
    return f"{count:,} shard{'s'[: count != 1]}"


def no_such_split(split: object, shards: Mapping[str, int]) -> SplitNotFound:
    """The error for a split that is not there, given how many shards those that are there have."""
    there = ", ".join(f"{name!r} ({shard_count(count)})" for name, count in shards.items())
    return SplitNotFound(f"Split {split!r} not found; there is {there or 'none'}")


def split_of(place: str) -> str | None:
    """The split that a shard's name tells, or else the nearest of its folders; None if neither does.

    In a name, a split is a word between characters that are no letters: the first word, or else the last that is a
    split. A folder must be called like a split.

    Args:
        place: folders and name, divided by ``/``.
    """
    *folders, name = place.lower().split("/")
    words = re.findall(r"[^\W\d_]+", name)
    splits = [_WORDS[word] for word in words if word in _WORDS]
    if splits:
        return splits[0 if words[0] in _WORDS else -1]
    return next((_WORDS[folder] for folder in reversed(folders) if folder in _WORDS), None)


def by_split(found: Iterable[Found]) -> dict[str, list[Found]]:
    """Shards by split: train, validation, test. Those that tell no split are for training."""
    groups: dict[str, list[Found]] = {split: [] for split in _SPLITS}
    for shard in found:
        groups[split_of(shard.place) or "train"].append(shard)
    return {split: shards for split, shards in groups.items() if shards}
