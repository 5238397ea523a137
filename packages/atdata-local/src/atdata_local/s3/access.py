"""How a bucket is reached: credentials, endpoint, region; and the clients made of that, one per process."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from atdata.errors import BackendNotInstalled, ShardNotFound
from atdata.sources import public

Credentials: TypeAlias = "Mapping[str, str] | str | os.PathLike[str] | None"

_ENDPOINT = re.compile(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", re.IGNORECASE)
_LINE = re.compile(r"(?:export\s+)?(\w+)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|(.*?))\s*(?:\s#.*)?")
_FIELDS: Final = {
    "access_key": ("AWS_ACCESS_KEY_ID",),
    "secret_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "endpoint": ("AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_DEFAULT_REGION", "AWS_REGION"),
}
# Connections that one client keeps; more are made when they are needed
_POOL: Final = 32


@dataclass(frozen=True)
class S3Access:
    """How a bucket is reached. What is secret is in no ``repr``.

    Without keys, boto3 looks for them as it always does: environment, configuration files, the machine's role; and
    where it finds none, requests are not signed, which is enough for public buckets.

    Attributes:
        endpoint: URL of an S3-compatible service; None for AWS.
        region: its region; None for that of boto3's configuration, or ``us-east-1``.
        access_key: access key ID.
        secret_key: secret access key.
        session_token: session token of temporary keys.
        env_file: the file that the keys are from; a pickle holds its name instead of what is secret.
        timeout: seconds that each wait for the server may take.
        retries: how often in a row to try again after a fault that can pass.
    """

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    env_file: Path | None = None
    timeout: float = 60.0
    retries: int = 5

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            missing = "AWS_SECRET_ACCESS_KEY" if self.secret_key is None else "AWS_ACCESS_KEY_ID"
            raise ValueError(f"the credentials lack {missing}; give both keys, or none to use boto3's own")
        if self.endpoint is not None and not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError("the endpoint is a URL such as https://s3.example.com, without user and password")
        if not self.timeout > 0 or self.retries < 0:
            raise ValueError(f"timeout is above 0 and retries from 0 on; found {self.timeout!r} and {self.retries!r}")

    @classmethod
    def of(cls, credentials: Credentials = None, **given: Any) -> Self:
        """From credentials as users give them.

        Args:
            credentials: a dict, or the path of an ``.env`` file, with ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``
                and perhaps ``AWS_SESSION_TOKEN``, ``AWS_ENDPOINT``, ``AWS_DEFAULT_REGION``; or None.
            given: attributes; those that are not None win over the credentials.

        Raises:
            ShardNotFound: there is no such file; a ``FileNotFoundError``.
            ValueError: one key without the other, an endpoint that is no URL, or a dict with none of these.
        """
        env_file = None if credentials is None or isinstance(credentials, Mapping) else Path(credentials).absolute()
        pairs = _read(env_file) if env_file is not None else credentials or {}
        if not isinstance(pairs, Mapping):
            raise TypeError(f"credentials are a dict or the path of an .env file; found {type(credentials).__name__}")
        if pairs and env_file is None and not pairs.keys() & {key for keys in _FIELDS.values() for key in keys}:
            raise ValueError(
                f"the credentials have {', '.join(map(str, pairs)):.200}, and nothing that is known here: "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT, AWS_DEFAULT_REGION, AWS_SESSION_TOKEN"
            )
        found: dict[str, Any] = {
            name: value
            for name, keys in _FIELDS.items()
            if (value := next((pairs[key] for key in keys if pairs.get(key)), None)) is not None
        }
        known = {name: value for name, value in given.items() if value is not None}
        return cls(**(found | known), env_file=env_file)

    @property
    def place(self) -> str:
        """Whose buckets these are, for messages."""
        # those that boto3 asks without being told so; there may be a password in the URL
        told = filter(None, map(os.environ.get, _FIELDS["endpoint"][1:]))
        return self.endpoint or public(next(told, "AWS"))

    def client(self) -> Any:
        """A boto3 client, the same for all threads of this process.

        Raises:
            BackendNotInstalled: boto3 is not installed.
        """
        # what boto3 finds there may change
        key = self, tuple(pair for pair in os.environ.items() if pair[0].startswith("AWS_"))
        with _lock:
            if key not in _clients:
                _clients[key] = _make(self)
            return _clients[key]

    def is_good(self) -> None:
        """Remember that a server has done what was asked."""
        _good.add(self)

    def was_good(self) -> bool:
        """Whether a server has done what was asked before, in this process."""
        return self in _good

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self.env_file is not None:
            state |= dict.fromkeys(("access_key", "secret_key", "session_token"))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["env_file"] is not None:
            again = S3Access.of(state["env_file"])
            state |= {name: getattr(again, name) for name in ("access_key", "secret_key", "session_token")}
        for name, value in state.items():
            object.__setattr__(self, name, value)


# What data stores of this process say of their buckets; equal ones live and end each on its own
_stores: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def remember(store: Any) -> None:
    """Let URLs of a data store's bucket be read as it reads them, as long as there is the store."""
    _stores[id(store)] = store


def access_to(bucket: str) -> S3Access | None:
    """How a bucket is reached, if there are data stores of it in this process that agree on that."""
    found = {store.access for store in list(_stores.values()) if store.bucket == bucket}
    return found.pop() if len(found) == 1 else None


# A client's sockets must not be shared with a child that was forked
_clients: dict[tuple[S3Access, tuple[tuple[str, str], ...]], Any] = {}
_good: set[S3Access] = set()
_lock = threading.Lock()


def _forget() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    _clients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _make(access: S3Access) -> Any:
    try:
        from boto3.session import Session
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise BackendNotInstalled("S3 needs boto3; run: pip install 'atdata-local[s3]'") from error
    session = Session(
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token,
        region_name=access.region,
    )
    config = Config(
        signature_version="s3v4" if session.get_credentials() is not None else UNSIGNED,
        connect_timeout=min(access.timeout, 10.0),
        read_timeout=access.timeout,
        # what can pass is tried again here, at the byte where it broke
        retries={"total_max_attempts": 1},
        max_pool_connections=_POOL,
        tcp_keepalive=True,
        # what is read is checked against our own digests, and what is written comes with checksums
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if access.endpoint else "auto"},
    )
    region = session.region_name or "us-east-1"
    client = session.client("s3", endpoint_url=access.endpoint, region_name=region, config=config)
    client.meta.events.register_last("before-call.s3", _expect_nothing)
    return client


def _expect_nothing(params: dict[str, Any], **_: Any) -> None:
    # boto3 asks before it sends a body, and waits for ever if the connection breaks in the middle of the answer
    params["headers"].pop("Expect", None)


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ShardNotFound(f"no credentials file at {path}") from None
    lines = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {line[1]: line[2] or line[3] or line[4] or "" for line in lines if line is not None}
