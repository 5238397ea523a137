"""``BoxIndex``: names and schemas of the datasets in a box."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atdata import Dataset, uri
from atdata.indexing import forget, record_of_type
from atdata.protocols import Packable
from atdata.schema import Version, schema_cid, schema_of, type_of

from .box import opened
from .store import BoxStore


@dataclass(frozen=True)
class BoxEntry:
    """A dataset in a box."""

    name: str
    schema_ref: str
    data_urls: list[str]
    metadata: dict[str, Any] | None


class BoxIndex:
    """An index in one SQLite file, with the shards beside it in the same file.

    Args:
        path: the file; it is made when it is needed.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self.data_store = BoxStore(path)
        with opened(self._path, write=True):
            pass  # so that all tables are there

    # -- datasets

    def insert_dataset(
        self,
        ds: Dataset[Any],
        *,
        name: str,
        schema_ref: str | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> BoxEntry:
        """Keep a dataset's shards, and its name; other options are the store's.

        Raises:
            ValueError: a name that cannot stand in a reference.
        """
        uri.DatasetRef("local", name)
        ref = schema_ref or self._publish(record_of_type(ds))
        urls = self.data_store.write_shards(ds, prefix="", **options)
        try:
            with opened(self._path, write=True) as box:
                row = (name, ref, json.dumps(urls), json.dumps(metadata))
                box.execute("INSERT OR REPLACE INTO datasets VALUES (?, ?, ?, ?)", row)
        except BaseException as error:
            forget(self.data_store, urls, error)
            raise
        return BoxEntry(name, ref, urls, metadata)

    def get_dataset(self, ref: str) -> BoxEntry:
        """The entry of a name, or of ``@local/name``.

        Raises:
            KeyError: there is none.
        """
        name = ref.removeprefix("@local/")
        for entry in self._entries("WHERE name = ?", name):
            return entry
        raise KeyError(f"{self._path} has no dataset {name!r}")

    @property
    def datasets(self) -> Iterator[BoxEntry]:
        """All entries, lazily."""
        return self._entries("ORDER BY name")

    def list_datasets(self) -> list[BoxEntry]:
        """All entries."""
        return list(self.datasets)

    def _entries(self, which: str, *values: str) -> Iterator[BoxEntry]:
        with opened(self._path) as box:
            for name, ref, urls, metadata in box.execute(f"SELECT * FROM datasets {which}", values):
                yield BoxEntry(name, ref, json.loads(urls), json.loads(metadata))

    # -- schemas

    def publish_schema(self, sample_type: type, *, version: str = "1.0.0", **_: Any) -> str:
        """Keep the schema of a sample type under a version. Returns its reference.

        Raises:
            ValueError: the version belongs to another schema already, or is none.
        """
        return self._publish(schema_of(sample_type, version=version))

    def _publish(self, record: dict[str, Any]) -> str:
        name, version = record["name"], str(Version.parse(record["version"]))
        with opened(self._path, write=True) as box:
            text = json.dumps(record)
            box.execute("INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)", (name, version, text))
            kept = box.execute("SELECT record FROM schemas WHERE name = ? AND version = ?", (name, version)).fetchone()
        if schema_cid(json.loads(kept[0])) != schema_cid(record):
            raise ValueError(f"{name} {version} is another schema; publish this one under the next version")
        return str(uri.SchemaRef("local", name, Version.parse(version)))

    def get_schema(self, ref: str) -> dict[str, Any]:
        """A schema record; without a version in the reference, the one of the highest.

        Raises:
            KeyError: there is none.
            ValueError: this is no reference of a schema.
        """
        parsed = uri.parse(ref)
        if not isinstance(parsed, uri.SchemaRef):
            raise ValueError(f"{ref!r} is no reference of a schema")
        wanted = [parsed.version] if parsed.version else []
        with opened(self._path) as box:
            found = box.execute("SELECT version, record FROM schemas WHERE name = ?", (parsed.name,)).fetchall()
        known = {Version.parse(version): record for version, record in found}
        best = max((version for version in known if version in wanted or not wanted), default=None)
        if best is None:
            raise KeyError(f"{self._path} has no schema {ref}")
        record: dict[str, Any] = json.loads(known[best])
        return record

    @property
    def schemas(self) -> Iterator[dict[str, Any]]:
        """All schema records, lazily."""
        with opened(self._path) as box:
            for (record,) in box.execute("SELECT record FROM schemas ORDER BY name, version"):
                yield json.loads(record)

    def list_schemas(self) -> list[dict[str, Any]]:
        """All schema records."""
        return list(self.schemas)

    def decode_schema(self, ref: str) -> type[Packable]:
        """A sample type made of a schema.

        Raises:
            KeyError: there is no such schema.
        """
        return type_of(self.get_schema(ref))


def default_index() -> BoxIndex:
    """The index in the file that ``ATDATA_BOX`` names."""
    return BoxIndex(os.environ.get("ATDATA_BOX", "atdata.box"))
