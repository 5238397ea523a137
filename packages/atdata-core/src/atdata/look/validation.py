"""``validate``: whether every shard, member and field of a dataset is what manifest, sidecar and type say."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from ..dataset import Dataset
from ..decode import Piece, View, samples
from ..errors import AtdataError, ManifestError
from ..manifest import NAME, Manifest, read_manifest
from ..manifest.sidecar import sidecar_name
from ..progress import Progress, counted, known_total
from ..schema import check_record, schema_cid
from ..shard.blocks import BlockReader, Chunk, Where
from ..shard.mapped import MappedShard
from ..sources import open_shards, public
from ..sources.url import path_of
from .inspection import known_facts

# Of one shard so many problems are kept; all are counted
MOST_PROBLEMS = 20
_BLOCK = 1 << 20
_NOWHERE = Where(None, None, None)


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        message: what, in one line.
        shard: in which shard or manifest, without secrets.
        key: of which sample, if of one.
        offset: where its header begins in the shard, in bytes, if that is known.
        field: in which of its fields, if in one.
    """

    message: str
    shard: str
    key: str | None = None
    offset: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        known = {"key": self.key, "offset": self.offset}
        where = "".join(f", {name} {value!r}" for name, value in known.items() if value is not None)
        return f"{self.shard}{where}: {self.message}"


@dataclass(frozen=True)
class ShardReport:
    """What reading a shard to its end has shown.

    Attributes:
        name: its path or URL, without secrets.
        samples: how many samples it has, up to where it cannot be read any more.
        bytes: how many bytes it has; None if it could not be read.
        sha256: their digest; None likewise.
        problems: what is wrong with it; the first ``MOST_PROBLEMS``.
        problem_count: how many problems there are.
    """

    name: str
    samples: int
    bytes: int | None
    sha256: str | None
    problems: tuple[Problem, ...]
    problem_count: int


