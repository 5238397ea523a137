"""What all stores have in common: which shards can be copied as they are, and how others are made anew."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from .dataset import Dataset
from .errors import EmptyDataset, ShardCorrupted
from .find import place_of
from .keys import check_key, new_key
from .limits import Limits as Limits  # stores take them from here
from .manifest import ShardFacts, facts_of, read_manifest
from .sample import DictSample, packed_parts
from .schema.record import schema_by_cid
from .shard.array import Buffer
from .shard.reader import SUFFIX
from .shard.tar import BLOCK, END_OF_ARCHIVE, header
from .sources.download import Digest
from .sources.url import path_of
from .splits import split_of
from .write import ShardWriter

# A sample's key, where it has one, and the sample
Keyed: TypeAlias = "tuple[str | None, Any]"

# Shards that are made anew have at most so many bytes, where the user does not say
MAXSIZE = 1 << 30

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\{}]+")
_OWN_NAME = re.compile(r"[^/]+--([0-9a-f]{16})--\d{6,}\.tar")


class NothingStored(EmptyDataset, RuntimeError):
    """A dataset without samples was to be stored."""


def no_others(options: Mapping[str, Any]) -> None:
    """Refuse options that stores do not have.

    Raises:
        TypeError: there are some.
    """
    if options:
        raise TypeError(f"stores take cache_local, maxcount and maxsize; found {', '.join(sorted(options))}")


def folder_of(*parts: str) -> str:
    """The folder that prefixes name, one in the other; empty for none.

    Raises:
        ValueError: a part that cannot be the name of a folder.
    """
    names = [name for part in parts for name in part.split("/") if name]
    for name in names:
        if name in (".", "..") or not _PLAIN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be part of a prefix; use names such as 'datasets/mnist/v1'")
    return "/".join(names)


def shard_names(copied: Sequence[Ready] = ()) -> Callable[[int], str]:
    """Names for the shards of one dataset, which no other writer has.

    Args:
        copied: the shards, if they are copied as they are: names of copies tell the same split.
    """
    token = secrets.token_hex(8)
    splits = [split_of(place_of(shard.shard_id)) or "data" for shard in copied]
    return lambda number: f"{splits[number] if splits else 'data'}--{token}--{number:06d}.tar"


def writer_of(name: str) -> str | None:
    """What only the names that one writer gave have; None for the name of another program's object."""
    match = _OWN_NAME.fullmatch(name)
    return match[1] if match else None


# ------------------------------------------------------------------------------------------- as they are


@dataclass(frozen=True)
class Ready:
    """A shard that can be copied as it is.

    Attributes:
        shard_id: its identifier in its source.
        facts: what its manifest knows of it.
        record: its schema record, or None.
    """

    shard_id: str
    facts: ShardFacts
    record: dict[str, Any] | None


def ready_shards(ds: Dataset[Any], limits: Limits) -> list[Ready] | None:
    """All shards of a dataset, if they can be copied as they are: seen as what they hold, known, and within limits."""
    if ds._changes is not None:
        return None
    view = ds._view
    found = [known(ds.source, shard) for shard in ds.list_shards()]
    schema = next(iter(schema_by_cid(view.stored)), None)
    ready = [shard for shard in found if shard is not None]
    fit = all(limits.allow(shard.facts.samples, shard.facts.bytes) for shard in ready)
    same = view.stored is DictSample or all(schema is not None and shard.facts.schema == schema for shard in ready)
    return ready if fit and same and len(ready) == len(found) else None


def known(source: Any, shard: str) -> Ready | None:
    """A shard of a source, with what a manifest knows of it; None if none does."""
    if hasattr(source, "facts"):
        facts = source.facts(shard)
        return None if facts is None else Ready(shard, facts, source.schema(shard))
    path = path_of(source, shard)
    entry = facts_of(path) if path is not None else None
    manifest = read_manifest(path.parent) if path is not None else None
    if entry is None or manifest is None:
        return None
    return Ready(shard, entry, manifest.schemas.get(entry.schema or ""))


