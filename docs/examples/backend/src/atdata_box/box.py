"""The file: its tables, and the URLs of what is in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

_TABLES = """
CREATE TABLE IF NOT EXISTS shards (
    name TEXT PRIMARY KEY, data BLOB NOT NULL, samples INTEGER, bytes INTEGER, sha256 TEXT, first_key TEXT, schema TEXT
);
CREATE TABLE IF NOT EXISTS schemas (name TEXT, version TEXT, record TEXT NOT NULL, PRIMARY KEY (name, version));
CREATE TABLE IF NOT EXISTS datasets (
    name TEXT PRIMARY KEY, schema_ref TEXT NOT NULL, urls TEXT NOT NULL, metadata TEXT
);
"""
# Seconds that one writer waits for another
_PATIENCE = 60


class Place(NamedTuple):
    """A shard in a box: ``box:///home/me/team.box!/words/a.tar``."""

    box: Path
    name: str

    @classmethod
    def of(cls, url: str) -> Place:
        """The place that a URL stands for.

        Raises:
            ValueError: it is no such URL.
        """
        box, mark, name = url.removeprefix("box://").partition("!/")
        if not url.startswith("box:///") or not mark or not name:
            raise ValueError(f"{url!r} is not like box:///folder/file.box!/name.tar")
        return cls(Path(unquote(box)), unquote(name))

    def __str__(self) -> str:
        return f"box://{quote(str(self.box))}!/{quote(self.name)}"


@contextmanager
def opened(box: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to the file; with ``write``, in a transaction that happens as a whole or not at all."""
    connection = sqlite3.connect(box, timeout=_PATIENCE, isolation_level=None)
    try:
        if write:
            connection.executescript(_TABLES)
            connection.execute("BEGIN IMMEDIATE")
        yield connection
        if write:
            connection.execute("COMMIT")
    finally:
        connection.close()  # what is not committed is undone
