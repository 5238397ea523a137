"""Calls to servers: time limits, repeats of what can pass, and errors that say what to do."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
import weakref
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import httpx
from atproto_client.exceptions import (
    InvokeTimeoutError,
    NetworkError,
    RateLimitExceededError,
    RequestErrorBase,
    UnauthorizedError,
)
from atproto_client.request import Request, Response

from atdata.errors import AtdataError

from .errors import (
    AtmosphereError,
    LoginFailed,
    PayloadTooLarge,
    RateLimited,
    RecordChanged,
    RecordExists,
    RecordNotFound,
    RecordRefused,
    ServerFault,
    ServerTimeout,
    ServerUnreachable,
    SessionExpired,
)
from .policy import JSON_LIMIT, Policy, Transport, deadline

Params: TypeAlias = Mapping[str, "str | int | bool | None"]

_log = logging.getLogger("atdata.atmosphere")
TRIES = 5
# Seconds; a server may have to copy all blobs of a record before it answers
_LONGEST_STEP = 300.0
# After these, what was sent may have been done
_UNSURE = (ServerFault, ServerUnreachable, RecordChanged)
_PASSING = {500, 502, 503, 504}
EXPIRED = {"ExpiredToken", "InvalidToken"}
_MISSING = {"RecordNotFound", "BlobNotFound", "RepoNotFound", "RepoDeactivated", "RepoTakendown", "RepoSuspended"}
# Tokens, and app passwords: a server might say one of them again
_SECRET = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|\b[a-z0-9]{4}(?:-[a-z0-9]{4}){3}\b")


class Xrpc:
    """Asks servers, as a policy allows.

    Args:
        policy: which servers may be asked.
        timeout: seconds for a whole call, without what a server asks to wait.
        patience: seconds that a call waits in all, where a server says "later".
    """

    def __init__(self, policy: Policy, timeout: float, patience: float) -> None:
        self.policy = policy
        self.timeout = timeout
        self.patience = patience
        self._transport = Transport(policy)
        self._anonymous = self.request()
        # programs seldom close what they only look something up with
        self.close = weakref.finalize(self, self._transport.close)

    def request(self) -> Request:
        """What the SDK's clients send requests with."""
        # an answer that is not packed cannot be a small one that unpacks to a large one
        return Request(
            transport=self._transport,
            timeout=self.waits(None),
            headers={"Accept-Encoding": "identity"},
        )

    def waits(self, timeout: float | None) -> httpx.Timeout:
        """How long each step of a call may take that may take so many seconds in all; None for those of all calls."""
        seconds = self.timeout if timeout is None else min(timeout, max(self.timeout, _LONGEST_STEP))
        return httpx.Timeout(seconds, connect=min(self.timeout, 10))

    def query(self, server: str, nsid: str, params: Params, *, most: int = TRIES) -> dict[str, Any]:
        """Ask a server, without a login.

        Args:
            server: its URL.
            nsid: the method.
            params: parameters; those that are None are left out.
            most: how often it is asked at most.

        Raises:
            AtmosphereError: as its children say.
            UnsafeURL: the server is one that may not be asked.
        """
        url = f"{server.rstrip('/')}/xrpc/{nsid}"
        return as_map(self.get(url, params, what=f"{nsid} at {server}", most=most), nsid)

    def get(
        self,
        url: str,
        params: Params | None = None,
        *,
        what: str,
        limit: int = JSON_LIMIT,
        timeout: float | None = None,
        most: int = TRIES,
    ) -> Response:
        """Fetch a URL; raises like ``query``.

        Args:
            url: the URL.
            params: its query.
            what: what is fetched, for messages.
            limit: most bytes that the answer may have.
            timeout: seconds, if not those of all calls.
            most: how often it is asked at most.
        """
        given = {key: value for key, value in (params or {}).items() if value is not None}

        def send() -> Response:
            return self._anonymous.get(
                url=url, params=given or None, extensions={"atdata_limit": limit}, timeout=self.waits(timeout)
            )

        return self.call(send, what, timeout=timeout, most=most)

    def head(self, url: str, params: Params, *, what: str) -> dict[str, str]:
        """The headers of a URL, with names in lower case; raises like ``query``."""

        def send() -> Response:
            found = self._anonymous._send_request("HEAD", url, params=params)
            return Response(True, found.status_code, {}, dict(found.headers.items()))

        return self.call(send, what).headers

    def call(
        self,
        send: Callable[[], Response],
        what: str,
        *,
        timeout: float | None = None,
        most: int = TRIES,
        done: Callable[[], bool] | None = None,
    ) -> Response:
        """Send something, again and again where the reason that it fails can pass.

        Args:
            send: sends it; doing so twice must be the same as doing so once, unless ``done`` tells.
            what: what is sent, for messages.
            timeout: seconds, if not those of all calls.
            most: how often it is sent at most; each wait is twice as long as the one before, from 0.1 seconds on.
            done: tells whether it has happened, asked where it fails: an answer may have been lost.

        Raises:
            AtmosphereError: as its children say.
        """
        waited, tries = 0.0, 0
        while True:
            tries += 1
            try:
                with deadline(self.timeout if timeout is None else timeout):
                    return send()
            except AtmosphereError as error:
                error.args = (f"{what}: {error.args[0]}",)
                raise
            except AtdataError:
                raise
            except RateLimitExceededError as error:
                fault, wait = translated(error, what), _until_reset(error)
                waited += wait
                final = waited > self.patience
            except (RequestErrorBase, httpx.HTTPError, ValueError) as error:  # ValueError: what should be JSON
                fault, wait = translated(error, what), random.uniform(0.5, 1) * 0.05 * 2**tries
                final = tries >= most or not _can_pass(fault)
            if done is not None and isinstance(fault, _UNSURE) and done():
                return Response(True, 200, {}, {})
            if final:
                raise fault
            _log.info("%s: waiting %.1f s, because: %s", what, wait, fault)
            time.sleep(wait)


