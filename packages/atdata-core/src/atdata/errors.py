"""Every error that atdata raises on purpose.

Each class also inherits the builtin that a caller would reach for, so ``except FileNotFoundError`` and
``except atdata.errors.ShardNotFound`` both work. Where an error concerns data, it carries ``shard``, ``key``,
``offset`` and ``field`` as attributes and prints those that are known.
"""

from __future__ import annotations

from typing import Any, Self


class AtdataError(Exception):
    """Base of all atdata errors.

    Attributes:
        shard: name of the shard concerned, or None.
        key: key of the sample concerned, or None.
        offset: byte offset of the member's header in its shard, or None.
        field: name of the sample field concerned, or None.
    """

    shard: str | None = None
    key: str | None = None
    offset: int | None = None
    field: str | None = None

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        if field is not None:
            self.field = field

    def at(self, *, shard: str | None = None, key: str | None = None, offset: int | None = None) -> Self:
        """Add where it happened, keeping what a deeper layer has already said. Returns the error itself."""
        self.shard = self.shard if self.shard is not None else shard
        self.key = self.key if self.key is not None else key
        self.offset = self.offset if self.offset is not None else offset
        return self

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        where = {"shard": self.shard, "key": self.key, "offset": self.offset}
        known = ", ".join(f"{name} {value!r}" for name, value in where.items() if value is not None)
        return f"{message} ({known})" if known else message

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (DataLoader workers); OSError's own reduce would drop our attributes.
        return type(self), self.args, self.__dict__


class SampleTypeError(AtdataError, TypeError):
    """A sample class or a value in a sample that cannot be stored."""


class SampleDecodeError(AtdataError, ValueError):
    """Stored bytes are not a sample: not msgpack, not a map, or an array that cannot be parsed."""


class FieldMismatch(SampleDecodeError, TypeError):
    """A stored field is missing or is not of the type that the sample class declares."""


class SchemaError(AtdataError, ValueError):
    """A schema record or its version cannot be understood, or has no form as a sample type."""


class NoSampleType(SampleTypeError, SchemaError):
    """What should be a sample type is none."""


class NoCID(AtdataError, ValueError):
    """A value has no DAG-CBOR form, so it has no content identifier."""


class InvalidReference(AtdataError, ValueError):
    """A text is not a reference to a schema, a dataset or a record."""


class MalformedSample(AtdataError, RuntimeError, KeyError):
    """A sample in a shard has no ``.msgpack`` member."""


class ShardCorrupted(AtdataError, ValueError):
    """A shard is not a valid tar: truncated, empty, bad checksum, or its content differs from its digest."""


class ShardNotFound(AtdataError, FileNotFoundError):
    """A shard does not exist."""


class ShardIsDirectory(AtdataError, IsADirectoryError):
    """A directory was given where a shard is needed."""


class ShardPermissionError(AtdataError, PermissionError):
    """A shard exists and may not be read."""


class ShardUnreadable(AtdataError, OSError):
    """A shard cannot be opened or read to its end: the network, the server, a command, or what is no plain file."""


class ShardExists(AtdataError, FileExistsError):
    """A shard would be written over another."""


class EmptyDataset(AtdataError, ValueError):
    """There was no sample to write."""


class LensNotFound(AtdataError, ValueError):
    """No lens leads from one sample type to another."""


class AmbiguousLens(AtdataError, ValueError):
    """Several chains of lenses lead from one sample type to another, and none is shorter."""


class ManifestError(AtdataError, ValueError):
    """A ``manifest.json`` cannot be understood."""


class RaggedBatch(AtdataError, ValueError):
    """The arrays of a batch cannot be stacked: their shapes differ, or some are None."""


class StateMismatch(AtdataError, ValueError):
    """A saved position belongs to another dataset, order or number of workers, or is none."""


class UnsafeURL(AtdataError, ValueError):
    """A URL asks for something that it was not allowed to do."""


class InvalidPattern(AtdataError, ValueError):
    """The braces in a URL or path are not balanced."""


class UnlistableURL(AtdataError, ValueError):
    """A URL names a folder or a glob where nothing can list what is there."""


class RowError(AtdataError, ValueError):
    """Data from elsewhere that cannot become samples: a file, or a row of it."""


class ConfigError(AtdataError, ValueError):
    """The configuration cannot be understood, or holds what it may not."""


class SplitNotFound(AtdataError, ValueError, KeyError):
    """A dataset has no split of that name."""


class BackendNotInstalled(AtdataError, ImportError):
    """A backend distribution is needed and is not installed."""


class EntryNotFound(AtdataError, KeyError):
    """An index has no dataset of that name or CID."""


class SampleNotFound(AtdataError, KeyError):
    """A dataset has no sample of that key."""


class SchemaNotFound(AtdataError, KeyError):
    """An index has no schema of that reference."""


class NameTaken(AtdataError, ValueError):
    """A name in an index belongs to another dataset, or a version to another schema."""
