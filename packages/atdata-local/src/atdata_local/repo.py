"""``Repo``: index and store in one, as older code has it."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from atdata import Dataset

from .entry import LocalDatasetEntry
from .index import Index
from .s3.access import Credentials
from .stores import S3DataStore

T = TypeVar("T")


class Repo:
    """Deprecated: an index with a store in S3. Use ``Index(data_store=S3DataStore(...))``.

    Args:
        s3_credentials: a dict or the path of an ``.env`` file, as of ``S3DataStore``.
        hive_path: the bucket, and perhaps a folder in it: ``my-bucket/datasets``.
        redis: where the index is, as of ``Index``.

    Raises:
        ValueError: no ``hive_path``, or credentials that cannot be meant.
    """

    def __init__(self, s3_credentials: Credentials = None, hive_path: str | None = None, redis: Any = None) -> None:
        warnings.warn(
            "Repo is deprecated; use Index(data_store=S3DataStore(credentials, bucket=..., prefix=...))",
            DeprecationWarning,
            stacklevel=2,
        )
        bucket, _, prefix = str(hive_path or "").partition("/")
        self._store = S3DataStore(s3_credentials, bucket=bucket, prefix=prefix)
        self._index = Index(redis, data_store=self._store)

    @property
    def index(self) -> Index:
        """The index."""
        return self._index

    def insert(
        self, ds: Dataset[T], *, name: str, cache_local: bool = False, schema_ref: str | None = None, **options: Any
    ) -> tuple[LocalDatasetEntry, Dataset[T]]:
        """Store a dataset and record it under a name. Returns its entry and the stored dataset.

        Args:
            ds: the dataset.
            name: its name.
            cache_local: as of ``S3DataStore.write_shards``.
            schema_ref: reference of its schema; see ``Index.insert_dataset``.
            options: the others of both, such as ``maxcount``.
        """
        entry = self._index.insert_dataset(ds, name=name, schema_ref=schema_ref, cache_local=cache_local, **options)
        return entry, Dataset.of(ds.sample_type, self._store.source(entry.data_urls))
