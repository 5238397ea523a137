"""The team's catalog: a Redis server or cluster."""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from hashlib import sha1
from importlib import resources
from typing import Any, Final, TypeVar

from ..errors import (
    IndexBusy,
    IndexCorrupted,
    IndexDenied,
    IndexFull,
    IndexReadOnly,
    IndexUnreachable,
)
from . import ALL, COLUMNS, PAGE, Draft, Row, StoredSchema, Term
from .rank import rank

R = TypeVar("R")

# How long a server that was there is waited for when it is gone, in seconds.
PATIENCE: Final = 10.0

_LOOKUPS: Final = ("names", "history", "order", "words", "counter", "schemas", "shapes")
_SCHEMA: Final = StoredSchema._fields


def redis_module() -> Any:
    """The package ``redis``.

    Raises:
        BackendNotInstalled: it is not installed.
    """
    try:
        import redis
    except ImportError as error:
        from atdata.errors import BackendNotInstalled

        raise BackendNotInstalled(
            "an index on Redis needs more packages; run: pip install 'atdata-local[redis]'"
        ) from error
    return redis


@cache
def _script() -> tuple[str, str]:
    text = resources.files("atdata_local.catalog").joinpath("scripts.lua").read_text(encoding="utf-8")
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisCatalog:
    """A ``Catalog`` on a Redis server or cluster. Nothing is asked of it before the first use.

    Args:
        client: a ``redis.Redis`` or ``redis.cluster.RedisCluster``.
        repository: what all keys begin with, in braces; a server may hold several repositories.
        as_cluster: connects anew where the server turns out to be a node of a cluster; None leaves that to the caller.
    """

    def __init__(self, client: Any, repository: str = "atdata", *, as_cluster: Callable[[], Any] | None = None) -> None:
        if not re.fullmatch(r"[\w.-]+", repository):
            raise ValueError(f"a repository's name has letters, digits, '.', '_' and '-'; found {repository!r}")
        self._client = client
        self._as_cluster = as_cluster
        self._base = f"{{{repository}}}"
        self._repository = repository
        self._answered = False

    @property
    def client(self) -> Any:
        """The Redis client."""
        return self._client

    @property
    def url(self) -> str:
        """Host, port and database, without user and password; of a cluster, a node."""
        return _public_url(self._client)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    # -- entries

    def insert(self, row: Mapping[str, Any], words: Sequence[str], name_words: Sequence[str]) -> str | None:
        """See ``Catalog``."""
        record = self._models.entry(**row, words="\n".join(words))
        fields = {field: value for field, value in record.model_dump().items() if value is not None}
        flat = [part for pair in fields.items() for part in pair]
        before = self._run("insert", row["name"], row["cid"], "\n".join(name_words), *flat)
        return before or None

    def by_name(self, name: str) -> Row | None:
        """See ``Catalog``."""
        rows = self._read("names", *_under(name), 1)
        if rows and rows[0][0] is None:
            raise IndexCorrupted(
                f"{self.url} has lost the record of {name!r}; servers of an index need maxmemory-policy noeviction. "
                "Insert the dataset again, or restore the server from a backup"
            )
        return rows[0] if rows else None

    def by_cid(self, cid: str) -> Row | None:
        """See ``Catalog``."""
        values = self._ask(lambda redis: redis.hmget(self._entry_key(cid), COLUMNS))
        return None if values[0] is None else values

    def digests(self, name: str, cid: str) -> str | None:
        """See ``Catalog``."""
        digests: str | None = self._run("field", name, cid, "digests")
        return digests

    def page(self, *, limit: int, after: str = "", prefix: str = "") -> list[Row]:
        """See ``Catalog``."""
        low = b"(" + after.encode() + b"\1" if after >= prefix and after else b"[" + prefix.encode()
        return _present(self._read("names", low, b"(" + prefix.encode() + b"\xff", limit))

    def everything(self, *, limit: int, after: int = 0) -> list[Row]:
        """See ``Catalog``."""
        return _present(self._read("order", f"({after}", "+inf", limit, "ZRANGEBYSCORE"))

    def search(self, terms: Sequence[Term], *, limit: int, after: str = "") -> list[Row]:
        """See ``Catalog``."""
        if not terms:
            return self.page(limit=limit, after=after)
        found = set.intersection(*map(self._names_with, terms))
        wanted = sorted(name for name in found if name > after.encode())[:limit]
        chunks = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]
        return [row for names in chunks for row in _present(self._run("read_names", len(names), *names, *COLUMNS))]

    def _names_with(self, term: Term) -> set[bytes]:
        token = term.token.encode()
        low, high = _under(term.token) if term.whole else (b"[" + token, b"(" + token + b"\xff")
        members = self._ask(lambda redis: redis.zrangebylex(self._key("words"), low, high))
        return {_raw(member).rpartition(b"\0")[2] for member in members}

    def history(self, name: str) -> list[Row]:
        """See ``Catalog``."""
        return _present(self._read("history", *_under(name), ALL))

    def delete(self, name: str, cid: str | None, name_words: Sequence[str]) -> bool:
        """See ``Catalog``."""
        return bool(self._run("delete", name, cid or "", "\n".join(name_words)))

    def rename(self, old: str, new: str, old_words: Sequence[str], new_words: Sequence[str]) -> str:
        """See ``Catalog``."""
        return str(self._run("rename", old, new, "\n".join(old_words), "\n".join(new_words)))

    # -- schemas

    def publish(self, draft: Draft, version: str | None, *, reuse: bool) -> str | None:
        """See ``Catalog``."""
        published = self._run(
            *("publish", draft.name, version or "", rank(version) if version else "", "1" if reuse else ""),
            *(secrets.token_hex(8), draft.shape, draft.record, draft.created),
        )
        return published or None

    def schema(self, name: str, version: str) -> StoredSchema | None:
        """See ``Catalog``."""
        values = self._ask(lambda redis: redis.hmget(self._schema_key(name, version), _SCHEMA))
        return None if values[0] is None else StoredSchema(*map(_text, values))

    def latest_schema(self, name: str, *, below: str | None = None) -> StoredSchema | None:
        """See ``Catalog``."""
        low, high = _under(name)
        high = high if below is None else b"(" + f"{name}\0{rank(below)}\0".encode()
        version = self._last("schemas", low, high)
        return None if version is None else self.schema(name, version)

    def version_of_shape(self, name: str, shape: str) -> str | None:
        """See ``Catalog``."""
        return self._last("shapes", *_under(f"{name}\0{shape}"))

    def _last(self, lookup: str, low: bytes, high: bytes) -> str | None:
        """The last part of the last member in a range."""
        members = self._ask(lambda redis: redis.zrevrangebylex(self._key(lookup), high, low, 0, 1))
        return _split(members[0])[-1] if members else None

    def schemas(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[StoredSchema]:
        """See ``Catalog``."""
        name, version = after
        low = f"({name}\0{rank(version)}\1".encode() if version else b"-"
        members = self._ask(lambda redis: redis.zrangebylex(self._key("schemas"), low, b"+", 0, limit))
        keys = [self._schema_key(parts[0], parts[-1]) for parts in map(_split, members)]
        answers = self._ask(lambda redis: _pipelined(redis, keys))
        return [StoredSchema(*map(_text, values)) for values in answers if values[0] is not None]

    def server_info(self) -> dict[str, dict[str, Any]]:
        """What ``INFO`` says, by name of the node; a single server has none."""
        if not self._is_cluster:
            info: dict[str, Any] = self._ask(lambda redis: redis.info())
            if not (info.get("cluster_enabled") and self._join_cluster()):
                return {"": info}
        infos: dict[str, dict[str, Any]] = self._ask(lambda redis: redis.info(target_nodes=redis.PRIMARIES))
        return infos

    def connections(self) -> list[tuple[str, dict[str, Any]]]:
        """The host of each node, or path of a socket, and with which options it is connected; has passwords."""
        if self._is_cluster:
            options = self._client.get_connection_kwargs()
            return [(node.host, {**options, "tls": options.get("ssl")}) for node in self._client.get_primaries()]
        pool = self._client.connection_pool
        tls = issubclass(pool.connection_class, redis_module().SSLConnection)
        options = pool.connection_kwargs
        return [(options.get("path") or options.get("host", "localhost"), {**options, "tls": tls})]

    @property
    def _is_cluster(self) -> bool:
        return hasattr(self._client, "get_primaries")

    def audit(self) -> list[str]:
        """See ``Catalog``."""
        from .audit import audit_redis

        return self._ask(lambda redis: audit_redis(redis, self._base))

    # -- the server

    @cached_property
    def _models(self) -> Any:
        redis_module()
        try:
            from .records import models
        except ImportError as error:
            from atdata.errors import BackendNotInstalled

            raise BackendNotInstalled(
                "writing to an index on Redis needs redis-om; run: pip install 'atdata-local[redis]'"
            ) from error
        return models(self._client, self._repository)

    def _key(self, lookup: str) -> str:
        return f"{self._base}:{lookup}"

    def _entry_key(self, cid: str) -> str:
        return f"{self._base}:entry:{cid}"

    def _schema_key(self, name: str, version: str) -> str:
        return f"{self._base}:schema:{name}@{version}"

    def _read(
        self, lookup: str, low: bytes | str, high: bytes | str, limit: int, command: str = "ZRANGEBYLEX"
    ) -> list[Row]:
        rows: list[Row] = self._run("read", command, self._key(lookup), low, high, limit, *COLUMNS)
        return rows

    def _run(self, operation: str, *values: Any) -> Any:
        """Run one operation of the script. All of them may be run twice, for a client that lost the answer."""
        text, digest = _script()
        keys = [self._key(lookup) for lookup in _LOOKUPS]
        arguments = (len(keys), *keys, operation, self._base, *values)

        def run(redis: Any) -> Any:
            try:
                return redis.evalsha(digest, *arguments)
            except redis_module().exceptions.NoScriptError:
                return redis.eval(text, *arguments)

        return _text(self._ask(run))

    def _ask(self, question: Callable[[Any], R]) -> R:
        """Ask the server, again and again while it is away, if it has ever answered."""
        errors = redis_module().exceptions
        deadline = time.monotonic() + PATIENCE
        pause = 0.02
        while True:
            client = self._client
            try:
                answer = question(client)
                self._answered = True
                return answer
            except errors.MovedError as error:
                # another thread may have joined the cluster meanwhile
                if client is self._client and not self._join_cluster():
                    raise IndexUnreachable(
                        f"{self.url} is a node of a cluster; give Index(redis=...) a redis.cluster.RedisCluster"
                    ) from error
                continue
            except (errors.RedisError, errors.RedisClusterException) as error:
                if not (_passes(error, errors) and self._answered and time.monotonic() < deadline):
                    raise self._explained(error, errors) from error
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, 0.5)

    def _join_cluster(self) -> bool:
        """Connect anew to the whole cluster of which the server is a node. False: the client is the caller's."""
        errors = redis_module().exceptions
        if self._as_cluster is None:
            return False
        try:
            self._client, self._as_cluster = self._as_cluster(), None
        except (errors.RedisError, errors.RedisClusterException) as error:
            raise self._explained(error, errors) from error
        self.__dict__.pop("_models", None)
        return True

    def _explained(self, error: Exception, errors: Any) -> Exception:
        text = str(error)
        refused = isinstance(error, errors.AuthenticationError | errors.NoPermissionError)
        # errors within a script come as text, in other words from other versions
        if refused or text.startswith("NOAUTH") or "ACL failure" in text or "can't run this command" in text:
            return IndexDenied(f"{self.url} refuses this user and password ({text}); check both, and the server's ACL")
        if isinstance(error, errors.ReadOnlyError) or "READONLY " in text:
            return IndexReadOnly(f"{self.url} is a read-only replica; connect to its master to change the index")
        if isinstance(error, errors.OutOfMemoryError) or "OOM " in text:
            return IndexFull(
                f"{self.url} is at its memory limit; nothing was changed. Raise maxmemory, or delete entries"
            )
        if "MISCONF" in text:
            return IndexReadOnly(f"{self.url} cannot save to its disk and takes no changes; free its disk ({text})")
        if isinstance(error, errors.ConnectionError | errors.TimeoutError | errors.RedisClusterException):
            return IndexUnreachable(
                f"{self.url} does not answer: {text.rstrip('.')}. Is the server running, and is this its address?"
            )
        if _passes(error, errors):
            return IndexBusy(f"{self.url} is not ready: {text}; try again")
        if "WRONGTYPE" in text or "unknown command" in text.lower():
            return IndexCorrupted(f"{self.url} holds something else under {self._base!r}, or is no Redis: {text}")
        return IndexUnreachable(f"{self.url} gives an answer that is not understood: {text}. Is it a Redis server?")


