"""Samples that know their number, and shards of them."""

import io
from pathlib import Path

import numpy as np
import ormsgpack
from numpy.typing import NDArray

import atdata
from atdata.manifest import read_manifest

COUNT, BATCH = 50, 4


@atdata.packable
class Item:
    number: int
    vector: NDArray[np.float32]


@atdata.packable
class Number:
    number: int


def item(number):
    return Item(number=number, vector=np.full(3, number, np.float32))


class Handmade:
    """A sample type that only has the protocol's members."""

    def __init__(self, number):
        self.number = number

    @classmethod
    def from_data(cls, data):
        return cls(data["number"])

    @classmethod
    def from_bytes(cls, bs):
        return cls.from_data(ormsgpack.unpackb(bs))

    @property
    def packed(self):
        return ormsgpack.packb({"number": self.number})

    @property
    def as_wds(self):
        return {"__key__": str(self.number), "msgpack": self.packed}


def many_items(folder):
    """50 of them, in shards of 7."""
    return atdata.write_samples(map(item, range(COUNT)), folder / "data-%06d.tar", maxcount=7)


def numbers(found):
    """The numbers of samples, or those of each batch."""
    return [each.number for each in found]


class Elsewhere:
    """Shards that can only be read from front to back."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.opened = []

    def list_shards(self):
        return [path.name for path in sorted(self.folder.glob("*.tar"))]

    def open_shard(self, shard):
        self.opened.append(shard)
        return io.BytesIO((self.folder / shard).read_bytes())


def elsewhere(folder, sample_type=Item):
    """A dataset of such shards, whose manifest is known."""
    return atdata.Dataset.of(sample_type, Elsewhere(folder), read_manifest(folder).shards)
