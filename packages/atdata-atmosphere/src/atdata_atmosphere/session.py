"""Logins: kept alive, written to files that nobody else can read, and used to write."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atproto_client import Client as SdkClient
from atproto_client.client.session import Session as SdkSession
from atproto_client.request import Response
from atproto_core.exceptions import AtProtocolError

from atdata.atomic import write_private

from .budget import WriteBudget
from .errors import AtmosphereError, AtmosphereWarning, LoginFailed, NotLoggedIn, SessionExpired
from .xrpc import EXPIRED, Xrpc, as_map

if TYPE_CHECKING:
    from .uploads import Content

# Long enough for a server to be started anew
_TRIES = 9


class Session:
    """One account on one server.

    Args:
        xrpc: asks servers.
        sdk: the SDK's client, which holds the tokens and refreshes them shortly before they expire.
    """

    def __init__(self, xrpc: Xrpc, sdk: SdkClient) -> None:
        self._xrpc = xrpc
        self._sdk = sdk
        self._file: Path | None = None
        self._lock = threading.Lock()
        self.budget = WriteBudget()
        sdk.on_session_change(lambda _event, _session: self._keep_refreshed())

    @property
    def active(self) -> bool:
        """Whether there was a login."""
        return self._sdk._session is not None

    @property
    def did(self) -> str:
        """The account's DID.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
        """
        return str(self._held().did)

    @property
    def handle(self) -> str:
        """The account's handle; raises like ``did``."""
        return str(self._held().handle)

    @property
    def server(self) -> str:
        """The server that the account is on; before a login, the one to log in at."""
        return self._sdk._base_url.removesuffix("/xrpc")

    def login(self, handle: str, password: str) -> None:
        """Log in; raises like ``AtmosphereClient.login``."""
        if not handle or not password:
            raise LoginFailed("a login takes a handle and an app password; one of them is empty")

        self._file = None  # it is that of another login

        def send() -> Response:
            self._sdk.login(handle.removeprefix("@"), password, fetch_bsky_profile=False)
            return Response(True, 200, {}, {})

        try:
            self._xrpc.call(send, f"login of {handle} at {self.server}")
        except AtmosphereError as error:
            # a server might say what it was told
            error.args = tuple(str(part).replace(password, "...") for part in error.args)
            raise error from None

    def restore(self, text: str) -> None:
        """Take up an exported session. Nothing is asked of the server yet.

        Raises:
            SessionExpired: it is no exported session.
            UnsafeURL: its server is one that may not be asked.
        """
        try:
            session = SdkSession.decode(text.strip())
            _ = session.access_jwt_payload, session.refresh_jwt_payload
        except (AtProtocolError, TypeError, ValueError):
            raise SessionExpired("this is not a session that export_session() gave; log in again") from None
        self._xrpc.policy.check(str(session.pds_endpoint))
        self._file = None
        self._sdk.login(session_string=text.strip(), fetch_bsky_profile=False)

    def export(self) -> str:
        """The session as text; it holds both tokens.

        Raises:
            NotLoggedIn: there was no login.
        """
        self._held()
        return self._sdk.export_session_string()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep the session in a file that only this user can read, now and whenever it is refreshed."""
        self._held()
        self._file = Path(path)
        self._keep()

    def end(self) -> None:
        """Make the tokens good for nothing, and remove the file; raises like ``procedure``."""
        self._held()

        def send() -> Response:
            headers = self._sdk._get_refresh_auth_headers()
            self._sdk.com.atproto.server.delete_session(headers=headers, ignore_session_check=True)
            return Response(True, 200, {}, {})

        try:
            with contextlib.suppress(SessionExpired):  # it is over already
                self._xrpc.call(send, f"logout at {self.server}")
        finally:
            if self._file is not None:
                self._file.unlink(missing_ok=True)
            self._file = None
            self._sdk._session_dispatcher.set_session(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def _keep(self) -> None:
        if self._file is not None:
            write_private(self._file, self._sdk.export_session_string())

    def _keep_refreshed(self) -> None:
        try:
            self._keep()
        except OSError as error:  # what is being written goes on
            warnings.warn(f"the new session is not in {self._file}: {error}", AtmosphereWarning, stacklevel=2)

    def _held(self) -> Any:
        if self._sdk._session is None:
            raise NotLoggedIn
        return self._sdk._session

    # ----------------------------------------------------------------------------------------- writing

    def procedure(
        self,
        nsid: str,
        body: Mapping[str, Any] | Content,
        *,
        points: int = 0,
        content_type: str = "application/json",
        timeout: float | None = None,
        done: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Call a method that writes. It may be sent more than once: doing it twice must be doing it once.

        Args:
            nsid: the method.
            body: what is sent; a map is sent as JSON, and content as it is read.
            points: what the call takes of the account's allowance for writing.
            content_type: type of the body.
            timeout: seconds, if not those of all calls.
            done: tells whether it has been done, where an answer may have been lost.

        Raises:
            NotLoggedIn: there was no login.
            AtmosphereError: as its children say.
        """
        self._held()
        content = json.dumps(body, ensure_ascii=False).encode() if isinstance(body, Mapping) else body
        headers = {"Content-Type": content_type, "Content-Length": str(len(content))}
        waits = self._xrpc.waits(timeout)
        what = f"{nsid} at {self.server}"
        self.budget.spend(points, self._xrpc.patience, what)

        def send() -> Response:
            return self._refreshing(
                lambda: self._sdk.invoke_procedure(nsid, content=content, headers=headers, timeout=waits)
            )

        response = self._xrpc.call(send, what, timeout=timeout, most=_TRIES, done=done)
        if "ratelimit-limit" in response.headers:
            self.budget.limited = True
        return as_map(response, what)

    def _refreshing(self, send: Callable[[], Response]) -> Response:
        """Send once; where the access token turns out to be expired, once more with a new one."""
        used = self._held().access_jwt
        try:
            return send()
        except AtProtocolError as error:
            content: Any = getattr(getattr(error, "response", None), "content", None)
            if getattr(content, "error", None) not in EXPIRED:
                raise
        with self._lock:  # one thread refreshes for all
            if self._held().access_jwt == used:
                self._sdk._refresh_and_set_session()
        return send()


def read_private(path: str | os.PathLike[str]) -> str:
    """Read what ``atdata.atomic.write_private`` wrote.

    Raises:
        PermissionError: others can read the file.
        OSError: it cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if os.name == "posix" and mode & 0o077:
            raise LoginFailed(
                f"{os.fspath(path)} holds a login and others can read it; run: chmod 600 {os.fspath(path)}"
            )
        return file.read()
