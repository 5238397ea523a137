"""What atdata's parts expect of each other, as structural protocols.

All are runtime-checkable: ``isinstance(x, AbstractIndex)`` tells whether ``x`` has the right members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["AbstractDataStore", "AbstractIndex", "DataSource", "IndexEntry", "Packable"]


@runtime_checkable
class Packable(Protocol):
    """A sample type: a class whose instances turn into msgpack bytes and back.

    ``@packable`` classes and ``PackableSample`` subclasses satisfy it.
    """

    @classmethod
    def from_data(cls, data: Mapping[str, Any], /) -> Self:
        """Make a sample from an unpacked msgpack map."""
        ...

    @classmethod
    def from_bytes(cls, bs: bytes, /) -> Self:
        """Make a sample from msgpack bytes."""
        ...

    @property
    def packed(self) -> bytes:
        """The sample as msgpack bytes."""
        ...

    @property
    def as_wds(self) -> dict[str, Any]:
        """The sample as a dict for WebDataset's writers: ``__key__`` and ``msgpack``."""
        ...


@runtime_checkable
class DataSource(Protocol):
    """A list of shards and a way to open each.

    ``Dataset`` also takes sources that have ``shard_list`` instead of ``list_shards()``, and ``shards`` as a
    method instead of a property.
    """

    @property
    def shards(self) -> Iterable[tuple[str, IO[bytes]]]:
        """``(identifier, stream)`` of each shard, opened one by one as the iteration gets there."""
        ...

    def list_shards(self) -> list[str]:
        """Identifiers of all shards, without opening any."""
        ...

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading.

        Raises:
            KeyError: the source has no shard of that identifier.
        """
        ...


@runtime_checkable
class IndexEntry(Protocol):
    """A dataset as an index knows it."""

    @property
    def name(self) -> str:
        """Human-readable dataset name."""
        ...

    @property
    def schema_ref(self) -> str:
        """Reference of the schema, such as ``atdata://local/sampleSchema/Name@1.0.0`` or an AT URI."""
        ...

    @property
    def data_urls(self) -> list[str]:
        """URLs of the shards; brace patterns allowed."""
        ...

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Whatever else was recorded, or None."""
        ...


@runtime_checkable
class AbstractDataStore(Protocol):
    """A place where shards are kept."""

    def write_shards(self, ds: Dataset[Any], *, prefix: str, **kwargs: Any) -> list[str]:
        """Store the dataset's shards under ``prefix``. Returns their URLs.

        Options such as ``maxcount`` (samples per shard) depend on the store.
        """
        ...

    def read_url(self, url: str) -> str:
        """A URL that ``Dataset`` can read, for a URL that this store gave out."""
        ...

    def supports_streaming(self) -> bool:
        """Whether shards can be read as a stream; False if they must be downloaded whole first."""
        ...


@runtime_checkable
class AbstractIndex(Protocol):
    """A catalogue of schemas and datasets; one index holds datasets of many sample types.

    Some indexes also have ``data_store``, the ``AbstractDataStore`` that holds their shards;
    ``open_dataset(entry, sample_type, shards)``, which makes the dataset of an entry, of only those shards unless they
    are None; and in test networks ``allow_insecure``, True if their entries may name plain ``http`` URLs.
    """

    def insert_dataset(
        self, ds: Dataset[Any], *, name: str, schema_ref: str | None = None, **kwargs: Any
    ) -> IndexEntry:
        """Record a dataset under a name. Without ``schema_ref`` the schema of its sample type is published."""
        ...

    def get_dataset(self, ref: str) -> IndexEntry:
        """The entry of that name or reference.

        Raises:
            KeyError: there is none.
        """
        ...

    @property
    def datasets(self) -> Iterator[IndexEntry]:
        """All dataset entries, lazily."""
        ...

    def list_datasets(self) -> Sequence[IndexEntry]:
        """All dataset entries, as a list."""
        ...

    def publish_schema(self, sample_type: type, *, version: str = "1.0.0", **kwargs: Any) -> str:
        """Publish the schema of a sample type. Returns its reference."""
        ...

    def get_schema(self, ref: str) -> dict[str, Any]:
        """The schema record: ``name``, ``version``, ``fields`` and more.

        Raises:
            KeyError: there is none.
        """
        ...

    @property
    def schemas(self) -> Iterator[Mapping[str, Any]]:
        """All schema records, lazily."""
        ...

    def list_schemas(self) -> list[dict[str, Any]]:
        """All schema records."""
        ...

    def decode_schema(self, ref: str) -> type[Packable]:
        """A sample type made from a stored schema.

        Raises:
            KeyError: there is no such schema.
            ValueError: the schema has a field type that this version does not know.
        """
        ...
