"""``stats``: what the values of each field are, in one pass over a dataset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ..batch import SampleBatch
from ..dataset import Dataset
from ..decode import stacked
from ..errors import SampleDecodeError
from ..progress import Progress, counted, known_total
from ..sample import DictSample, PackableSample, plan_of
from ..shard.array import bytes_to_array
from ..shard.payload import unpack_map
from .moments import Moments, Numbers

# From so many on, distinct values and shapes are no longer told apart
MOST_DISTINCT = 10_000
MOST_COMMON = 20
# Longer texts are told apart by a digest, so that few of them do not fill the memory
_LONG = 100


@dataclass(frozen=True)
class FieldStatistics:
    """What the values of a field are.

    Attributes:
        name: the field.
        type: its declared type in words; without a sample type, the types of the values.
        count: how many samples have a value.
        missing: how many have None, or no such field.
        numbers: of numbers, and of the elements of arrays and of lists of numbers; None where there are none.
        lengths: of texts in letters, of bytes, of lists and maps in items; None where there are none.
        distinct: how many values differ, of numbers, texts and bytes, of which at most ``MOST_DISTINCT`` are told
            apart; None for all others.
        common: the most common of these values, each with its number; empty where too many differ.
        dtypes: how many arrays have each dtype.
        shapes: how many arrays have each shape, the most common first; only the first ``MOST_DISTINCT`` are counted.
    """

    name: str
    type: str
    count: int
    missing: int
    numbers: Numbers | None
    lengths: Numbers | None
    distinct: int | None
    common: tuple[tuple[Any, int], ...]
    dtypes: Mapping[str, int]
    shapes: Mapping[tuple[int, ...], int]

    @property
    def distinct_is_exact(self) -> bool:
        """Whether there are no more than ``distinct``."""
        return self.distinct is not None and self.distinct < MOST_DISTINCT


@dataclass(frozen=True)
class Statistics:
    """What the samples of a dataset are.

    Attributes:
        samples: how many there are.
        fields: by field, in the order of the sample type, or in that of their first appearance.
    """

    samples: int
    fields: Mapping[str, FieldStatistics]


def stats(
    dataset: Dataset[Any],
    *,
    fields: Collection[str] | None = None,
    histograms: bool = False,
    progress: Progress = None,
) -> Statistics:
    """Read a dataset once, and tell of each field which values it has.

    Fields are read column by column; those that are not asked for are not decoded. The memory that this takes does not
    depend on the number of samples.

    Args:
        dataset: the dataset. Without a sample type, bytes that hold a whole array count as that array.
        fields: names of the fields; by default all.
        histograms: whether ``numbers`` and ``lengths`` shall have histograms.
        progress: told how many samples are done; see ``atdata.progress``.

    Raises:
        ValueError: the sample type has no such field.
        FieldMismatch, SampleDecodeError, ShardCorrupted: as for reading; ``validate`` finds all such places.

    Examples:
        >>> import atdata, tempfile
        >>> numbers = ({"n": n} for n in range(5))
        >>> found = atdata.stats(atdata.write_samples(numbers, f"{tempfile.mkdtemp()}/numbers.tar"))
        >>> found.samples, found.fields["n"].numbers.max
        (5, 4)
    """
    kind = dataset.sample_type
    declared = {field.name: field.text for field in plan_of(kind).fields} if issubclass(kind, PackableSample) else {}
    unknown = [name for name in fields or () if declared and name not in declared]
    if unknown:
        raise ValueError(f"no field {unknown[0]!r}; the samples have {', '.join(declared)}")
    made = {name: _Field(name, histograms) for name in (declared if fields is None else fields)}
    samples = 0
    for batch in counted(batches(dataset), progress, lambda: known_total(dataset), len):
        samples += len(batch)
        for name, values in _columns(batch, fields):
            if name not in made:
                made[name] = _Field(name, histograms)
            made[name].add(values)
    return Statistics(samples, {name: field.result(samples, declared.get(name)) for name, field in made.items()})


def batches(dataset: Dataset[Any]) -> Iterator[SampleBatch[Any]]:
    """The samples in order, as many to a batch as lie together: memory is bounded by bytes, not by a number."""
    return dataset._feed().together()


def _columns(batch: SampleBatch[Any], fields: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    """Each field: one array of all samples' arrays where these are alike, else a list of values."""
    if issubclass(batch.sample_type, PackableSample):
        for name in batch._fields() if fields is None else fields:
            stored = batch._stored_field(name)
            is_array = stored is not None and stored[1].codec.kind == "array"
            array = stacked(stored[1], batch._pieces) if stored is not None and is_array else None
            yield name, batch.list(name) if array is None else array
        return
    rows: Sequence[Any] = (
        batch._untyped()
        if issubclass(batch.sample_type, DictSample)
        else [unpack_map(sample.packed) for sample in batch.samples]
    )
    for name in dict.fromkeys(chain.from_iterable(rows)) if fields is None else fields:
        yield name, [seen(row.get(name)) for row in rows]


