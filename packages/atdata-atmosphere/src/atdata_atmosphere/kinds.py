"""What the publishers and the loaders of all kinds of records have in common."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ValidationError

from atdata.uri import AtUri

from .client import AtmosphereClient
from .errors import AtmosphereWarning, InvalidRecord, WrongRecord
from .metadata import from_record, to_record
from .reading import at_uri
from .records import DATASET, LENS, SCHEMA, Record, check_depth, checked, new_key

M = TypeVar("M", bound=BaseModel)

Dicts: TypeAlias = list[dict[str, Any]]  # classes with a method of that name cannot say it

# Characters; the lexicons allow four bytes for each
_LONGEST = {"name": 512, "description": 100_000, "license": 128}


def typed(collection: str, value: Mapping[str, Any]) -> BaseModel:
    """A record as an object of the type that was generated from its lexicon.

    Raises:
        WrongRecord: it is not as the lexicon says; says where.
    """
    from .lexicon import models

    names = {SCHEMA: "SampleSchema", DATASET: "Record", LENS: "Lens"}
    module: Any = getattr(models, f"AcFoundationDataset{names[collection]}")
    try:
        return cast(BaseModel, module.Record.model_validate(dict(value), context={"strict_string_format": True}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise WrongRecord(f"{where}: {first['msg']}") from None


def new_record(collection: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A record to publish: without what was not said, with metadata wrapped, checked against its lexicon.

    Raises:
        InvalidRecord: it is not as the lexicon says; says where.
    """
    record: dict[str, Any] = {"$type": collection, **{key: value for key, value in given.items() if value is not None}}
    for key, longest in _LONGEST.items():
        text = record.get(key, "")
        if not isinstance(text, str) or len(text) > longest:
            raise InvalidRecord(f"{key} is text of at most {longest:,} characters; found {text!r:.80}")
    if given.get("metadata") is not None:
        record["metadata"] = to_record(given["metadata"])
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    record.setdefault("createdAt", now.replace("+00:00", "Z"))
    try:
        typed(collection, record)
    except WrongRecord as error:
        raise InvalidRecord(str(error)) from None
    return record


def check_beforehand(client: AtmosphereClient, collection: str, record: Mapping[str, Any], rkey: str | None) -> None:
    """Say what keeps a record from being written, before any server is asked.

    Raises:
        NotLoggedIn, InvalidReference, InvalidRecord: as for ``AtmosphereClient.create_record``.
    """
    AtUri(client.did, collection, rkey or new_key())
    checked(collection, record)


# Stands for one that is not looked up yet
ANY_SCHEMA = (f"at://did:plc:{'a' * 24}/{SCHEMA}/self", None)


def fetched(client: AtmosphereClient, uri: str | AtUri, collection: str) -> Record:
    """A record of one kind, as it was written.

    Raises:
        WrongRecord: it is of another kind, or not as its lexicon says; a ``ValueError``.
        RecordNotFound: there is none; a ``KeyError``.
    """
    where = at_uri(uri)
    if where.collection != collection:
        raise WrongRecord(f"{where} is in {where.collection}; what is needed here is a record in {collection}")
    record = client.get_record(where)
    check_kind(record, collection)
    return record


def proper(client: AtmosphereClient, collection: str, repo: str | None = None) -> Iterator[Record]:
    """All records of one kind as they were written, newest first; those that break their lexicon are left out.

    Raises:
        NotLoggedIn: neither a repository nor a login; a ``ValueError``.
        AtmosphereError: the owner or the owner's server cannot be reached.
    """
    for record in client.iter_records(collection, repo):
        try:
            check_kind(record, collection)
        except WrongRecord as error:
            warnings.warn(f"left out of a listing: {error}", AtmosphereWarning, stacklevel=2)
        else:
            yield record


def check_kind(record: Record, collection: str) -> None:
    """Refuse a record that is of another kind, or not as its lexicon says.

    Raises:
        WrongRecord: says what is wrong; a ``ValueError``.
    """
    if record.get("$type") != collection:
        raise WrongRecord(f"{record.uri} says that it is {record.get('$type')!r:.100}, not {collection}")
    try:
        check_depth(record)
        typed(collection, record)
    except WrongRecord as error:
        raise WrongRecord(f"{record.uri} is no proper record of {collection}: {error}") from None


def readable(record: Record) -> Record:
    """The record, with its metadata as the publisher gave it."""
    if "metadata" in record:
        record["metadata"] = from_record(record["metadata"])
    return record


class Loader(Generic[M]):
    """Reads records of one kind from anybody's repository; needs no login.

    Args:
        client: asks the servers; only to leave out ``repo`` must it be logged in.
    """

    collection: ClassVar[str]

    def __init__(self, client: AtmosphereClient) -> None:
        self.client = client

    def get(self, uri: str | AtUri) -> dict[str, Any]:
        """A record, which also has ``uri`` and ``cid`` as attributes.

        Raises:
            WrongRecord: it is of another kind, or not as its lexicon says; a ``ValueError``.
            RecordNotFound: there is none; a ``KeyError``.
            AtmosphereError: its owner or the owner's server cannot be reached.
        """
        return readable(fetched(self.client, uri, self.collection))

    def get_typed(self, uri: str | AtUri) -> M:
        """A record as an object of the type that is generated from its lexicon; raises like ``get``."""
        return cast(M, typed(self.collection, fetched(self.client, uri, self.collection)))

    def iter_all(self, repo: str | None = None) -> Iterator[dict[str, Any]]:
        """All records of a repository, newest first. Those that break their lexicon are left out, with a warning.

        Args:
            repo: DID or handle of the owner; by default the account's own.

        Raises:
            NotLoggedIn: neither a repository nor a login; a ``ValueError``.
            AtmosphereError: the owner or the owner's server cannot be reached.
        """
        yield from map(readable, proper(self.client, self.collection, repo))

    def list_all(self, repo: str | None = None, limit: int = 100) -> Dicts:
        """Up to ``limit`` records of a repository, newest first; see ``iter_all``."""
        return [*itertools.islice(self.iter_all(repo), limit)]

    def list(self, repo: str | None = None, limit: int = 100) -> Dicts:
        """The same as ``list_all``."""
        return self.list_all(repo, limit)
