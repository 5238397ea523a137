"""Is a dataset what its publisher signed? ``verify`` looks at everything anew, and says what is proven and by whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atdata import URLSource
from atdata.errors import AtdataError
from atdata.find import exact
from atdata.metering import Meter
from atdata.progress import ProgressCallback
from atdata.sources import public
from atdata.uri import AtUri

from .blob_source import split_url
from .client import AtmosphereClient
from .errors import NotProven, RecordNotFound, WrongRecord
from .identity import Identity
from .kinds import check_kind
from .lookup import find_dataset
from .network import Network
from .proof import prove
from .reading import at_uri
from .records import DATASET, SCHEMA, Record
from .storage import RecordSource, facts_in, raw_cid, sha256_of, urls_in

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Signer:
    """Whose signature proves a record.

    Attributes:
        did: the owner of the repository.
        handle: a handle that leads to the DID, and that its document claims; None if there is none.
        key: the public key that the commit is signed with, as a ``did:key:``.
        document: URL of the DID's document, which says that the key is the owner's: for ``did:plc`` in the directory
            of all such DIDs, for ``did:web`` on the owner's own host.
        commit: CID of the signed commit.
        rev: its revision.
        signed: when the commit was made, as the signer says.
    """

    did: str
    handle: str | None
    key: str
    document: str
    commit: str
    rev: str
    signed: datetime

    def __str__(self) -> str:
        who = self.did if self.handle is None else f"{self.handle} ({self.did})"
        return f"{who} with {self.key}, in commit {self.commit} of {self.signed:%Y-%m-%d %H:%M:%S} UTC"

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {**vars(self), "signed": self.signed.isoformat()}


@dataclass(frozen=True)
class Finding:
    """What was found about one part of a dataset.

    Attributes:
        of: URI of the record or of the schema, or URL of the shard.
        proven: True; False where it is not what was signed; None where nothing can be said.
        says: what was found, in words.
        cid: CID of the record; for a shard, what it should be.
        signer: whose signature proves it; a shard is proven by that of the record.
    """

    of: str
    proven: bool | None
    says: str
    cid: str | None = None
    signer: Signer | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {**vars(self), "signer": None if self.signer is None else self.signer.as_dict()}


@dataclass(frozen=True)
class Report:
    """What is proven of a dataset, and by whom.

    Attributes:
        uri: where the record is, by the owner's DID.
        name: name of the dataset; None if the record is not proven.
        record: that the owner signed the record.
        schema: that the schema is the one that the record pins, and that its owner signed it.
        shards: that each shard is what the record says, in order.
    """

    uri: str
    name: str | None
    record: Finding
    schema: Finding
    shards: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether all of it is proven: record, schema, and every shard."""
        return all(finding.proven is True for finding in (self.record, self.schema, *self.shards))

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {
            "uri": self.uri,
            "name": self.name,
            "ok": self.ok,
            "record": self.record.as_dict(),
            "schema": self.schema.as_dict(),
            "shards": [shard.as_dict() for shard in self.shards],
        }

    def __str__(self) -> str:
        proven = sum(shard.proven is True for shard in self.shards)
        lines = [
            self.uri if self.name is None else f"{self.uri} {self.name!r}",
            _line("record", self.record),
            _line("schema", self.schema),
            f"  proven   {proven:,} of {len(self.shards):,} shard{'s'[: len(self.shards) != 1]}",
            *(_line("shard", shard) for shard in self.shards if not shard.proven),
        ]
        signer = self.record.signer
        if signer is not None:
            lines.append(f"That the key is theirs is the word of {signer.document}")
        lines.append("ok: all of it is what was signed" if self.ok else "NOT ok")
        # names and URLs are anybody's text
        return "\n".join("".join(char if char.isprintable() else "?" for char in line) for line in lines)

    def __repr__(self) -> str:
        proven = sum(shard.proven is True for shard in self.shards)
        parts = f"record {_WORDS[self.record.proven]}, schema {_WORDS[self.schema.proven]}"
        return f"<Report {'ok' if self.ok else 'NOT ok'}: {self.uri}, {parts}, {proven} of {len(self.shards)} shards>"


_WORDS = {True: "proven", False: "WRONG", None: "unproven"}


def _line(what: str, finding: Finding) -> str:
    return f"  {_WORDS[finding.proven]:8} {what} {finding.of}: {finding.says}"


def verify(
    uri: str | AtUri, client: AtmosphereClient | None = None, *, progress: ProgressCallback | None = None
) -> Report:
    """Check that a dataset is what its publisher signed: its record, its schema, and every byte of its shards.

    Nothing is taken from a cache, and of the publisher's server nothing is believed: it has to show the signed commit
    and the blocks that lead from there to the record. The shards are read to their ends, one by one, and not kept.

    Args:
        uri: where the dataset's record is: AT URI, ``@{owner}/{name}``, or the name of one of the account's own. Which
            record has a name is the word of the owner's server.
        client: asks the servers; by default one of the network that the environment names. No login is needed.
        progress: told how many bytes of the shards are read, and of how many; what it raises ends the check.

    Returns:
        What is proven and what is not; what is wrong with a dataset is told there, and not raised.

    Raises:
        RecordNotFound, EntryNotFound: there is no such record; a ``KeyError``.
        WrongRecord: it describes no dataset; a ``ValueError``.
        IdentityError: its owner cannot be found; a ``ValueError``.
        AtmosphereError: the owner's server cannot be asked.
    """
    client = Network.from_env().client() if client is None else client
    where = _where(client, uri)
    try:
        record, signer = _signed(client, where)
    except NotProven as error:
        unseen = Finding(str(where), None, "not looked at, because the record is not proven")
        return Report(str(where), None, Finding(str(where), False, str(error)), unseen, ())
    check_kind(record, DATASET)
    found = Finding(str(record.uri), True, f"{record.cid}, signed by {signer}", record.cid, signer)
    schema = _schema(client, record)
    return Report(str(record.uri), record["name"], found, schema, _shards(client, record, progress))


