"""``load_dataset``: datasets by path, pattern, URL, or reference in an index."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, cast, overload

from .dataset import Dataset
from .errors import InvalidReference, ManifestError, SchemaError, ShardNotFound
from .find import Found, exact, find, place_of
from .indexing import own_source
from .lens.base import sample_type as checked_type
from .manifest import facts_of, read_manifest
from .protocols import AbstractIndex, IndexEntry
from .sample import DictSample
from .sources.trust import check_trust
from .sources.url import Location, URLSource, local_path
from .splits import DatasetDict, by_split, no_such_split

ST = TypeVar("ST")

Files: TypeAlias = "Location | Iterable[Location]"

# What may have been meant as a reference
_NAME = re.compile(r"[\w-]{1,100}")
_OWNED = re.compile(r"[\w-]+(\.[\w-]+)+/[\w-]{1,100}")


class _Options(TypedDict, total=False):
    """What all forms of ``load_dataset`` take beside."""

    data_files: Files | Mapping[str, Files] | None
    streaming: bool
    index: AbstractIndex | None


@overload
def load_dataset(path: Location, sample_type: type[ST], *, split: str, **options: Unpack[_Options]) -> Dataset[ST]: ...
@overload
def load_dataset(
    path: Location, sample_type: type[ST], *, split: None = None, **options: Unpack[_Options]
) -> DatasetDict[ST]: ...
@overload
def load_dataset(
    path: Location, sample_type: None = None, *, split: str, **options: Unpack[_Options]
) -> Dataset[DictSample]: ...
@overload
def load_dataset(
    path: Location, sample_type: None = None, *, split: None = None, **options: Unpack[_Options]
) -> DatasetDict[DictSample]: ...
@overload
def load_dataset(
    path: Location, sample_type: type[Any] | None = None, *, split: str | None, **options: Unpack[_Options]
) -> Dataset[Any] | DatasetDict[Any]: ...
def load_dataset(
    path: Location,
    sample_type: type[Any] | None = None,
    *,
    split: str | None = None,
    data_files: Files | Mapping[str, Files] | None = None,
    streaming: bool = False,
    index: AbstractIndex | None = None,
) -> Dataset[Any] | DatasetDict[Any]:
    """Load a dataset, or all its splits. Finds the shards and reads none of them.

    Shards whose name has a word like ``train``, ``test`` or ``val``, or that are in a folder of that name, belong to
    that split (``train``, ``test``, ``validation``); all others are for training.

    Args:
        path: a shard, a folder, or a pattern with braces or globs, of which all may be URLs; a ``manifest.json``,
            which stands for the shards that it names, beside itself (a query in its URL serves to fetch it, and is
            not sent with theirs); or a reference in an index: ``@local/name``, ``@handle/name``, ``at://...``,
            ``atdata://...``. A ``pathlib.Path`` is taken letter by letter.
        sample_type: the samples' type. By default it is the one that the manifest or the index names, made from its
            schema, and ``DictSample`` where there is none or where a split's shards have several.
        split: the split to load; ``"all"`` loads all as one dataset, None each by itself.
        data_files: the shards, relative to ``path``: a pattern or several of them, which are for training, or
            patterns by the name of their split.
        streaming: kept as ``DatasetDict.streaming``. Datasets always stream.
        index: where references are looked up; by default what the installed distributions provide.

    Returns:
        The dataset of the split, or with ``split=None`` a ``DatasetDict`` of all.

    Raises:
        ShardNotFound: a ``FileNotFoundError``; there are no shards. Says where it looked, and what is there.
        SplitNotFound: a ``ValueError``; there is no such split. Names those there are.
        SampleTypeError: a ``TypeError``; ``sample_type`` is a class that is none.
        ShardCorrupted: a ``ValueError``; the path is a table, such as a ``.csv``, and no shard.
        KeyError: the index has no such dataset.
        ValueError: a reference, URL or pattern that makes no sense; a folder or glob where nothing can be listed.
        UnsafeURL: an index entry names shards where no entry may; see ``docs/loading.md``.
        ManifestError: a manifest that is damaged or not ours.
        SchemaError: a ``ValueError``; a schema that no type can be made of.
        PluginNotFound: no installed distribution has an index for the reference, or reads the URL's scheme.

    Examples:
        >>> import atdata, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> for split, count in (("train", 5), ("test", 2)):
        ...     _ = atdata.write_samples(({"n": n} for n in range(count)), f"{folder}/{split}-%03d.tar", maxcount=3)
        >>> atdata.load_dataset(folder)
        DatasetDict[DictSample](
            train: 2 shards, 5 samples
            test: 1 shard, 2 samples
        )
        >>> [sample.n for sample in atdata.load_dataset(folder, split="test")]
        [0, 1]
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is text or a pathlib.Path; found {path!r:.100}. Several go into data_files")
    if not isinstance(sample_type, type | None):
        raise TypeError(f"sample_type is a class; found {sample_type!r:.100}. A split is named by split=...")
    if sample_type is not None:
        checked_type(sample_type, "load_dataset")
    reference = _reference(path) if isinstance(path, str) else None
    entry: IndexEntry | None = None
    options: dict[str, Any] = {}
    if reference is None:
        groups = _explicit(path, data_files) if data_files is not None else by_split(_find(path))
    else:
        if data_files is not None:
            raise ValueError(f"data_files go with a path; {path!r} is a reference, and its entry names the shards")
        kind, name = reference
        index = _index(kind) if index is None else index
        entry = index.get_dataset(name)
        insecure = getattr(index, "allow_insecure", False) is True  # as an index of a test network says of itself
        groups = by_split(_shards_of(entry, index, local=kind == "local", insecure=insecure))
        _check_folder(entry, groups)
        # an entry may lead to plain http by no detour either; those of a team's own index, to servers of its network
        options = {"keep_tls": True, "public_only": kind != "local" and not insecure}
        sample_type = index.decode_schema(entry.schema_ref) if sample_type is None else sample_type
    if split == "all" and split not in groups:
        groups = {split: [shard for shards in groups.values() for shard in shards]}
    if split is not None and split not in groups:
        raise no_such_split(split, {name: len(shards) for name, shards in groups.items()})
    datasets = {
        name: _dataset(shards, sample_type or _own_type(shards), entry, index, options, whole=len(groups) == 1)
        for name, shards in groups.items()
        if split in (None, name)
    }
    return DatasetDict(datasets, sample_type, streaming) if split is None else datasets[split]


