"""``write_samples`` and ``ShardWriter``: samples into shards, all or nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from .dataset import Dataset
from .errors import EmptyDataset, SampleTypeError
from .sample import DictSample, PackableSample, plan_of
from .schema import schema_cid, schema_of
from .shard.array import Buffer
from .shard.atomic import Staging, exists, remove_stale
from .shard.keys import new_key
from .shard.manifest import merge_into_manifest, own_manifest
from .shard.sidecar import sidecar_name
from .shard.tar import END_OF_ARCHIVE
from .shard.writer import ShardFile
from .sources.url import URLSource, scheme_of

ST = TypeVar("ST")

_NUMBER = re.compile(r"%0?(\d*)d")


class ShardWriter(Generic[ST]):
    """Write samples into shards one by one.

    Shards get their final names when the writer is closed, all of them, and ``manifest.json`` comes last: a reader
    never sees half a dataset, and an exception leaves the folder as it was. With a ``with`` statement that happens
    by itself.

    Args:
        path: ``data.tar`` for one shard; ``data-%06d.tar`` for numbered ones; a folder for ``shard-000000.tar`` and
            on in it. With a limit, ``data.tar`` becomes ``data-000000.tar`` and on.
        sample_type: the samples' type; by default that of the first one. Rows that are dicts become samples of it.
        maxcount: at most so many samples per shard.
        maxsize: at most so many bytes per shard, unless a single sample is larger.
        overwrite: replace shards of the same names; numbered ones beyond the new last are removed.
        mtime: modification time that the tar members get, whole seconds since 1970. Fixed by default, so that equal
            samples under equal keys make equal files.

    Raises:
        ShardExists: there is a shard of that name and ``overwrite`` is not set.
        ManifestError: the folder has a ``manifest.json`` that is not ours.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_type: type[ST] | None = None,
        *,
        maxcount: int | None = None,
        maxsize: int | None = None,
        overwrite: bool = False,
        mtime: int = 0,
    ) -> None:
        for name, value in (("maxcount", maxcount), ("maxsize", maxsize)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")
        self._pattern = _pattern(path, numbered=maxcount is not None or maxsize is not None)
        self._sample_type: type[Any] | None = sample_type
        self._maxcount = maxcount
        self._maxsize = maxsize
        self._overwrite = overwrite
        self._mtime = mtime
        self._shards: list[ShardFile] = []
        self._keys: set[str] = set()
        self._dataset: Dataset[ST] | None = None
        self._closed = False
        self._folder = self._pattern.parent
        self._folder.mkdir(parents=True, exist_ok=True)
        own_manifest(self._folder)  # better refused now than after an hour of writing
        self._check_free(0)
        remove_stale(self._folder)
        self._staging = Staging(self._folder)

    @property
    def dataset(self) -> Dataset[ST]:
        """The dataset that was written; there is one after the writer is closed."""
        if self._dataset is None:
            raise ValueError("the writer has no dataset before it is closed without an error")
        return self._dataset

    @property
    def samples(self) -> int:
        """Samples written so far."""
        return sum(shard.samples for shard in self._shards)

    def write(self, sample: ST | Mapping[str, Any], *, key: str | None = None) -> None:
        """Add one sample.

        Args:
            sample: a sample of the writer's type, or a dict of its fields.
            key: its key; by default a new one that is unique everywhere and sorts in write order.

        Raises:
            SampleTypeError: another type than the first sample's, or a value that cannot be stored.
            ValueError: a key that WebDataset would misread, or that the shard has already.
        """
        if self._closed:
            raise ValueError("the writer is closed")
        typed = self._typed(sample)
        parts: Sequence[Buffer] = (
            plan_of(type(typed)).pack(typed) if isinstance(typed, PackableSample) else (typed.packed,)
        )
        shard = self._shard_for(key or "0" * 32, sum(map(len, parts)))
        if key is not None:
            _check_key(key)
            if key in self._keys:
                raise ValueError(f"shard {shard.name} already has a sample with the key {key!r}")
            self._keys.add(key)
        shard.add(key if key is not None else new_key(), parts)

    def _typed(self, sample: Any) -> Any:
        if isinstance(sample, Mapping):
            self._sample_type = self._sample_type or DictSample
            try:
                return self._sample_type(**sample)
            except TypeError as error:
                raise SampleTypeError(
                    f"sample {self.samples}: a dict of {', '.join(map(str, sample))} is no "
                    f"{self._sample_type.__name__}: {error}"
                ) from error
        if self._sample_type is None:
            if not hasattr(type(sample), "packed"):
                raise SampleTypeError(
                    f"{type(sample).__name__} is not a sample type; make it one with @atdata.packable"
                )
            self._sample_type = type(sample)
        if type(sample) is not self._sample_type:
            raise SampleTypeError(
                f"sample {self.samples}: a dataset holds samples of one type; this one is "
                f"{self._sample_type.__name__}, found {type(sample).__name__}"
            )
        return sample

    def _shard_for(self, key: str, size: int) -> ShardFile:
        """The shard that the next sample goes into."""
        if self._shards:
            shard = self._shards[-1]
            grown = shard.bytes + shard.member_bytes(key, size) + len(END_OF_ARCHIVE)
            full = shard.samples == self._maxcount or (self._maxsize is not None and grown > self._maxsize)
            if not full:
                return shard
            shard.finish()
        self._check_free(len(self._shards))
        self._keys.clear()
        name = self._path(len(self._shards)).name
        self._shards.append(ShardFile(self._staging, name, mtime=self._mtime))
        return self._shards[-1]

    def _path(self, number: int) -> Path:
        if not _NUMBER.search(self._pattern.name):
            return self._pattern
        return self._pattern.with_name(self._pattern.name % number)

    def _check_free(self, number: int) -> None:
        path = self._path(number)
        if path.exists() and not self._overwrite:
            raise exists(path)

    def close(self) -> None:
        """Finish all shards, name them, and write the manifest. Nothing happens on a second call.

        Raises:
            EmptyDataset: no sample was written.
            ShardExists: another writer took a name meanwhile.
        """
        if self._closed:
            return
        try:
            if not self._shards:
                raise EmptyDataset(
                    f"no samples, so nothing was written to {self._path(0)}; is the iterable used up already?"
                )
            self._shards[-1].finish()
            self._publish()
        finally:
            self.abort()

    def _publish(self) -> None:
        assert self._sample_type is not None  # there is a shard, so there was a sample
        schemas = _schemas(self._sample_type)
        schema = next(iter(schemas), None)
        facts = [shard.facts(schema) for shard in self._shards]
        named: list[ShardFile] = []
        try:
            for shard in self._shards:
                shard.publish(overwrite=self._overwrite)
                named.append(shard)
        except BaseException:
            # names that were free become free again; what was overwritten is gone either way
            for shard in named if not self._overwrite else []:
                self._remove(shard.name)
            raise
        removed = self._remove_leftovers() if self._overwrite else []
        self._staging.sync()
        merge_into_manifest(self._folder, facts, schemas, remove=removed)
        self._dataset = Dataset.of(self._sample_type, URLSource(self._written()))

    def _written(self) -> str | list[Path]:
        """The written shards as a brace pattern where that says the same, else one by one."""
        names = [shard.name for shard in self._shards]
        number = _NUMBER.search(self._pattern.name)
        if len(names) > 1 and number is not None:
            ends = f"{{{number[0] % 0}..{number[0] % (len(names) - 1)}}}"
            pattern = self._pattern.with_name(self._pattern.name.replace(number[0], ends))
            if URLSource(str(pattern)).list_shards() == [str(self._folder / name) for name in names]:
                return str(pattern)
        return [self._folder / name for name in names]

    def _remove_leftovers(self) -> list[str]:
        """Remove numbered shards of an older, longer dataset that was overwritten."""
        removed: list[str] = []
        path = self._path(len(self._shards))
        while path != self._pattern and path.exists():
            self._remove(path.name)
            removed.append(path.name)
            path = self._path(len(self._shards) + len(removed))
        return removed

    def _remove(self, name: str) -> None:
        for gone in (name, sidecar_name(name)):
            (self._folder / gone).unlink(missing_ok=True)

    def abort(self) -> None:
        """Drop everything that has no final name yet."""
        self._closed = True
        for shard in self._shards:
            shard.close()
        self._staging.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"ShardWriter({str(self._pattern)!r}: {state}, {self.samples:,} samples)"


def _pattern(path: str | os.PathLike[str], *, numbered: bool) -> Path:
    """Where shards go, with ``%06d`` in the name if there may be several."""
    text = os.fspath(path)
    if scheme_of(text):
        raise ValueError(f"{text!r} is a URL; shards are written to a folder, and a store puts them elsewhere")
    if "{" in text and isinstance(path, str):
        raise ValueError(f"{text!r} is a pattern for reading; to write numbered shards use 'data-%06d.tar'")
    target = Path(path)
    if text.endswith(("/", os.sep)) or target.is_dir() or not target.suffix:
        return target / "shard-%06d.tar"
    if target.suffix != ".tar":
        raise ValueError(f"{text!r}: shards are plain tar files, named .tar; compressed ones cannot be read at random")
    if _NUMBER.search(target.name):
        if len(_NUMBER.findall(target.name)) > 1 or "%" in _NUMBER.sub("", target.name):
            raise ValueError(f"{text!r}: a name holds one number, such as %06d, and no other %")
        return target
    return target.with_name(f"{target.stem}-%06d.tar") if numbered else target


def _check_key(key: str) -> None:
    """Refuse keys that do not come back as they went in."""
    base = key.rpartition("/")[2]
    if not base or "." in key or "\0" in key or key.startswith(("/", "__")):
        raise ValueError(
            f"{key!r} is no key that WebDataset reads back: it must not be empty, hold a dot or NUL, start with "
            "'/' or '__', or end with '/'"
        )


def _schemas(sample_type: type[Any]) -> dict[str, dict[str, Any]]:
    """The schema of a sample type by its CID; empty where it has no form as a schema."""
    if not issubclass(sample_type, PackableSample):
        return {}
    try:
        record = schema_of(sample_type)
    except SampleTypeError:
        return {}  # dicts, for example: fine in samples, not in schemas
    return {schema_cid(record): record}


@overload
def write_samples(
    samples: Iterable[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    maxcount: int | None = None,
    maxsize: int | None = None,
    key: Callable[[int, Any], str] | None = None,
    overwrite: bool = False,
    mtime: int = 0,
) -> Dataset[DictSample]: ...
@overload
def write_samples(
    samples: Iterable[ST],
    path: str | os.PathLike[str],
    *,
    maxcount: int | None = None,
    maxsize: int | None = None,
    key: Callable[[int, Any], str] | None = None,
    overwrite: bool = False,
    mtime: int = 0,
) -> Dataset[ST]: ...
@overload
def write_samples(
    samples: Iterable[object],
    path: str | os.PathLike[str],
    *,
    sample_type: type[ST],
    maxcount: int | None = None,
    maxsize: int | None = None,
    key: Callable[[int, Any], str] | None = None,
    overwrite: bool = False,
    mtime: int = 0,
) -> Dataset[ST]: ...
def write_samples(
    samples: Iterable[Any],
    path: str | os.PathLike[str],
    *,
    sample_type: type[Any] | None = None,
    maxcount: int | None = None,
    maxsize: int | None = None,
    key: Callable[[int, Any], str] | None = None,
    overwrite: bool = False,
    mtime: int = 0,
) -> Dataset[Any]:
    """Write samples into shards and return the dataset. Samples are taken one by one, so a generator will do.

    Either everything is written or, after an exception, nothing.

    Args:
        samples: samples of one type; dicts of fields too, which become samples of ``sample_type``.
        path: ``data.tar``, ``data-%06d.tar``, or a folder; see ``ShardWriter``.
        sample_type: the samples' type; by default that of the first one, and ``DictSample`` for dicts.
        maxcount: at most so many samples per shard.
        maxsize: at most so many bytes per shard, unless a single sample is larger.
        key: makes a sample's key from its number and itself; by default keys are unique everywhere and sort in write
            order.
        overwrite: replace shards of the same names.
        mtime: modification time that the tar members get, whole seconds since 1970.

    Raises:
        EmptyDataset: there are no samples.
        SampleTypeError: samples of several types, or a value that cannot be stored; names the field.
        ShardExists: there is a shard of that name and ``overwrite`` is not set.

    Examples:
        >>> import atdata, tempfile
        >>> @atdata.packable
        ... class Word:
        ...     text: str
        >>> folder = tempfile.mkdtemp()
        >>> dataset = atdata.write_samples([Word(text="a"), Word(text="b")], f"{folder}/words.tar")
        >>> [word.text for word in dataset]
        ['a', 'b']
    """
    with ShardWriter(path, sample_type, maxcount=maxcount, maxsize=maxsize, overwrite=overwrite, mtime=mtime) as writer:
        for number, sample in enumerate(samples):
            writer.write(sample, key=key(number, sample) if key is not None else None)
    return writer.dataset