def _where(client: AtmosphereClient, uri: str | AtUri) -> AtUri:
    if isinstance(uri, str) and not uri.startswith("at://"):
        return find_dataset(client, uri).uri
    where = at_uri(uri)
    if where.collection != DATASET:
        raise WrongRecord(f"{where} is in {where.collection}; datasets are in {DATASET}")
    return where


def _signed(client: AtmosphereClient, where: AtUri) -> tuple[Record, Signer]:
    """A record as it was signed, and by whom.

    Raises:
        NotProven: its owner's server does not show that.
    """
    owner, car = client.get_proof(where)
    uri = AtUri(owner.did, where.collection, where.rkey)
    if owner.key is None:
        raise NotProven(f"the document of {owner.did} has no key to sign commits with")
    proof = prove(car, uri, owner.key)
    document = client._directory.document_url(owner.did)
    signer = Signer(owner.did, _handle(client, owner), owner.key, document, proof.commit, proof.rev, proof.signed)
    return Record(proof.value, uri, proof.cid), signer


def _schema(client: AtmosphereClient, record: Record) -> Finding:
    ref, pin = record["schemaRef"], record.get("schemaCid")
    try:
        schema, signer = _signed(client, at_uri(ref))
        check_kind(schema, SCHEMA)
    except (NotProven, WrongRecord, RecordNotFound) as error:
        return Finding(ref, False, str(error), pin)
    except (AtdataError, OSError) as error:
        return Finding(ref, None, str(error), pin)
    if pin is None:
        return Finding(ref, None, f"the record does not say which content it had; now it is {schema.cid}", None, signer)
    if pin != schema.cid:
        return Finding(ref, False, f"it changed: the record pins {pin}, now it is {schema.cid}", pin, signer)
    return Finding(ref, True, f"{pin}, which the record pins, signed by {signer}", pin, signer)


def _handle(client: AtmosphereClient, owner: Identity) -> str | None:
    """The handle that an account claims, if that leads to it."""
    try:
        return owner.handle if owner.handle and client.resolve(owner.handle).did == owner.did else None
    except AtdataError:
        return None


# ------------------------------------------------------------------------------------------------ shards


def _shards(client: AtmosphereClient, record: Record, progress: ProgressCallback | None) -> tuple[Finding, ...]:
    try:
        source, names, facts = _source(client, record)
    except AtdataError as error:
        return (Finding(str(record.uri), None, f"none of its shards can be read: {error}"),)
    sizes = [size for known in facts if (size := known.get("bytes")) is not None]
    meter = Meter(progress, sum(sizes) if len(sizes) == len(facts) else None)
    shards = zip(source.list_shards(), names, facts, strict=True)
    return tuple(_shard(source, shard, name, known, meter) for shard, name, known in shards)


def _source(client: AtmosphereClient, record: Record) -> tuple[RecordSource, list[str], list[Mapping[str, Any]]]:
    """The shards that a record names, what they are called, and what it says of each."""
    shards, known = URLSource(urls_in(record, record.uri)).list_shards(), facts_in(record, record.uri)
    # what a blob is called may be read from a cache, and this is to be what the server has
    urls = [client.get_blob_url(*split_url(shard)) if shard.startswith("at://") else exact(shard) for shard in shards]
    source = RecordSource(urls, client.policy, f"the record {record.uri}")
    return source, [*map(public, shards)], [known.get(shard, {}) for shard in shards]


def _shard(source: RecordSource, shard: str, name: str, facts: Mapping[str, Any], meter: Meter) -> Finding:
    """What is found of a shard, which is read to its end."""
    cid, size = facts.get("digest"), facts.get("bytes")
    wanted = sha256_of(cid)
    if wanted is None:
        return Finding(name, None, "the record does not say what its bytes are", cid)
    found, digest = 0, hashlib.sha256()
    blocks = _blocks(source, shard)
    while True:
        try:
            block = next(blocks, b"")
        except (AtdataError, OSError) as error:
            return Finding(name, None, f"it cannot be read: {error}", cid)
        meter.advance(len(block))
        if not block:
            break
        found += len(block)
        digest.update(block)
        if size is not None and found > size:
            return Finding(name, False, f"it has more than the {size:,} bytes that the record says", cid)
    if digest.hexdigest() != wanted:
        return Finding(name, False, f"its {found:,} bytes have the CID {raw_cid(digest.hexdigest())}, not {cid}", cid)
    return Finding(name, True, f"{found:,} bytes, which have the CID that the record says", cid)


def _blocks(source: RecordSource, shard: str) -> Iterator[bytes]:
    with source.open_shard(shard) as stream:
        while block := stream.read(_BLOCK):
            yield block
