"""``write_samples`` and ``ShardWriter``: samples into shards, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack, overload

from .atomic import Staging, exists
from .dataset import Dataset
from .errors import EmptyDataset, SampleTypeError
from .keys import check_key, new_key
from .limits import Limits
from .manifest import manifest_lock, merge_into_manifest, own_manifest
from .manifest.sidecar import sidecar_name
from .naming import ShardNames
from .progress import Progress, counted
from .sample import DictSample, is_sample_type, packed_parts
from .schema.record import schema_by_cid
from .shard.array import Buffer
from .shard.tar import END_OF_ARCHIVE
from .shard.writer import ShardFile

ST = TypeVar("ST")


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
        self._limits = Limits(maxcount, maxsize)
        self._names = ShardNames.of(path, numbered=maxcount is not None or maxsize is not None)
        self._sample_type: type[Any] | None = sample_type
        self._overwrite = overwrite
        self._mtime = mtime
        self._shards: list[ShardFile] = []
        self._keys: set[str] = set()
        self._dataset: Dataset[ST] | None = None
        self._failure: BaseException | None = None
        self._closed = False
        folder = self._names.folder
        folder.mkdir(parents=True, exist_ok=True)
        own_manifest(folder)  # better refused now than after an hour of writing
        self._check_free(0)
        self._staging = Staging(folder)
        self._hasher = ThreadPoolExecutor(1, "atdata-hasher")
        self._syncer = ThreadPoolExecutor(1, "atdata-syncer")

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
        if key is not None:
            check_key(key)
        typed = self._typed(sample)
        try:
            parts = packed_parts(typed)
        except SampleTypeError as error:
            raise SampleTypeError(f"sample {self.samples}: {error}", field=error.field) from error
        self._add(parts, key)

    def write_stored(self, payload: bytes, *, key: str | None = None) -> None:
        """Add a sample of the writer's type as it is stored elsewhere: its bytes are copied, and not looked at.

        Args:
            payload: its msgpack bytes.
            key: as for ``write``.

        Raises:
            ValueError: as for ``write``.
        """
        if self._closed:
            raise ValueError("the writer is closed")
        if key is not None:
            check_key(key)
        self._add((payload,), key)

    def _add(self, parts: Sequence[Buffer], key: str | None) -> None:
        new = new_key() if key is None else key
        try:
            shard = self._shard_for(new, parts)
            if key is not None:
                self._claim(key, shard)
            shard.add(new, parts)
        except ValueError:
            raise  # a key that is taken: nothing was written
        except BaseException as error:
            # the shard may hold half a sample now, so nothing can come of it
            self._failure = error
            self.abort()
            raise

    def _claim(self, key: str, shard: ShardFile) -> None:
        if key in self._keys:
            raise ValueError(f"shard {shard.name} already has a sample with the key {key!r}")
        self._keys.add(key)

    def _typed(self, sample: Any) -> Any:
        if type(sample) is self._sample_type:
            return sample
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
                    f"sample {self.samples}: {type(sample).__name__} is not a sample type; samples are dicts, or of a "
                    "class made with @atdata.packable"
                )
            self._sample_type = type(sample)
            return sample
        raise SampleTypeError(
            f"sample {self.samples}: a dataset holds samples of one type; this one is "
            f"{self._sample_type.__name__}, found {type(sample).__name__}"
        )

    def _shard_for(self, key: str, parts: Sequence[Buffer]) -> ShardFile:
        """The shard that the next sample goes into."""
        shard = self._shards[-1] if self._shards else None
        if shard is None or self._full(shard, key, parts):
            if shard is not None:
                shard.finish()
            number = len(self._shards)
            self._check_free(number)
            self._keys.clear()
            name = self._names.path(number).name
            shard = ShardFile(self._staging, name, self._hasher, self._syncer, mtime=self._mtime)
            self._shards.append(shard)
        return shard

    def _full(self, shard: ShardFile, key: str, parts: Sequence[Buffer]) -> bool:
        added = 0 if self._limits.bytes is None else shard.member_bytes(key, sum(map(len, parts)))
        return not self._limits.allow(shard.samples + 1, shard.bytes + added + len(END_OF_ARCHIVE))

    def _check_free(self, number: int) -> None:
        path = self._names.path(number)
        if path.exists() and not self._overwrite:
            raise exists(path)

    def close(self) -> None:
        """Finish all shards, name them, and write the manifest. Nothing happens on a second call.

        Raises:
            EmptyDataset: no sample was written.
            ValueError: an earlier write met a fault of the disk.
            ShardExists: another writer took a name meanwhile.
        """
        if self._failure is not None:
            raise ValueError("nothing was written, since an earlier write failed") from self._failure
        if self._closed:
            return
        try:
            if not self._shards:
                path = self._names.path(0)
                raise EmptyDataset(f"no samples, so nothing was written to {path}; is the iterable used up already?")
            self._shards[-1].finish()
            self._publish()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self.abort()

    def _publish(self) -> None:
        assert self._sample_type is not None  # there is a shard, so there was a sample
        schemas = schema_by_cid(self._sample_type)
        schema = next(iter(schemas), None)
        facts = [shard.facts(schema) for shard in self._shards]
        with manifest_lock(self._names.folder):
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
            merge_into_manifest(self._names.folder, facts, schemas, remove=removed)
        self._dataset = Dataset.of(self._sample_type, self._names.source(len(self._shards)))

    def _remove_leftovers(self) -> list[str]:
        """Remove numbered shards of an older, longer dataset that was overwritten."""
        removed: list[str] = []
        if self._names.width is not None:
            while (path := self._names.path(len(self._shards) + len(removed))).exists():
                self._remove(path.name)
                removed.append(path.name)
        return removed

    def _remove(self, name: str) -> None:
        for gone in (name, sidecar_name(name)):
            (self._names.folder / gone).unlink(missing_ok=True)

    def abort(self) -> None:
        """Drop everything that has no final name yet."""
        self._closed = True
        for executor in (self._hasher, self._syncer):
            executor.shutdown(cancel_futures=True)
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
        return f"ShardWriter({str(self._names.path(0))!r}: {state}, {self.samples:,} samples)"


def _count(samples: object) -> int | None:
    return len(samples) if isinstance(samples, Sized) else None


class _Options(TypedDict, total=False):
    """What all forms of ``write_samples`` take beside."""

    maxcount: int | None
    maxsize: int | None
    key: Callable[[int, Any], str] | None
    overwrite: bool
    mtime: int
    progress: Progress


@overload
def write_samples(
    samples: Iterable[Mapping[str, Any]], path: str | os.PathLike[str], **options: Unpack[_Options]
) -> Dataset[DictSample]: ...
@overload
def write_samples(samples: Iterable[ST], path: str | os.PathLike[str], **options: Unpack[_Options]) -> Dataset[ST]: ...
@overload
def write_samples(
    samples: Iterable[object], path: str | os.PathLike[str], *, sample_type: type[ST], **options: Unpack[_Options]
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
    progress: Progress = None,
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
        progress: told how many samples are written; see ``atdata.progress``.

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
    if isinstance(samples, Mapping) or is_sample_type(type(samples)):
        raise TypeError(f"samples are an iterable, such as a list; found one {type(samples).__name__}: give [sample]")
    with ShardWriter(path, sample_type, maxcount=maxcount, maxsize=maxsize, overwrite=overwrite, mtime=mtime) as writer:
        for number, sample in enumerate(counted(samples, progress, lambda: _count(samples))):
            writer.write(sample, key=key(number, sample) if key is not None else None)
    return writer.dataset
