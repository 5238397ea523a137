"""What writers that did not finish have left: found, and removed unless the manifest names it by then."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias

from atdata.atomic import PREFIX, is_stale
from atdata.errors import ManifestError, ShardNotFound
from atdata.manifest import NAME, manifest_lock, read_manifest
from atdata.manifest.sidecar import sidecar_name
from atdata.sources.url import local_path
from atdata.storing import writer_of

from ..s3.requests import Bucket
from ..s3.source import parse_object, split_url
from ..s3.upload import is_written_here

Kind: TypeAlias = Literal["shard", "upload", "folder"]


@dataclass(frozen=True)
class Leftover:
    """What a writer has left, or has not finished yet.

    Attributes:
        url: where it is; of an upload, what it would have become.
        kind: ``shard`` for one that is whole and that no manifest names, ``upload`` for parts of one in a bucket,
            ``folder`` for the hidden folder of a writer on disk that died.
        bytes: its size.
        alive: the last sign of life of its writer.
        upload: what S3 knows an upload by.
    """

    url: str
    kind: Kind
    bytes: int
    alive: datetime
    upload: str = ""

    @property
    def folder(self) -> str:
        """The URL of the folder that it is in."""
        return self.url.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name there."""
        return self.url.rpartition("/")[2]


# -------------------------------------------------------------------------------------------- in a bucket


def left_in_bucket(bucket: Bucket, folder: str) -> list[Leftover]:
    """The leftovers below a folder of a bucket."""
    prefix = f"{folder}/" if folder else ""
    # uploads first and manifests last, so that what is finished meanwhile is found finished
    found = [_upload(bucket, upload) for upload in bucket.uploads(prefix) if _is_own(upload["Key"])]
    shards = [
        Leftover(bucket.url(entry["Key"]), "shard", int(entry["Size"]), entry["LastModified"])
        for entry in bucket.objects(prefix)
        if _is_own(entry["Key"])
    ]
    unlisted = [shard for shard in _not_listed(bucket, shards) if is_written_here(bucket, split_url(shard.url)[1])]
    return _by_writer(found + unlisted)


def remove_from_bucket(bucket: Bucket, dead: Iterable[Leftover]) -> list[Leftover]:
    """Remove leftovers, unless they have been finished by now. Returns those that were removed."""
    removed = []
    for left in _not_listed(bucket, dead):
        key = split_url(left.url)[1]
        with contextlib.suppress(ShardNotFound):  # finished, or removed by somebody else
            if left.kind == "upload":
                bucket.ask("abort_multipart_upload", key=key, doing="removed", UploadId=left.upload)
            else:
                bucket.ask("delete_object", key=key, doing="removed")
            removed.append(left)
    return removed


def _is_own(key: str) -> bool:
    return writer_of(key.rpartition("/")[2]) is not None


def _upload(bucket: Bucket, upload: dict[str, Any]) -> Leftover:
    parts = list(bucket.parts(upload["Key"], upload["UploadId"]))
    alive = max([upload["Initiated"], *(part["LastModified"] for part in parts)])
    size = sum(int(part["Size"]) for part in parts)
    return Leftover(bucket.url(upload["Key"]), "upload", size, alive, upload["UploadId"])


def _not_listed(bucket: Bucket, found: Iterable[Leftover]) -> Iterator[Leftover]:
    """Those that the manifest of their folder does not name; none where the manifest is another program's.

    Raises:
        ManifestError: a manifest is listed and cannot be found, so that nobody knows what it names.
    """
    for folder, group in groupby(sorted(found, key=lambda left: left.folder), key=lambda left: left.folder):
        key = split_url(f"{folder}/{NAME}")[1]
        there = parse_object(bucket, key)
        if there is None and any(entry["Key"] == key for entry in bucket.objects(key)):
            raise ManifestError(f"{bucket.url(key)} is listed and cannot be found; try again later")
        if there is None:
            yield from group
        elif there[0] is not None:
            names = there[0].shards
            yield from (left for left in group if left.name not in names)


def _by_writer(found: Sequence[Leftover]) -> list[Leftover]:
    """The same, with the latest sign of life that each writer gave anywhere."""
    alive: dict[str | None, datetime] = {}
    for left in found:
        writer = writer_of(left.name)
        alive[writer] = max(left.alive, alive.get(writer, left.alive))
    return [replace(left, alive=alive[writer_of(left.name)]) for left in found]


# ------------------------------------------------------------------------------------------------ on disk


def left_on_disk(top: Path) -> list[Leftover]:
    """The leftovers in and below a folder: what a writer that died was making, and what it had named by then."""
    found: list[Leftover] = []
    for folder, names, _ in os.walk(top):
        for path in [Path(folder, name) for name in names if name.startswith(PREFIX)]:
            with contextlib.suppress(FileNotFoundError):  # the next writer removes it, too
                found += _left(path) if is_stale(path) else []
        names[:] = [name for name in names if not name.startswith(".")]
    return found


def _left(staging: Path) -> list[Leftover]:
    made = [path.stat() for path in staging.iterdir()]
    alive = datetime.fromtimestamp(max(facts.st_mtime for facts in [staging.stat(), *made]), UTC)
    size = sum(facts.st_size for facts in made)
    # a shard is named by a second link to it
    inodes = {facts.st_ino for facts in made if facts.st_nlink > 1}
    named = [path for path in staging.parent.iterdir() if path.is_file() and path.stat().st_ino in inodes]
    sidecars = [path.with_name(sidecar_name(path.name)) for path in named]
    unlisted = {path for path in [*named, *sidecars] if path.exists()} - _listed(staging.parent)
    shards = [Leftover(path.as_uri(), "shard", path.stat().st_size, alive) for path in sorted(unlisted)]
    return [*shards, Leftover(staging.as_uri(), "folder", size, alive)]


def _listed(folder: Path) -> set[Path]:
    """The shards that the manifest of a folder names, and their sidecars."""
    manifest = read_manifest(folder)
    names = manifest.shards if manifest is not None else {}
    return {folder / name for name in [*names, *map(sidecar_name, names)]}


def remove_from_disk(dead: Iterable[Leftover]) -> list[Leftover]:
    """Remove leftovers, unless the manifest names them by now. Returns those that were removed."""
    removed = []
    for left in dead:
        path = local_path(left.url)
        if path is None or not path.parent.is_dir():
            continue
        with manifest_lock(path.parent):
            if left.kind == "folder":
                shutil.rmtree(path, ignore_errors=True)
            elif path not in _listed(path.parent):
                path.unlink(missing_ok=True)
            else:
                continue
        removed.append(left)
    return removed
