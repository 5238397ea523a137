"""Sidecars: where each sample of a shard lies, in a small binary file beside it.

Layout, little-endian: ``ATDINDEX``, u64 bytes of the shard, 32 bytes of its sha-256 or as many zeros, u64 number of
samples n, n x u64 offsets of the samples' bytes, n x u64 their sizes.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..shard.tar import BLOCK
from . import ShardFacts

_HEAD = struct.Struct("<8sQ32sQ")
_MAGIC = b"ATDINDEX"


class Sidecar(NamedTuple):
    """Positions of a shard's samples.

    Attributes:
        starts: int64 (n,), where each sample's bytes begin, from the start of the shard.
        sizes: int64 (n,), how many bytes each has.
    """

    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


def sidecar_name(shard: str) -> str:
    """The file name of a shard's sidecar."""
    return f"{shard}.index"


def sidecar_bytes(starts: Sequence[int], sizes: Sequence[int], shard_bytes: int, sha256: bytes) -> bytes:
    """A sidecar's content."""
    head = _HEAD.pack(_MAGIC, shard_bytes, sha256, len(starts))
    return head + np.array([starts, sizes], "<u8").tobytes()


def sidecar_count(shard: Path, status: os.stat_result) -> int | None:
    """How many samples a shard has, as its sidecar says; None if there is none that fits it.

    Args:
        shard: the shard's path.
        status: what the file system says of it.
    """
    try:
        with open(shard.with_name(sidecar_name(shard.name)), "rb") as file:
            head, own = file.read(_HEAD.size), os.fstat(file.fileno())
    except OSError:
        return None
    if len(head) < _HEAD.size:
        return None
    magic, stated_bytes, digest, count = _HEAD.unpack(head)
    fits = magic == _MAGIC and stated_bytes == status.st_size and own.st_size == _HEAD.size + 16 * count
    # the digest is zero where a scan made it: then only age tells whether the shard is still that one
    return int(count) if fits and (any(digest) or own.st_mtime_ns >= status.st_mtime_ns) else None


def read_sidecar(shard: Path, facts: ShardFacts | None = None) -> Sidecar | None:
    """The sidecar of a shard, or None if there is none that fits it.

    One that belongs to other bytes (the size differs from the shard's, or digest or count from the manifest's) is
    ignored with a warning: it is a cache.

    Args:
        shard: the shard's path.
        facts: what the manifest says of the shard, if it says something.
    """
    path = shard.with_name(sidecar_name(shard.name))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        data = b""  # not even a file
    status = shard.stat()
    reason = _misfit(data, status.st_size, facts)
    if reason is None and not any(data[16:48]) and path.stat().st_mtime_ns < status.st_mtime_ns:
        reason = "the shard was changed after it was made"
    if reason is None:
        table = np.frombuffer(data, "<i8", offset=_HEAD.size).astype(np.int64, copy=False)
        starts, sizes = table.reshape(2, -1)
        if (starts >= BLOCK).all() and (sizes >= 0).all() and (sizes <= status.st_size - starts).all():
            return Sidecar(starts, sizes)
        reason = "it points outside the shard"
    warnings.warn(f"{path} is ignored: {reason}; the shard is scanned instead", stacklevel=2)
    return None


def _misfit(data: bytes, shard_bytes: int, facts: ShardFacts | None) -> str | None:
    if len(data) < _HEAD.size:
        return "it is truncated"
    magic, stated_bytes, digest, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + 16 * count:
        return "it is not an atdata sidecar, or is truncated"
    if stated_bytes != shard_bytes:
        return f"it is for a shard of {stated_bytes:,} bytes, this one has {shard_bytes:,}"
    told = any(digest)  # a sidecar that was made by scanning does not know it
    if facts is not None and ((told and digest.hex() != facts.sha256) or count != facts.samples):
        return "it is for a shard with another sha-256 or number of samples than the manifest's"
    return None
