"""NumPy files: a sample for each entry along the first axis, read a few at a time."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import RowError
from .infer import ndarray, primitive
from .rows import Row, field_names

# Bytes that are read at a time
_BLOCK = 1 << 20
_PRIMITIVES = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str", "S": "bytes"}


class _Header(NamedTuple):
    """What an array is."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


class ArrayRows:
    """The arrays of a ``.npy`` or ``.npz`` file, each a field, and along their first axis the rows.

    Args:
        path: the file.
    """

    text = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive = path.suffix.lower() == ".npz" or zipfile.is_zipfile(path)
        with self._opened() as streams:
            self._headers = {name: self._header(name, stream) for name, stream in streams.items()}
        lengths = {name: header.shape[0] if header.shape else None for name, header in self._headers.items()}
        if not lengths or None in lengths.values() or len({*lengths.values()}) > 1:
            shapes = ", ".join(f"{name} {header.shape}" for name, header in self._headers.items()) or "nothing"
            raise RowError(f"{path.name} holds {shapes}; arrays become samples along a first axis of one length")
        self.count: int | None = next(iter(lengths.values()))

    @contextlib.contextmanager
    def _opened(self) -> Generator[dict[str, IO[bytes]]]:
        with contextlib.ExitStack() as stack:
            try:
                yield self._streams(stack)
            except (zipfile.BadZipFile, EOFError) as error:
                raise RowError(f"{self._path.name} is damaged: {error}") from error

    def _streams(self, stack: contextlib.ExitStack) -> dict[str, IO[bytes]]:
        if not self._archive:
            (name,) = field_names([self._path.stem], self._path.name)
            return {name: stack.enter_context(open(self._path, "rb"))}
        archive = stack.enter_context(zipfile.ZipFile(self._path))
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        names = field_names([name.removesuffix(".npy") for name in members], self._path.name)
        return {name: stack.enter_context(archive.open(member)) for name, member in zip(names, members, strict=True)}

    def _header(self, name: str, stream: IO[bytes]) -> _Header:
        try:
            version = np.lib.format.read_magic(stream)
            read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else _read_later_header(version)
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            raise RowError(f"{self._path.name} holds no array in {name}: {error}") from error
        if dtype.hasobject:
            raise RowError(
                f"{name} in {self._path.name} holds Python objects, which only a pickle could restore, and that may "
                "run any code; save it as numbers or text"
            )
        return _Header(shape, fortran, dtype)

    def fields(self) -> list[dict[str, Any]]:
        """See ``Rows``."""
        return [self._field(name, header) for name, header in self._headers.items()]

    def _field(self, name: str, header: _Header) -> dict[str, Any]:
        kind = _PRIMITIVES.get(header.dtype.kind) if len(header.shape) == 1 else None
        wide = header.dtype == np.longdouble and header.dtype.itemsize > 8
        made = ndarray(header.dtype, name) if kind is None or wide else primitive(kind)
        return {"name": name, "fieldType": made, "optional": False}

    def __iter__(self) -> Iterator[Row]:
        with self._opened() as streams:
            entries = [self._entries(name, stream) for name, stream in streams.items()]
            for number, values in enumerate(zip(*entries, strict=True)):
                yield Row(f"{self._path.name}, entry {number:,}", dict(zip(streams, values, strict=True)))

    def _entries(self, name: str, stream: IO[bytes]) -> Iterator[Any]:
        """The entries of an array, each its own memory."""
        shape, fortran, dtype = self._header(name, stream)
        if fortran and len(shape) > 1:  # an entry lies all over the file
            whole = np.frombuffer(_exactly(stream, math.prod(shape) * dtype.itemsize, name), dtype)
            yield from map(np.ascontiguousarray, whole.reshape(shape, order="F"))
            return
        each = math.prod(shape[1:]) * dtype.itemsize
        step, length = max(1, _BLOCK // max(1, each)), self.count or 0
        for start in range(0, length, step):
            count = min(step, length - start)
            block = np.frombuffer(_exactly(stream, count * each, name), dtype).reshape(count, *shape[1:])
            yield from block.tolist() if dtype.kind in _PRIMITIVES and len(shape) == 1 else map(np.array, block)


def _read_later_header(version: tuple[int, int]) -> Any:
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0
    # version 3 differs in the encoding of field names, which records have and samples do not
    raise ValueError(f"version {version[0]}.{version[1]} of the format is for records")


def _exactly(stream: IO[bytes], size: int, name: str) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError(f"{name} ends {size - len(data):,} bytes too soon")
    return data
