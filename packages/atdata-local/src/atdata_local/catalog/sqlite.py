"""The embedded catalog: one SQLite file, safe among threads, forks and processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import IndexBusy, IndexCorrupted, IndexFull, IndexReadOnly, IndexUnreachable
from . import COLUMNS, Draft, Row, StoredSchema, Term
from .audit import audit_sqlite
from .rank import FIRST, bump, rank

# "atda": what tells our files from other programs'
APPLICATION: Final = 0x61746461
# One script per version of the tables; a file knows how many it has seen.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE entries (
        cid TEXT NOT NULL, name TEXT NOT NULL, schema_ref TEXT NOT NULL, data_urls TEXT NOT NULL, metadata TEXT,
        facts TEXT NOT NULL, created TEXT NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT,
        current INTEGER NOT NULL, words TEXT NOT NULL, digests TEXT
    );
    CREATE UNIQUE INDEX entries_name_cid ON entries (name, cid);
    CREATE UNIQUE INDEX entries_current ON entries (name) WHERE current;
    CREATE INDEX entries_cid ON entries (cid, seq);
    CREATE TABLE words (name TEXT NOT NULL, token TEXT NOT NULL, PRIMARY KEY (name, token)) WITHOUT ROWID;
    CREATE INDEX words_token ON words (token, name);
    CREATE TABLE schemas (
        name TEXT NOT NULL, rank TEXT NOT NULL, version TEXT NOT NULL, record TEXT NOT NULL, shape TEXT NOT NULL,
        created TEXT NOT NULL, PRIMARY KEY (name, rank)
    ) WITHOUT ROWID;
    CREATE INDEX schemas_shape ON schemas (name, shape, rank);
    """,
)
# At most so much of the file is kept in memory, in bytes; lookups in a large index would read it again and again.
CACHE: Final = 64 << 20
# How long a writer waits for others, in seconds.
PATIENCE: Final = 30.0

_COLUMNS: Final = ", ".join(COLUMNS)
_SCHEMA: Final = ", ".join(StoredSchema._fields)
_OF_SHAPE: Final = "SELECT version FROM schemas WHERE name = ? AND shape = ? ORDER BY rank DESC LIMIT 1"
# Sorts behind every text that begins with what stands before it.
_LAST: Final = chr(0x10FFFF)