def schemas_of(ready: Sequence[Ready]) -> dict[str, dict[str, Any]]:
    """Schema records of shards by CID."""
    return {shard.facts.schema: shard.record for shard in ready if shard.facts.schema and shard.record is not None}


def check(name: str, size: int, sha256: str, expected: Digest | None) -> Digest:
    """What was copied, if it is what it must be.

    Raises:
        ShardCorrupted: it is not.
    """
    if expected is not None and (sha256 != expected.sha256 or size != expected.size):
        raise ShardCorrupted(
            f"what was read for {name} has sha256 {sha256} and {size:,} bytes where its manifest says "
            f"{expected.sha256} and {expected.size:,}; the shard has changed since, or is damaged"
        )
    return Digest(size, sha256)


# ---------------------------------------------------------------------------------------------- made anew


def keyed_samples(ds: Dataset[Any]) -> Iterator[Keyed]:
    """All samples of a dataset in order, each with its key."""
    return ds._keyed()


def write_anew(ds: Dataset[Any], folder: Path, limits: Limits) -> list[Path]:
    """Write a dataset's samples, under their own keys where these are good ones, into new shards of a folder.

    All are there in the end, and in the folder's manifest, or after an exception none.

    Args:
        ds: the dataset.
        folder: the folder; it is made if need be.
        limits: how large the shards may be.

    Returns:
        Their paths.

    Raises:
        NothingStored: there are no samples.
    """
    path = folder / f"data--{secrets.token_hex(8)}--%06d.tar"
    with ShardWriter(path, ds.sample_type, maxcount=limits.samples, maxsize=limits.bytes or MAXSIZE) as writer:
        for key, sample in keyed_samples(ds):
            try:
                writer.write(sample, key=key)
            except ValueError:  # a foreign key, or one that the shard has already
                writer.write(sample)
        if not writer.samples:
            raise NothingStored("the dataset has no samples, so nothing was stored")
    return [Path(shard) for shard in writer.dataset.list_shards()]


def schemas_for(ds: Dataset[Any]) -> Mapping[str, dict[str, Any]]:
    """The schema record of a dataset's samples by CID; empty where they have no form as a schema."""
    return schema_by_cid(ds.sample_type)


class Sink(Protocol):
    """Where the bytes of a shard go."""

    def write(self, data: Buffer, /) -> object:
        """Take bytes; they may change after the call."""
        ...


class TarStream:
    """A shard that is made in one go, into a sink.

    Args:
        sink: where its bytes go.
    """

    def __init__(self, sink: Sink) -> None:
        self.samples = 0
        self.bytes = 0
        self.first_key = ""
        self._sink = sink
        self._keys: set[str] = set()

    def add(self, key: str | None, sample: Any, limits: Limits) -> bool:
        """Append a sample, under its key if that is a good one. Returns False, and does nothing, if it has no room."""
        parts = packed_parts(sample)
        key = self._key(key)
        size = sum(map(len, parts))
        head = header(key + SUFFIX, size)
        total = self.bytes + len(head) + size + -size % BLOCK + len(END_OF_ARCHIVE)
        if self.samples and not limits.allow(self.samples + 1, total):
            return False
        self._write(head, *parts, bytes(-size % BLOCK))
        self._keys.add(key)
        self.first_key = self.first_key or key
        self.samples += 1
        return True

    def fill(self, held: Keyed | None, samples: Iterator[Keyed], limits: Limits) -> Keyed | None:
        """Append a sample and those that follow, and end the archive. Returns the first that has no room, or None."""
        while held is not None and self.add(held[0], held[1], limits):
            held = next(samples, None)
        self._write(END_OF_ARCHIVE)
        return held

    def _key(self, key: str | None) -> str:
        try:
            if key is not None:
                check_key(key)
        except ValueError:
            key = None  # a foreign one
        return new_key() if key is None or key in self._keys else key

    def _write(self, *parts: Buffer) -> None:
        for part in parts:
            self._sink.write(part)
            self.bytes += len(part)
