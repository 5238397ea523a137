"""``AtmosphereIndex``: datasets and schemas on the AT Protocol network, as an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from atdata import Dataset
from atdata.indexing import check_dataset, forget, record_of_type
from atdata.progress import ProgressCallback
from atdata.protocols import AbstractDataStore, Packable
from atdata.schema import schema_of, type_of
from atdata.uri import AtUri, DatasetRef

from .client import AtmosphereClient
from .datasets import DatasetPublisher
from .entry import AtmosphereIndexEntry
from .errors import AtmosphereError, NotLoggedIn
from .kinds import fetched, proper, readable
from .lookup import SchemaPin, find_dataset, find_schema
from .network import Network
from .opening import open_record
from .records import DATASET, SCHEMA, Record
from .schemas import publish_once
from .storage import as_records

T = TypeVar("T")

_KEPT = 1000


class AtmosphereIndex:
    """The datasets and schemas that people have published: one's own to write, everybody's to read.

    Args:
        client: asks the servers. To write, and for names and listings without an owner, it must be logged in.
        data_store: where ``insert_dataset`` puts shards; None leaves them where they are.

    Examples:
        >>> from atdata.atmosphere import AtmosphereClient, AtmosphereIndex
        >>> index = AtmosphereIndex(AtmosphereClient())
        >>> index.data_store is None
        True
    """

    def __init__(self, client: AtmosphereClient, *, data_store: AbstractDataStore | None = None) -> None:
        self.client = client
        self._data_store = data_store
        self._publisher = DatasetPublisher(client)
        self._types: dict[tuple[str, str], type[Packable]] = {}

    @property
    def data_store(self) -> AbstractDataStore | None:
        """Where ``insert_dataset`` puts shards, or None."""
        return self._data_store

    @property
    def allow_insecure(self) -> bool:
        """Whether entries may name plain ``http`` URLs, as in test networks; the client says so."""
        return self.client.policy.allow_insecure

    # -- datasets

    def insert_dataset(
        self, ds: Dataset[Any], *, name: str, schema_ref: str | AtUri | None = None, **kwargs: Any
    ) -> AtmosphereIndexEntry:
        """Publish a dataset under a name; with a ``data_store`` its shards are stored first and the copies published.

        Another dataset of that name stays where it is, and the name stands for the newer one.

        Args:
            ds: the dataset.
            name: its name; letters of any script, digits, spaces and most signs, but none of ``/ \\ @ ? # %``.
            schema_ref: its schema: AT URI, or ``atdata://{owner}/sampleSchema/{name}@{version}``. Without it, the
                schema of its sample type is published, unless the account has published it before.
            kwargs: ``description``, ``tags``, ``license``; ``metadata``, by default ``ds.metadata``;
                ``schema_version`` for a schema that is published; with a data store also ``prefix``, by default the
                name, and what else the store takes.

        Raises:
            InvalidReference: a name that references cannot hold; a ``ValueError``.
            InvalidRecord: what no record can hold; a ``ValueError``.
            NameTaken: ``schema_version`` is published with other fields; a ``ValueError``.
            TypeError: a keyword that nothing here takes.
            RecordNotFound, SchemaNotFound: there is no such schema; a ``KeyError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: as for ``AtmosphereClient.create_record``; and errors of the store.
        """
        check_dataset(ds)
        DatasetRef(self.client.did, name)
        said = _said(ds, kwargs)
        version = kwargs.pop("schema_version", None)
        if self._data_store is None:
            if kwargs:
                raise TypeError(f"without a data store insert_dataset does not take {', '.join(sorted(kwargs))}")
            uri = self._publisher.publish(ds, name=name, schema_uri=schema_ref, schema_version=version, **said)
        else:
            self._publisher.check(name, schema_ref, said)
            ref = publish_once(self.client, record_of_type(ds), version) if schema_ref is None else schema_ref
            uri = self._store(self._data_store, ds, name, ref, said, kwargs)
        try:
            return _entry(fetched(self.client, uri, DATASET))
        except AtmosphereError as error:
            error.add_note(f"the dataset is published nevertheless: {uri}")
            raise

    def publish_as(
        self, owner: str, ds: Dataset[Any], *, name: str, progress: ProgressCallback | None = None, **said: Any
    ) -> AtmosphereIndexEntry:
        """Publish a dataset from the account that is logged in on this machine: what ``atdata publish`` does.

        Files of this machine are uploaded into the account's repository; other shards stay where they are.

        Args:
            owner: handle or DID of the account.
            ds: the dataset.
            name: its name.
            progress: told how many bytes are sent, of how many.
            said: ``description``, ``tags``, ``license``, ``metadata``.

        Raises:
            NotLoggedIn: nobody is logged in, or somebody else; a ``ValueError``.
            UnsafeURL: shards are where nobody else can read them; a ``ValueError``.
            AtmosphereError: as for ``insert_dataset``.
        """
        from .account import is_here, kept_client, publish

        client = kept_client(login=True)
        if owner.lower() not in (client.did, client.handle.lower()):
            raise NotLoggedIn(f"logged in as {client.handle}; to publish as {owner}: atdata atmosphere login {owner}")
        uri = publish(client, ds, name, blobs=is_here(ds), progress=progress, **said)
        return _entry(fetched(client, uri, DATASET))

    def _store(
        self,
        store: Any,
        ds: Dataset[Any],
        name: str,
        schema_ref: str | AtUri,
        said: Mapping[str, Any],
        options: dict[str, Any],
    ) -> AtUri:
        urls: list[str] = store.write_shards(ds, prefix=options.pop("prefix", name), **options)
        try:
            facts = store.shard_facts(urls) if hasattr(store, "shard_facts") else None
            return self._publisher.publish_with_urls(urls, schema_ref, name=name, shards=as_records(facts), **said)
        except BaseException as error:
            forget(store, urls, error)
            raise

    def get_dataset(self, ref: str | AtUri) -> AtmosphereIndexEntry:
        """The entry of a dataset.

        Args:
            ref: AT URI of its record; ``@{owner}/{name}``, where the owner is a handle or a DID; or only the name, for
                one's own. Of several with one name it is the newest.

        Raises:
            RecordNotFound, EntryNotFound: there is none; a ``KeyError``.
            WrongRecord: what is there is no dataset; a ``ValueError``.
            InvalidReference: no reference to a dataset; a ``ValueError``.
            IdentityError: the owner cannot be found; a ``ValueError``.
            NotLoggedIn: a bare name, without a login; a ``ValueError``.
            AtmosphereError: the owner's server cannot be asked.
        """
        return _entry(find_dataset(self.client, ref))

    def open_dataset(
        self, entry: AtmosphereIndexEntry, sample_type: type[T], shards: Sequence[str] | None = None
    ) -> Dataset[T]:
        """The dataset of an entry. Its shards are read when it is iterated, each checked against its digest.

        Shards of the data store are read with its credentials. All others only from where records may lead: ``https``,
        ``s3``, ``gs`` and blobs, at no private address.

        Args:
            entry: one of this index.
            sample_type: what its samples are read as; ``decode_schema(entry.schema_ref)`` gives the published type.
            shards: only these of its shards.

        Raises:
            UnsafeURL: the record names what may not be read; a ``ValueError``.
            WrongRecord: its shards are in no place that this version knows; a ``ValueError``.
            IdentityError: the server of its shards cannot be found; a ``ValueError``.
        """
        uri = AtUri.parse(entry.uri)
        dataset = open_record(self.client, uri, entry.record, sample_type, shards=shards, store=self._data_store)
        if entry.metadata is not None:
            dataset.metadata = entry.metadata
        return dataset

    def datasets_of(self, repo: str | None = None) -> Iterator[AtmosphereIndexEntry]:
        """The datasets of a repository one by one, newest first, read in pages.

        Records that are no proper datasets are left out, with an ``AtmosphereWarning``.

        Args:
            repo: DID or handle of the owner; by default the account's own.

        Raises:
            NotLoggedIn: neither a repository nor a login; a ``ValueError``.
            IdentityError, AtmosphereError: as for ``get_dataset``.
        """
        return map(_entry, proper(self.client, DATASET, repo))

    @property
    def datasets(self) -> Iterator[AtmosphereIndexEntry]:
        """One's own datasets; see ``datasets_of``."""
        return self.datasets_of()

    def list_datasets(self, repo: str | None = None) -> list[AtmosphereIndexEntry]:
        """All datasets of a repository, newest first; see ``datasets_of``."""
        return list(self.datasets_of(repo))

    # -- schemas

    def publish_schema(
        self,
        sample_type: type,
        *,
        version: str | None = "1.0.0",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> str:
        """Publish the schema of a sample type, unless the account has published it before.

        Args:
            sample_type: a class made with ``@packable``.
            version: a semantic version. None takes the highest one that has these fields, or else the next.
            description: what the samples are; by default the docstring of the class.
            metadata: JSON-like, bytes included.
            unknown: other indexes take more; this one takes nothing else.

        Returns:
            AT URI of its record.

        Raises:
            SampleTypeError: not a sample type, or a field that schemas cannot express; a ``TypeError``.
            SchemaError: not a version; a ``ValueError``.
            NameTaken: that version was published with other fields; a ``ValueError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            TypeError: an unknown keyword.
            AtmosphereError: as for ``AtmosphereClient.create_record``.

        Warns:
            SchemaWarning: it breaks readers or writers of the version before, and its version does not say so.
        """
        if unknown:
            raise TypeError(f"this index's publish_schema does not take {', '.join(sorted(unknown))}")
        record = schema_of(sample_type, version=version or "1.0.0", description=description, metadata=metadata)
        given = {"description": description, "metadata": metadata}
        told = [key for key, value in given.items() if value is not None]
        return str(publish_once(self.client, record, version, told))

    def get_schema(self, ref: str | AtUri) -> dict[str, Any]:
        """A schema record, which also has ``uri`` and ``cid`` as attributes.

        Args:
            ref: AT URI of the record, or ``atdata://{owner}/sampleSchema/{name}@{version}``; without a version, the
                highest. The ``schema_ref`` of an entry also knows what the record was when the dataset was published.

        Raises:
            RecordNotFound, SchemaNotFound: there is none; a ``KeyError``.
            SchemaChanged: the record is not what an entry's ``schema_ref`` says; a ``ValueError``.
            WrongRecord: what is there is no schema; a ``ValueError``.
            InvalidReference: no reference to a schema; a ``ValueError``.
            IdentityError, AtmosphereError: as for ``get_dataset``.
        """
        return readable(find_schema(self.client, ref))

    def schemas_of(self, repo: str | None = None) -> Iterator[dict[str, Any]]:
        """The schemas of a repository one by one, read in pages; see ``datasets_of``."""
        return map(readable, proper(self.client, SCHEMA, repo))

    @property
    def schemas(self) -> Iterator[dict[str, Any]]:
        """One's own schemas; see ``schemas_of``."""
        return self.schemas_of()

    def list_schemas(self, repo: str | None = None) -> list[dict[str, Any]]:
        """All schemas of a repository; see ``schemas_of``."""
        return list(self.schemas_of(repo))

    def decode_schema(self, ref: str | AtUri) -> type[Packable]:
        """A sample type made from a schema. No code of others is run for that.

        Args:
            ref: as for ``get_schema``. What an entry's ``schema_ref`` stands for is asked for once.

        Raises:
            SchemaError: no type can be made of it; a ``ValueError``.
            AtdataError: as for ``get_schema``.
        """
        pin = ref.cid if isinstance(ref, SchemaPin) else None
        if pin is not None and (known := self._types.get((str(ref), pin))) is not None:
            return known
        sample_type = cast("type[Packable]", type_of(find_schema(self.client, ref)))
        if pin is not None:
            if len(self._types) >= _KEPT:
                self._types.clear()
            self._types[str(ref), pin] = sample_type
        return sample_type

    def decode_schema_as(self, ref: str | AtUri, type_hint: type[T]) -> type[T]:
        """The same, for type checkers a ``type_hint``, such as a class of a stub. Nothing is checked at run time."""
        return cast("type[T]", self.decode_schema(ref))

    def __repr__(self) -> str:
        store = "" if self._data_store is None else f", data_store={self._data_store!r}"
        return f"AtmosphereIndex({self.client!r}{store})"


def _entry(record: Record) -> AtmosphereIndexEntry:
    return AtmosphereIndexEntry(record.uri, record)


def _said(ds: Dataset[Any], options: dict[str, Any]) -> dict[str, Any]:
    """What is said about a dataset, taken out of the options of its insertion."""
    said = {key: options.pop(key, None) for key in ("description", "tags", "license", "metadata")}
    metadata = said["metadata"] if said["metadata"] is not None else ds.metadata
    described = metadata.get("description") if isinstance(metadata, Mapping) else None
    if said["description"] is None and isinstance(described, str):
        said["description"] = described
    return said | {"metadata": metadata}


def default_index() -> AtmosphereIndex:
    """The index of the network that the environment names, to read; see ``AtmosphereClient.from_env``."""
    return AtmosphereIndex(Network.from_env().client())
