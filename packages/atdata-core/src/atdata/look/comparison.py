"""``compare``: in what two datasets differ."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..dataset import Dataset
from ..errors import SampleTypeError
from ..progress import Progress, counted, known_total
from ..sample import DictSample
from ..schema import SchemaDiff, diff, schema_of
from ..shard.payload import pack_value, unpack_map
from .statistics import seen

# So many differing samples, and keys that only one has, are kept; all are counted
MOST_NAMED = 100
# So many first keys are looked at to find out whether keys tell which samples belong together
_LOOKED_AT = 100

By: TypeAlias = Literal["key", "position"]
# By field, a digest of its value
_Digests: TypeAlias = Mapping[str, bytes]


@dataclass(frozen=True)
class Difference:
    """A sample that differs.

    Attributes:
        key: its key in the first dataset.
        position: its number there, from 0.
        fields: the fields that differ, or that only one of both has.
    """

    key: str | None
    position: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """In what two datasets, a and b, differ.

    Attributes:
        by: what told which samples belong together.
        samples: how many samples each has.
        schema: what differs between their types; None where one has no schema.
        same: how many samples are equal.
        differing: how many are in both and differ.
        only: how many only a has, and only b.
        fields: in how many samples each field differs.
        differences: the first ``MOST_NAMED`` that differ.
        only_in_a: the first keys that only a has, or positions.
        only_in_b: those that only b has.
    """

    by: By
    samples: tuple[int, int]
    schema: SchemaDiff | None
    same: int
    differing: int
    only: tuple[int, int]
    fields: Mapping[str, int]
    differences: tuple[Difference, ...]
    only_in_a: tuple[str | int, ...]
    only_in_b: tuple[str | int, ...]

    @property
    def equal(self) -> bool:
        """Whether all samples of each are in the other. Their order and their types may differ."""
        return not self.differing and not any(self.only)


def compare(a: Dataset[Any], b: Dataset[Any], *, by: By | None = None, progress: Progress = None) -> Comparison:
    """Find out which samples of two datasets differ, and in which fields.

    What is stored is compared; arrays are equal if dtype, shape and all bytes of their elements are. Both are read
    once, side by side. Samples that come at about the same place take no memory, others some bytes for each field.

    Args:
        a: a dataset.
        b: another.
        by: what tells which samples belong together: their key, or their position. By default it is the key, and the
            position where the first samples of both have no key in common: written anew, samples get new keys.
        progress: told how many samples of ``a`` are done; see ``atdata.progress``.

    Raises:
        SampleTypeError: one is a view through a lens.
        SampleDecodeError, ShardCorrupted: as for reading; ``validate`` finds all such places.

    Examples:
        >>> import atdata, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> a = atdata.write_samples(({"n": n, "m": 0} for n in range(5)), f"{folder}/a.tar")
        >>> b = atdata.write_samples(({"n": n, "m": n // 4} for n in range(6)), f"{folder}/b.tar")
        >>> found = atdata.compare(a, b)
        >>> found.by, found.same, found.fields, found.only
        ('position', 4, {'m': 1}, (0, 1))
    """
    pairs = _Pairs(by or _common_ground(a, b))
    rows = zip_longest(_rows(a), _rows(b))
    for mine, theirs in counted(rows, progress, lambda: known_total(a)):
        pairs.add(mine, theirs)
    return pairs.result(_schema_diff(a, b))


class _Row(NamedTuple):
    position: int
    key: str | None
    payload: bytes


def _rows(dataset: Dataset[Any]) -> Iterator[_Row]:
    if dataset._remade is not None:
        raise SampleTypeError(f"the dataset is {dataset._remade}; compare the datasets below, or write these samples")
    for position, (where, payload) in enumerate(dataset._feed().stored()):
        yield _Row(position, where.key, payload)


def _common_ground(a: Dataset[Any], b: Dataset[Any]) -> By:
    first, second = ({row.key for row in islice(_rows(dataset), _LOOKED_AT)} for dataset in (a, b))
    return "key" if (first & second) - {None} or not (first and second) else "position"


def _schema_diff(a: Dataset[Any], b: Dataset[Any]) -> SchemaDiff | None:
    if issubclass(a.sample_type, DictSample) or issubclass(b.sample_type, DictSample):
        return None
    try:
        return diff(schema_of(a.sample_type), schema_of(b.sample_type))
    except SampleTypeError:
        return None


class _Waiting(NamedTuple):
    position: int
    key: str | None
    fields: _Digests


_Alone: TypeAlias = dict[Any, list[_Waiting]]


class _Pairs:
    """Brings samples that belong together to each other."""

    def __init__(self, by: By) -> None:
        self._by: By = by
        self._counts = [0, 0]
        self._same = self._differing = 0
        self._fields: Counter[str] = Counter()
        self._differences: list[Difference] = []
        # those that have met no partner yet, of a and of b, by key or position: keys may come again
        self._waiting: tuple[_Alone, _Alone] = ({}, {})

    def add(self, mine: _Row | None, theirs: _Row | None) -> None:
        for side, row in enumerate((mine, theirs)):
            self._counts[side] += row is not None
        name = None if mine is None else self._name(mine)
        waited_for = any(name in waiting for waiting in self._waiting)
        if mine is not None and theirs is not None and name == self._name(theirs) and not waited_for:
            if mine.payload == theirs.payload:
                self._same += 1
            else:
                self._meet(_waiting(mine), _digests(theirs.payload))
            return
        for side, row in enumerate((mine, theirs)):
            if row is not None:
                self._find(side, row)

    def _name(self, row: _Row) -> Any:
        # a sample without a key has only its position
        return row.key if self._by == "key" and row.key is not None else row.position

    def _find(self, side: int, row: _Row) -> None:
        name = self._name(row)
        others = self._waiting[1 - side]
        if name not in others:
            self._waiting[side].setdefault(name, []).append(_waiting(row))
            return
        partner = others[name].pop(0)
        if not others[name]:
            del others[name]
        if side == 0:
            self._meet(_waiting(row), partner.fields)
        else:
            self._meet(partner, _digests(row.payload))

    def _meet(self, mine: _Waiting, theirs: _Digests) -> None:
        names = dict.fromkeys([*mine.fields, *theirs])
        fields = tuple(name for name in names if mine.fields.get(name) != theirs.get(name))
        if not fields:
            self._same += 1
            return
        self._differing += 1
        self._fields.update(fields)
        if len(self._differences) < MOST_NAMED:
            self._differences.append(Difference(mine.key, mine.position, fields))

    def result(self, schema: SchemaDiff | None) -> Comparison:
        alone = tuple(tuple(islice(waiting, MOST_NAMED)) for waiting in self._waiting)
        return Comparison(
            self._by,
            (self._counts[0], self._counts[1]),
            schema,
            self._same,
            self._differing,
            (sum(map(len, self._waiting[0].values())), sum(map(len, self._waiting[1].values()))),
            dict(self._fields.most_common()),
            tuple(self._differences),
            *alone,
        )


def _waiting(row: _Row) -> _Waiting:
    return _Waiting(row.position, row.key, _digests(row.payload))


def _digests(payload: bytes) -> _Digests:
    return {name: _digest(value) for name, value in unpack_map(payload).items()}


def _digest(value: Any) -> bytes:
    array = seen(value)
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(array, np.ndarray):
        digest.update(f"{array.dtype.str} {array.dtype.descr} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        digest.update(pack_value(value))
    return digest.digest()
