"""Datasets as Parquet files, row group by row group."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._arguments import positive
from .._extras import import_extra
from ..atomic import Staging, locked
from ..batch import SampleBatch
from ..codecs import found
from ..errors import SampleTypeError, ShardIsDirectory
from ..naming import ShardNames
from ..progress import Progress, counted, known_total
from ..sample import DictSample, PackableSample, plan_of
from ..sources.url import scheme_of
from .arrow import Schema, Table, batch_table, empty_schema, fitted_table, rows_table, wider_schema

if TYPE_CHECKING:
    from ..dataset import Dataset

pa = import_extra("pyarrow", "parquet")
pq = import_extra("pyarrow.parquet", "parquet")

SampleExportMap: TypeAlias = Callable[[Any], Mapping[str, Any]]

# A row group is closed at this many bytes in memory; batches are small beside it
_GROUP_BYTES = 64 << 20
_BATCH_BYTES, _BATCH_ROWS = 1 << 20, 128
# what pyarrow's writers take and is decided here: shapes live in the schema, and files appear when they are whole
_OURS = {"table", "where", "row_group_size", "filesystem", "store_schema", "encryption_properties"}


def to_parquet(
    dataset: Dataset[Any],
    path: str | os.PathLike[str],
    sample_map: SampleExportMap | None = None,
    maxcount: int | None = None,
    *,
    row_group_size: int | None = None,
    progress: Progress = None,
    **options: Any,
) -> list[Path]:
    """Write a dataset's samples to Parquet; see ``Dataset.to_parquet``."""
    for name, value in (("maxcount", maxcount), ("row_group_size", row_group_size)):
        if value is not None:
            positive(name, value)
    options = _writer_options(options)
    names = _names(path, numbered=maxcount is not None)
    sample_type = dataset.sample_type
    typed = issubclass(sample_type, PackableSample)
    owner = "sample_map" if sample_map else sample_type.__name__
    make = _table_maker(owner, typed, sample_map)
    names.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(_Files(owner, names, maxcount, row_group_size, options)) as files:
        batches = dataset.ordered(batch_size=_batch_size(dataset), rank=0, world_size=1)
        for batch in counted(batches, progress, lambda: known_total(dataset), len):
            table = make(batch)
            if len(table) != len(batch):
                raise SampleTypeError(f"{owner}: samples without any field cannot be rows; name columns in sample_map")
            files.add(table)
        return files.publish(empty_schema(plan_of(sample_type).fields if typed and not sample_map else ()))


def _writer_options(given: dict[str, Any]) -> dict[str, Any]:
    """The keywords of pandas and pyarrow as those of pyarrow's writer."""
    engine, index = given.pop("engine", "auto"), given.pop("index", None)
    if engine not in ("auto", "pyarrow"):
        raise ValueError(f"engine={engine!r}: Parquet is written by pyarrow here; leave the engine out")
    if index:
        raise ValueError("index=True: samples have no index to write; add a column for it with sample_map")
    parameters = inspect.signature(pq.write_table).parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD} - _OURS
    if unknown := sorted(given.keys() - known):
        raise TypeError(
            f"to_parquet takes no keyword {', '.join(map(repr, unknown))}; beside its own it takes engine, index and "
            f"pyarrow's {', '.join(sorted(known))}"
        )
    return given


def _batch_size(dataset: Dataset[Any]) -> int:
    """Few enough samples that batches are small, judged by the first."""
    first = next(iter(dataset.ordered(batch_size=1, rank=0, world_size=1)), None)
    size = 1 if first is None else len(first.samples[0].packed)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // size))


def _table_maker(owner: str, typed: bool, sample_map: SampleExportMap | None) -> Callable[[SampleBatch[Any]], Table]:
    if typed and sample_map is None:
        return batch_table
    as_row = sample_map or _fields_of

    def make(batch: SampleBatch[Any]) -> Table:
        rows = [as_row(sample) for sample in batch.samples]
        for row in rows:
            if not isinstance(row, Mapping):
                raise SampleTypeError(f"{owner} gave {found(row)}; it must give a dict of column names and values")
        return rows_table(owner, rows)

    return make


def _fields_of(sample: Any) -> Mapping[str, Any]:
    if isinstance(sample, DictSample):
        return sample.to_dict()
    if dataclasses.is_dataclass(sample):
        return {field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)}
    return dict(vars(sample))


def _names(path: str | os.PathLike[str], *, numbered: bool) -> ShardNames:
    text = os.fspath(path)
    if not text or scheme_of(text):
        kind = "a URL" if text else "no path"
        raise ValueError(f"{text!r} is {kind}; Parquet files are written to a folder of this machine")
    target = Path(path)
    if not target.name or text.endswith(("/", os.sep)) or target.is_dir():
        raise ShardIsDirectory(f"{text} is a folder; name a file in it, such as {target / 'data.parquet'}")
    if numbered:
        return ShardNames(target.parent, f"{target.stem}-", 6, target.suffix or ".parquet")
    return ShardNames(target.parent, target.name, None, "")