def _passes(error: Exception, errors: Any) -> bool:
    """Whether an error can pass by waiting."""
    if isinstance(error, errors.AuthenticationError):
        return False  # a child of ConnectionError
    away = (errors.ConnectionError, errors.TimeoutError, errors.RedisClusterException)
    return isinstance(error, (*away, errors.ClusterDownError, errors.TryAgainError, errors.MasterDownError))


def _under(text: str) -> tuple[bytes, bytes]:
    """The range of members that are ``text``, a NUL, and anything."""
    return b"[" + text.encode() + b"\0", b"(" + text.encode() + b"\1"


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _split(member: str | bytes) -> list[str]:
    return _raw(member).decode().split("\0")


def _pipelined(redis: Any, keys: Sequence[str]) -> list[Any]:
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, _SCHEMA)
        answers: list[Any] = pipe.execute()
        return answers


def _present(rows: list[Row]) -> list[Row]:
    """The rows whose records are there: a server that evicts keys may have lost some."""
    return [row for row in rows if row and row[0] is not None]


def _public_url(client: Any) -> str:
    """The URL by which others get there, without user and password; of a cluster, that of a node, which is enough."""
    nodes: Iterable[Any] = getattr(client, "get_nodes", list)()
    if nodes:
        given = client.get_connection_kwargs()
        # which of them is there depends on whether it was made of a URL
        secure = given.get("ssl") or "SSL" in getattr(given.get("connection_class"), "__name__", "")
        host, port = min((node.host, node.port) for node in nodes)
        return f"{'rediss' if secure else 'redis'}://{_bracketed(host)}:{port}/0"
    options = client.connection_pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}{f'?db={db}' if (db := options.get('db')) else ''}"
    scheme = "rediss" if "SSL" in client.connection_pool.connection_class.__name__ else "redis"
    host = _bracketed(options.get("host", "localhost"))
    return f"{scheme}://{host}:{options.get('port', 6379)}/{options.get('db') or 0}"


def _bracketed(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host