class SQLiteCatalog:
    """A ``Catalog`` in a file. It is made, with its folder, on first use.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        self._connection: sqlite3.Connection | None = None
        self._release: Callable[[], object] = lambda: None
        self._lock = threading.RLock()
        _open_catalogs.add(self)

    @property
    def url(self) -> str:
        """The file's URL."""
        return f"sqlite://{self._path.as_uri().removeprefix('file://')}"

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def writable(self) -> bool:
        """Whether this user may change it."""
        return self._options() == "mode=rwc"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection = None
            self._release()

    def __reduce__(self) -> tuple[Any, ...]:
        return SQLiteCatalog, (self._path,)

    # -- entries

    def insert(self, row: Mapping[str, Any], words: Sequence[str], name_words: Sequence[str]) -> str | None:
        """See ``Catalog``."""
        name, cid = row["name"], row["cid"]
        values = {key: value for key, value in row.items() if key != "seq"} | {"words": "\n".join(words)}
        with self._writing() as db:
            before = _one(db, "SELECT cid FROM entries WHERE name = ? AND current", name)
            if before == cid:
                del values["created"]
                changes = ", ".join(f"{column} = :{column}" for column in values)
                db.execute(f"UPDATE entries SET {changes} WHERE name = :name AND cid = :cid", values)
            else:
                db.execute("UPDATE entries SET current = 0 WHERE name = ? AND current", (name,))
                db.execute("DELETE FROM entries WHERE name = ? AND cid = ?", (name, cid))
                values["current"] = 1
                slots = ", ".join(f":{column}" for column in values)
                db.execute(f"INSERT INTO entries ({', '.join(values)}) VALUES ({slots})", values)
            _index(db, name, name_words)
        return None if before == cid else before

    def by_name(self, name: str) -> Row | None:
        """See ``Catalog``."""
        return self._first(f"SELECT {_COLUMNS} FROM entries WHERE name = ? AND current", name)

    def by_cid(self, cid: str) -> Row | None:
        """See ``Catalog``."""
        return self._first(f"SELECT {_COLUMNS} FROM entries WHERE cid = ? ORDER BY seq DESC LIMIT 1", cid)

    def digests(self, name: str, cid: str) -> str | None:
        """See ``Catalog``."""
        row = self._first("SELECT digests FROM entries WHERE name = ? AND cid = ?", name, cid)
        return None if row is None else row[0]

    def page(self, *, limit: int, after: str = "", prefix: str = "") -> list[Row]:
        """See ``Catalog``."""
        return self._all(
            f"SELECT {_COLUMNS} FROM entries WHERE current AND name {'>' if after >= prefix else '>='} ? AND name < ? "
            "ORDER BY name LIMIT ?",
            *(max(after, prefix), prefix + _LAST, limit),
        )

    def everything(self, *, limit: int, after: int = 0) -> list[Row]:
        """See ``Catalog``."""
        return self._all(f"SELECT {_COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)

    def search(self, terms: Sequence[Term], *, limit: int, after: str = "") -> list[Row]:
        """See ``Catalog``."""
        matches = " AND name IN (SELECT name FROM words WHERE token >= ? AND token {} ?)"
        conditions = "".join(matches.format("<=" if term.whole else "<") for term in terms)
        bounds = [bound for token, whole in terms for bound in (token, token if whole else token + _LAST)]
        return self._all(
            f"SELECT {_COLUMNS} FROM entries WHERE current AND name > ?{conditions} ORDER BY name LIMIT ?",
            *(after, *bounds, limit),
        )

    def history(self, name: str) -> list[Row]:
        """See ``Catalog``."""
        return self._all(f"SELECT {_COLUMNS} FROM entries WHERE name = ? ORDER BY seq", name)

    def delete(self, name: str, cid: str | None, name_words: Sequence[str]) -> bool:
        """See ``Catalog``."""
        with self._writing() as db:
            gone = db.execute("DELETE FROM entries WHERE name = ? AND (cid = ? OR ? IS NULL)", (name, cid, cid))
            last = _one(db, "SELECT seq FROM entries WHERE name = ? ORDER BY seq DESC LIMIT 1", name)
            db.execute("UPDATE entries SET current = 1 WHERE seq = ?", (last,))
            _index(db, name, name_words)
            return gone.rowcount > 0

    def rename(self, old: str, new: str, old_words: Sequence[str], new_words: Sequence[str]) -> str:
        """See ``Catalog``."""
        with self._writing() as db:
            if _one(db, "SELECT 1 FROM entries WHERE name = ?", old) is None:
                return "missing"
            if _one(db, "SELECT 1 FROM entries WHERE name = ?", new) is not None:
                return "taken"
            db.execute("UPDATE entries SET name = ? WHERE name = ?", (new, old))
            _index(db, old, ())
            _index(db, new, new_words)
            return "done"

    # -- schemas

    def publish(self, draft: Draft, version: str | None, *, reuse: bool) -> str | None:
        """See ``Catalog``."""
        with self._writing() as db:
            if version is None and reuse:
                version = _one(db, _OF_SHAPE, draft.name, draft.shape)
                if version is not None:
                    return version
            if version is None:
                latest = _one(db, "SELECT version FROM schemas WHERE name = ? ORDER BY rank DESC LIMIT 1", draft.name)
                version = FIRST if latest is None else bump(latest)
            there = _one(db, "SELECT record FROM schemas WHERE name = ? AND rank = ?", draft.name, rank(version))
            if there is not None:
                return version if there == draft.record else None
            db.execute(
                "INSERT INTO schemas VALUES (?, ?, ?, ?, ?, ?)",
                (draft.name, rank(version), version, draft.record, draft.shape, draft.created),
            )
            return version

    def schema(self, name: str, version: str) -> StoredSchema | None:
        """See ``Catalog``."""
        row = self._first(f"SELECT {_SCHEMA} FROM schemas WHERE name = ? AND rank = ?", name, rank(version))
        return None if row is None else StoredSchema(*row)

    def latest_schema(self, name: str, *, below: str | None = None) -> StoredSchema | None:
        """See ``Catalog``."""
        limit = _LAST if below is None else rank(below)
        found = f"SELECT {_SCHEMA} FROM schemas WHERE name = ? AND rank < ? ORDER BY rank DESC LIMIT 1"
        row = self._first(found, name, limit)
        return None if row is None else StoredSchema(*row)

    def version_of_shape(self, name: str, shape: str) -> str | None:
        """See ``Catalog``."""
        row = self._first(_OF_SHAPE, name, shape)
        return None if row is None else row[0]

    def schemas(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[StoredSchema]:
        """See ``Catalog``."""
        name, version = after
        rows = self._all(
            f"SELECT {_SCHEMA} FROM schemas WHERE (name, rank) > (?, ?) ORDER BY name, rank LIMIT ?",
            *(name, rank(version) if version else "", limit),
        )
        return [StoredSchema(*row) for row in rows]

    def audit(self) -> list[str]:
        """See ``Catalog``."""
        with self._reading() as db:
            return audit_sqlite(db)

    # -- the file

    def _first(self, query: str, *values: Any) -> Row | None:
        with self._reading() as db:
            row: Row | None = db.execute(query, values).fetchone()
            return row

    def _all(self, query: str, *values: Any) -> list[Row]:
        with self._reading() as db:
            return db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                    self._release = weakref.finalize(self, self._connection.close)
                yield self._connection
            except sqlite3.Error as error:
                explained = self._explained(error)
                if explained is None:
                    raise
                raise explained from error

    @contextlib.contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with self._reading() as db:
            # a deferred transaction cannot wait when it turns from reading to writing
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexUnreachable(f"{self.url}: its folder cannot be made: {error}; name another place") from error
        options = self._options()
        db = sqlite3.connect(
            f"{self._path.as_uri()}?{options}",
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            db.execute(f"PRAGMA cache_size = -{CACHE >> 10}")
            if options == "mode=rwc":
                db.execute("PRAGMA synchronous = FULL")  # what was confirmed outlives a power cut
                _patiently(lambda: _prepare(db, self.url))
            else:
                _check_version(db, self.url, writable=False)
        except BaseException:
            db.close()
            raise
        return db

    def _options(self) -> str:
        # in this order: a file that another process makes meanwhile is one that may be written
        if not self._path.exists() or os.access(self._path, os.W_OK):
            return "mode=rwc"
        # readers of a log need to write beside it; without a log the file is all there is
        folder, log = self._path.parent, self._path.with_name(f"{self._path.name}-wal")
        return "mode=ro" if os.access(folder, os.W_OK) or log.exists() else "mode=ro&immutable=1"

    def _explained(self, error: sqlite3.Error) -> Exception | None:
        kind = getattr(error, "sqlite_errorname", "")
        if kind.startswith("SQLITE_READONLY"):
            return IndexReadOnly(f"{self.url} may be read and not written; ask its owner for write permission")
        if kind.startswith("SQLITE_FULL"):
            return IndexFull(f"{self.url}: its disk is full; nothing was changed. Free some space and try again")
        if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return IndexBusy(f"{self.url}: other writers held it for {PATIENCE:.0f} s; try again")
        if kind.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return IndexCorrupted(f"{self.url} is not an index or is damaged ({error}); restore it from a backup")
        if kind.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM")):
            return IndexUnreachable(
                f"{self.url} cannot be opened or read: {error} ({kind}). Is it a file, and may this user open it?"
            )
        return None


def _prepare(db: sqlite3.Connection, url: str) -> None:
    """Bring a file that may be written to the newest version of the tables."""
    if _check_version(db, url, writable=True) == len(MIGRATIONS):
        return
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[_check_version(db, url, writable=True) :]:
            for statement in migration.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _check_version(db: sqlite3.Connection, url: str, *, writable: bool) -> int:
    application, version = _one(db, "PRAGMA application_id"), _one(db, "PRAGMA user_version")
    if application != APPLICATION and _one(db, "SELECT 1 FROM sqlite_master") is not None:
        raise IndexCorrupted(f"{url} belongs to another program; choose another file for the index")
    if version > len(MIGRATIONS):
        raise IndexCorrupted(f"{url} was written by a newer release; run: pip install -U atdata-local")
    if version < len(MIGRATIONS) and not writable:
        raise IndexReadOnly(f"{url} is of an older release; somebody who may write it has to open it once")
    return int(version)


def _patiently(work: Callable[[], None]) -> None:
    """Repeat what SQLite gives up at once where two processes make the same file."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _one(db: sqlite3.Connection, query: str, *values: Any) -> Any:
    row = db.execute(query, values).fetchone()
    return None if row is None else row[0]


def _index(db: sqlite3.Connection, name: str, name_words: Sequence[str]) -> None:
    """Make the search tokens of a name those of its current entry; none where it has no entry."""
    db.execute("DELETE FROM words WHERE name = ?", (name,))
    words = _one(db, "SELECT words FROM entries WHERE name = ? AND current", name)
    if words is not None:
        tokens = {*words.split("\n"), *name_words} - {""}
        db.executemany("INSERT INTO words VALUES (?, ?)", [(name, token) for token in tokens])


# SQLite may not be used on both sides of a fork: files are closed before, and opened again when needed.
_open_catalogs: Final[weakref.WeakSet[SQLiteCatalog]] = weakref.WeakSet()
_held: list[SQLiteCatalog] = []


def _before_fork() -> None:
    for catalog in list(_open_catalogs):
        catalog._lock.acquire()
        _held.append(catalog)
        catalog.close()


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
