"""How servers are asked: the options of ``URLSource`` that concern connections."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Headers: TypeAlias = "Mapping[str, str] | Callable[[], Mapping[str, str]]"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_PROXY = re.compile(r"(https?://)?([^@/]*@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?/?")
# Resuming is done here, and would fail with other ranges
_OURS: Final = {"range", "if-range"}


@dataclass(frozen=True, kw_only=True)
class Access:
    """How servers are asked. What may be secret is in no ``repr``.

    Attributes:
        timeout: seconds that connecting may take, and each wait for more bytes.
        retries: how often in a row a fault that can pass may happen again.
        headers: HTTP headers of every request, or what returns them anew for each.
        token: bearer token of every request.
        proxy: URL of an HTTP proxy; empty for none, None for the environment's.
        keep_tls: whether to follow no redirect from ``https`` to ``http``.
        public_only: whether to talk to public addresses only; what a proxy talks to is the proxy's decision.

    Raises:
        TypeError, ValueError: an option that cannot be meant; no message repeats what may be secret.
    """

    timeout: float = 60.0
    retries: int = 5
    headers: Headers | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    keep_tls: bool = False
    public_only: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.timeout, int | float) or not 0 < self.timeout < 1e9:
            raise ValueError(f"timeout is {self.timeout!r}; it is a number of seconds above 0")
        if not isinstance(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries is {self.retries!r}; it is a count, 0 for none")
        if self.token is not None and not (isinstance(self.token, str) and _TOKEN.fullmatch(self.token)):
            raise ValueError("token is no bearer token: that is text without spaces and line ends")
        if self.proxy and not (isinstance(self.proxy, str) and _PROXY.fullmatch(self.proxy)):
            raise ValueError("proxy is not understood; it is a URL such as http://user:password@host:3128")
        if self.headers is not None and not callable(self.headers):
            _check(self.headers)
            object.__setattr__(self, "headers", dict(self.headers))  # ours, whatever becomes of theirs

    def request_headers(self) -> dict[str, str]:
        """The headers of a request, those that a callable gives included; they may be secret.

        Raises:
            TypeError, ValueError: the callable gives what cannot be sent.
        """
        given = self.headers() if callable(self.headers) else self.headers or {}
        _check(given)
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return token | {name.capitalize(): value for name, value in given.items()}


def _check(headers: Mapping[str, str]) -> None:
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers is a mapping of names to values, or a callable that gives one; not {type(headers)}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name!r:.100} is no name of a header that can be set")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r:.100} has a value that cannot be sent: not text, or with line ends")
