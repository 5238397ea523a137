"""Shards on HTTP servers."""

from __future__ import annotations

import base64
import contextlib
import errno
import re
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
    HTTPSConnection,
    InvalidURL,
    responses,
)
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote_to_bytes, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)
from urllib.request import build_opener as _build_opener

from ..errors import AtdataError, ShardNotFound, ShardPermissionError, ShardUnreadable, UnsafeURL
from . import public
from .access import Access
from .download import Connect, Passing, Version
from .trust import is_public

if TYPE_CHECKING:
    import ssl

_KINDS: dict[int, type[AtdataError]] = {
    401: ShardPermissionError,
    403: ShardPermissionError,
    404: ShardNotFound,
    407: ShardPermissionError,
    410: ShardNotFound,
}
# Beside those from 500 on
_PASSING: Final = {408, 425, 429}
_PASSING_ERRNOS: Final = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETRESET}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:(\d{1,18})|\*)", re.IGNORECASE)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")
# What RFC 3986 allows, and "%" of what is encoded already
_SAFE = "%/:=&?~+!$,;'@()*[]"


def connector(url: str, access: Access, missing: int = 404) -> Connect:
    """What opens a shard on an HTTP server, at any position.

    No error that it raises, there or from the body, holds what may be secret: neither in its text nor in the
    error that it came from, which may name whole URLs and is left out therefore.

    Args:
        url: an ``http:`` or ``https:`` URL; user and password in it are sent as basic authentication.
        access: how to ask.
        missing: with which status the server, too, says that there is no such thing.

    Returns:
        A function that raises `ShardNotFound` where the server says that there is no such thing,
        `ShardPermissionError` where it refuses it to this user, and `ShardUnreadable` for any other answer. What can
        pass, such as no answer in time, is a `Passing`.
    """
    return lambda position, version: _connect(url, access, missing, position, version)


def _connect(url: str, access: Access, missing: int, position: int, version: Version) -> _Body:
    headers = access.request_headers()
    try:
        request = _request(url, headers, position, version)
        response: HTTPResponse = _opener(access).open(request, timeout=access.timeout)
    except HTTPError as error:
        error.close()
        fault: Exception = _refusal(url, error, missing, position, version)
    except _PrivateAddress as error:
        fault = UnsafeURL(
            f"{public(url)} leads to {error}, which is no public address, and was named by others. If you trust it, "
            "name the shard yourself: atdata.Dataset(url)"
        )
    except (OSError, HTTPException, ValueError) as error:
        fault = _fault(f"{public(url)} cannot be reached", error, access)
    else:
        return _body(response, url, access, position)
    # outside of the handlers, so that it has no context
    raise fault


def _request(url: str, headers: dict[str, str], position: int, version: Version) -> Request:
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise ValueError(url)
    user, at, host = match[2].rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    target = quote(match[3], safe=_SAFE, errors="surrogatepass")
    request = Request(f"{match[1]}://{host}{target}", headers={"User-agent": "atdata"})
    if at:
        login = base64.b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode()
        headers = {"Authorization": f"Basic {login}", **headers}
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    if position:
        request.add_header("Range", f"bytes={position}-")
        # a weak tag promises too little to be asked for
        tag = version.tag if version.tag and not version.tag.startswith("W/") else version.modified
        if tag:
            request.add_header("If-range", tag)
    return request


def _opener(access: Access) -> OpenerDirector:
    handlers: list[BaseHandler] = [_Redirects(access.keep_tls)]
    handlers += [_PublicHTTP(), _PublicHTTPS(context=_tls())] if access.public_only else [HTTPSHandler(context=_tls())]
    if access.proxy is not None:
        proxy = access.proxy if "://" in access.proxy or not access.proxy else f"http://{access.proxy}"
        handlers.append(ProxyHandler({"http": proxy, "https": proxy} if proxy else {}))
    return _build_opener(*handlers)


@cache
def _tls() -> ssl.SSLContext:
    import ssl  # reading the certificates of a system takes a while

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])  # as http.client does for a context of its own
    return context


class _PrivateAddress(Exception):
    """A connection has led to an address that is not public."""


