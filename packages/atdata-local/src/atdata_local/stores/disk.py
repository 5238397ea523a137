"""``DiskDataStore``: shards in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atdata import Dataset, URLSource
from atdata.copying import copy_shards, originals
from atdata.manifest import Manifest, manifest_lock, merge_into_manifest, read_manifest
from atdata.manifest.sidecar import sidecar_name
from atdata.sources.url import local_path
from atdata.storing import Limits, NothingStored, folder_of, ready_shards, shard_names, write_anew

from .base import ShardStore
from .leftovers import Leftover, left_on_disk, remove_from_disk


class DiskDataStore(ShardStore):
    """Shards in a folder of this machine, or of a file system that several mount.

    Args:
        root: the folder, as a path or ``file:`` URL; it is made when it is needed.
        prefix: a folder in it, for all that is stored.

    Raises:
        ValueError: a URL of another machine, or a prefix that leads out of the folder.

    Examples:
        >>> import atdata, tempfile
        >>> from atdata_local import DiskDataStore
        >>> store = DiskDataStore(tempfile.mkdtemp())
        >>> dataset = atdata.write_samples([{"text": "a"}], tempfile.mkdtemp() + "/a.tar")
        >>> urls = store.write_shards(dataset, prefix="letters/v1")
        >>> len(atdata.Dataset(urls).head())
        1
    """

    def __init__(self, root: str | os.PathLike[str], *, prefix: str = "") -> None:
        path = local_path(os.fspath(root)) if isinstance(root, str) else Path(root)
        if path is None:
            raise ValueError(f"{root!r} is not a folder of this machine; name a path or a file: URL")
        super().__init__(prefix)
        self._root = path.expanduser().absolute()

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._root.as_uri()

    def _write(self, ds: Dataset[Any], folder: str, limits: Limits, spool: bool) -> list[str]:
        there = self._root / folder
        ready = ready_shards(ds, limits)
        if ready is not None and not sum(shard.facts.samples for shard in ready):
            raise NothingStored("the dataset has no samples, so nothing was stored")
        if ready is not None:
            return [path.as_uri() for path in copy_shards(originals(ds), there, shard_names(ready))]
        return [path.as_uri() for path in write_anew(ds, there, limits)]

    def read_url(self, url: str) -> str:
        """The URL itself: its files can be read by all who may."""
        return url

    def source(self, urls: Sequence[str]) -> URLSource:
        """A data source of shards that this store gave out.

        Raises:
            ValueError: one that is not in this store.
        """
        for url in urls:
            self._path(url)
        return URLSource(list(urls))

    def delete_shards(self, urls: Sequence[str]) -> None:
        """Remove shards that this store gave out, and what the manifest says of them.

        Raises:
            ValueError: one that is not in this store; then none is removed.
        """
        paths = [self._path(url) for url in urls]
        for folder in dict.fromkeys(path.parent for path in paths):
            names = [path.name for path in paths if path.parent == folder]
            with manifest_lock(folder):
                merge_into_manifest(folder, [], {}, remove=names)
                for name in names:
                    (folder / name).unlink(missing_ok=True)
                    (folder / sidecar_name(name)).unlink(missing_ok=True)

    def list_objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """``file:`` URL and bytes of every file below a prefix; hidden ones are left out."""
        folder = self._root / folder_of(self._prefix, prefix)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self._root).parts):
                yield path.as_uri(), path.stat().st_size

    def read_manifest(self, url: str) -> Manifest | None:
        """The manifest at a URL, or None if it is somebody else's."""
        return read_manifest(self._path(url).parent)

    def _leftovers(self, folder: str) -> list[Leftover]:
        return left_on_disk(self._root / folder)

    def _remove(self, dead: Sequence[Leftover]) -> list[Leftover]:
        return remove_from_disk(dead)

    def _path(self, url: str) -> Path:
        path = local_path(url)
        if path is None or self._root not in path.parents or ".." in path.parts:
            raise ValueError(f"{url!r} is not in {self!r}")
        return path

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DiskDataStore):
            return NotImplemented
        return (self._root, self._prefix) == (other._root, other._prefix)

    def __hash__(self) -> int:
        return hash((self._root, self._prefix))

    def __repr__(self) -> str:
        prefix = f", prefix={self._prefix!r}" if self._prefix else ""
        return f"DiskDataStore({str(self._root)!r}{prefix})"


def open_store(url: str, **options: Any) -> DiskDataStore:
    """The store of a ``file:`` URL."""
    return DiskDataStore(url, **options)
