"""``inspect``: what can be said of a dataset without reading it whole, and without its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..errors import AtdataError, ManifestError, SampleTypeError
from ..manifest import ShardFacts, read_manifest
from ..manifest.sidecar import sidecar_name
from ..sample import DictSample, PackableSample, plan_of
from ..schema import schema_of
from ..shard.payload import unpack_map
from ..sources import public
from ..sources.url import path_of
from .statistics import seen

# So many of the first samples tell what the fields look like
LOOKED_AT = 100


@dataclass(frozen=True)
class FieldFacts:
    """What a field is.

    Attributes:
        name: the field.
        type: its declared type in words; without a sample type, the types of the values that were seen.
        optional: whether samples may lack it: declared so, or seen so.
        dtypes: dtypes of the arrays that were seen.
        shape: what is common to the shapes that were seen, None for an axis whose length varies; None if nothing is
            common, or if there was no array.
        description: what the schema says of it.
    """

    name: str
    type: str
    optional: bool
    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...] | None
    description: str | None = None


@dataclass(frozen=True)
class ShardState:
    """What is known of a shard.

    Attributes:
        name: its path or URL, without secrets.
        samples: how many samples it has, if a manifest knows.
        bytes: its size, if the file system or a manifest knows.
        sha256: its digest, if a manifest knows.
        sidecar: whether an ``.index`` file lies beside it; None where that cannot be seen.
        problem: what is wrong with it, or None.
    """

    name: str
    samples: int | None
    bytes: int | None
    sha256: str | None
    sidecar: bool | None
    problem: str | None


@dataclass(frozen=True)
class Inspection:
    """What a dataset is.

    Attributes:
        type: name of its sample type; ``DictSample`` where none is known.
        description: what the type's schema says of it.
        fields: its fields.
        shards: its shards, in order.
        looked_at: how many samples were looked at.
        problems: what is wrong with it, as far as that can be seen without reading it whole.
    """

    type: str
    description: str | None
    fields: tuple[FieldFacts, ...]
    shards: tuple[ShardState, ...]
    looked_at: int
    problems: tuple[str, ...]

    @property
    def samples(self) -> int | None:
        """How many samples there are; None where no manifest knows all shards."""
        counts = [shard.samples for shard in self.shards]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def bytes(self) -> int | None:
        """Bytes of all shards; None where the size of one is not known."""
        sizes = [shard.bytes for shard in self.shards]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def layout(self) -> str:
        """How the shards are kept: with manifests, with sidecars, or as plain WebDataset tars."""
        known = sum(shard.sha256 is not None for shard in self.shards)
        indexed = sum(bool(shard.sidecar) for shard in self.shards)
        if not known:
            return "tar shards without a manifest"
        some = "" if known == len(self.shards) else f" that knows {known:,} of {len(self.shards):,}"
        sidecars = "" if not indexed else ", indexed" if indexed == len(self.shards) else f", {indexed:,} indexed"
        return f"tar shards with a manifest{some}{sidecars}"


def inspect(dataset: Dataset[Any], *, samples: int = LOOKED_AT) -> Inspection:
    """Tell what a dataset is, of its manifests, its schema and its first samples.

    Args:
        dataset: the dataset; ``atdata.load_dataset`` gives it the type that its manifest or its index names.
        samples: how many of the first samples are looked at; 0 reads no shard.

    Examples:
        >>> import atdata, tempfile
        >>> numbers = ({"n": n} for n in range(5))
        >>> found = atdata.inspect(atdata.write_samples(numbers, f"{tempfile.mkdtemp()}/numbers.tar"))
        >>> found.samples, [(field.name, field.type) for field in found.fields], found.problems
        (5, [('n', 'int')], ())
    """
    shards = tuple(_state(part, shard) for part in dataset._parts() for shard in part.list_shards())
    problems = [f"{shard.name}: {shard.problem}" for shard in shards if shard.problem is not None]
    problems += [problem for part in dataset._parts() for problem in _absent(part)]
    rows: list[Mapping[str, Any]] = []
    try:
        rows += (row for _, row in islice(keyed(dataset), samples))
    except (AtdataError, OSError) as error:
        problems.append(f"the first samples cannot be read: {error}")
    kind = dataset.sample_type
    record = _record(kind)
    fields = tuple(_fields(kind, rows, {field["name"]: field.get("description") for field in record.get("fields", ())}))
    return Inspection(kind.__name__, record.get("description"), fields, shards, len(rows), tuple(problems))


def _record(kind: type[Any]) -> Mapping[str, Any]:
    """The schema record of a type, or an empty one where it has none."""
    try:
        return schema_of(kind)
    except SampleTypeError:
        return {}


def keyed(dataset: Dataset[Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Each sample's key, and its values by field; without a sample type, bytes that hold an array are that array."""
    return ((key, _values(sample)) for key, sample in dataset._keyed())


