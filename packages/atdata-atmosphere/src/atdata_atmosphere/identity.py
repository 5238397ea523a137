"""From a handle or a DID to the server that holds a repository."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from atproto_core.did_doc import DidDocument
from atproto_core.exceptions import AtProtocolError
from pydantic import ValidationError

from atdata.errors import InvalidReference
from atdata.uri import AtUri

from .errors import AtmosphereError, IdentityError, RecordNotFound, RecordRefused
from .policy import origin
from .xrpc import Xrpc, as_map

_DOCUMENT_LIMIT = 1 << 20
_KEPT, _SECONDS = 1000, 600.0


@dataclass(frozen=True)
class Identity:
    """Who owns a repository, and where it is.

    Attributes:
        did: the owner's DID.
        handle: the handle that the DID claims, or None; only believed if it leads back, see ``Directory.resolve``.
        pds: URL of the server that holds the repository.
        key: what the repository's commits are signed with, as a ``did:key:``; None if the document has none.
    """

    did: str
    handle: str | None
    pds: str
    key: str | None = None


class Directory:
    """Looks up identities, and remembers them for ten minutes.

    Args:
        xrpc: asks servers.
        plc_url: directory of ``did:plc``.
        resolver: URL of the server that knows handles in ``.test``, which are in no public directory.
    """

    def __init__(self, xrpc: Xrpc, plc_url: str, resolver: str) -> None:
        self._xrpc = xrpc
        self._plc = plc_url.rstrip("/")
        self._resolver = resolver
        self._kept: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        self._lock = threading.Lock()

    def resolve(self, authority: str) -> Identity:
        """The identity behind a DID or a handle. A handle must lead to a DID that claims it.

        Raises:
            IdentityError: it leads nowhere, or not back; a ``ValueError``.
            UnsafeURL: it leads to a server that may not be asked; a ``ValueError``.
            AtmosphereError: a directory cannot be asked.
        """
        with self._lock:
            until, known = self._kept.get(authority, (0.0, None))
        if known is not None and time.monotonic() < until:
            return known
        found = self._look_up(authority)
        with self._lock:
            self._kept[authority] = (time.monotonic() + _SECONDS, found)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def forget(self, authority: str) -> None:
        """Look it up anew the next time."""
        with self._lock:
            self._kept.pop(authority, None)

    def _look_up(self, authority: str) -> Identity:
        checked = _authority(authority)
        if checked.startswith("did:"):
            return self._identity(checked)
        did = self._did_of(checked)
        identity = self._identity(did)
        if (identity.handle or "").lower() != checked:
            raise IdentityError(
                f"the handle {checked!r} leads to {did}, whose document does not claim it "
                f"(it claims {identity.handle!r:.100}); use the DID if you are sure of it"
            )
        return identity

    # ----------------------------------------------------------------------------------------- handles

    def _did_of(self, handle: str) -> str:
        did = self._from_resolver(handle) if handle.endswith(".test") else self._from_dns(handle)
        if did is None:
            raise IdentityError(f"the handle {handle!r} leads to no DID; is it spelled right?")
        found = _authority(did)
        if not found.startswith("did:"):
            raise IdentityError(f"the handle {handle!r} leads to {did!r:.100}, which is not a DID")
        return found

    def _from_resolver(self, handle: str) -> str | None:
        try:
            answer = self._xrpc.query(self._resolver, "com.atproto.identity.resolveHandle", {"handle": handle})
        except (RecordRefused, RecordNotFound):
            return None
        return str(answer.get("did"))

    def _from_dns(self, handle: str) -> str | None:
        """By DNS or, without an answer there, from the host of that name."""
        from atproto_identity.handle.resolver import HandleResolver

        did = None
        with contextlib.suppress(UnicodeDecodeError):  # what is no text is no DID
            did = HandleResolver(timeout=self._xrpc.timeout).resolve_dns(handle)
        if did is not None:
            return did
        url = f"https://{handle}/.well-known/atproto-did"
        try:
            response = self._xrpc.get(url, what=f"the handle {handle!r}", limit=10_000)
        except AtmosphereError as error:
            raise IdentityError(f"the handle {handle!r} is neither in DNS nor at {url}: {error}") from None
        content = response.content
        return content.decode("ascii", "replace").strip() if isinstance(content, bytes) else None

    # ----------------------------------------------------------------------------------------- DIDs

    def _identity(self, did: str) -> Identity:
        document = self._document(did)
        if document.id != did:
            raise IdentityError(f"the document of {did} is that of {document.id!r:.100}")
        pds = document.get_pds_endpoint()
        if pds is None:
            raise IdentityError(f"{did} has no personal data server in its document: the account may be closed")
        scheme, host, port = origin(pds)
        server = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        self._xrpc.policy.check(pds)
        server = server.removesuffix(":443" if scheme == "https" else ":80")
        return Identity(did, document.get_handle(), server, _signing_key(document))

    def _document(self, did: str) -> DidDocument:
        url = self.document_url(did)
        try:
            response = self._xrpc.get(url, what=f"the document of {did}", limit=_DOCUMENT_LIMIT)
        except (RecordNotFound, RecordRefused) as error:
            raise IdentityError(f"there is no {did}: {error}") from None
        content: Any = response.content
        if isinstance(content, bytes):  # did:web documents are often served as plain files
            from pydantic_core import from_json

            try:
                content = from_json(content)
            except ValueError:
                raise IdentityError(f"the document of {did} is not JSON") from None
            response.content = content
        try:
            return DidDocument.from_dict(as_map(response, f"the document of {did}"))
        except (ValidationError, RecursionError):
            raise IdentityError(f"the document of {did} is not a DID document") from None

    def document_url(self, did: str) -> str:
        """Where the document of a DID is.

        Raises:
            IdentityError: a DID of another method than the network's.
        """
        method, _, name = did.removeprefix("did:").partition(":")
        if method == "plc":
            return f"{self._plc}/{did}"
        if method != "web":
            raise IdentityError(f"{did!r:.100}: the network knows did:plc and did:web only")
        if ":" in name:
            raise IdentityError(f"{did!r:.100} has a path, which the network does not allow in did:web")
        if name.startswith("localhost%3A"):
            return f"http://{name.replace('%3A', ':')}/.well-known/did.json"
        return f"https://{name}/.well-known/did.json"


def _signing_key(document: DidDocument) -> str | None:
    try:
        return document.get_did_key()
    except (AtProtocolError, ValueError):
        return None


def _authority(text: str) -> str:
    """A DID, or a handle in lower case."""
    try:
        return AtUri(text.removeprefix("@"), "org.example.record", "self").authority
    except InvalidReference as error:
        raise IdentityError(f"{text!r:.100} is neither a handle nor a DID: {error}") from None
