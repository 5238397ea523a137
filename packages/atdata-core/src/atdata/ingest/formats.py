"""Which reader a source needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, cast

from ..errors import RowError, ShardNotFound
from .rows import Rows

SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".npy": "npy",
    ".npz": "npz",
}
FORMATS: Final = ("images", "csv", "tsv", "jsonl", "parquet", "npy", "npz")
_STREAMS: Final = ("csv", "tsv", "jsonl")


def open_rows(
    source: str | os.PathLike[str] | IO[bytes], format: str | None = None, *, delimiter: str = "", encoded: bool = False
) -> Rows:
    """Data from elsewhere.

    Args:
        source: a folder of images, a file, or a stream of CSV or JSON lines.
        format: one of ``FORMATS``; by default what the name, or the start of a stream, tells.
        delimiter: what divides the cells of CSV, by default a comma.
        encoded: keep images as the bytes of their files.

    Raises:
        RowError: a format that is none, or cannot be told.
        ShardNotFound: there is no such file; a ``FileNotFoundError``.
        BackendNotInstalled: a library that the format needs is not installed.
    """
    if format not in (None, *FORMATS):
        raise RowError(f"{format!r} is none of the formats {', '.join(FORMATS)}")
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    if path is not None and not path.exists():
        raise ShardNotFound(
            f"there is no {path!s:.300}; name a file or a folder of images, or - for what comes by a pipe"
        )
    kind = format or (_of_stream(source) if path is None else _of_path(path))
    if path is None and kind not in _STREAMS:
        raise RowError(f"{kind} is not read from a stream; {', '.join(_STREAMS)} are. Save it to a file first")
    if delimiter and kind not in ("csv", "tsv"):
        raise RowError(f"a delimiter is for CSV; this is {kind}")
    if kind in _STREAMS:
        from .text import CSVRows, JSONRows

        given = path or cast("IO[bytes]", source)
        return JSONRows(given) if kind == "jsonl" else CSVRows(given, delimiter or _DELIMITERS[kind])
    assert path is not None
    return _READERS[kind](path, encoded)


_DELIMITERS: Final = {"csv": ",", "tsv": "\t"}


def _of_path(path: Path) -> str:
    if path.is_dir():
        return "images"
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise RowError(
            f"{path.name!r:.120} does not tell its format; names end in {known}. Say --format, "
            "or unpack what is compressed: gunzip -c FILE | atdata write - DIR"
        )
    return kind


def _of_stream(stream: Any) -> str:
    """What a stream holds, from its first byte, which stays in it."""
    if not hasattr(stream, "peek"):
        raise RowError("this stream does not tell its format; name it")
    return "jsonl" if stream.peek(1).lstrip()[:1] == b"{" else "csv"


def _images(path: Path, encoded: bool) -> Rows:
    from .images import ImageRows

    return ImageRows(path, encoded=encoded)


def _parquet(path: Path, _encoded: bool) -> Rows:
    from .parquet import ParquetRows

    return ParquetRows(path)


def _arrays(path: Path, _encoded: bool) -> Rows:
    from .arrays import ArrayRows

    return ArrayRows(path)


_READERS: Final[dict[str, Callable[[Path, bool], Rows]]] = {
    "images": _images,
    "parquet": _parquet,
    "npy": _arrays,
    "npz": _arrays,
}