def _dataset(
    shards: list[Found],
    sample_type: type[ST],
    entry: IndexEntry | None,
    index: Any,
    options: Mapping[str, Any],
    *,
    whole: bool,
) -> Dataset[ST]:
    if entry is not None and hasattr(index, "open_dataset"):
        opened: Dataset[ST] = index.open_dataset(
            entry, sample_type, None if whole else [str(item.shard) for item in shards]
        )
        return opened
    urls = [item if isinstance(item := shard.shard, Path) else exact(item) for shard in shards]
    facts = {str(url): shard.facts for url, shard in zip(urls, shards, strict=True) if shard.facts is not None}
    digests: dict[str, tuple[int | None, str]] = {
        str(url): (None, shard.sha256) for url, shard in zip(urls, shards, strict=True) if shard.sha256 is not None
    }
    digests |= {url: (known.bytes, known.sha256) for url, known in facts.items()}
    source = None if entry is None else own_source(getattr(index, "data_store", None), list(map(str, urls)))
    if source is None:
        source = URLSource(urls, digests=digests, **options)
    dataset = Dataset.of(sample_type, source, facts)
    if entry is not None and entry.metadata is not None:
        dataset.metadata = entry.metadata
    return dataset


# ---------------------------------------------------------------------------------------------------- paths


def _find(path: Location) -> list[Found]:
    try:
        return find(path)
    except ShardNotFound as error:
        owner = "local/" if _NAME.fullmatch(str(path)) else "" if _OWNED.fullmatch(str(path)) else None
        if owner is None or os.path.lexists(path):
            raise
        raise ShardNotFound(f"{error}. A dataset of an index is named by a reference: '@{owner}{path}'") from None


def _explicit(path: Location, data_files: Files | Mapping[str, Files]) -> dict[str, list[Found]]:
    # a mapping is iterable, too
    files = cast("Mapping[str, Files]", data_files if isinstance(data_files, Mapping) else {"train": data_files})
    if not files:
        raise ValueError("data_files names no split")
    return {split: _files(path, split, patterns) for split, patterns in files.items()}


