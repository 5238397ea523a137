"""``Dataset``: typed samples in shards."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, Unpack, overload

from ._arguments import positive, whole
from .batch import SampleBatch, type_argument
from .decode import Piece, View, samples
from .dtypes import DtypePolicy, check_policy
from .errors import AtdataError, MalformedSample, SampleDecodeError, SampleTypeError
from .export.methods import Exportable
from .feed.epoch import UNKNOWN, Epoch, Pass, Sharing, shared
from .feed.table import JoinedSource, Joint, Leaf, Table, Tree
from .lens import Lens, LensNetwork
from .manifest import ShardFacts, facts_of
from .progress import known_total
from .protocols import DataSource
from .sample import DictSample, PackableSample, plan_of
from .select import Selectable
from .shard.blocks import gather_records
from .shard.payload import unpack_map
from .shard.reader import Record
from .sources import check_source, public, shard_ids
from .sources.url import URLSource, parts_of, path_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .feed.stream import SampleStream

    ST = TypeVar("ST", default=DictSample)
else:
    ST = typing.TypeVar("ST")

RT = typing.TypeVar("RT")


class _ShardListSource(Protocol):
    """A data source in its shorter form."""

    @property
    def shard_list(self) -> list[str]: ...

    def open_shard(self, shard_id: str) -> IO[bytes]: ...


Source: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | DataSource | _ShardListSource"


class _Shuffling(Sharing, total=False):
    """What all forms of ``Dataset.shuffled`` take beside."""

    seed: int | None
    epoch: int
    initial: int | None
    drop_last: bool


class Dataset(Selectable[ST], Exportable[ST]):
    """Samples of one type in one or more shards. Nothing is read before it is asked for.

    ``Dataset[T](source)`` reads samples as ``T``; without ``[T]`` they are ``DictSample``.

    Args:
        source: a path or URL, in which brace patterns such as ``data-{000..009}.tar`` stand for many; several of
            them; or a ``DataSource``.
        metadata_url: path or URL of a msgpack map that describes the dataset; see ``metadata``.
        url: the same as ``source``.
        dtypes: what happens where an array is stored in another dtype than its field declares, as
            ``NDArray[np.float32]`` does: ``"same-kind"`` converts among numbers as NumPy's casting of that name does,
            ``"unsafe"`` converts everything, ``"strict"`` nothing but the byte order. Plain ``NDArray`` declares none.

    Raises:
        TypeError: no source, or what is none.

    Examples:
        >>> import atdata
        >>> dataset = atdata.Dataset("data-{000..009}.tar")
        >>> len(dataset.shard_list)
        10
    """

    def __init__(
        self,
        source: Source | None = None,
        metadata_url: str | None = None,
        *,
        url: str | None = None,
        dtypes: DtypePolicy = "same-kind",
    ) -> None:
        check_policy(dtypes)
        given = url if source is None else source
        if given is None or (source is not None and url is not None):
            raise TypeError("Dataset takes one source: Dataset[T]('data.tar') or Dataset[T](url='data.tar')")
        is_source = any(hasattr(given, name) for name in ("open_shard", "list_shards", "shard_list", "shards"))
        self._source: Any = given if is_source or not isinstance(given, Iterable | os.PathLike) else URLSource(given)
        check_source(self._source)
        self._metadata_url = metadata_url
        self._dtypes: DtypePolicy = dtypes
        self._known: Mapping[str, ShardFacts] = {}
        self._joint: Joint | None = None  # of datasets that were joined

    @classmethod
    def of(cls, sample_type: type[RT], source: Source, known: Mapping[str, ShardFacts] | None = None) -> Dataset[RT]:
        """``Dataset[sample_type](source)`` for a type that is only known at run time.

        Args:
            sample_type: the type of the samples.
            source: as for ``Dataset``.
            known: facts about shards on other machines, by identifier.
        """
        dataset: Dataset[RT] = Dataset(source)
        dataset._view = View(sample_type)
        dataset._known = known or {}
        return dataset

    @classmethod
    def _of_tree(cls, tree: Joint) -> Dataset[Any]:
        dataset: Dataset[Any] = Dataset(JoinedSource(tree))
        dataset._joint = tree
        return dataset

    @property
    def sample_type(self) -> type[ST]:
        """The type of the samples."""
        return typing.cast("type[ST]", next(self._tree.leaves()).view.sample_type)

    @cached_property
    def _view(self) -> View:
        return View(type_argument(self) or DictSample, None, self._dtypes)

    @property
    def batch_type(self) -> type[SampleBatch[ST]]:
        """The type of the batches, ``SampleBatch[sample_type]``."""
        return SampleBatch[self.sample_type]  # type: ignore[name-defined]

    @property
    def source(self) -> Any:
        """The data source that was given, or the ``URLSource`` made of what was given."""
        return self._source

    @property
    def url(self) -> str:
        """What was given, as one text; for sources that have no URL, their shards' identifiers."""
        return getattr(self._source, "url", None) or "::".join(self.list_shards())

    def list_shards(self) -> list[str]:
        """Identifiers of all shards, in order."""
        return shard_ids(self._source)

    @property
    def shard_list(self) -> list[str]:
        """The same as ``list_shards()``."""
        return self.list_shards()

    @cached_property
    def metadata(self) -> dict[str, Any] | None:
        """What ``metadata_url`` holds, read on first use; None without a ``metadata_url``.

        Raises:
            ShardNotFound: there is nothing at that place.
            SampleDecodeError: it is not a msgpack map.
        """
        if self._metadata_url is None:
            return None
        source = URLSource(self._metadata_url)
        with source.open_shard(source.list_shards()[0]) as stream:
            data = stream.read()
        try:
            return unpack_map(data)
        except SampleDecodeError as error:
            raise SampleDecodeError(f"metadata at {public(self._metadata_url)}: {error}") from error

    def as_type(self, other: type[RT] | Lens[Any, RT]) -> Dataset[RT]:
        """The same samples, seen as another type; nothing is read or written for that.

        A lens that only picks fields is not applied to samples: fields that it leaves out are not read at all.

        Args:
            other: the type, for which ``LensNetwork`` has a lens or a chain of them; or the lens itself.

        Raises:
            LensNotFound: no lens leads to that type; a ``ValueError``.
            AmbiguousLens: several chains of lenses do, and none is shorter; a ``ValueError``.
            SampleTypeError: the lens looks at another type than this dataset's.
        """
        here = self.sample_type
        lens: Lens[Any, Any] = other if isinstance(other, Lens) else LensNetwork().transform(here, other)
        if not issubclass(here, lens.source_type):
            raise SampleTypeError(f"{lens!r} looks at {lens.source_type.__name__}; this dataset has {here.__name__}")
        return typing.cast("Dataset[RT]", self._with_views(lambda view: view.seen(lens)))

    def _with_views(self, changed: Callable[[View], View]) -> Any:
        seen = copy(self)
        if self._joint is None:
            seen._view = changed(self._view)
        else:
            seen._joint = self._joint.seen(changed)
        return seen

    @property
    def _tree(self) -> Tree:
        if self._joint is not None:
            return replace(self._joint, picks=self._picks)
        return Leaf(self._source, self._view, self._known, self._picks)

    @overload
    def ordered(
        self, batch_size: None = None, *, drop_last: bool = False, **sharing: Unpack[Sharing]
    ) -> SampleStream[ST]: ...
    @overload
    def ordered(
        self, batch_size: int, *, drop_last: bool = False, **sharing: Unpack[Sharing]
    ) -> SampleStream[SampleBatch[ST]]: ...
    def ordered(
        self, batch_size: int | None = None, *, drop_last: bool = False, **sharing: Unpack[Sharing]
    ) -> SampleStream[Any]:
        """The samples in the order of shards and of members in them.

        Args:
            batch_size: samples per batch; None yields single samples.
            drop_last: leave out the last batch if it is short.
            sharing: with ``rank`` and ``world_size``, which of several processes this is; by default torch.distributed
                or the environment (``RANK``, ``WORLD_SIZE``) says. ``policy``: what happens where samples do not come
                out even, ``"uneven"``, ``"drop_last"`` or ``"pad"``. ``on_error``: ``"raise"``, or ``"skip"`` to leave
                out samples that cannot be read, at most as many as ``atdata.Skip`` says. See ``docs/training.md``.

        Returns:
            A ``webdataset.DataPipeline`` of samples, or of ``SampleBatch`` with a batch size.
        """
        return self._stream(None, None, 0, batch_size, drop_last, sharing)

    @overload
    def shuffled(
        self,
        buffer_shards: int = 100,
        buffer_samples: int = 10_000,
        batch_size: None = None,
        **options: Unpack[_Shuffling],
    ) -> SampleStream[ST]: ...
    @overload
    def shuffled(
        self, buffer_shards: int = 100, buffer_samples: int = 10_000, *, batch_size: int, **options: Unpack[_Shuffling]
    ) -> SampleStream[SampleBatch[ST]]: ...
    @overload
    def shuffled(
        self, buffer_shards: int, buffer_samples: int, batch_size: int, **options: Unpack[_Shuffling]
    ) -> SampleStream[SampleBatch[ST]]: ...
    def shuffled(
        self,
        buffer_shards: int = 100,
        buffer_samples: int = 10_000,
        batch_size: int | None = None,
        *,
        seed: int | None = None,
        epoch: int = 0,
        initial: int | None = None,
        drop_last: bool = False,
        **sharing: Unpack[Sharing],
    ) -> SampleStream[Any]:
        """The samples in random order: shards are mixed, then samples within windows of the mixed shards.

        Args:
            buffer_shards: how many shards are mixed at a time.
            buffer_samples: how many samples are mixed at a time; more mixes better. Of local shards none are held for
                that: the size of the dataset costs nothing and makes one permutation of all samples.
            batch_size: samples per batch; None yields single samples.
            seed: with ``epoch`` decides the order, the same on every machine; None gives each pass another.
            epoch: number of the pass; change it, or call ``set_epoch``, to reshuffle under the same seed.
            initial: how many samples must be at hand before the first comes out; by default the whole buffer. Less
                starts sooner and mixes the first samples worse.
            drop_last: leave out the last batch if it is short.
            sharing: as for ``ordered``.

        Returns:
            A ``webdataset.DataPipeline`` of samples, or of ``SampleBatch`` with a batch size.
        """
        shards, number = positive("buffer_shards", buffer_shards), positive("buffer_samples", buffer_samples)
        first = number if initial is None else positive("initial", initial)
        seed = None if seed is None else whole("seed", seed)
        return self._stream((shards, number, first), seed, whole("epoch", epoch), batch_size, drop_last, sharing)

    def _stream(
        self,
        mixing: tuple[int, int, int] | None,
        seed: int | None,
        epoch: int,
        batch_size: int | None,
        drop_last: bool,
        sharing: Sharing,
    ) -> SampleStream[Any]:
        from .feed.stream import Passes, SampleStream  # webdataset imports torch where that is installed

        batch_size = None if batch_size is None else positive("batch_size", batch_size)
        if drop_last and batch_size is None:
            raise ValueError("drop_last needs a batch_size")
        return SampleStream(Passes(Epoch(self._tree, mixing, seed, batch_size, drop_last, **shared(sharing)), epoch))

    def __iter__(self) -> Iterator[ST]:
        """The samples in order."""
        return iter(Pass(Epoch(self._tree, rank=0, world_size=1), 0))

    def head(self, n: int = 5) -> list[ST]:
        """The first ``n`` samples, or all if there are fewer."""
        return list(islice(self, n))

    def wrap(self, sample: Mapping[str, Any]) -> ST:
        """A sample from WebDataset's form of it.

        Args:
            sample: a dict whose ``msgpack`` entry is the sample's bytes.

        Raises:
            MalformedSample: it has no ``msgpack`` entry.
        """
        chunk = gather_records([_record(sample, _payload(sample))])
        return typing.cast(ST, next(samples(self._view, [Piece(chunk, 0, 1)])))

    def wrap_batch(self, batch: Mapping[str, Any]) -> SampleBatch[ST]:
        """A batch from WebDataset's form of it.

        Args:
            batch: a dict whose ``msgpack`` entry is a list of samples' bytes.

        Raises:
            MalformedSample: it has no ``msgpack`` entry.
        """
        # WebDataset collates keys and URLs into lists, too
        names = {name: batch[name] for name in ("__key__", "__url__") if isinstance(batch.get(name), list)}
        records = [
            _record({name: values[row] for name, values in names.items()}, payload)
            for row, payload in enumerate(_payload(batch))
        ]
        pieces = [Piece(gather_records(records), 0, len(records))] if records else []
        return SampleBatch[ST].from_pieces(self._view, pieces)

    @property
    def num_samples(self) -> int | None:
        """How many samples there are, as far as that is known without reading a shard; None where it is not.

        Raises:
            ManifestError: a manifest is damaged.
        """
        facts = self._facts()
        if facts is None or self._filters:
            return None
        plain = isinstance(self._tree, Leaf) and not self._picks
        return sum(entry.samples for entry in facts) if plain else len(self)

    def __len__(self) -> int:
        """How many samples there are. Local shards that no manifest knows are scanned for that, once: sidecars keep it.

        Raises:
            TypeError: it is not known: shards on other machines without a manifest, or a filter.
        """
        if self._filters:
            raise TypeError("how many samples a filter leaves is not known; sum(1 for _ in dataset) counts them")
        try:
            table = Table.of(self._tree, scan=True)
        except (OSError, AtdataError) as error:
            # list() asks for a length, too, and takes no other error for an answer
            raise TypeError(f"the number of samples is not known: {error}") from error
        if table is None:
            raise TypeError(f"{UNKNOWN}; sum(1 for _ in dataset) counts them")
        return len(table.rows)

    def __bool__(self) -> bool:
        """True: whether a dataset is empty is no question of its having a length."""
        return True

    def _facts(self) -> list[ShardFacts] | None:
        """What manifests know of all shards, or None if one is unknown or has changed since."""
        facts = []
        for leaf in self._tree.leaves():
            for shard in shard_ids(leaf.source):
                path = path_of(leaf.source, shard)
                entry = facts_of(path) if path is not None else leaf.known.get(shard)
                if entry is None:
                    return None
                facts.append(entry)
        return facts

    @property
    def _remade(self) -> str | None:
        """What is done with stored samples; None for nothing."""
        for leaf in self._tree.leaves():
            if leaf.view.steps:
                return "made by map() or filter()"
            if leaf.view.lens is not None:
                return f"a view through {leaf.view.lens!r}"
        return None

    @property
    def _changes(self) -> str | None:
        """How it differs from what its shards hold; None if it does not."""
        selected = "several datasets as one" if self._joint is not None else "a selection of samples"
        return self._remade or (selected if self._joint is not None or self._picks else None)

    def _parts(self) -> list[Dataset[Any]]:
        """The datasets that it is made of, whole and as they are stored."""
        parts = []
        for leaf in self._tree.leaves():
            parts.append(Dataset.of(leaf.view.stored, leaf.source, leaf.known))
            parts[-1]._view = View(leaf.view.stored, None, leaf.view.dtypes)
        return parts

    def __repr__(self) -> str:
        shards = len(self.list_shards())
        samples = known_total(self)
        known = "" if samples is None else f", {samples:,} samples"
        # with several URLs their own secrets, too, stay out of sight
        url = "::".join(map(public, parts_of(self.url)))
        url = url if len(url) <= 80 else f"{url[:77]}..."
        text = f"Dataset[{self.sample_type.__name__}]({url!r}: {shards:,} shard{'s'[: shards != 1]}{known}"
        if issubclass(self.sample_type, PackableSample):
            fields = plan_of(self.sample_type).fields
            text += "; " + ", ".join(f"{field.name}: {field.text}" for field in fields)
        return text + ")"


def _payload(sample: Mapping[str, Any]) -> Any:
    if "msgpack" not in sample:
        raise MalformedSample(
            f"Malformed sample: 'msgpack' field not found; it has {', '.join(map(str, sample)) or 'no fields'}"
        ).at(key=sample.get("__key__"))
    return sample["msgpack"]


def _record(sample: Mapping[str, Any], payload: bytes) -> Record:
    key, url = sample.get("__key__"), sample.get("__url__")
    return Record(url if isinstance(url, str) else None, key if isinstance(key, str) else None, None, payload)