@dataclass(frozen=True)
class Validation:
    """What reading all shards of a dataset has shown.

    Attributes:
        shards: each shard, in order.
        problems: what is wrong with manifests; that of shards is with these.
    """

    shards: tuple[ShardReport, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(shard.samples for shard in self.shards)

    @property
    def problem_count(self) -> int:
        """How many things are wrong."""
        return len(self.problems) + sum(shard.problem_count for shard in self.shards)

    def __iter__(self) -> Iterator[Problem]:
        """What is wrong: with manifests, then shard by shard."""
        yield from self.problems
        for shard in self.shards:
            yield from shard.problems


def validate(dataset: Dataset[Any], *, progress: Progress = None) -> Validation:
    """Read a dataset to its end, and tell all that is wrong with it.

    Of each shard: that it is a whole tar; that each sample has a ``.msgpack`` member, a key of its own, and fields that
    the dataset's type can read, arrays included; that size, digest, number of samples and first key are the
    manifest's; and that its sidecar, if it has one, points at its samples. Of each manifest: that its schemas are
    records with the CIDs that they are filed under, and that its shards are there. A faulty sample does not hide those
    behind it; a faulty tar does, and is told so.

    Args:
        dataset: the dataset. Without a sample type, samples must be msgpack maps, and nothing is said of their fields.
        progress: told how many samples are done; see ``atdata.progress``.

    Examples:
        >>> import atdata, tempfile
        >>> numbers = ({"n": n} for n in range(5))
        >>> found = atdata.validate(atdata.write_samples(numbers, f"{tempfile.mkdtemp()}/numbers.tar"))
        >>> found.ok, found.samples
        (True, 5)
    """
    reports: list[ShardReport] = []

    def read() -> Iterator[int]:
        for part in dataset._parts():
            for shard in part.list_shards():
                check = _Check(part, shard)
                yield from check.read()
                reports.append(check.report())

    for _ in counted(read(), progress, lambda: known_total(dataset), lambda samples: samples):
        pass
    return Validation(tuple(reports), tuple(chain.from_iterable(map(_manifest_problems, dataset._parts()))))


def _manifest_problems(dataset: Dataset[Any]) -> Iterator[Problem]:
    shards = dataset.list_shards()
    paths = {path.parent for shard in shards if (path := path_of(dataset.source, shard)) is not None}
    for folder in sorted(paths):
        where = str(folder / NAME)
        try:
            manifest = read_manifest(folder)
        except (ManifestError, OSError) as error:
            yield Problem(str(error), where)
            continue
        if manifest is not None:
            yield from (Problem(message, where) for message in _wrong_in(manifest, folder))


def _wrong_in(manifest: Manifest, folder: Path) -> Iterator[str]:
    for cid, record in manifest.schemas.items():
        try:
            check_record(record)
            own = schema_cid(record)
        except AtdataError as error:
            yield f"the schema {cid} is none: {error}"
            continue
        if own != cid:
            yield f"the schema that is filed under {cid} has the CID {own}: it was changed"
    for name, facts in manifest.shards.items():
        if facts.schema is not None and facts.schema not in manifest.schemas:
            yield f"{name} has the schema {facts.schema}, which is not there"
        if not (folder / name).exists():
            yield f"it names {name}, and that is not there"


@dataclass
class _Hashed:
    """A stream of which the digest is taken while it is read."""

    stream: Any
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size)
        self._add(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        if not hasattr(self.stream, "readinto"):
            data = self.stream.read(len(buffer))
            buffer[: len(data)] = data
            self._add(data)
            return len(data)
        count: int = self.stream.readinto(buffer)
        self._add(buffer[:count])
        return count

    def _add(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self.size += len(data)


class _Check:
    """Reads one shard and keeps what is wrong with it."""

    def __init__(self, dataset: Dataset[Any], shard: str) -> None:
        self._dataset = dataset
        self._shard = shard
        self._view = View(dataset._view.stored, None, dataset._view.dtypes)
        self._problems: list[Problem] = []
        self._count = 0
        self._keys: list[str | None] = []
        self._sizes: list[int] = []
        self._bytes: int | None = None
        self._sha256: str | None = None

    def read(self) -> Iterator[int]:
        """Read the shard to its end; yields how many samples came together."""
        whole = False
        try:
            for _, stream in open_shards(self._dataset.source, [self._shard]):
                with closing(stream):
                    hashed = _Hashed(stream)
                    try:
                        for chunk in BlockReader().chunks(cast("IO[bytes]", hashed), public(self._shard)):
                            self._check(chunk)
                            yield len(chunk)
                        whole = True
                    except AtdataError as error:
                        self._add(error, "; what is behind that was not checked")
                    while hashed.read(_BLOCK):
                        pass
                    self._bytes, self._sha256 = hashed.size, hashed.digest.hexdigest()
        except (AtdataError, OSError) as error:
            self._add(error)
        if whole:
            self._check_keys()
            self._check_sidecar()
        self._check_facts(whole)

    def _check(self, chunk: Chunk) -> None:
        """Read samples as iterating over the dataset does; behind a faulty one, one by one."""
        rows = len(chunk)
        self._keys += [chunk.where(row).key for row in range(rows)]
        self._sizes += chunk.sizes.tolist()
        good = 0
        try:
            for _ in samples(self._view, [Piece(chunk, 0, rows)]):
                good += 1
        except Exception as error:  # a sample type's own code may raise anything
            self._add(error, "", chunk.where(good))
            for row in range(good + 1, rows):
                try:
                    self._view.from_payload(bytes(chunk.payload(row)))
                except Exception as error:
                    self._add(error, "", chunk.where(row))

    def _add(self, error: Exception | str, more: str = "", where: Where = _NOWHERE) -> None:
        self._count += 1
        if len(self._problems) == MOST_PROBLEMS:
            return
        if isinstance(error, AtdataError):
            message, key, offset = str(error.args[0]), where.key or error.key, where.offset
            offset = error.offset if offset is None else offset
            self._problems.append(Problem(message + more, public(self._shard), key, offset, error.field))
            return
        message = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self._problems.append(Problem(message + more, public(self._shard), where.key, where.offset))

    def _check_keys(self) -> None:
        for key, number in Counter(self._keys).items():
            if number > 1:
                self._add(f"{number:,} samples have this key", "", Where(None, key, None))

    def _check_facts(self, whole: bool) -> None:
        try:
            facts = known_facts(self._dataset, self._shard)
        except (ManifestError, OSError):
            return  # told of the manifest
        if facts is None or self._sha256 is None:
            return
        if self._bytes != facts.bytes:
            self._add(f"it has {self._bytes:,} bytes where the manifest says {facts.bytes:,}")
        elif self._sha256 != facts.sha256:
            self._add(f"it has sha256 {self._sha256} where the manifest says {facts.sha256}")
        found = len(self._keys), next(iter(self._keys), None)
        if whole and found != (facts.samples, facts.first_key):
            said = f"{facts.samples:,} from {facts.first_key!r} on"
            self._add(f"it has {found[0]:,} samples from {found[1]!r} on where the manifest says {said}")

    def _check_sidecar(self) -> None:
        path = path_of(self._dataset.source, self._shard)
        if path is None or not path.with_name(sidecar_name(path.name)).exists():
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says is a problem here
            mapped = MappedShard(path, self._shard)
        if (
            mapped.scanned
            or mapped.sizes.tolist() != self._sizes
            or [mapped.where(row).key for row in range(len(mapped))] != self._keys
        ):
            self._add("its .index file is not that of this shard; delete it, and the shard is read without it")

    def report(self) -> ShardReport:
        """What was found."""
        return ShardReport(
            public(self._shard), len(self._keys), self._bytes, self._sha256, tuple(self._problems), self._count
        )
