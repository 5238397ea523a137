"""``Index``: where the datasets and schemas of one machine or a team are found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from atdata import Dataset, config, plugins
from atdata.errors import EntryNotFound, NameTaken
from atdata.indexing import forget, record_of_type
from atdata.protocols import AbstractDataStore, Packable
from atdata.schema import schema_of, type_of
from atdata.sources.url import scheme_of
from atdata.uri import is_reference

from .catalog import ALL, COLUMNS, PAGE, Catalog, Row, choose
from .entries import check_limit, check_name, entry_of_cid, keep, name_in, pages
from .entry import LocalDatasetEntry
from .facts import SAID, data_urls, said_of, shard_facts, stored_facts
from .places import store_of, stub_folder
from .schemas import LocalSchemaRecord, SchemaNamespace, find_schema, publish, record_of
from .words import terms, words

T = TypeVar("T")


class Index:
    """A catalogue of datasets and schemas, in a file of this machine or on a team's Redis server.

    ``Index()`` is embedded, one SQLite file in the user's data directory, unless the environment variable
    ``ATDATA_INDEX_URL`` or the configuration (``atdata.config``) names another file or a server. ``LocalIndex`` is
    the same class. Nothing is opened before it is needed; an index may be used by any number of threads, processes
    and hosts at once.

    Args:
        redis: a ``redis.Redis`` or ``RedisCluster``, or the URL of an index: ``redis://``, ``rediss://``,
            ``sqlite:///absolute/path``.
        data_store: where ``insert_dataset`` puts shards; None leaves them where they are, unless it is asked to store.
        auto_stubs: write a Python module for each schema that is decoded, so that editors know its fields.
        stub_dir: the folder of those modules.
        path: the file of an embedded index.
        repository: name of the repository, of which a Redis server may hold several.
        connection: ``host``, ``port``, ``db``, ``password``, ``ssl`` and all else that ``redis.Redis`` takes.

    Raises:
        ValueError: a URL that is none of an index.
        TypeError: several places, or an unknown keyword.
        BackendNotInstalled: Redis is asked for and the extra ``redis`` is not installed.

    Examples:
        >>> import tempfile
        >>> from atdata_local import Index
        >>> index = Index(path=tempfile.mkdtemp() + "/index.sqlite3")
        >>> index.list_datasets()
        []
    """

    def __init__(
        self,
        redis: Any = None,
        data_store: AbstractDataStore | None = None,
        auto_stubs: bool = False,
        stub_dir: str | os.PathLike[str] | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        repository: str = "atdata",
        **connection: Any,
    ) -> None:
        self._catalog = choose(redis, path, repository, connection)
        self._data_store = data_store
        self._stubs = Path(stub_dir or stub_folder()) if auto_stubs else None
        self._types = SchemaNamespace()

    @property
    def url(self) -> str:
        """Where the index is, without secrets."""
        return self._catalog.url

    @property
    def data_store(self) -> AbstractDataStore | None:
        """Where ``insert_dataset`` puts shards, or None."""
        return self._data_store

    @property
    def catalog(self) -> Catalog:
        """What keeps the records."""
        return self._catalog

    @property
    def _redis(self) -> Any:
        return getattr(self._catalog, "client", None)

    # -- putting datasets in

    def add_entry(
        self,
        ds: Dataset[Any],
        *,
        name: str,
        schema_ref: str | None = None,
        metadata: dict[str, Any] | None = None,
        **facts: Any,
    ) -> LocalDatasetEntry:
        """Record a dataset where it is, under a name.

        Other content under a name that is used keeps the entry of before, by its CID and in ``versions``; the name
        moves to the new one, and a line of the log says so.

        Args:
            ds: the dataset.
            name: its name; letters of any script, digits, spaces and most signs, but none of ``/ \\ @ ? # %``.
            schema_ref: reference of its schema. By default its sample type is published, unless an equal one is there.
            metadata: anything that JSON can hold; by default ``ds.metadata``.
            facts: ``description`` (by default that of the metadata), ``tags`` and ``license``.

        Raises:
            InvalidReference: a name that references cannot hold; a ``ValueError``.
            UnsafeURL: a source that runs a command, or a URL with a password.
            TypeError: no dataset, but a ``DatasetDict`` or a path.
            SampleTypeError: a dataset without a sample type, and no ``schema_ref``.
            ValueError: metadata that JSON cannot hold.
        """
        said = said_of(ds, name, schema_ref, metadata, facts)
        return self._record(ds, said, data_urls(ds), shard_facts(ds))

    def insert_dataset(
        self,
        ds: Dataset[Any],
        *,
        name: str,
        schema_ref: str | None = None,
        **kwargs: Any,
    ) -> LocalDatasetEntry:
        """Record a dataset under a name; with a ``data_store`` its shards are stored first and the copies recorded.

        An index without one that is asked to store nevertheless, by an option that only stores take, uses a
        ``DiskDataStore``: the folder ``shards`` beside its file, or that of a server, in the user's data directory.

        Args:
            ds: the dataset.
            name: its name.
            schema_ref: reference of its schema; see ``add_entry``.
            kwargs: ``metadata``, ``description``, ``tags`` and ``license`` as ``add_entry`` takes them; ``prefix`` in
                the store (by default the name), ``cache_local``, ``maxcount``, and what else the store takes.

        Raises:
            TypeError: a keyword that nothing here takes.
            Exception: those of ``add_entry``, and of the store.
        """
        metadata = kwargs.pop("metadata", None)
        facts: dict[str, Any] = {key: kwargs.pop(key) for key in SAID if key in kwargs}
        store: Any = self._data_store
        if store is None and not kwargs:
            return self.add_entry(ds, name=name, schema_ref=schema_ref, metadata=metadata, **facts)
        said = said_of(ds, name, schema_ref, metadata, facts)
        store = store_of(self._catalog) if store is None else store
        urls: list[str] = store.write_shards(ds, prefix=kwargs.pop("prefix", name), **kwargs)
        known = stored_facts(store, urls) or {"samples": shard_facts(ds).get("samples")}
        try:
            return self._record(ds, said, urls, known)
        except BaseException as error:
            forget(store, urls, error)
            raise

    def _record(
        self, ds: Dataset[Any], said: dict[str, Any], urls: list[str], known: dict[str, Any]
    ) -> LocalDatasetEntry:
        if said["schema_ref"] is None:
            said["schema_ref"] = publish(self._catalog, record_of_type(ds), None, reuse=True)
        return keep(self._catalog, LocalDatasetEntry(data_urls=urls, **said, **known))

    # -- finding datasets

    def get_dataset(self, ref: str) -> LocalDatasetEntry:
        """The entry of a name or reference: ``mnist``, ``@local/mnist``.

        Raises:
            EntryNotFound: there is none; a ``KeyError``.
            InvalidReference: a malformed reference, or one to something else; a ``ValueError``.
        """
        return self.get_entry_by_name(name_in(ref) if is_reference(ref) else ref)

    def get_entry_by_name(self, name: str) -> LocalDatasetEntry:
        """The entry of a name.

        Raises:
            EntryNotFound: there is none; a ``KeyError``.
        """
        row = self._catalog.by_name(name)
        if row is None:
            raise self._missing(name)
        return self._entry(row)

    def get_entry(self, cid: str) -> LocalDatasetEntry:
        """The entry of a CID; content that has several names has here the latest.

        Raises:
            EntryNotFound: there is none; a ``KeyError``.
        """
        return entry_of_cid(self._catalog, cid)

    def list_datasets(
        self, limit: int | None = None, cursor: str | None = None, prefix: str = ""
    ) -> list[LocalDatasetEntry]:
        """The datasets, each with its current entry, by name.

        Args:
            limit: at most so many; None is all.
            cursor: begin behind this name, the last of the page before.
            prefix: only names that begin so.
        """
        read = self._catalog.page
        found = pages(limit, cursor, lambda size, after: read(limit=size, after=after, prefix=prefix))
        return [self._entry(row) for page in found for row in page]

    @property
    def datasets(self) -> Iterator[LocalDatasetEntry]:
        """The same one by one, read in pages."""
        for page in pages(None, None, lambda size, after: self._catalog.page(limit=size, after=after)):
            yield from map(self._entry, page)

    @property
    def entries(self) -> Iterator[LocalDatasetEntry]:
        """All entries one by one in the order of insertion, also those from which their name has moved on."""
        after = 0
        while rows := self._catalog.everything(limit=PAGE, after=after):
            yield from map(self._entry, rows)
            after = int(rows[-1][COLUMNS.index("seq")])

    def list_entries(self) -> list[LocalDatasetEntry]:
        """All entries in the order of insertion, also those from which their name has moved on."""
        return list(self.entries)

    @property
    def all_entries(self) -> list[LocalDatasetEntry]:
        """The same as ``list_entries()``."""
        return self.list_entries()

    def search(
        self,
        text: str = "",
        *,
        tags: Iterable[str] = (),
        schema: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
    ) -> list[LocalDatasetEntry]:
        """The datasets that match everything asked for, by name.

        Args:
            text: words, or beginnings of words, of name, description, tags and name of the schema; case does not count.
            tags: tags that a dataset must have.
            schema: name of its schema, ``Name@version``, or the whole reference.
            limit: at most so many; None is all.
            cursor: begin behind this name, the last of the page before.
        """
        asked = terms(text, [tags] if isinstance(tags, str) else tags, schema)
        check_limit(limit)
        rows = self._catalog.search(asked, limit=ALL if limit is None else min(limit, ALL), after=cursor or "")
        return [self._entry(row) for row in rows]

    def versions(self, name: str) -> list[LocalDatasetEntry]:
        """All entries that a name has had, the current one last.

        Raises:
            EntryNotFound: it has none; a ``KeyError``.
        """
        rows = self._catalog.history(name)
        if not rows:
            raise self._missing(name)
        return [self._entry(row) for row in rows]

    def _missing(self, name: str) -> EntryNotFound:
        return EntryNotFound(f"no dataset {name!r:.80} in {self.url}; list_datasets() and search() tell what is there")

    def _entry(self, row: Row) -> LocalDatasetEntry:
        return LocalDatasetEntry.from_row(row, self._catalog)

    # -- changing

    def delete_entry(self, name: str, *, cid: str | None = None) -> None:
        """Remove a dataset from the index; its shards stay where they are.

        Args:
            name: its name.
            cid: only that entry; the name falls back to the one before. None removes the name and all its entries.

        Raises:
            EntryNotFound: there is none; a ``KeyError``.
        """
        if not any(cid in (None, entry.cid) for entry in self.versions(name)):
            raise EntryNotFound(f"{name!r} has no entry {cid} in {self.url}; versions({name!r}) lists those it has")
        self._catalog.delete(name, cid, words(name))

    def rename(self, name: str, to: str) -> LocalDatasetEntry:
        """Give a dataset, with all its versions, another name. Returns its entry.

        Raises:
            EntryNotFound: there is none of that name; a ``KeyError``.
            NameTaken: the other name is another dataset's.
            InvalidReference: the other name is none.
        """
        check_name(to)
        before = self.get_entry_by_name(name)
        if name == to:
            return before
        done = self._catalog.rename(name, to, words(name), words(to))
        there = self._catalog.by_name(to)
        # a client that lost the answer asks twice; the second time the work is done
        if there is not None and (done == "done" or self._entry(there).cid == before.cid):
            return self._entry(there)
        if done == "taken":
            raise NameTaken(f"{to!r} is another dataset in {self.url}; choose another name, or delete that one first")
        raise EntryNotFound(f"{name!r} was removed from {self.url} by somebody else")

    # -- schemas

    def publish_schema(
        self,
        sample_type: type,
        *,
        version: str | None = None,
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        **unknown: Any,
    ) -> str:
        """Publish the schema of a sample type. Returns its reference.

        Args:
            sample_type: a class made with ``@packable``.
            version: a semantic version. None takes the next patch of the highest one, or ``1.0.0``.
            description: what the samples are; by default the docstring of the class.
            metadata: anything that JSON can hold.
            unknown: other indexes take more; this one takes nothing else.

        Raises:
            TypeError: not a sample type, a field that schemas cannot express, or an unknown keyword.
            ValueError: not a dataclass; not a version; metadata that JSON cannot hold.
            NameTaken: the version is published with other content; a ``ValueError``.
        """
        if unknown:
            raise TypeError(f"this index's publish_schema does not take {', '.join(sorted(unknown))}")
        record = schema_of(sample_type, version=version or "1.0.0", description=description, metadata=metadata)
        return publish(self._catalog, record, version)

    def get_schema(self, ref: str) -> dict[str, Any]:
        """A schema record.

        Args:
            ref: ``atdata://local/sampleSchema/{name}@{version}``; without a version, the highest.

        Raises:
            SchemaNotFound: there is none; a ``KeyError``.
            InvalidReference: no reference to a schema; a ``ValueError``.
        """
        return find_schema(self._catalog, ref)

    def get_schema_record(self, ref: str) -> LocalSchemaRecord:
        """A schema record with its parts as properties; see ``get_schema``."""
        return LocalSchemaRecord(self.get_schema(ref))

    @property
    def schemas(self) -> Iterator[LocalSchemaRecord]:
        """All schema records one by one, by name and version, read in pages."""
        after = ("", "")
        while page := self._catalog.schemas(limit=PAGE, after=after):
            for stored in page:
                yield LocalSchemaRecord(record_of(stored))
            after = (page[-1].name, page[-1].version)

    def list_schemas(self) -> list[dict[str, Any]]:
        """All schema records, by name and version."""
        return [schema.to_dict() for schema in self.schemas]

    def decode_schema(self, ref: str) -> type[Packable]:
        """A sample type made from a schema; with ``auto_stubs``, the class of the module written for it.

        Raises:
            SchemaNotFound: there is none; a ``KeyError``.
            ValueError: it cannot be decoded, or the reference is malformed.
        """
        record = self.get_schema(ref)
        if self._stubs is None:
            return cast("type[Packable]", type_of(record))
        from atdata.schema.stubs import load_stub

        return cast("type[Packable]", load_stub(record, self._stubs))

    def decode_schema_as(self, ref: str, type_hint: type[T]) -> type[T]:
        """The same, for type checkers a ``type_hint``, such as a class of a stub. Nothing is checked at run time."""
        return cast("type[T]", self.decode_schema(ref))

    def load_schema(self, ref: str) -> type[Packable]:
        """Decode a schema and make its type an attribute of ``types``; see ``decode_schema``."""
        sample_type = self.decode_schema(ref)
        self._types.add(sample_type)
        return sample_type

    @property
    def types(self) -> SchemaNamespace:
        """The types that ``load_schema`` has loaded, as attributes."""
        return self._types

    def get_import_path(self, ref: str) -> str | None:
        """The module written for a schema, such as ``local.MySample_1_0_0``; None without ``auto_stubs``."""
        if self._stubs is None:
            return None
        from atdata.schema.stubs import import_path

        return import_path(self.get_schema(ref))

    def clear_stubs(self) -> int:
        """Remove the modules written for schemas. Returns how many there were; 0 without ``auto_stubs``."""
        if self._stubs is None:
            return 0
        from atdata.schema.stubs import clear_stubs

        return clear_stubs(self._stubs)

    def close(self) -> None:
        """Give back files and connections; they are opened again when needed."""
        self._catalog.close()

    def __repr__(self) -> str:
        return f"Index({self.url!r})"


LocalIndex = Index


def default_index() -> Index:
    """The index of this user, ``Index()``, with the store of the configuration."""
    url = config.get("store")
    if url is None:
        return Index()
    make: Any = plugins.get("atdata.stores", scheme_of(url) or "file")
    return Index(data_store=make(url))
