"""Where requests may go, and how much and how long an answer may be.

Handles, DID documents, redirects and records are written by anybody, so what they name is only asked over https and
only at public addresses. Every connection passes here, the redirected ones too, and the address that is checked is
the one that is connected to.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from atdata.errors import UnsafeURL
from atdata.sources.trust import is_public

from .errors import ServerFault, ServerUnreachable

JSON_LIMIT = 32 << 20
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True)
class Policy:
    """Which servers may be asked.

    Attributes:
        allow_insecure: any server is fine, also over plain http and on this machine.
        trusted: scheme, host and port of servers that the user named: their addresses may be private.
    """

    allow_insecure: bool = False
    trusted: frozenset[tuple[str, str, int]] = frozenset()

    def check(self, url: str) -> None:
        """Refuse a URL that may not be asked, as far as can be told without asking for its address.

        Raises:
            UnsafeURL: not http(s), not encrypted, or it holds a user or password; a ``ValueError``.
        """
        scheme, host, _ = origin(url)
        shown = f"{scheme}://{host}"
        if urlsplit(url).username is not None:
            raise UnsafeURL(f"{shown}: servers of the network are named without user and password")
        if scheme != "https" and not (self.allow_insecure and scheme == "http"):
            raise UnsafeURL(
                f"{shown} is not https. For a network of your own, on this machine, say "
                "AtmosphereClient(..., allow_insecure=True), or set ATDATA_ALLOW_INSECURE=1"
            )

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to.

        Raises:
            UnsafeURL: one of them is private, loopback, link-local or reserved.
            ServerUnreachable: the host has none.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ServerUnreachable(f"the host {host!r:.100} cannot be found: {_reason(error)}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self.allow_insecure and ("https", host, port) not in self.trusted:
            for address in addresses:
                if not is_public(address):
                    raise UnsafeURL(
                        f"{host} is {address}, which is no public address, and was named by others: a handle, a DID "
                        "document, a redirect or a record. If it is yours, say AtmosphereClient(..., "
                        "allow_insecure=True)"
                    )
        return addresses


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL.

    Raises:
        UnsafeURL: it has none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or port is None:
        raise UnsafeURL(f"{url!r:.100} is not the URL of a server, such as 'https://pds.example.org'")
    return parts.scheme, parts.hostname, port


@contextmanager
def deadline(seconds: float | None) -> Generator[None]:
    """Let what is read and written in this block take so long together, however slowly it trickles."""
    token = _deadline.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    until = _deadline.get()
    if until is None:
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise error("the answer takes too long")
    return left if timeout is None else min(left, timeout)


class Transport(httpx.HTTPTransport):
    """An httpx transport that keeps to a policy."""

    def __init__(self, policy: Policy) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        self._policy = policy
        self._pool.close()
        self._pool = httpcore.ConnectionPool(context, keepalive_expiry=30, network_backend=_Network(policy))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see ``httpx.BaseTransport``."""
        self._policy.check(str(request.url))
        response = super().handle_request(request)
        where = request.url.host
        if response.is_redirect and request.method != "GET":
            response.close()  # what was sent may be a password, and was meant for this server
            raise ServerFault(f"{where} redirects a {request.method} to another place, which is not followed")
        # a small answer could unpack to anything
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise ServerFault(f"{where} answers in an encoding that it was not asked for")
        limit = int(request.extensions.get("atdata_limit", JSON_LIMIT))
        response.stream = _Bounded(response.stream, limit, where)
        return response


class _Bounded(httpx.SyncByteStream):
    """The body of an answer, up to a size."""

    def __init__(self, stream: Any, limit: int, where: str) -> None:
        self._stream, self._limit, self._where = stream, limit, where

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for block in self._stream:
            size += len(block)
            if size > self._limit:
                raise ServerFault(f"{self._where} answers with more than {self._limit:,} bytes; the rest is not read")
            yield block

    def close(self) -> None:
        self._stream.close()


class _Network(httpcore.NetworkBackend):
    """Connects to addresses that the policy allows."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        fault: Exception = httpcore.ConnectError(f"no address of {host}")
        for address in self._policy.addresses(host, port):
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(self._sockets.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault


class _Stream(httpcore.NetworkStream):
    """A connection that ends when time is up."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
