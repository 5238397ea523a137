"""Shards on HTTP servers."""

from __future__ import annotations

import base64
import io
import re
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL, responses
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote_to_bytes
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import AtdataError, ShardNotFound, ShardPermissionError, ShardUnreadable
from . import public

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_TIMEOUT = 60.0
_KINDS: dict[int, type[AtdataError]] = {
    401: ShardPermissionError,
    403: ShardPermissionError,
    404: ShardNotFound,
    407: ShardPermissionError,
    410: ShardNotFound,
}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
# What RFC 3986 allows, and "%" of what is encoded already
_SAFE = "%/:=&?~+!$,;'@()*[]"


def open_http(url: str) -> IO[bytes]:
    """Open a shard on an HTTP server.

    No error that this raises, here or from the stream, holds what may be secret: neither in its text nor in the
    error that it came from, which may name whole URLs and is left out therefore.

    Args:
        url: an ``http:`` or ``https:`` URL; user and password in it are sent as basic authentication.

    Raises:
        ShardNotFound: the server says that there is no such thing.
        ShardPermissionError: the server refuses it to this user.
        ShardUnreadable: any other answer, no connection, or no answer in time. Also from the stream.
    """
    try:
        response = build_opener(_Redirects).open(_request(url), timeout=_TIMEOUT)
    except HTTPError as error:
        error.close()
        fault = _refusal(url, error.code)
    except (OSError, HTTPException, ValueError) as error:
        fault = ShardUnreadable(f"{public(url)} cannot be reached: {_cause(error)}")
    else:
        return io.BufferedReader(_Body(response, url), 1 << 20)
    # outside of the handlers, so that it has no context
    raise fault


def _request(url: str) -> Request:
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise ValueError(url)
    user, at, host = match[2].rpartition("@")
    if not host.isascii():
        host = host.encode("idna").decode()
    target = quote(match[3], safe=_SAFE, errors="surrogatepass")
    request = Request(f"{match[1]}://{host}{target}", headers={"User-Agent": "atdata"})
    if at:
        login = base64.b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode()
        # not to where a redirect leads
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return request


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to HTTP servers only: not to files, FTP or data in the URL."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        followed = newurl.lower().startswith(("http://", "https://"))
        return super().redirect_request(req, fp, code, msg, headers, newurl) if followed else None


def _refusal(url: str, status: int) -> AtdataError:
    # the server's own words might repeat the URL
    phrase = responses.get(status, "(no standard status)")
    advice = ", a redirect that is not followed: it goes in circles, or not to http or https" if status < 400 else ""
    return _KINDS.get(status, ShardUnreadable)(f"the server answers {status} {phrase} for {public(url)}{advice}")


def _cause(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer within {_TIMEOUT:g} seconds"
    if isinstance(reason, OSError):
        return reason.strerror or str(reason)
    if isinstance(reason, HTTPException) and not isinstance(reason, InvalidURL):
        # their text may hold the URL
        return type(reason).__name__
    return "its host or port cannot be understood; in user and password, percent-encode '/', '@' and ':'"


class _Body(io.RawIOBase):
    """What a server sends, with errors that name the shard; ends only where the server said that it will."""

    def __init__(self, response: HTTPResponse, url: str) -> None:
        self._response = response
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        try:
            count = self._response.readinto(buffer)
        except (OSError, HTTPException) as error:
            cause = _cause(error)
        else:
            missing = 0 if count else self._response.length
            if not missing:
                return count
            cause = f"the connection ended {missing:,} bytes too soon"
        raise ShardUnreadable(f"{public(self._url)} cannot be read further: {cause}").at(shard=public(self._url))

    def close(self) -> None:
        self._response.close()
        super().close()
