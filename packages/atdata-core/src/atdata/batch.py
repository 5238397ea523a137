"""``SampleBatch``: the samples of a batch, field by field."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt

from .codecs import found
from .decode import Piece, View, field_values, maps, samples, stacked
from .errors import FieldMismatch, RaggedBatch, SampleTypeError
from .fields import Field, Plan
from .sample import DictSample, PackableSample, is_sample_type, plan_of
from .shard.blocks import Gathered

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ST = TypeVar("ST", default=DictSample)
else:
    ST = typing.TypeVar("ST")

Values: TypeAlias = list[Any]  # inside the class, `list` is a method


class SampleBatch(Generic[ST]):
    """Samples of one type, with their fields aggregated.

    ``batch.field`` stacks an array field into one new array of shape (batch, ...), and gives a list for any other
    field. Fields are decoded when they are first touched, each on its own, and kept. Where a field's name is also
    that of a method, use ``batch["field"]``.

    Args:
        samples: the samples. ``SampleBatch[T](samples)`` names their type; without it, the first one's type counts.

    Examples:
        >>> import atdata
        >>> batch = atdata.SampleBatch([atdata.DictSample(label="a"), atdata.DictSample(label="b")])
        >>> batch.label
        ['a', 'b']
    """

    def __init__(self, samples: Iterable[ST]) -> None:
        self._samples: Values | None = list(samples)
        self._pieces: Sequence[Piece] = ()
        self._maps: Sequence[Mapping[str, Any]] | None = None  # of untyped samples
        self._sample_type: type[Any] | None = None
        self._view: View | None = None  # of stored samples
        self._columns: dict[str, Any] = {}
        self._lists: dict[str, Values] = {}

    @classmethod
    def from_pieces(cls, view: View, pieces: Sequence[Piece]) -> SampleBatch[Any]:
        """A batch of stored samples, which are decoded when they are asked for."""
        batch: SampleBatch[Any] = SampleBatch(())
        batch._samples = None
        batch._pieces = pieces
        batch._view = view
        batch._sample_type = None if view.sample_type is object else view.sample_type
        return batch

    @classmethod
    def from_samples(cls, view: View, samples: Values) -> SampleBatch[Any]:
        """A batch of samples that are made already."""
        batch: SampleBatch[Any] = SampleBatch(samples)
        batch._sample_type = None if view.sample_type is object else view.sample_type
        return batch

    def __getstate__(self) -> dict[str, Any]:
        if self._pieces and self._view is not None and self._view.then:
            # what is done with samples is done before they travel, where it may take its time
            return {**self.__dict__, "_samples": self.samples, "_pieces": (), "_view": None}
        # a batch that travels takes its own samples along, not the whole blocks that they lie in
        own = [
            Gathered(
                [bytes(chunk.payload(row)) for row in range(low, high)],
                [chunk.where(row) for row in range(low, high)],
            )
            for chunk, low, high in self._pieces
        ]
        decoded: dict[str, Any] = {"_columns": {}, "_lists": {}, "_samples": None, "_maps": None} if own else {}
        return {**self.__dict__, **decoded, "_pieces": [Piece(chunk, 0, len(chunk)) for chunk in own]}

    @property
    def sample_type(self) -> type[ST]:
        """The type of the samples."""
        if self._sample_type is None:
            first = type(self.samples[0]) if len(self) else DictSample
            self._sample_type = type_argument(self) or first
        return cast("type[ST]", self._sample_type)

    @property
    def samples(self) -> Values:
        """The samples one by one, as a list."""
        if self._samples is None:
            assert self._view is not None
            self._samples = [*samples(self._view, self._pieces)]
        return self._samples

    def list(self, field: str) -> Values:
        """A field's values one by one, whatever their shapes.

        Raises:
            AttributeError: the samples have no such field.
            FieldMismatch, SampleDecodeError: a stored value cannot be read; names shard, key and offset.
        """
        if field not in self._lists:
            self._lists[field] = self._decode(field)
        return self._lists[field]

    def pad(self, field: str, value: Any = 0) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """An array field of differing shapes as one array, filled up at the end of each axis.

        Args:
            field: name of the field.
            value: what to fill with.

        Returns:
            The array, of shape (batch, longest, ...), in the dtype that holds all of the arrays; and the real
            lengths, int64, of shape (batch,) for arrays of one dimension, else (batch, dimensions). None counts as
            an array of length 0.

        Raises:
            RaggedBatch: the arrays differ in their number of dimensions, or the field holds no arrays.
        """
        arrays = self.list(field)
        given = [array for array in arrays if isinstance(array, np.ndarray)]
        dimensions = {array.ndim for array in given}
        if len(dimensions) != 1 or any(array is not None and not isinstance(array, np.ndarray) for array in arrays):
            raise RaggedBatch(
                f"{self._owner}.{field}: only arrays of one number of dimensions can be padded; found "
                f"{_summary(arrays)}",
                field=field,
            )
        ndim = dimensions.pop()
        lengths = np.zeros((len(arrays), ndim), np.int64)
        for row, array in enumerate(arrays):
            if array is not None:
                lengths[row] = array.shape
        dtype = np.result_type(*{array.dtype for array in given})
        with np.errstate(invalid="ignore"):
            fill = np.asarray(value).astype(dtype)
        if not (fill == value or (fill != fill and value != value)):
            raise ValueError(f"{self._owner}.{field}: arrays of dtype {dtype} cannot be filled with {value!r}")
        padded = np.full((len(arrays), *lengths.max(axis=0)), fill, dtype)
        for row, array in enumerate(arrays):
            if array is not None:
                inside: tuple[Any, ...] = (row, *map(slice, array.shape))
                padded[inside] = array
        return padded, lengths[:, 0] if ndim == 1 else lengths

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or hasattr(type(self), name):
            # not ours, not set yet while unpickling, or a property that failed: Python's own error says it best
            return object.__getattribute__(self, name)
        return self._column(name)

    @overload
    def __getitem__(self, key: str) -> Any: ...
    @overload
    def __getitem__(self, key: int) -> ST: ...
    def __getitem__(self, key: str | int) -> Any:
        """``batch["field"]`` is the aggregated field, ``batch[0]`` a sample."""
        return self._column(key) if isinstance(key, str) else self.samples[key]

    def __len__(self) -> int:
        return sum(high - low for _, low, high in self._pieces) if self._samples is None else len(self._samples)

    def __iter__(self) -> Iterator[ST]:
        return iter(self.samples)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._fields()]

    def __repr__(self) -> str:
        fields = ", ".join(self._fields())
        return f"SampleBatch[{self._owner}]({len(self)} samples{': ' if fields else ''}{fields})"

    # ------------------------------------------------------------------------------------ inside

    @property
    def _owner(self) -> str:
        return self.sample_type.__name__

    def _fields(self) -> Values:
        if issubclass(self.sample_type, PackableSample):
            return [field.name for field in plan_of(self.sample_type).fields]
        if issubclass(self.sample_type, DictSample):
            data = self._untyped()
            return [*dict.fromkeys(name for item in data for name in item)]
        return []

    @property
    def _stored(self) -> View | None:
        """How fields are read from what is stored; None where the samples themselves must be asked."""
        return self._view if self._samples is None and self._view is not None and not self._view.then else None

    def _decode_all(self) -> None:
        """Decode all fields, by column where that is possible, so that any error comes now."""
        if self._stored is None or self._stored.plan is None:
            _ = self.samples
            return
        for name in self._stored.plan.by_name:
            with contextlib.suppress(RaggedBatch):
                self._column(name)

    def _stored_field(self, name: str) -> tuple[Plan, Field] | None:
        plan = self._stored.plan if self._stored is not None else None
        return (plan, plan.by_name[name]) if plan is not None and name in plan.by_name else None

    def _untyped(self) -> Sequence[Any]:
        """Untyped samples, or the maps that they are stored as."""
        if self._stored is None:
            return self.samples
        if self._maps is None:
            self._maps = maps(self._pieces)
        return self._maps

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            self._columns[name] = self._aggregate(name)
        return self._columns[name]

    def _aggregate(self, name: str) -> Any:
        typed = issubclass(self.sample_type, PackableSample)
        if typed:
            field = plan_of(self.sample_type).by_name.get(name)
            if field is None or field.codec.kind != "array":
                return self.list(name)
            stored = self._stored_field(name)
            array = stacked(stored[1], self._pieces) if stored is not None else None
            if array is not None:
                return array
        values = self.list(name)
        if not typed and not (values and all(isinstance(value, np.ndarray) for value in values)):
            return values
        if not values:
            return np.empty((0,))
        if any(value is None or value.shape != values[0].shape for value in values):
            raise RaggedBatch(
                f"{self._owner}.{name}: arrays of a batch cannot be stacked: {_summary(values)}. Use "
                f"batch.list({name!r}) for a list of them, or batch.pad({name!r}, value=0) for one padded array "
                "and the lengths",
                field=name,
            )
        try:
            return np.ascontiguousarray(np.stack(values))
        except (TypeError, ValueError):  # dtypes that have none in common
            dtypes = ", ".join(sorted({str(value.dtype) for value in values}))
            raise RaggedBatch(
                f"{self._owner}.{name}: arrays of dtypes {dtypes} cannot be stacked; use batch.list({name!r})",
                field=name,
            ) from None

    def _decode(self, name: str) -> Values:
        if issubclass(self.sample_type, PackableSample):
            return self._decode_typed(name)
        if issubclass(self.sample_type, DictSample):
            return self._decode_dicts(name)
        return self._attributes(name)

    def _decode_typed(self, name: str) -> Values:
        stored = self._stored_field(name)
        return self._attributes(name) if stored is None else field_values(*stored, self._pieces)

    def _decode_dicts(self, name: str) -> Values:
        data = self._untyped()
        lacking = [i for i, item in enumerate(data) if name not in item]
        if len(lacking) == len(data):
            raise AttributeError(
                f"no sample of this batch has a field {name!r}; they have {', '.join(self._fields()) or 'none'}"
            )
        if lacking:
            raise FieldMismatch(
                f"{len(lacking)} of {len(data)} samples have no field {name!r}; the first is number {lacking[0]}",
                field=name,
            )
        return [item[name] for item in data]

    def _attributes(self, name: str) -> Values:
        """Values of what the sample type offers beyond its stored fields: derived fields, properties."""
        known = {field.name for field in _dataclass_fields(self.sample_type)}
        if name not in known and not isinstance(
            getattr(self.sample_type, name, None), property | functools.cached_property
        ):
            raise AttributeError(
                f"{self._owner} has no field {name!r}; it has {', '.join(self._fields()) or sorted(known)}"
            )
        return [getattr(sample, name) for sample in self.samples]


def _dataclass_fields(cls: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _summary(values: Iterable[Any]) -> str:
    """What shapes there are and how often, such as ``30 of shape (3,), 2 of shape (4,)``."""
    counts = collections.Counter(
        f"of shape {value.shape}" if isinstance(value, np.ndarray) else found(value) for value in values
    )
    shown = [f"{count} {what}" for what, count in counts.most_common(5)]
    return ", ".join(shown) + (f" and {len(counts) - 5} others" if len(counts) > 5 else "")


def type_argument(instance: Any) -> type[Any] | None:
    """The ``T`` of an object made as ``Class[T](...)`` or of a subclass of ``Class[T]``; None if there is none.

    Raises:
        SampleTypeError: ``T`` is not a class, for example a type variable.
    """
    generic = getattr(instance, "__orig_class__", None)
    if generic is None:
        bases = getattr(type(instance), "__orig_bases__", ())
        generic = next((base for base in bases if typing.get_args(base)), None)
        if generic is None or isinstance(typing.get_args(generic)[0], typing.TypeVar):
            return None
    argument = typing.get_args(generic)[0]
    if not is_sample_type(argument):
        raise SampleTypeError(f"{generic} names no sample type; {argument} must be a class made with @atdata.packable")
    return argument
