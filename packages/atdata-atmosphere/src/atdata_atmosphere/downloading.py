"""Datasets of the network, copied to a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atdata import Dataset
from atdata.atomic import Staging
from atdata.errors import ShardExists
from atdata.shard.manifest import ShardFacts, manifest_lock, merge_into_manifest, own_manifest
from atdata.sources import open_shards
from atdata.storing import schemas_for

from .copying import scan
from .meter import Meter, MeteredStream, Progress

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.tar")
_BLOCK = 1 << 20


def download(dataset: Dataset[Any], folder: Path, name: str, progress: Progress | None = None) -> list[Path]:
    """Copy the shards of a dataset to a folder, with a manifest. Each appears when it is whole and found right.

    Shards that the manifest of the folder has already, by digest, are not read again: what was interrupted goes on.

    Args:
        dataset: the dataset.
        folder: the folder; it is made where it is not there.
        name: name of the dataset, for shards whose own names do not do.
        progress: told how many bytes are done, of how many.

    Returns:
        The paths of the shards, in order.

    Raises:
        ShardCorrupted: a shard is not what its record says.
        ShardExists: a file that is something else has the name of a shard; a ``FileExistsError``.
        AtdataError: a shard cannot be read.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known, shards = dataset._known, dataset.list_shards()
    sizes = [known[shard].bytes for shard in shards if shard in known]
    meter = Meter(progress, sum(sizes) if len(sizes) == len(shards) else None)
    paths: list[Path] = []
    for shard, file in zip(shards, _names(shards, name), strict=True):
        path = folder / file
        paths.append(path)
        if not path.exists():
            _fetch(dataset, shard, path, meter)
            continue
        there, expected = own_manifest(folder).shards.get(file), known.get(shard)
        if there is None or expected is None or there.sha256 != expected.sha256:
            raise ShardExists(f"{path} exists, and may be something else; remove it, or name another folder")
        meter.advance(there.bytes)
    return paths


def _fetch(dataset: Dataset[Any], shard: str, path: Path, meter: Meter) -> None:
    schemas = schemas_for(dataset)
    staging = Staging(path.parent)
    try:
        for public, source in open_shards(dataset.source, [shard]):
            with (
                MeteredStream(source, meter, hashlib.sha256()) as stream,
                open(staging.create(path.name), "wb") as file,
            ):
                while block := stream.read(_BLOCK):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            with staging.open(path.name) as made:
                samples, first = scan(made, public)
            facts = ShardFacts(path.name, samples, stream.count, stream.sha256, first, next(iter(schemas), None))
            with manifest_lock(path.parent):
                staging.publish(path.name, overwrite=False)
                staging.sync()
                merge_into_manifest(path.parent, [facts], schemas)
    finally:
        staging.discard()


def _names(shards: list[str], name: str) -> Iterator[str]:
    """Names for files: those of the shards where all are plain and different, else made of that of the dataset."""
    own = [re.split("[?#]", shard.rpartition("/")[2], maxsplit=1)[0] for shard in shards]
    if len({text.lower() for text in own}) == len(own) and all(_NAME.fullmatch(text) for text in own):
        yield from own
        return
    stem = re.sub("[^A-Za-z0-9_]+", "-", name).strip("-")[:80] or "shard"
    for number in range(len(shards)):
        yield f"{stem}-{number:06d}.tar"
