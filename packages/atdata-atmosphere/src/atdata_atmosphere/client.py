"""``AtmosphereClient``: an account, and the records in its repository."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from atproto_client import Client as SdkClient

from atdata import config
from atdata.uri import AtUri

from . import budget
from .errors import AtmosphereError, InvalidRecord, RecordChanged, RecordExists, ServerFault
from .identity import Directory
from .network import HOME, PLC, Network, env_options
from .reading import BLOB_TIMEOUT, Reader, at_uri
from .records import batches, blob_bytes, checked, new_key, record_cid, uris_of
from .session import Session, read_private
from .xrpc import Xrpc

if TYPE_CHECKING:
    from .uploads import Content

# Bytes a second: an uplink that is slower, or a disk, is given up
_SLOWEST, _SLOWEST_COPY = 100_000, 10_000_000


class AtmosphereClient(Reader):
    """An account on the AT Protocol network, and everybody's public records.

    Reading needs no login: records come from the server of their owner, who may be named by DID or by handle. Writing
    goes to the account's own repository. Nothing is asked of any server before a method needs it.

    Args:
        base_url: the server to log in at, such as ``https://pds.example.org``; by default ``https://bsky.social``.
        plc_url: the directory of DIDs, by default ``https://plc.directory``.
        allow_insecure: talk to any server: over plain http, on this machine, in private networks. For test networks.
        timeout: seconds that a call may take, uploads and downloads of blobs apart.
        patience: seconds that a call may wait where a server, or the account's allowance, says "later".
        _client: a client of the ``atproto`` SDK to use for the login.

    Attributes:
        network: which network it reads.

    Raises:
        UnsafeURL: one of the URLs is not https; a ``ValueError``.

    Examples:
        >>> from atdata.atmosphere import AtmosphereClient
        >>> client = AtmosphereClient()
        >>> client.is_authenticated
        False
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        plc_url: str | None = None,
        allow_insecure: bool = False,
        timeout: float = 30.0,
        patience: float = 900.0,
        _client: SdkClient | None = None,
    ) -> None:
        self.network = Network(base_url or HOME, plc_url or PLC, allow_insecure, timeout)
        policy, home = self.network.policy, self.network.home
        policy.check(home)
        policy.check(self.network.plc)
        xrpc = Xrpc(policy, timeout, patience)
        super().__init__(xrpc, Directory(xrpc, self.network.plc, home))
        self._blob_limits: dict[str, int | None] = {}
        self._session = Session(self._xrpc, _client or SdkClient(home, request=self._xrpc.request()))

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """A client as the environment says, or the profile in use; see ``atdata.config``.

        ``ATDATA_PDS`` and ``ATDATA_PLC`` are URLs of servers; ``ATDATA_ALLOW_INSECURE=1`` is for test networks.
        ``ATDATA_SESSION_FILE`` is a file of ``save_session()``. Without it, or where there is no such file yet,
        ``ATDATA_HANDLE`` and ``ATDATA_APP_PASSWORD`` log in, and the session is saved there. Without any of these the
        client reads only.

        Args:
            options: as for ``AtmosphereClient``.

        Raises:
            AtmosphereError: the login fails.
        """
        client = cls(**env_options() | options)
        path, handle = config.get("session"), config.get("handle")
        if path and os.path.exists(path):
            client.load_session(path)
        elif handle:
            client.login(handle, config.get("app_password") or "")
            if path:
                client.save_session(path)
        return client

    # ------------------------------------------------------------------------------------------ the account

    @property
    def is_authenticated(self) -> bool:
        """Whether there was a login."""
        return self._session.active

    @property
    def did(self) -> str:
        """DID of the account.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
        """
        return self._session.did

    @property
    def handle(self) -> str:
        """Handle of the account; raises like ``did``."""
        return self._session.handle

    @property
    def server(self) -> str:
        """URL of the server that the account is on; before a login, of the one to log in at."""
        return self._session.server

    def login(self, handle: str, password: str) -> None:
        """Log in.

        Args:
            handle: handle, DID or mail address of the account.
            password: an app password, which can be taken back; not that of the account.

        Raises:
            LoginFailed: the server does not accept them; a ``PermissionError``.
            AtmosphereError: the server cannot be asked; all are the SDK's ``AtProtocolError``, too.
        """
        self._session.login(handle, password)

    def login_with_session(self, session_string: str) -> None:
        """Go on with an exported session. The server is not asked before something is written.

        Args:
            session_string: what ``export_session()`` gave.

        Raises:
            SessionExpired: it is no such text.
        """
        self._session.restore(session_string)

    def export_session(self) -> str:
        """The session as text, for ``login_with_session``. It lets everybody write who has it.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
        """
        return self._session.export()

    def save_session(self, path: str | os.PathLike[str]) -> None:
        """Keep the session in a file that only this user can read, now and whenever it is refreshed.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
            OSError: the file cannot be written.
        """
        self._session.save(path)

    def load_session(self, path: str | os.PathLike[str]) -> None:
        """Go on with the session in a file of ``save_session()``, and keep it there.

        Raises:
            PermissionError: others can read the file.
            OSError: it cannot be read.
            SessionExpired: it holds no session.
        """
        self._session.restore(read_private(path))
        self._session.save(path)

    def logout(self) -> None:
        """Forget the session, here and on the server, and remove the file that it is kept in.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: the server cannot be asked, so it keeps the session until it expires. All else is done.
        """
        self._session.end()

    def close(self) -> None:
        """Close connections; also done when the client is forgotten, or at the end of ``with client:``."""
        self._xrpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ writing

    def create_record(
        self,
        collection: str,
        record: Mapping[str, Any],
        *,
        rkey: str | None = None,
        validate: bool | None = False,
    ) -> AtUri:
        """Write a new record. It never takes the place of another.

        Args:
            collection: NSID of the collection, such as ``ac.foundation.dataset.sampleSchema``.
            record: the record; its ``$type`` is the collection. Bytes may be ``bytes``.
            rkey: its key; by default a new one that sorts by time.
            validate: whether the server checks the record. Servers refuse True for collections that they do not know.

        Returns:
            Where it is.

        Raises:
            InvalidRecord: no server would take it; nothing was sent. A ``ValueError``.
            RecordExists: there is another record of that key; a ``ValueError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: the server does not take it.
        """
        uri = AtUri(self.did, collection, rkey or new_key())
        value = checked(collection, record)
        try:
            self._put(uri, value, validate, swapRecord=None)
        except RecordChanged as error:
            raise RecordExists(
                f"there is already a record at {uri}; choose another rkey, or put_record() to replace it",
                error.response,
            ) from None
        return uri

    def put_record(
        self,
        collection: str,
        rkey: str,
        record: Mapping[str, Any],
        *,
        validate: bool | None = False,
        swap_commit: str | None = None,
    ) -> AtUri:
        """Write a record, in the place of the one with that key if there is one.

        Args:
            collection: NSID of the collection.
            rkey: its key.
            record: the record; its ``$type`` is the collection.
            validate: whether the server checks the record.
            swap_commit: CID of the repository's commit, if nothing may have been written since.

        Returns:
            Where it is.

        Raises:
            RecordChanged: something was written since that commit; a ``ValueError``.
            InvalidRecord, NotLoggedIn, AtmosphereError: as for ``create_record``.
        """
        uri = AtUri(self.did, collection, rkey)
        more = {} if swap_commit is None else {"swapCommit": swap_commit}
        self._put(uri, checked(collection, record), validate, **more)
        return uri

    def _put(self, uri: AtUri, value: Mapping[str, Any], validate: bool | None, **more: Any) -> None:
        body = {"repo": uri.authority, "collection": uri.collection, "rkey": uri.rkey, "record": value, **more}
        if validate is not None:
            body["validate"] = validate
        self._session.procedure(
            "com.atproto.repo.putRecord",
            body,
            points=budget.UPDATE,
            timeout=_time_for(value),
            done=lambda: self._holds(uri, value),
        )

    def _holds(self, uri: AtUri, value: Mapping[str, Any]) -> bool:
        """Whether a record is known to be there as it was to be written."""
        params = {"repo": uri.authority, "collection": uri.collection, "rkey": uri.rkey}
        try:
            found = self._xrpc.query(self._session.server, "com.atproto.repo.getRecord", params, most=1)
        except AtmosphereError:
            return False
        return found.get("cid") == record_cid(value)

    def create_records(
        self,
        writes: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        on_written: Callable[[list[AtUri]], object] | None = None,
    ) -> list[AtUri]:
        """Write many new records, up to 200 at once, and slowly enough for the account's allowance.

        Records that are sent together are written together or not at all; what was written before an error stays.

        Args:
            writes: collection and record of each.
            on_written: told where records are as soon as they are written, so that nobody has to begin again.

        Returns:
            Where they are, in order.

        Raises:
            InvalidRecord, NotLoggedIn, AtmosphereError: as for ``create_record``.
        """
        did, written = self.did, list[AtUri]()
        for group in batches(writes):
            self._write(group)
            uris = uris_of(did, group)
            written += uris
            if on_written is not None:
                on_written(uris)
        return written

    def _write(self, group: list[dict[str, Any]]) -> None:
        body = {"repo": self.did, "validate": False, "writes": group}
        # the keys are new: where the last record of a group is, all of it was written by this call
        last, value = uris_of(self.did, group)[-1], group[-1]["value"]
        points = budget.CREATE * len(group)
        self._session.procedure(
            "com.atproto.repo.applyWrites",
            body,
            points=points,
            timeout=_time_for(group),
            done=lambda: self._holds(last, value),
        )

    def delete_record(self, uri: str | AtUri, *, swap_commit: str | None = None) -> None:
        """Delete a record of one's own. That it is not there any more is no error.

        Args:
            uri: where it is.
            swap_commit: CID of the repository's commit, if nothing may have been written since.

        Raises:
            InvalidRecord: it is somebody else's; a ``ValueError``.
            RecordChanged: something was written since that commit; a ``ValueError``.
            NotLoggedIn, AtmosphereError: as for ``create_record``.
        """
        where = at_uri(uri)
        if where.authority not in (self.did, self.handle.lower()):
            raise InvalidRecord(f"{where} is not in the repository of {self.handle}; only its owner can delete it")
        body = {"repo": self.did, "collection": where.collection, "rkey": where.rkey}
        more = {} if swap_commit is None else {"swapCommit": swap_commit}
        self._session.procedure("com.atproto.repo.deleteRecord", body | more, points=budget.DELETE)

    def upload_blob(self, data: bytes, mime_type: str = "application/octet-stream") -> dict[str, Any]:
        """Upload bytes. The server keeps them only once a record refers to them.

        Args:
            data: the bytes.
            mime_type: what they are.

        Returns:
            What a record refers to them with: ``$type``, ``ref``, ``mimeType``, ``size``.

        Raises:
            PayloadTooLarge: larger than the server allows; a ``ValueError``.
            NotLoggedIn, AtmosphereError: as for ``create_record``.
        """
        from .uploads import Content

        return self._send_blob(Content("the blob", io.BytesIO(data), len(data)), mime_type)

    def _send_blob(self, content: Content, mime_type: str) -> dict[str, Any]:
        timeout = BLOB_TIMEOUT + len(content) / _SLOWEST
        answer = self._session.procedure(
            "com.atproto.repo.uploadBlob", content, content_type=mime_type, timeout=timeout
        )
        blob = answer.get("blob")
        if not isinstance(blob, dict) or not isinstance(blob.get("ref"), dict):
            raise ServerFault("the server took the blob and did not say what to call it")
        return blob

    def blob_limit(self) -> int | None:
        """How many bytes a blob may have at most that the account's server takes; None if it does not say. Asked once.

        Raises:
            AtmosphereError: it cannot be asked.
        """
        server = self.server
        if server not in self._blob_limits:
            told = self._xrpc.query(server, "com.atproto.server.describeServer", {}).get("blobUploadLimit")
            self._blob_limits[server] = told if type(told) is int and told > 0 else None
        return self._blob_limits[server]

    def _blob_headers(self, cid: str) -> dict[str, str]:
        """What the account's server says of a blob of the account.

        Raises:
            RecordRefused, RecordNotFound: it does not have it, or no record refers to it.
        """
        url = f"{self.server}/xrpc/com.atproto.sync.getBlob"
        return self._xrpc.head(url, {"did": self.did, "cid": cid}, what=f"blob {cid} of {self.did}")

    def publish_schema(self, sample_type: type, **options: Any) -> AtUri:
        """Publish the schema of a sample type; the same as ``SchemaPublisher(client).publish(...)``."""
        from .schemas import SchemaPublisher

        return SchemaPublisher(self).publish(sample_type, **options)

    def __repr__(self) -> str:
        who = f", {self.handle}" if self.is_authenticated else ""
        return f"AtmosphereClient({self.server!r}{who})"


def _time_for(value: Any) -> float | None:
    """Seconds that writing records may take, if they refer to blobs: the server copies these before it answers."""
    blobs = blob_bytes(value)
    return BLOB_TIMEOUT + blobs / _SLOWEST_COPY if blobs else None
