"""How many samples local shards hold."""

from __future__ import annotations

import contextlib
import os
import time
from functools import lru_cache
from pathlib import Path

from ..atomic import locked, replace_file
from ..errors import ManifestError
from ..shard.mapped import MappedShard
from . import Manifest, ShardFacts, read_manifest
from .sidecar import sidecar_bytes, sidecar_count, sidecar_name

# A file that changed just now may change again without looking changed: clocks of file systems tick slowly
_SETTLED_NS = 2_000_000_000


class Folders:
    """The manifests of folders, each looked up once."""

    def __init__(self) -> None:
        self._manifests: dict[Path, Manifest | None] = {}

    def facts(self, path: Path) -> ShardFacts | None:
        """What the manifest beside a shard says of it, whether that is still so or not."""
        folder = path.parent
        if folder not in self._manifests:
            self._manifests[folder] = None
            with contextlib.suppress(ManifestError):  # readers warn of it
                self._manifests[folder] = read_manifest(folder)
        manifest = self._manifests[folder]
        return None if manifest is None else manifest.shards.get(path.name)


def known_count(path: Path, status: os.stat_result, folders: Folders) -> int | None:
    """What manifest or sidecar know; None if neither fits the shard."""
    facts = folders.facts(path)
    if facts is not None and facts.bytes == status.st_size:
        return facts.samples
    return sidecar_count(path, status)


def scanned_count(path: Path, shard: str, status: os.stat_result) -> int:
    """The number of samples of a shard, from a scan of it, which a sidecar then saves the next one.

    Args:
        path: the shard.
        shard: its name, for messages.
        status: what the file system says of it.

    Raises:
        OSError: it cannot be opened.
        ShardCorrupted, MalformedSample: it is damaged.
    """
    if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
        return len(_scanned(path, shard))
    return _counted(path, shard, status.st_mtime_ns, status.st_size, status.st_ino)


def readable_count(path: Path, shard: str) -> int:
    """How many samples come before whatever is wrong with a shard."""
    try:
        return len(MappedShard(path, shard, scan=True))
    except OSError:
        return 0


def _scanned(path: Path, shard: str) -> MappedShard:
    mapped = MappedShard(path, shard, scan=True)
    if mapped.fault is not None:
        raise mapped.fault
    return mapped


@lru_cache(maxsize=100_000)
def _counted(path: Path, shard: str, *version: int) -> int:
    mapped = _scanned(path, shard)
    if mapped.plain:
        content = sidecar_bytes(mapped.starts, mapped.sizes, version[1], bytes(32))
        # a folder that may not be written to: then the next process scans it again
        with contextlib.suppress(OSError), locked(path.parent / ".atdata.lock"):
            replace_file(path.with_name(sidecar_name(path.name)), content)
    return len(mapped)
