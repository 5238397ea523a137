"""The samples of a shard: members named ``<key>.msgpack``, in order, as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

from ..errors import AtdataError, MalformedSample
from .tar import Member, TarReader

SUFFIX = ".msgpack"


class Record(NamedTuple):
    """One sample as it is stored.

    Attributes:
        shard: name of its shard, or None if it did not come from one.
        key: its key in the shard, or None.
        offset: where its tar header begins, in bytes, or None.
        payload: its msgpack bytes.
    """

    shard: str | None
    key: str | None
    offset: int | None
    payload: bytes


def _group(name: str) -> str | None:
    """What WebDataset takes as the sample that a member belongs to; None for members that belong to none."""
    folder, _, base = name.rpartition("/")
    stem, dot, _ = base.partition(".")
    if not dot or not stem or name.startswith("__"):
        return None  # no extension, hidden, or WebDataset's own metadata
    return f"{folder}/{stem}"


def read_records(stream: IO[bytes], shard: str) -> Iterator[Record]:
    """Yield the samples of a shard.

    Members of other extensions beside a sample's ``.msgpack`` are ignored.

    Args:
        stream: the shard; only ``read`` is used.
        shard: its name, for messages.

    Raises:
        ShardCorrupted: not a tar, or truncated; names the offset.
        MalformedSample: a sample has no ``.msgpack`` member; names the key.
    """
    # the first member of a group of foreign members that has had no .msgpack so far
    orphan: Member | None = None
    current: str | None = None
    tar = TarReader(stream)
    try:
        for member in tar:
            group = _group(member.name)
            if group is None:
                continue
            if group != current:
                _refuse(orphan)
                orphan = member
                current = group
            if member.name.endswith(SUFFIX):
                orphan = None
                key = member.name[: -len(SUFFIX)]
                yield Record(shard, key, member.offset, tar.content(member))
        _refuse(orphan)
    except AtdataError as error:
        error.at(shard=shard)
        raise


def _refuse(orphan: Member | None) -> None:
    if orphan is not None:
        raise MalformedSample(
            f"Malformed sample: 'msgpack' field not found; its first member is {orphan.name!r}. "
            "Write samples with atdata.write_samples, or with sample.as_wds and a WebDataset writer"
        ).at(key=orphan.name.rpartition("/")[2].partition(".")[0], offset=orphan.offset)
