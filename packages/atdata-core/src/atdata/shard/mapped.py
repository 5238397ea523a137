"""Local shards with the positions of their samples, for reading in any order."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import sys
import warnings
from array import array
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import AtdataError, ManifestError, ShardCorrupted
from ..manifest import ShardFacts, read_manifest
from ..manifest.sidecar import read_sidecar
from .blocks import Where
from .reader import SUFFIX, Record, sample_members
from .scan import Bytes, scan
from .tar import BLOCK, TarReader

_WINDOW = 16 << 20
_READ_WHOLE = 1 << 20


def _mapped(file: io.FileIO, size: int) -> mmap.mmap | io.BytesIO:
    """A file's content. Small files are read, since every mapping may hold one of few descriptors."""
    if size <= _READ_WHOLE:
        return io.BytesIO(file.readall())
    if sys.version_info >= (3, 13):
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _facts(path: Path) -> ShardFacts | None:
    try:
        manifest = read_manifest(path.parent)
    except ManifestError as error:
        warnings.warn(f"{error}; {path.name} is read without it", stacklevel=2)
        return None
    return manifest.shards.get(path.name) if manifest else None


class MappedShard:
    """A shard on this machine, mapped, and where its samples are.

    Positions come from the sidecar if there is one that fits, else from one scan.

    Args:
        path: the shard.
        shard: its name, for messages.
        scan: whether to scan it even if there is a sidecar.

    Attributes:
        starts: where the bytes of each sample begin, as a memoryview of int64: small, and quick to index.
        sizes: how many each has, likewise.
        scanned: whether the positions come from the shard itself, not from a sidecar.
        fault: what is wrong with the shard behind the last of these samples, or None.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, shard: str, *, scan: bool = False) -> None:
        self.shard = shard
        self.starts = memoryview(array("q"))
        self.sizes = self.starts
        self.scanned = True
        self._heads = self.starts
        self._names: dict[int, str] = {}  # of samples that do not have it in the header before them
        self.fault: AtdataError | None = None
        self._path = path
        with open(path, "rb", buffering=0) as file:
            self._status = os.fstat(file.fileno())
            if self._status.st_size == 0:  # an empty file cannot be mapped
                self.fault = ShardCorrupted("empty: 0 bytes is not a tar, perhaps a write or download that failed")
                self.fault.at(shard=shard)
                return
            self._map = _mapped(file, self._status.st_size)
        # getvalue() is the very bytes that were read, and unlike getbuffer() no export that outlives its owner
        self.view = memoryview(self._map.getvalue() if isinstance(self._map, io.BytesIO) else self._map)
        sidecar = None if scan else read_sidecar(path, _facts(path))
        if sidecar is None:
            self._scan(np.frombuffer(self.view, np.uint8))
        else:
            self.scanned = False
            self.starts, self.sizes = sidecar.starts.data, sidecar.sizes.data

    def check(self) -> None:
        """Refuse to go on with a file that became shorter: touching a mapping behind its end kills the process.

        Raises:
            ShardCorrupted: it did.
        """
        with contextlib.suppress(FileNotFoundError):  # what is mapped stays when the name goes
            now = os.stat(self._path)
            if os.path.samestat(now, self._status) and now.st_size < self._status.st_size:
                raise ShardCorrupted("truncated: the file became shorter while it was read").at(shard=self.shard)

    def reopen(self) -> int | None:
        """A descriptor of the file, which the caller closes; None if its name now is another file's."""
        try:
            fd = os.open(self._path, os.O_RDONLY)
        except OSError:
            return None
        if os.path.samestat(os.fstat(fd), self._status):
            return fd
        os.close(fd)
        return None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def plain(self) -> bool:
        """Whether a sidecar can hold these positions: whole names are in the headers before the samples."""
        return self.fault is None and not self._names

    def _scan(self, data: Bytes) -> None:
        heads, starts, sizes = array("q"), array("q"), array("q")
        position, width = 0, _WINDOW
        while True:
            members = scan(data[position : position + width])
            heads.frombytes((members.heads + position).tobytes())
            starts.frombytes((members.starts + position).tobytes())
            sizes.frombytes(members.sizes.tobytes())
            position += members.end
            if not members.end:
                if members.wanted <= width or position + width >= len(data):
                    break
                width = members.wanted
        self._map.seek(position)
        previous = self._name(starts[-1]) if starts else ""
        try:
            for member in sample_members(TarReader(self._map, position), previous):
                if member.start + member.size <= len(data):  # else the reader finds that it is cut off
                    self._names[member.start] = member.name
                    heads.append(member.offset)
                    starts.append(member.start)
                    sizes.append(member.size)
        except AtdataError as error:
            self.fault = error.at(shard=self.shard)
        self._heads, self.starts, self.sizes = memoryview(heads), memoryview(starts), memoryview(sizes)

    def release(self) -> None:
        """Give back the memory that looking for samples took, where their bytes are read in another way."""
        if isinstance(self._map, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _name(self, start: int) -> str:
        if start in self._names:
            return self._names[start]
        header = bytes(self.view[start - BLOCK : start - BLOCK + 100])
        return header.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def where(self, row: int) -> Where:
        """Where one sample is, for messages."""
        start = self.starts[row]
        if self.scanned:
            return Where(self.shard, self._name(start).removesuffix(SUFFIX), self._heads[row])
        name = self._name(start)
        before = bytes(self.view[max(0, start - 3 * BLOCK) : start - BLOCK])
        extended = before[257:262] == b"ustar" and before[156:157] in (b"x", b"L")
        if name.isascii() and name.endswith(SUFFIX) and not extended and not self.view[start - BLOCK + 345]:
            return Where(self.shard, name.removesuffix(SUFFIX), start - BLOCK)
        return self._wheres.get(start) or Where(self.shard, None, start - BLOCK)

    @cached_property
    def _wheres(self) -> dict[int, Where]:
        """All samples, by where they begin, from a walk over the whole shard: the names are not all in one header."""
        self._map.seek(0)
        found = {}
        with contextlib.suppress(AtdataError):
            for member in sample_members(TarReader(self._map)):
                found[member.start] = Where(self.shard, member.name.removesuffix(SUFFIX), member.offset)
        return found

    def record(self, row: int) -> Record:
        """One sample, copied."""
        return Record(*self.where(row), bytes(self.payload(row)))

    def payload(self, row: int) -> memoryview:
        """The bytes of one sample."""
        start = self.starts[row]
        return self.view[start : start + self.sizes[row]]
