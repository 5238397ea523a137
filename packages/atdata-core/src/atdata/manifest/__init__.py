"""``manifest.json``: what the shards of a folder hold.

    {"format": "atdata-manifest", "version": 1, "layout": "samples",
     "schemas": {<schema CID>: <schema record>},
     "shards": [{"name": ..., "samples": ..., "bytes": ..., "sha256": ..., "firstKey": ..., "schema": <CID>}]}

``schema`` is absent where the samples' type has no form as a schema.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..atomic import locked, replace_file
from ..errors import ManifestError

NAME = "manifest.json"
_FORMAT = "atdata-manifest"


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What the manifest knows of one shard.

    Attributes:
        name: its file name.
        samples: how many samples it holds.
        bytes: its size.
        sha256: hex digest of its bytes.
        first_key: key of its first sample.
        schema: CID of its samples' schema, or None.
    """

    name: str
    samples: int
    bytes: int
    sha256: str
    first_key: str
    schema: str | None = None


_KEYS = {"name": str, "samples": int, "bytes": int, "sha256": str, "firstKey": str}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a ``manifest.json``.

    Attributes:
        shards: facts by file name.
        schemas: schema records by CID.
    """

    shards: Mapping[str, ShardFacts] = field(default_factory=dict)
    schemas: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The file's content: the same for the same shards, whoever wrote first."""
        shards = [
            {
                "name": facts.name,
                "samples": facts.samples,
                "bytes": facts.bytes,
                "sha256": facts.sha256,
                "firstKey": facts.first_key,
                **({"schema": facts.schema} if facts.schema else {}),
            }
            for _, facts in sorted(self.shards.items())
        ]
        content = {
            "format": _FORMAT,
            "version": 1,
            "layout": "samples",
            "schemas": dict(sorted(self.schemas.items())),
            "shards": shards,
        }
        return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def _facts(entry: Any, where: str) -> ShardFacts:
    if not isinstance(entry, dict) or not all(type(entry.get(k)) is t for k, t in _KEYS.items()):
        raise ManifestError(f"{where}: a shard's entry needs {', '.join(_KEYS)}; found {entry!r:.200}")
    name, first_key, schema = entry["name"], entry["firstKey"], entry.get("schema")
    plain = all(text.isprintable() or text.encode("utf-8", "replace").decode() == text for text in (name, first_key))
    if (
        min(entry["samples"], entry["bytes"]) < 0
        or name in ("", ".", "..")
        or "/" in name
        or "\\" in name
        or not plain
        or not isinstance(schema, str | None)
    ):
        raise ManifestError(f"{where}: impossible entry {entry!r:.200}")
    return ShardFacts(name, entry["samples"], entry["bytes"], entry["sha256"], first_key, schema)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict)


def parse_manifest(data: bytes, where: str) -> Manifest | None:
    """A manifest from its bytes, or None if they are somebody else's ``manifest.json``.

    Args:
        data: the file's content.
        where: its name, for messages.

    Raises:
        ManifestError: ours, but of a newer version or damaged.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return None
    if content.get("version") != 1 or content.get("layout") != "samples":
        raise ManifestError(
            f"{where} has version {content.get('version')!r} and layout {content.get('layout')!r}; "
            "this atdata reads version 1 with layout 'samples': upgrade it with pip install -U atdata-core"
        )
    shards, schemas = content.get("shards"), content.get("schemas")
    if not isinstance(shards, list) or not isinstance(schemas, dict) or not all(map(_is_record, schemas.values())):
        raise ManifestError(f"{where} lacks its lists of shards and schemas")
    facts = [_facts(entry, where) for entry in shards]
    return Manifest({entry.name: entry for entry in facts}, schemas)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None if there is none of ours.

    Raises:
        ManifestError: ours, but of a newer version or damaged.
    """
    path = folder / NAME
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


def facts_of(path: Path) -> ShardFacts | None:
    """What the manifest beside a shard knows of it; None if nothing, or if the file has another size by now.

    Raises:
        ManifestError: ours, but of a newer version or damaged.
    """
    manifest = read_manifest(path.parent)
    facts = manifest.shards.get(path.name) if manifest is not None else None
    return facts if facts is not None and path.stat().st_size == facts.bytes else None


@lru_cache(maxsize=64)
def _read(path: Path, *_version: int) -> Manifest | None:
    return parse_manifest(path.read_bytes(), str(path))


def merge_into_manifest(
    folder: Path,
    shards: Iterable[ShardFacts],
    schemas: Mapping[str, dict[str, Any]],
    *,
    remove: Collection[str] = (),
) -> None:
    """Add shards to a folder's manifest; entries of the same name are replaced, all others kept.

    The caller holds ``manifest_lock``.

    Args:
        folder: the shards' folder.
        shards: facts of the new shards.
        schemas: schema records by CID.
        remove: names of shards that are gone.

    Raises:
        ManifestError: the folder has a ``manifest.json`` that is not ours, or is damaged.
    """
    new = merged(own_manifest(folder), shards, schemas, remove=remove)
    replace_file(folder / NAME, new.to_json())


def merged(
    old: Manifest, shards: Iterable[ShardFacts], schemas: Mapping[str, dict[str, Any]], *, remove: Collection[str] = ()
) -> Manifest:
    """A manifest with more shards; entries of the same name are replaced, all others kept.

    Args:
        old: the manifest of before.
        shards: facts of the new shards.
        schemas: schema records by CID; those that no shard has are left out.
        remove: names of shards that are gone.
    """
    kept = {name: facts for name, facts in old.shards.items() if name not in remove}
    both = kept | {facts.name: facts for facts in shards}
    used = {facts.schema for facts in both.values()}
    return Manifest(both, {cid: record for cid, record in {**old.schemas, **schemas}.items() if cid in used})


def manifest_lock(folder: Path) -> AbstractContextManager[None]:
    """What a writer holds from naming its first shard until the manifest tells of all of them."""
    return locked(folder / ".manifest.lock")


def own_manifest(folder: Path) -> Manifest:
    """The manifest that a writer may replace; an empty one where there is no file.

    Raises:
        ManifestError: the folder has a ``manifest.json`` that is not ours, or is damaged.
    """
    there = (folder / NAME).exists()  # before reading: another writer may make one meanwhile, and that is ours
    manifest = read_manifest(folder)
    if manifest is None and there:
        raise ManifestError(
            f"{folder / NAME} is not an atdata manifest and would be overwritten; write to another folder"
        )
    return manifest or Manifest()
