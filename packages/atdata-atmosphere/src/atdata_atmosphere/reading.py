"""Everybody's public records, read from the servers of their owners."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from atdata.cid import cid_of_file
from atdata.errors import ShardCorrupted
from atdata.uri import AtUri

from .errors import NotLoggedIn, RecordRefused, ServerFault
from .identity import Directory, Identity
from .policy import Policy
from .records import DATASET, LENS, PAGE, SCHEMA, Record, entries, listed, pages
from .xrpc import Xrpc

_BLOB_LIMIT = 1 << 30
_PROOF_LIMIT = 16 << 20  # a record of a megabyte, and nodes of the tree
BLOB_TIMEOUT = 600.0


class Reader:
    """Reads records and blobs of any repository, without a login.

    Args:
        xrpc: asks servers.
        directory: knows which server a repository is on.
    """

    def __init__(self, xrpc: Xrpc, directory: Directory) -> None:
        self._xrpc = xrpc
        self._directory = directory

    @property
    def did(self) -> str:
        """DID of the account; see ``AtmosphereClient``."""
        raise NotLoggedIn

    @property
    def policy(self) -> Policy:
        """Which servers may be asked."""
        return self._xrpc.policy

    def resolve(self, authority: str) -> Identity:
        """DID, handle and server of an account.

        Args:
            authority: DID or handle; a handle must be claimed by the DID that it leads to.

        Raises:
            IdentityError: it leads nowhere, or does not lead back; a ``ValueError``.
            UnsafeURL: it leads to a server that may not be asked; a ``ValueError``.
        """
        return self._directory.resolve(authority)

    def get_record(self, uri: str | AtUri) -> Record:
        """A record of anybody's: a dict that also has ``uri`` and ``cid``.

        Raises:
            RecordNotFound: there is none; a ``KeyError``.
            IdentityError: its owner cannot be found; a ``ValueError``.
            AtmosphereError: the owner's server cannot be asked.
        """
        where = at_uri(uri)
        owner, found = self._ask(
            where.authority, "com.atproto.repo.getRecord", {"collection": where.collection, "rkey": where.rkey}
        )
        if not isinstance(found.get("value"), dict):
            raise ServerFault(f"{owner.pds} answers with no record for {where}")
        cid = found.get("cid")
        return Record(found["value"], AtUri(owner.did, where.collection, where.rkey), None if cid is None else str(cid))

    def get_proof(self, uri: str | AtUri) -> tuple[Identity, bytes]:
        """What proves a record, for ``atdata_atmosphere.proof.prove``. Its owner is looked up anew.

        Returns:
            The owner, and a CAR file: the newest commit, and the blocks that lead from there to the record.

        Raises:
            RecordNotFound: there is no such record; a ``KeyError``.
            IdentityError, AtmosphereError: as for ``get_record``.
        """
        where = at_uri(uri)
        self._directory.forget(where.authority)
        owner = self.resolve(where.authority)
        url = f"{owner.pds}/xrpc/com.atproto.sync.getRecord"
        params = {"did": owner.did, "collection": where.collection, "rkey": where.rkey}
        car = self._xrpc.get(url, params, what=f"the proof of {where}", limit=_PROOF_LIMIT).content
        if not isinstance(car, bytes):
            raise ServerFault(f"{owner.pds} answers with no blocks for {where}")
        return owner, car

    def list_records(
        self,
        collection: str,
        *,
        repo: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Records of a collection, newest first.

        Args:
            collection: NSID of the collection.
            repo: DID or handle of the owner; by default the account's own.
            limit: most records to return; any number.
            cursor: where an earlier call left off.

        Returns:
            The records, each with ``uri`` and ``cid``, and the cursor behind them; None if there are no more.

        Raises:
            NotLoggedIn: neither a repository nor a login; a ``ValueError``.
            IdentityError, AtmosphereError: as for ``get_record``.
        """
        owner, found, here = self._repo(repo), list[dict[str, Any]](), cursor
        while len(found) < limit:
            page = self._page(owner, collection, min(PAGE, limit - len(found)), here)
            found += [record for entry in entries(page) if (record := listed(entry, owner, collection)) is not None]
            before, here = here, page.get("cursor")
            if not here:
                return found, None
            if here == before:
                raise ServerFault(f"the listing of {collection} goes in circles")
        return found, here

    def iter_records(self, collection: str, repo: str | None = None) -> Iterator[Record]:
        """All records of a collection, newest first, a page at a time.

        Args:
            collection: NSID of the collection.
            repo: DID or handle of the owner; by default the account's own.

        Raises:
            NotLoggedIn, IdentityError, AtmosphereError: as for ``list_records``.
        """
        owner = self._repo(repo)
        for page in pages(lambda cursor: self._page(owner, collection, PAGE, cursor)):
            for entry in entries(page):
                record = listed(entry, owner, collection)
                if record is not None:
                    yield record

    def list_schemas(self, repo: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Schema records of a repository, newest first; see ``list_records``."""
        return list(itertools.islice(self.iter_records(SCHEMA, repo), limit))

    def list_datasets(self, repo: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Dataset records of a repository, newest first; see ``list_records``."""
        return list(itertools.islice(self.iter_records(DATASET, repo), limit))

    def list_lenses(self, repo: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Lens records of a repository, newest first; see ``list_records``."""
        return list(itertools.islice(self.iter_records(LENS, repo), limit))

    def get_blob_url(self, did: str, cid: str) -> str:
        """The URL of a blob on its owner's server.

        Args:
            did: DID or handle of the owner.
            cid: CID of the blob.

        Raises:
            IdentityError: the owner's server cannot be found; a ``ValueError``.
        """
        owner = self.resolve(did)
        return f"{owner.pds}/xrpc/com.atproto.sync.getBlob?{urlencode({'did': owner.did, 'cid': cid})}"

    def get_blob(self, did: str, cid: str) -> bytes:
        """The bytes of a blob, checked against its CID.

        Args:
            did: DID or handle of the owner.
            cid: CID of the blob.

        Raises:
            RecordNotFound: there is no such blob, or no record refers to it; a ``KeyError``.
            ShardCorrupted: the bytes are not those of that CID.
            IdentityError, AtmosphereError: as for ``get_record``.
        """
        url = self.get_blob_url(did, cid)
        data = self._xrpc.get(url, what=f"blob {cid:.80} of {did}", limit=_BLOB_LIMIT, timeout=BLOB_TIMEOUT).content
        if not isinstance(data, bytes):
            raise ServerFault(f"blob {cid:.80} of {did} is JSON, not the bytes of a shard")
        if (found := cid_of_file(io.BytesIO(data))) != cid:
            raise ShardCorrupted(f"the server of {did} sends bytes with the CID {found} for the blob {cid}")
        return data

    def _repo(self, repo: str | None) -> str:
        return self.did if repo is None else self.resolve(repo).did

    def _page(self, did: str, collection: str, limit: int, cursor: str | None) -> dict[str, Any]:
        params = {"collection": collection, "limit": limit, "cursor": cursor}
        return self._ask(did, "com.atproto.repo.listRecords", params)[1]

    def _ask(self, authority: str, nsid: str, params: Mapping[str, Any]) -> tuple[Identity, dict[str, Any]]:
        """Ask the server of a repository; accounts move, so a server that does not know it is asked only once."""
        owner = self.resolve(authority)
        try:
            return owner, self._xrpc.query(owner.pds, nsid, {"repo": owner.did, **params})
        except (OSError, RecordRefused) as error:
            self._directory.forget(authority)
            moved = self.resolve(authority)
            if moved == owner:
                raise error from None
            return moved, self._xrpc.query(moved.pds, nsid, {"repo": moved.did, **params})


def at_uri(uri: str | AtUri) -> AtUri:
    """An AT URI that is given as one or as text."""
    return uri if isinstance(uri, AtUri) else AtUri.parse(uri)
