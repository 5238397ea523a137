"""Tables of text (CSV) and lines of JSON, from files and streams."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

from ..errors import RowError
from .infer import TextColumn, ValueColumn
from .rows import Row, field_name, field_names

# So many rows of a stream decide its type, or so many characters of it
_FIRST, _FIRST_TEXT = 10_000, 64 << 20
_LONGEST = 64 << 20


class _Lines(ABC):
    """Rows of a file, which is read twice, or of a stream, of which the first rows are kept."""

    text: bool

    def __init__(self, source: Path | IO[bytes]) -> None:
        self.count: int | None = None
        self._source = source
        self._where = source.name if isinstance(source, Path) else "the standard input"
        self._kept: Iterator[Row] | None = None
        self._characters = 0  # read so far

    @abstractmethod
    def _read(self, lines: Iterable[str]) -> Iterator[Row]:
        """The rows of a text, given with its line ends."""

    @abstractmethod
    def _fields_of(self, rows: Iterable[Row]) -> list[dict[str, Any]]:
        """The fields that rows fit."""

    def fields(self) -> list[dict[str, Any]]:
        """See ``Rows``."""
        if isinstance(self._source, Path):
            self.count = 0
            return self._fields_of(map(self._counted, self._rows()))
        rows = self._rows()
        first: list[Row] = []
        for row in rows:
            first.append(row)
            if len(first) == _FIRST or self._characters >= _FIRST_TEXT:
                break
        self._kept = chain(first, rows)
        return self._fields_of(first)

    def _counted(self, row: Row) -> Row:
        self.count = (self.count or 0) + 1
        return row

    def __iter__(self) -> Iterator[Row]:
        kept, self._kept = self._kept, None
        return self._rows() if kept is None else kept

    def _rows(self) -> Iterator[Row]:
        with self._opened() as lines:
            yield from self._read(lines)

    @contextmanager
    def _opened(self) -> Generator[Iterable[str]]:
        stream = self._source.open("rb") if isinstance(self._source, Path) else self._source
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            yield self._bounded(lines)
        except UnicodeDecodeError as error:
            raise RowError(f"{self._where} is not UTF-8: {error}; convert it with iconv -f latin1 -t utf-8") from None
        finally:
            if isinstance(self._source, Path):
                lines.close()
            else:
                lines.detach()  # the stream is the caller's to close

    def _bounded(self, lines: io.TextIOWrapper) -> Iterator[str]:
        while line := lines.readline(_LONGEST):
            if len(line) == _LONGEST:
                raise RowError(f"{self._where} has a line of over {_LONGEST >> 20} MiB, so it has no rows")
            self._characters += len(line)
            yield line


class CSVRows(_Lines):
    """A table of text with a header.

    Args:
        source: a file or stream.
        delimiter: what divides its cells.
    """

    text = True

    def __init__(self, source: Path | IO[bytes], delimiter: str) -> None:
        super().__init__(source)
        if len(delimiter) != 1:
            raise RowError(f"a delimiter is one character; found {delimiter!r:.20}")
        self._delimiter = delimiter
        self._names: list[str] = []

    def _read(self, lines: Iterable[str]) -> Iterator[Row]:
        csv.field_size_limit(_LONGEST)  # its own limit, 128 KiB, is less than documents have
        # with strict=True, quotes that are not closed are an error
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        try:
            self._names = self._header(next(reader, []))
            for cells in reader:
                where = f"{self._where}, line {reader.line_num:,}"
                if not cells:
                    continue  # an empty line
                if len(cells) != len(self._names):
                    raise RowError(f"{where} has {len(cells):,} cells where the header has {len(self._names):,}")
                yield Row(where, dict(zip(self._names, cells, strict=True)))
        except csv.Error as error:
            raise RowError(f"{self._where}, line {reader.line_num:,}: {error}") from None

    def _header(self, cells: list[str]) -> list[str]:
        if not cells:
            raise RowError(f"{self._where} is empty; the first line of a table names its columns")
        if len(cells) == 1 and (other := next((mark for mark in ";\t|" if mark in cells[0]), None)):
            raise RowError(f"{self._where} has one column, {cells[0]!r:.80}; --delimiter {other!r} divides it")
        return field_names(cells, self._where)

    def _fields_of(self, rows: Iterable[Row]) -> list[dict[str, Any]]:
        columns: dict[str, TextColumn] = {}
        for where, values in rows:
            columns = columns or {name: TextColumn() for name in values}
            for name, cell in values.items():
                columns[name].add(cell, where)
        return [(columns.get(name) or TextColumn()).field(name) for name in self._names]


class JSONRows(_Lines):
    """An object of JSON on each line."""

    text = False

    def _read(self, lines: Iterable[str]) -> Iterator[Row]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{self._where}, line {number:,}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                advice = "; a list of objects becomes lines with jq -c '.[]'" if line.lstrip()[:1] == "[" else ""
                raise RowError(f"{where} is not JSON: {error}{advice}") from None
            if not isinstance(value, dict):
                raise RowError(
                    f"{where} is no object; there is one on each line. A list becomes lines with jq -c '.[]'"
                )
            names = [*map(field_name, value)]
            if len({*names}) < len(names):
                field_names(value, where)
            yield Row(where, dict(zip(names, value.values(), strict=True)))

    def _fields_of(self, rows: Iterable[Row]) -> list[dict[str, Any]]:
        columns: dict[str, ValueColumn] = {}
        seen: dict[str, int] = {}
        count = 0
        for where, values in rows:
            count += 1
            for name, value in values.items():
                columns.setdefault(name, ValueColumn()).add(value, f"{name} in {where}")
                seen[name] = seen.get(name, 0) + 1
        return [column.field(name, optional=seen[name] < count) for name, column in columns.items()]
