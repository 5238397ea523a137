"""``BoxSource``: shards in a box, as a source of datasets."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Sequence
from typing import IO, Any, cast

from atdata.sources import ShardSource

from .box import Place


class BoxSource(ShardSource):
    """Shards by their URLs.

    Args:
        urls: such as ``box:///home/me/team.box!/words/a.tar``.

    Raises:
        ValueError: a URL that is not like that.
    """

    def __init__(self, urls: Sequence[str], **_: Any) -> None:
        self._places = {url: Place.of(url) for url in urls}

    def list_shards(self) -> list[str]:
        """The URLs."""
        return list(self._places)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """A stream of one shard's bytes.

        Raises:
            KeyError: it is not one of the source's URLs.
            FileNotFoundError: the box has no such shard.
        """
        return cast("IO[bytes]", io.BufferedReader(_Stream(self._places[shard_id]), 1 << 20))


class _Stream(io.RawIOBase):
    """A blob of SQLite, which is read in pieces and never as a whole. Each has a connection of its own."""

    def __init__(self, place: Place) -> None:
        if not place.box.exists():
            raise FileNotFoundError(f"there is no file {place.box}")
        self._connection = sqlite3.connect(f"{place.box.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        row = self._connection.execute("SELECT rowid FROM shards WHERE name = ?", (place.name,)).fetchone()
        if row is None:
            self._connection.close()
            raise FileNotFoundError(f"{place.box} has no shard {place.name!r}")
        self._blob = self._connection.blobopen("shards", "data", row[0], readonly=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._blob.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._blob.close()
            self._connection.close()
        super().close()