class _Part:
    """A file, or the beginning or end of one, under a schema of its own."""

    def __init__(self, staging: Staging, name: str, schema: Schema, options: Mapping[str, Any]) -> None:
        self.name = name
        self.schema = schema
        self._file = os.fdopen(staging.create(name), "wb")
        try:
            self._writer = pq.ParquetWriter(self._file, schema, **options)
        except BaseException:
            self._file.close()
            raise

    def write(self, table: Table) -> None:
        """Add a row group."""
        self._writer.write_table(table, row_group_size=max(1, len(table)))

    def finish(self) -> None:
        """Complete the file and put it on disk."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def drop(self) -> None:
        """Close what may be incomplete."""
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):  # a full disk, or a file that is closed
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()


class _Files:
    """Tables into files of one schema.

    What the columns need is only known at the end: where a row group needs a wider type, another part of the file
    begins, and a file that is not one part under the final schema is written anew from its parts at the end.
    """

    def __init__(
        self,
        owner: str,
        names: ShardNames,
        maxcount: int | None,
        row_group_size: int | None,
        options: Mapping[str, Any],
    ) -> None:
        self._owner = owner
        self._names = names
        self._maxcount = maxcount
        self._group_rows = row_group_size
        self._options = options
        self._pending: list[Table] = []  # of the next row group
        self._pending_rows = self._pending_bytes = 0
        self._files: list[list[_Part]] = []
        self._rows = 0  # written into the last file
        self._schema: Schema = None  # that of the last part
        self._open: _Part | None = None
        self._made = 0
        self._staging = Staging(names.folder)

    def add(self, table: Table) -> None:
        """Add rows."""
        while len(table):
            fits = table.slice(0, self._room())
            table = table.slice(len(fits))
            self._pending.append(fits)
            self._pending_rows += len(fits)
            self._pending_bytes += fits.nbytes
            if not self._room() or self._pending_bytes >= _GROUP_BYTES:
                self._write_group()

    def _room(self) -> int:
        """How many more rows the row group may have."""
        limits = ((self._group_rows, 0), (self._maxcount, self._rows))
        return min((most - rows for most, rows in limits if most is not None), default=sys.maxsize) - self._pending_rows

    def _write_group(self) -> None:
        schema = self._schema or self._pending[0].schema
        for table in self._pending:
            schema = wider_schema(self._owner, schema, table.schema)
        group = pa.concat_tables([fitted_table(self._owner, table, schema) for table in self._pending])
        self._pending = []
        self._pending_rows = self._pending_bytes = 0
        if not self._rows:
            self._files.append([])
        if self._open is None or not schema.equals(self._schema):
            self._finish_part()
            self._schema = schema
            self._files[-1].append(self._new_part())
        assert self._open is not None
        self._open.write(group)
        self._rows += len(group)
        if self._rows == self._maxcount:
            self._finish_part()
            self._rows = 0

    def _new_part(self) -> _Part:
        self._made += 1
        try:
            self._open = _Part(self._staging, f"part-{self._made}", self._schema, self._options)
        except pa.ArrowNotImplementedError as error:  # dicts without any keys
            raise SampleTypeError(f"{self._owner}: {error}; use sample_map to write something else") from error
        return self._open

    def _finish_part(self) -> None:
        if self._open is not None:
            self._open.finish()
            self._open = None

    def publish(self, empty: Schema) -> list[Path]:
        """Complete all files and name them.

        Args:
            empty: the schema if there are no rows.

        Returns:
            Their paths.
        """
        if self._pending:
            self._write_group()
        if not self._files:
            self._schema = empty
            self._files.append([self._new_part()])
        self._finish_part()
        wholes = [self._whole(parts) for parts in self._files]
        paths = [self._names.path(number) for number in range(len(wholes))]
        with locked(self._names.folder / ".atdata.lock"):
            for path, whole in zip(paths, wholes, strict=True):
                self._staging.publish(path.name, overwrite=True, made_as=whole.name)
            self._remove_leftovers()
            self._staging.sync()
        return paths

    def _whole(self, parts: list[_Part]) -> _Part:
        """One part under the final schema that holds the rows of all."""
        if len(parts) == 1 and parts[0].schema.equals(self._schema):
            return parts[0]
        whole = self._new_part()
        for part in parts:
            with self._staging.open(part.name) as file:
                stored = pq.ParquetFile(file)
                for number in range(stored.num_row_groups):
                    # options may change names on their way into a file
                    table = stored.read_row_group(number).rename_columns(part.schema.names)
                    whole.write(fitted_table(self._owner, table, self._schema))
        self._finish_part()
        return whole

    def _remove_leftovers(self) -> None:
        """Remove the files of an older, longer export under the same names."""
        number = len(self._files)
        while self._names.width is not None and (path := self._names.path(number)).exists():
            path.unlink()
            number += 1

    def close(self) -> None:
        """Drop what was not published."""
        if self._open is not None:
            self._open.drop()
        self._staging.discard()
