"""From what a person types to datasets: paths, patterns, URLs, references, and ``-`` for the standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO, Annotated, Any, TypeAlias

import typer

from atdata import Dataset, DictSample, load_dataset
from atdata.errors import ManifestError, NoSampleType, SchemaError, ShardUnreadable
from atdata.schema.named import load_type
from atdata.splits import no_such_split
from atdata_cli.output import print_error, settings

Where: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="PATH|REF",
        help="A shard, folder, pattern, URL, @local/name, @handle/name or at:// record; - is a shard on stdin.",
        show_default=False,
    ),
]
Split: TypeAlias = Annotated[str | None, typer.Option(help="Only this split, such as train or test.")]
Type: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="MODULE:CLASS", help="The samples' type; by default the one that the manifest or index names."
    ),
]


class StandardInput:
    """The data source of one shard that comes through a pipe, and can be read once."""

    def __init__(self) -> None:
        self._stream: IO[bytes] | None = sys.stdin.buffer

    def list_shards(self) -> list[str]:
        """The one shard."""
        return ["-"]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """The standard input, the first time."""
        if self._stream is None:
            raise ShardUnreadable("the standard input can be read only once; write it to a file first")
        stream, self._stream = self._stream, None
        return stream

    @property
    def shards(self) -> Iterator[tuple[str, IO[bytes]]]:
        """The one shard, opened."""
        yield "-", self.open_shard("-")


def open_splits(where: str, split: str | None = None, sample_type: str | None = None) -> dict[str, Dataset[Any]]:
    """The datasets that a person means, by split. Where no type can be told, samples are ``DictSample``.

    Raises:
        AtdataError: as ``atdata.load_dataset`` says.
        typer.BadParameter: ``sample_type`` names no class.
    """
    kind = None if sample_type is None else import_type(sample_type)
    if where == "-":
        found: dict[str, Dataset[Any]] = {"train": Dataset.of(kind or DictSample, StandardInput())}
    else:
        found = dict(_load(where, kind))
    if split is None:
        return found
    if split not in found:
        raise no_such_split(split, {name: len(dataset.list_shards()) for name, dataset in found.items()})
    return {split: found[split]}


def open_whole(where: str, split: str | None = None, sample_type: str | None = None) -> Dataset[Any]:
    """The dataset that a person means, all its splits as one; raises as ``open_splits``."""
    if where == "-":
        return next(iter(open_splits(where, split, sample_type).values()))
    kind = None if sample_type is None else import_type(sample_type)
    found: Dataset[Any] = _load(where, kind, split or "all")
    return found


def _load(where: str, kind: type[Any] | None, split: str | None = None) -> Any:
    try:
        return load_dataset(where, kind, split=split)
    except (ManifestError, SchemaError) as error:
        if kind is not None:
            raise
        found = load_dataset(where, DictSample, split=split)
        if not settings.quiet:
            print_error(f"warning: {error}")
        return found


def import_type(text: str) -> type[Any]:
    """The class that ``module:Class`` names; modules of the current folder are found, too.

    Raises:
        typer.BadParameter: there is none.
    """
    try:
        return load_type(text)
    except NoSampleType as error:
        raise typer.BadParameter(str(error)) from error