class _PublicConnection(HTTPConnection):
    def connect(self) -> None:
        self.sock = _public_socket(self.host, self.port, self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _public_socket(host: str, port: int, timeout: float | None) -> socket.socket:
    """A connection to a host, if none of its addresses is private: such ones are not even knocked at."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_public(address):
            raise _PrivateAddress(address)
    fault = OSError(f"{host} has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            fault = error
    raise fault


class _PublicTLSConnection(HTTPSConnection, _PublicConnection):
    """Its TLS begins behind ``_PublicConnection.connect``."""


def _is_proxied(request: Request) -> bool:
    return request.has_proxy() or getattr(request, "_tunnel_host", None) is not None


class _PublicHTTP(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(HTTPConnection if _is_proxied(req) else _PublicConnection, req)


class _PublicHTTPS(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        kind: Any = HTTPSConnection if _is_proxied(req) else _PublicTLSConnection
        return self.do_open(kind, req, context=_tls())


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to HTTP servers only, not to files, FTP or data in the URL; keeps secrets to one server.

    Args:
        keep_tls: whether to follow none from ``https`` to ``http``.
    """

    def __init__(self, keep_tls: bool = False) -> None:
        self._keep_tls = keep_tls

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        kept = self._keep_tls and req.type == "https"
        if not newurl.lower().startswith("https://" if kept else ("http://", "https://")):
            return None
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            request.remove_header("Proxy-authorization")  # the proxy's handler adds it where it belongs
            if _origin(newurl) == _origin(req.full_url):
                for name, value in req.unredirected_hdrs.items():
                    request.add_unredirected_header(name, value)
        return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _refusal(url: str, error: HTTPError, missing: int, position: int, version: Version) -> Exception:
    status = error.code
    kind = ShardNotFound if status == missing else _KINDS.get(status, ShardUnreadable)
    # the server's own words might repeat the URL
    phrase = responses.get(status, "(no standard status)")
    advice = ", a redirect that is not followed: it goes in circles, or to where none may" if status < 400 else ""
    if status == 416 and position:
        length = f" of the {version.length:,} that the server announced" if version.length is not None else ""
        advice = f": there is nothing behind the first {position:,} bytes{length}"
    fault = kind(f"the server answers {status} {phrase} for {public(url)}{advice}")
    if status >= 500 or status in _PASSING:
        return Passing(fault, _seconds(error.headers.get("Retry-After", "")))
    return fault


def _seconds(retry_after: str) -> float | None:
    """What a ``Retry-After`` says: seconds, or a date."""
    if re.fullmatch(r"\d{1,18}", retry_after.strip(), re.ASCII):
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _fault(what: str, error: Exception, access: Access) -> Exception:
    reason = error.reason if isinstance(error, URLError) else error
    passes = isinstance(reason, ConnectionError | TimeoutError | HTTPException)
    if isinstance(reason, TimeoutError):
        cause = f"no answer within {access.timeout:g} seconds"
    elif isinstance(reason, OSError):
        tunnel = _TUNNEL.match(str(reason))
        cause = f"the proxy answers {tunnel[1]}" if tunnel else reason.strerror or type(reason).__name__
        passes = passes or _can_pass(reason) or (tunnel is not None and int(tunnel[1]) >= 500)
    elif isinstance(reason, HTTPException) and not isinstance(reason, InvalidURL):
        # their text may hold the URL
        cause = type(reason).__name__
    else:
        passes = False
        cause = "its host or port cannot be understood; in user and password, percent-encode '/', '@' and ':'"
    fault = ShardUnreadable(f"{what}: {cause}")
    return Passing(fault) if passes else fault


def _can_pass(reason: OSError) -> bool:
    if isinstance(reason, socket.gaierror):
        return reason.errno == socket.EAI_AGAIN
    # such as an end of the connection without the goodbye of TLS
    return reason.errno in _PASSING_ERRNOS or type(reason).__name__ in ("SSLEOFError", "SSLZeroReturnError")


def _body(response: HTTPResponse, url: str, access: Access, position: int) -> _Body:
    tag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    start, length = 0, response.length

    def refuse(cause: str) -> NoReturn:
        response.close()
        raise ShardUnreadable(f"{public(url)} cannot be read: {cause}")

    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        refuse(f"the server sends it compressed ({coding!r:.40}) though that was not asked for")
    if response.status == 206:
        part = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if part is None or int(part[1]) > position:
            refuse("the server sends another part of it than was asked for")
        start, length = int(part[1]), int(part[2]) if part[2] else None
    return _Body(response, url, access, start, Version(tag, modified, length))


class _Body:
    """What a server sends on one connection; faults name the shard."""

    def __init__(self, response: HTTPResponse, url: str, access: Access, start: int, version: Version) -> None:
        self.start = start
        self.version = version
        self._response = response
        self._left = None if response.chunked else response.length
        self._url = url
        self._access = access
        # one of our own, so that abort() never meets a number that has become another file's
        try:
            self._socket = socket.fromfd(response.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            response.close()
            raise ShardUnreadable(f"{public(url)} cannot be read: {error.strerror}") from None

    def read_into(self, target: memoryview) -> int:
        # what there is, not more: where a connection breaks, all that came before it is kept
        try:
            if self._left is None:
                return self._response.readinto1(target)
            count = self._response.fp.readinto1(target[: self._left])  # the same without a copy in between
            self._left -= count
            return count
        except (OSError, HTTPException, ValueError) as error:
            fault = _fault(f"{public(self._url)} cannot be read further", error, self._access)
        raise fault

    def abort(self) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        self._response.close()
