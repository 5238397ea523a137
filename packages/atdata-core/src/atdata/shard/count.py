"""How many samples local shards hold."""

from __future__ import annotations

import contextlib
import os
import time
from functools import lru_cache
from pathlib import Path

from ..atomic import locked, replace_file
from ..errors import ManifestError
from .manifest import ShardFacts, facts_of, read_manifest
from .mapped import MappedShard
from .sidecar import sidecar_bytes, sidecar_count, sidecar_name

# A file that changed just now may change again without looking changed: clocks of file systems tick slowly
_SETTLED_NS = 2_000_000_000


def known_count(path: Path) -> int | None:
    """What manifest or sidecar know; None if neither fits the shard.

    Raises:
        OSError: there is no such file.
    """
    facts = _facts(path)
    return facts.samples if facts is not None else sidecar_count(path)


def count_samples(path: Path, shard: str) -> int:
    """The number of samples of a shard, from one scan of it if need be, which a sidecar then saves the next one.

    Args:
        path: the shard.
        shard: its name, for messages.

    Raises:
        OSError: it cannot be opened.
        ShardCorrupted, MalformedSample: it is damaged.
    """
    known = known_count(path)
    if known is not None:
        return known
    status = os.stat(path)
    if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
        return len(_scanned(path, shard))
    return _counted(path, shard, status.st_mtime_ns, status.st_size, status.st_ino)


def _scanned(path: Path, shard: str) -> MappedShard:
    mapped = MappedShard(path, shard)
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


def lasting_count(path: Path) -> int | None:
    """How many samples a damaged or missing shard should have; None if nothing tells."""
    with contextlib.suppress(ManifestError):
        manifest = read_manifest(path.parent)
        if manifest is not None and path.name in manifest.shards:
            return manifest.shards[path.name].samples
    return None


def _facts(path: Path) -> ShardFacts | None:
    try:
        return facts_of(path)
    except ManifestError:
        return None  # readers warn of it
