"""Shards copied byte by byte into a folder, all or nothing: for stores, downloads and joined datasets."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .atomic import Staging, exists
from .dataset import Dataset
from .errors import SampleTypeError, ShardCorrupted
from .manifest import ShardFacts, facts_of, manifest_lock, merge_into_manifest, own_manifest
from .manifest.sidecar import read_sidecar, sidecar_bytes, sidecar_name
from .progress import Progress, counted
from .schema.record import schema_by_cid
from .shard.mapped import MappedShard
from .sources import public
from .sources.download import Digest
from .sources.url import path_of
from .storing import check, known

_BLOCK = 4 << 20


class Original(NamedTuple):
    """A shard that is to be copied.

    Attributes:
        source: its source.
        shard_id: its identifier there.
        facts: what is known of it; None if nothing.
        schemas: the record of its schema by CID; empty where it has none.
    """

    source: Any
    shard_id: str
    facts: ShardFacts | None
    schemas: Mapping[str, dict[str, Any]]


def originals(dataset: Dataset[Any]) -> list[Original]:
    """The shards of a dataset, with what manifests and indexes know of them.

    Raises:
        SampleTypeError: the dataset is something else than what they hold.
    """
    if dataset._changes is not None:
        raise SampleTypeError(f"shards are copied as they are, and this is {dataset._changes}; write its samples anew")
    own = schema_by_cid(dataset.sample_type)
    made = []
    for shard in dataset.list_shards():
        ready = known(dataset.source, shard)
        facts = dataset._known.get(shard) if ready is None else ready.facts
        schemas = own if ready is None or ready.record is None else {ready.facts.schema or "": ready.record}
        if facts is not None and facts.schema not in schemas:  # told elsewhere, by a record that is not at hand
            facts = dataclasses.replace(facts, schema=next(iter(own), None))
        made.append(Original(dataset.source, shard, facts, schemas))
    return made


def copy_shards(
    shards: Sequence[Original],
    folder: Path,
    name_of: Callable[[int], str],
    *,
    resume: bool = False,
    progress: Progress = None,
) -> list[Path]:
    """Copy shards into a folder, and tell its manifest of them; all of them or, after an exception, none.

    Those of which a digest is known are compared with it. All are looked through, so that each has a sidecar.

    Args:
        shards: the shards.
        folder: the folder; it is made if need be.
        name_of: gives the file name of each, by its number.
        resume: keep what is complete after an exception, hidden in the folder, so that the next call goes on with it;
            and leave alone what the folder's manifest says is there already.
        progress: told how many bytes are copied; see ``atdata.progress``.

    Returns:
        Their paths.

    Raises:
        ShardExists: the folder has a shard of that name.
        ShardCorrupted: a shard is damaged, or not what its manifest says.
        ManifestError: the folder has a ``manifest.json`` that is not ours.
        AtdataError: a shard cannot be read.
        OSError: the disk is full, or the folder may not be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own_manifest(folder)  # better refused now than after an hour of copying
    names = [name_of(number) for number in range(len(shards))]
    todo = [
        (shard, name)
        for shard, name in zip(shards, names, strict=True)
        if not (resume and _is_there(shard, folder / name))
    ]
    for _, name in todo:
        if (folder / name).exists():
            raise exists(folder / name)
    staging = Staging(folder, resume=resume)
    copies: list[ShardFacts] = []
    try:
        steps = _stage_all(todo, staging, copies)
        for _ in counted(steps, progress, lambda: _bytes_of(todo), lambda count: count, "B"):
            pass
        schemas = {cid: record for shard in shards for cid, record in shard.schemas.items()}
        _publish(staging, copies, folder, schemas)
    except BaseException:
        staging.release() if resume else staging.discard()
        raise
    staging.discard()
    return [folder / name for name in names]


def _is_there(shard: Original, path: Path) -> bool:
    """Whether a manifest says that a folder has the very shard."""
    there = facts_of(path) if path.exists() else None
    return there is not None and shard.facts is not None and there.sha256 == shard.facts.sha256


def _bytes_of(todo: Sequence[tuple[Original, str]]) -> int | None:
    sizes = [shard.facts.bytes for shard, _ in todo if shard.facts is not None]
    return sum(sizes) if len(sizes) == len(todo) else None


def _stage_all(todo: Sequence[tuple[Original, str]], staging: Staging, copies: list[ShardFacts]) -> Iterator[int]:
    """Copy shards into the staging folder, and say how far it is: the bytes since the last time."""
    for shard, name in todo:
        if staging.has(name) and _is_complete(shard, staging.path(name)):
            yield staging.path(name).stat().st_size
        else:
            yield from _stage(shard, name, staging)
        copies.append(_looked_through(shard, name, staging))


def _is_complete(shard: Original, path: Path) -> bool:
    """Whether a file of an earlier attempt is the whole shard, as far as that is known."""
    facts = shard.facts
    if facts is None or path.stat().st_size != facts.bytes:
        return False
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == facts.sha256


def _stage(shard: Original, name: str, staging: Staging) -> Iterator[int]:
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_BLOCK))
    staging.path(name).unlink(missing_ok=True)
    with shard.source.open_shard(shard.shard_id) as stream, open(staging.create(name), "wb", buffering=0) as file:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            rest = buffer[:count]
            while len(rest):
                rest = rest[file.write(rest) or 0 :]
            size += count
            yield count
        os.fsync(file.fileno())
    if shard.facts is not None:
        check(name, size, digest.hexdigest(), Digest(shard.facts.bytes, shard.facts.sha256))


def _looked_through(shard: Original, name: str, staging: Staging) -> ShardFacts:
    """What a copied shard is. It gets its original's sidecar, or a new one."""
    facts, path = shard.facts, staging.path(name)
    beside = path_of(shard.source, shard.shard_id)
    staging.path(sidecar_name(name)).unlink(missing_ok=True)  # of an earlier attempt
    if facts is not None and beside is not None and read_sidecar(beside, facts) is not None:
        _write(staging, sidecar_name(name), beside.with_name(sidecar_name(beside.name)).read_bytes())
        return dataclasses.replace(facts, name=name)
    found = MappedShard(path, public(shard.shard_id))
    if found.fault is not None:
        raise found.fault
    first = found.where(0).key or "" if len(found) else ""
    if facts is None:
        with open(path, "rb", buffering=0) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        schema = next(iter(shard.schemas), None)
        facts = ShardFacts(name, len(found), path.stat().st_size, sha256, first, schema)
    elif len(found) != facts.samples:
        raise ShardCorrupted(
            f"{public(shard.shard_id)} has {len(found):,} samples where its manifest says {facts.samples:,}"
        ).at(shard=public(shard.shard_id))
    _write(
        staging,
        sidecar_name(name),
        sidecar_bytes(found.starts, found.sizes, facts.bytes, bytes.fromhex(facts.sha256)),
    )
    return dataclasses.replace(facts, name=name, first_key=first)  # which records do not tell


def _write(staging: Staging, name: str, data: bytes) -> None:
    with open(staging.create(name), "wb") as file:
        file.write(data)


def _publish(
    staging: Staging, copies: Sequence[ShardFacts], folder: Path, schemas: Mapping[str, dict[str, Any]]
) -> None:
    named: list[Path] = []
    with manifest_lock(folder):
        try:
            for facts in copies:
                for name, overwrite in ((facts.name, False), (sidecar_name(facts.name), True)):
                    staging.publish(name, overwrite=overwrite)
                    named.append(folder / name)
            staging.sync()
            merge_into_manifest(folder, copies, schemas)
        except BaseException:
            for path in named:
                path.unlink(missing_ok=True)
            raise
