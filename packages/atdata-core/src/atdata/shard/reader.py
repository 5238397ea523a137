"""The samples of a shard: members named ``<key>.msgpack``, in order, as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import AtdataError, MalformedSample
from .tar import Member, Readable, TarReader

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


def group_of(name: str) -> str | None:
    """What WebDataset takes as the sample that a member belongs to; None for members that belong to none."""
    folder, _, base = name.rpartition("/")
    stem, dot, _ = base.partition(".")
    top = name.partition("/")[0]
    if not dot or not stem or (top.startswith("__") and top.endswith("__") and len(top) > 3):
        return None  # no extension, hidden, or WebDataset's own metadata
    return f"{folder}/{stem}" if folder else stem


def read_records(stream: Readable, shard: str, *, position: int = 0, previous: str = "") -> Iterator[Record]:
    """Yield the samples of a shard.

    Members of other extensions beside a sample's ``.msgpack`` are ignored.

    Args:
        stream: the shard; only ``read`` is used.
        shard: its name, for messages.
        position: where the stream begins in the shard, in bytes; there must be a header there.
        previous: name of the member before that.

    Raises:
        ShardCorrupted: not a tar, or truncated; names the offset.
        MalformedSample: a sample has no ``.msgpack`` member; names the key.
    """
    tar = TarReader(stream, position)
    try:
        for member in sample_members(tar, previous):
            yield Record(shard, member.name[: -len(SUFFIX)], member.offset, tar.content(member))
    except AtdataError as error:
        error.at(shard=shard)
        raise


def sample_members(tar: TarReader, previous: str = "") -> Iterator[Member]:
    """The members of a tar that are samples.

    Args:
        tar: the tar.
        previous: name of the member before its first.

    Raises:
        ShardCorrupted: not a tar, or truncated.
        MalformedSample: a sample has no ``.msgpack`` member.
    """
    # the first member of a group of foreign members that has had no .msgpack so far
    orphan: Member | None = None
    current = group_of(previous)
    for member in tar:
        group = group_of(member.name)
        if group is None:
            continue
        if group != current:
            _refuse(orphan)
            orphan = None if group.startswith("__") else member  # such as __meta__.json
            current = group
        if member.name.endswith(SUFFIX):
            orphan = None
            yield member
    _refuse(orphan)


def _refuse(orphan: Member | None) -> None:
    if orphan is not None:
        raise MalformedSample(
            f"Malformed sample: 'msgpack' field not found; its first member is {orphan.name!r}. "
            "Write samples with atdata.write_samples, or with sample.as_wds and a WebDataset writer"
        ).at(key=group_of(orphan.name), offset=orphan.offset)
