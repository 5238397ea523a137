"""``BoxStore``: shards are kept in a box."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atdata import Dataset
from atdata.manifest import ShardFacts, facts_of
from atdata.sources.download import Digest
from atdata.storing import Limits, check, folder_of, no_others, ready_shards, shard_names, write_anew

from .box import Place, opened
from .source import BoxSource

# SQLite holds no more than a billion bytes in one value, unless it is built for more
_MOST = 500_000_000


class BoxStore:
    """Shards in one SQLite file.

    Args:
        path: the file; it is made when it is needed.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()

    def write_shards(
        self,
        ds: Dataset[Any],
        *,
        prefix: str,
        cache_local: bool = False,
        maxcount: int | None = None,
        maxsize: int | None = None,
        **options: Any,
    ) -> list[str]:
        """Keep a dataset's shards: all, or after an exception none.

        They are gathered in a folder, copied byte by byte where they may be, and then put in by one transaction.

        Raises:
            NothingStored: the dataset has no samples.
            ShardCorrupted: a shard is not what its manifest says.
        """
        no_others(options)
        limits = Limits(maxcount, _MOST if maxsize is None else min(maxsize, _MOST))
        folder = folder_of(prefix)
        with tempfile.TemporaryDirectory(prefix="atdata-box-") as room:
            found = _copied(ds, limits, Path(room)) or _known(write_anew(ds, Path(room), limits))
            names = [f"{folder}/{facts.name}".lstrip("/") for facts in found]
            with opened(self._path, write=True) as box:
                for name, facts in zip(names, found, strict=True):
                    row = box.execute(
                        "INSERT INTO shards VALUES (?, zeroblob(?), ?, ?, ?, ?, ?)",
                        (name, facts.bytes, facts.samples, facts.bytes, facts.sha256, facts.first_key, facts.schema),
                    ).lastrowid
                    with box.blobopen("shards", "data", row or 0) as blob, open(Path(room, facts.name), "rb") as file:
                        while block := file.read(1 << 20):
                            blob.write(block)
        return [str(Place(self._path, name)) for name in names]

    def read_url(self, url: str) -> str:
        """The URL itself: ``Dataset`` knows the scheme."""
        return url

    def supports_streaming(self) -> bool:
        """True."""
        return True

    def source(self, urls: Sequence[str]) -> BoxSource:
        """A source of shards of this store.

        Raises:
            ValueError: one that is not in it.
        """
        for url in urls:
            self._name(url)
        return BoxSource(urls)

    def shard_facts(self, urls: Sequence[str]) -> list[ShardFacts] | None:
        """What is known of shards, or None if one is not there."""
        facts = []
        with opened(self._path) as box:
            for url in urls:
                columns = "name, samples, bytes, sha256, first_key, schema"
                row = box.execute(f"SELECT {columns} FROM shards WHERE name = ?", (self._name(url),)).fetchone()
                if row is None:
                    return None
                facts.append(ShardFacts(*row))
        return facts

    def delete_shards(self, urls: Sequence[str]) -> None:
        """Remove shards.

        Raises:
            ValueError: one that is not in this store; then none is removed.
        """
        names = [(self._name(url),) for url in urls]
        with opened(self._path, write=True) as box:
            box.executemany("DELETE FROM shards WHERE name = ?", names)

    def _name(self, url: str) -> str:
        place = Place.of(url)
        if place.box != self._path:
            raise ValueError(f"{url!r} is not in {self!r}")
        return place.name

    def __repr__(self) -> str:
        return f"BoxStore({str(self._path)!r})"


def open_store(url: str, **_: Any) -> BoxStore:
    """The store of a URL such as ``box:///home/me/team.box``."""
    return BoxStore(url.removeprefix("box://"))


def _copied(ds: Dataset[Any], limits: Limits, room: Path) -> list[ShardFacts]:
    """Copy shards as they are; none if that is not what was asked for."""
    found, name = [], shard_names()
    for number, shard in enumerate(ready_shards(ds, limits) or []):
        path = room / name(number)
        with ds.source.open_shard(shard.shard_id) as stream, open(path, "xb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        known = shard.facts
        check(shard.shard_id, path.stat().st_size, sha256, Digest(known.bytes, known.sha256))
        found.append(ShardFacts(path.name, known.samples, known.bytes, sha256, known.first_key, known.schema))
    return found


def _known(paths: Sequence[Path]) -> list[ShardFacts]:
    """What the manifest of the folder that shards were written to knows of them: all there is."""
    return [known for path in paths if (known := facts_of(path)) is not None]