def seen(value: Any) -> Any:
    """A value as it was stored, as an array if it is bytes that hold one: so arrays are told where no type says so."""
    if type(value) is not bytes:
        return value
    try:
        return bytes_to_array(value)
    except SampleDecodeError:
        return value


# -------------------------------------------------------------------------------------------- one field


class _Field:
    """Counts the values of one field."""

    def __init__(self, name: str, histograms: bool) -> None:
        self._name = name
        self.count = 0
        self._types: Counter[str] = Counter()
        self._numbers = Moments(histogram=histograms)
        self._lengths = Moments(histogram=histograms)
        self._values: Counter[Any] | None = None
        self._many = False
        self._dtypes: Counter[str] = Counter()
        self._shapes: Counter[tuple[int, ...]] = Counter()

    def add(self, values: npt.NDArray[Any] | list[Any]) -> None:
        if isinstance(values, np.ndarray):
            self.count += len(values)
            self._add_arrays(values, [values.shape[1:]] * len(values))
            return
        kinds = Counter(map(type, values))
        del kinds[type(None)]
        for kind, number in kinds.items():
            self.count += number
            same = values if number == len(values) else [value for value in values if type(value) is kind]
            self._add_all(kind, same)

    def _add_all(self, kind: type[Any], values: list[Any]) -> None:
        """Count values of one type."""
        if issubclass(kind, np.ndarray):
            for dtype in {array.dtype for array in values}:
                arrays = [array for array in values if array.dtype == dtype]
                self._add_arrays(np.concatenate([array.ravel("K") for array in arrays]), [a.shape for a in arrays])
            return
        self._types[kind.__name__] += len(values)
        if kind in (bool, int, float):
            self._add_numbers(values)
            self._tell_apart([value for value in values if value == value])  # NaN differs from itself
        elif kind in (str, bytes):
            self._lengths.add(np.fromiter(map(len, values), np.int64, len(values)))
            self._tell_apart([value if len(value) <= _LONG else _digest(value) for value in values])
        elif kind in (list, tuple, dict):
            self._lengths.add(np.fromiter(map(len, values), np.int64, len(values)))
            items = [] if kind is dict else [*chain.from_iterable(values)]
            for item in set(map(type, items)) & {bool, int, float}:
                self._add_numbers([value for value in items if type(value) is item])

    def _add_numbers(self, values: list[Any]) -> None:
        array = np.array(values)
        # integers of both signs beyond 64 bits have no dtype in common
        self._numbers.add(array if array.dtype.kind in "biuf" else np.array(values, np.float64))

    def _add_arrays(self, elements: npt.NDArray[Any], shapes: list[tuple[int, ...]]) -> None:
        """Count arrays of one dtype: their elements, all together, and their shapes."""
        self._dtypes[str(elements.dtype)] += len(shapes)
        for shape, number in Counter(shapes).items():
            if shape in self._shapes or len(self._shapes) < MOST_DISTINCT:
                self._shapes[shape] += number
        if elements.dtype.kind in "biuf":
            self._numbers.add(elements)

    def _tell_apart(self, values: list[Any]) -> None:
        if self._many:
            return
        self._values = self._values or Counter()
        self._values.update(values)
        if len(self._values) >= MOST_DISTINCT:
            self._many, self._values = True, Counter()

    def result(self, samples: int, declared: str | None) -> FieldStatistics:
        found = [*(f"array of {dtype}" for dtype in self._dtypes), *self._types]
        values = self._values
        distinct = MOST_DISTINCT if self._many else None if values is None else len(values)
        common = [(value, number) for value, number in (values or Counter()).most_common(MOST_COMMON)]
        return FieldStatistics(
            self._name,
            declared or " | ".join(found) or "None",
            self.count,
            samples - self.count,
            self._numbers.result(),
            self._lengths.result(),
            distinct,
            tuple((value, number) for value, number in common if not isinstance(value, _Digest)),
            dict(self._dtypes),
            dict(self._shapes.most_common()),
        )


class _Digest(bytes):
    """Stands for a long value."""


def _digest(value: str | bytes) -> _Digest:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return _Digest(hashlib.blake2b(data, digest_size=16).digest())