def _files(path: Location, split: str, patterns: Files) -> list[Found]:
    several = [patterns] if isinstance(patterns, str | os.PathLike) else list(patterns)
    if not several:
        raise ValueError(f"data_files names no files for the split {split!r}")
    found = [shard for pattern in several for shard in find(pattern, path)]
    return list({str(shard.shard): shard for shard in found}.values())


def _own_type(shards: list[Found]) -> type[Any]:
    """The type that manifests name for all of the shards, or ``DictSample``."""
    try:
        cid, record = _schema(shards[0])
        alike = record is not None and all(_schema(shard)[0] == cid for shard in shards)
    except ManifestError as error:
        raise ManifestError(f"{error}. To load the shards without it, give their sample_type") from error
    if record is None or not alike:
        return DictSample
    from .schema import type_of

    try:
        return type_of(record)
    except SchemaError as error:
        raise SchemaError(
            f"the manifest of {shards[0].place} has the schema {record.get('name')!r:.100}, of which no type can be "
            f"made: {error}. Give a sample_type; atdata.DictSample always works"
        ) from error


def _schema(shard: Found) -> tuple[str | None, dict[str, Any] | None]:
    """CID and record of a shard's schema, where a manifest knows them."""
    manifest, facts = shard.remote, shard.facts
    if isinstance(shard.shard, Path):
        manifest, facts = read_manifest(shard.shard.parent), facts_of(shard.shard)
    if manifest is None or facts is None or facts.schema is None:
        return None, None
    if facts.schema not in manifest.schemas:
        raise ManifestError(f"the manifest of {shard.place} names the schema {facts.schema} and does not have it")
    return facts.schema, manifest.schemas[facts.schema]


# --------------------------------------------------------------------------------------------------- indexes


def _reference(path: str) -> tuple[str, str] | None:
    """Which kind of index a reference is for, and what that index knows the dataset by; None for paths and URLs."""
    from . import uri

    if not uri.is_reference(path):
        return None
    ref = uri.parse(path)
    if isinstance(ref, uri.DatasetRef):
        return ("local", ref.name) if ref.authority == uri.LOCAL else ("atmosphere", str(ref))
    if isinstance(ref, uri.AtUri):
        return "atmosphere", str(ref)
    raise InvalidReference(f"{path!r:.120} is no dataset; those are '@local/name', '@handle/name' and at:// records")


def _index(kind: str) -> AbstractIndex:
    from . import plugins

    index: AbstractIndex = plugins.get("atdata.indexes", kind)()
    return index


def _check_folder(entry: IndexEntry, groups: Mapping[str, list[Found]]) -> None:
    shards = (shard.shard for found in groups.values() for shard in found)
    first = next((shard for shard in shards if isinstance(shard, Path) and not shard.is_absolute()), None)
    if first is not None and not os.path.lexists(first):
        raise ShardNotFound(
            f"the entry {entry.name!r} names {str(first)!r:.300}, a path relative to the folder in which it was put "
            f"into the index, and {Path.cwd()} has no such file. Load it there, or put it in anew by its absolute "
            "path, as load_dataset(os.path.abspath(...)) names it"
        )


def _shards_of(entry: IndexEntry, index: AbstractIndex, *, local: bool, insecure: bool) -> list[Found]:
    if not entry.data_urls:
        raise ShardNotFound(f"the entry {entry.name!r} of the index names no shards")
    urls = URLSource(entry.data_urls).list_shards()
    store: Any = None if hasattr(index, "open_dataset") else getattr(index, "data_store", None)
    if own_source(store, urls) is not None:  # shards of the reader's own store, whatever its scheme
        return [Found(local_path(url) or url, place_of(url)) for url in urls]
    check_trust(urls, of=f"the entry {entry.name!r}", local=local, insecure=insecure)
    # what the reader's own store makes of a URL, signed or at another address, is the reader's own word
    read = urls if store is None else [store.read_url(url) for url in urls]
    places = [local_path(url) or url for url in read]
    # an index may have to be asked for digests, and files of this machine are not checked
    elsewhere = any(isinstance(place, str) for place in places)
    digests = (getattr(entry, "digests", None) if elsewhere else None) or [None] * len(urls)
    if len(digests) != len(urls):
        raise ManifestError(
            f"the entry {entry.name!r} of the index names {len(urls):,} shards and has digests of {len(digests):,}; "
            "insert the dataset anew"
        )
    return [
        Found(place, place_of(url), sha256=digest) for place, url, digest in zip(places, urls, digests, strict=True)
    ]