def _values(sample: Any) -> Mapping[str, Any]:
    if isinstance(sample, PackableSample):
        return {field.name: getattr(sample, field.name) for field in plan_of(type(sample)).fields}
    values = sample.to_dict() if isinstance(sample, DictSample) else unpack_map(sample.packed)
    return {name: seen(value) for name, value in values.items()}


def _fields(
    kind: type[Any], rows: list[Mapping[str, Any]], descriptions: Mapping[str, str | None]
) -> Iterator[FieldFacts]:
    plan = plan_of(kind) if issubclass(kind, PackableSample) else None
    declared = {} if plan is None else plan.by_name
    for name in declared or dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        dtypes = tuple(Counter(str(array.dtype) for array in arrays))
        shape = _common({array.shape for array in arrays})
        if name in declared:
            field = declared[name]
            yield FieldFacts(name, field.text, field.optional, dtypes, shape, descriptions.get(name))
        else:
            present = [value for value in values if value is not None]
            types = {type(value).__name__ for value in present if not isinstance(value, np.ndarray)}
            names = [*sorted(types), *(f"NDArray[{dtype}]" for dtype in dtypes)]
            yield FieldFacts(name, " | ".join(names) or "None", len(present) < len(values), dtypes, shape)


def _common(shapes: set[tuple[int, ...]]) -> tuple[int | None, ...] | None:
    if len({len(shape) for shape in shapes}) != 1:
        return None
    return tuple(lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*shapes, strict=True))


# ----------------------------------------------------------------------------------------------- shards


def known_facts(dataset: Dataset[Any], shard: str) -> ShardFacts | None:
    """What a manifest says of a shard, whatever the shard is by now.

    Raises:
        ManifestError: the manifest is damaged.
    """
    path = path_of(dataset.source, shard)
    if path is None:
        return dataset._known.get(shard)
    manifest = read_manifest(path.parent)
    return None if manifest is None else manifest.shards.get(path.name)


def _state(dataset: Dataset[Any], shard: str) -> ShardState:
    path = path_of(dataset.source, shard)
    facts: ShardFacts | None = None
    problem: str | None = None
    try:
        facts = known_facts(dataset, shard)
    except (ManifestError, OSError) as error:
        problem = str(error)
    size = facts.bytes if facts is not None else None
    if path is not None:
        size = _size(path)
        if size is None:
            problem = "it is not there"
        elif size == 0:
            problem = "it is empty, perhaps a write or download that failed"
        elif facts is not None and size != facts.bytes:
            problem = f"it has {size:,} bytes where the manifest says {facts.bytes:,}: it was changed, or cut off"
    return ShardState(
        public(shard),
        None if facts is None or problem is not None else facts.samples,
        size,
        None if facts is None else facts.sha256,
        None if path is None else path.with_name(sidecar_name(path.name)).is_file(),
        problem,
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _absent(dataset: Dataset[Any]) -> Iterator[str]:
    """Shards that manifests name and that are not there."""
    paths = [path for shard in dataset.list_shards() if (path := path_of(dataset.source, shard)) is not None]
    for folder in dict.fromkeys(path.parent for path in paths):
        try:
            manifest = read_manifest(folder)
        except (ManifestError, OSError):
            continue  # told of each of its shards
        for name in manifest.shards if manifest is not None else ():
            if not (folder / name).exists():
                yield f"{folder / name}: the manifest names it, and it is not there"
