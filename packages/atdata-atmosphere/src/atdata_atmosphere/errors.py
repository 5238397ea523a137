"""Errors of the AT Protocol backend.

Each is an ``AtdataError``, an error of the ``atproto`` SDK, and the builtin that a caller would reach for: all three
``except`` clauses catch it. Those that came from a server carry its answer in ``response``, as the SDK's do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atproto_client.exceptions import (
    BadRequestError,
    InvokeTimeoutError,
    LoginRequiredError,
    NetworkError,
    RateLimitExceededError,
    RequestException,
    UnauthorizedError,
)
from atproto_core.exceptions import AtProtocolError

from atdata.errors import AtdataError

if TYPE_CHECKING:
    from atproto_client.request import Response

__all__ = [
    "AtmosphereError",
    "AtmosphereWarning",
    "IdentityError",
    "InvalidRecord",
    "LoginFailed",
    "NotLoggedIn",
    "NotProven",
    "PayloadTooLarge",
    "RateLimited",
    "RecordChanged",
    "RecordExists",
    "RecordNotFound",
    "RecordRefused",
    "SchemaChanged",
    "ServerFault",
    "ServerTimeout",
    "ServerUnreachable",
    "SessionExpired",
    "WrongRecord",
]


class AtmosphereWarning(UserWarning):
    """Something is left out, or will not work for others."""


class AtmosphereError(AtdataError, AtProtocolError):
    """Base of the errors of the AT Protocol backend.

    Attributes:
        response: the server's answer, or None.
    """

    response: Response | None

    def __init__(self, message: str = "", response: Response | None = None) -> None:
        Exception.__init__(self, message)
        self.response = response


class NotLoggedIn(AtmosphereError, LoginRequiredError, ValueError):
    """There was no login, and it is needed: to write, or to know whose records are meant."""

    def __init__(self, message: str = "", response: Response | None = None) -> None:
        default = "this needs client.login('alice.example.org', app_password); only to read, name a repository"
        super().__init__(message or default, response)


class LoginFailed(AtmosphereError, UnauthorizedError, PermissionError):
    """The server does not accept handle and password, or does not let this account do that."""


class SessionExpired(AtmosphereError, BadRequestError, UnauthorizedError, PermissionError):
    """The session is over and cannot be refreshed; log in again."""


class IdentityError(AtmosphereError, ValueError, LookupError):
    """A handle or DID does not lead to a repository, or what it leads to does not lead back."""


class InvalidRecord(AtmosphereError, ValueError):
    """A record that no server would take, told before anything is sent."""


class WrongRecord(AtmosphereError, ValueError):
    """A record is not of the kind that was asked for, or breaks the rules of its kind."""


class SchemaChanged(WrongRecord):
    """The record of a schema is not the one that a dataset was published with."""


class NotProven(AtmosphereError, ValueError):
    """What a server sends does not prove that a record is what its owner signed."""


class RecordNotFound(AtmosphereError, BadRequestError, KeyError):
    """There is no such record or blob."""


class RecordExists(AtmosphereError, BadRequestError, ValueError):
    """A record would be written over another."""


class RecordChanged(AtmosphereError, BadRequestError, ValueError):
    """The repository changed since it was looked at, so nothing was written."""


class RecordRefused(AtmosphereError, BadRequestError, ValueError):
    """The server refuses a request; its reason is in the message."""


class PayloadTooLarge(AtmosphereError, NetworkError, ValueError):
    """What was sent is larger than the server allows."""


class RateLimited(AtmosphereError, RateLimitExceededError, OSError):
    """The server wants to be asked again later: see ``retry_after`` (seconds) and ``reset_at``."""


class ServerUnreachable(AtmosphereError, NetworkError, ConnectionError):
    """No connection to a server, or one that broke."""


class ServerTimeout(ServerUnreachable, InvokeTimeoutError, TimeoutError):
    """A server did not answer in time."""


class ServerFault(AtmosphereError, RequestException, OSError):
    """A server fails, or answers what no such server may answer."""