def as_map(response: Response, what: str) -> dict[str, Any]:
    """The JSON map in an answer.

    Raises:
        ServerFault: it holds none.
    """
    if not isinstance(response.content, dict):
        raise ServerFault(f"{what} was answered with something else than a JSON map", response)
    return response.content


def _can_pass(fault: AtmosphereError) -> bool:
    if isinstance(fault, ServerTimeout):
        return False  # it has taken all the time there was
    status = None if fault.response is None else fault.response.status_code
    return isinstance(fault, ServerUnreachable) or status in _PASSING


def _until_reset(error: RateLimitExceededError) -> float:
    """Seconds until a server wants to be asked again."""
    if error.retry_after is not None:
        return error.retry_after + random.uniform(0, 0.5)
    if error.reset_at is None:
        return 30.0
    # by the server's own clock, where it tells it
    now = time.time()
    with contextlib.suppress(TypeError, ValueError):
        now = parsedate_to_datetime((error.response.headers if error.response else {}).get("date", "")).timestamp()
    return max(error.reset_at.timestamp() - now, 0) + random.uniform(0.5, 1)


def translated(error: Exception, what: str) -> AtmosphereError:
    """An error of the SDK or of httpx as one of ours.

    Args:
        error: what was raised.
        what: what was asked for, for the message.
    """
    if not isinstance(error, RequestErrorBase) or error.response is None:
        if isinstance(error, InvokeTimeoutError | httpx.TimeoutException):
            return ServerTimeout(f"{what}: no answer in time; ask again later, or with a longer timeout=")
        if isinstance(error, NetworkError | httpx.TransportError):
            cause = error.__cause__ or error
            return ServerUnreachable(f"{what}: {_public(str(cause)) or type(cause).__name__}")
        return ServerFault(f"{what}: {type(error).__name__}: {_public(str(error))}")
    response = error.response
    name, said = _answer(response)
    status = response.status_code
    message = f"{what}: the server answers {status}{' ' if name or said else ''}{': '.join(filter(None, (name, said)))}"
    if status == 429:
        return RateLimited(f"{message}; ask again after {_reset_text(error)}", response)
    if name in EXPIRED:
        return SessionExpired(f"{message}; log in again", response)
    if isinstance(error, UnauthorizedError):
        return LoginFailed(f"{message}; is it an app password, and of this account?", response)
    if name in _MISSING or status == 404 or (status == 400 and re.match("(?i)(record|blob) not found", said)):
        return RecordNotFound(message, response)
    if name == "InvalidSwap":
        return RecordChanged(message, response)
    if "already exists" in said:
        return RecordExists(message, response)
    if status == 413:
        return PayloadTooLarge(message, response)
    if 400 <= status < 500:
        return RecordRefused(message, response)
    return ServerFault(message, response)


def _answer(response: Response) -> tuple[str, str]:
    """The name of an error and what a server says about it."""
    content: Any = response.content
    return _public(getattr(content, "error", None) or ""), _public(getattr(content, "message", None) or "")


def _public(text: Any) -> str:
    """Words of a server for messages: short, in printable characters, and without secrets."""
    shown = "".join(char if char.isprintable() else " " for char in str(text)[:2000])
    return _SECRET.sub("...", shown)[:300].strip()


def _reset_text(error: RequestErrorBase) -> str:
    reset = error.reset_at if isinstance(error, RateLimitExceededError) else None
    return "a while" if reset is None else f"{reset:%Y-%m-%d %H:%M:%S} UTC"
