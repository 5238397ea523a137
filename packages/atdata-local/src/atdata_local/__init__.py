"""The atdata backend for one machine or a team: an index of datasets and schemas, and stores of shards.

Names are imported when they are first used; the clients of servers, when a server is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .entry import REDIS_KEY_DATASET_ENTRY as REDIS_KEY_DATASET_ENTRY
    from .entry import LocalDatasetEntry as LocalDatasetEntry
    from .index import Index as Index
    from .index import LocalIndex as LocalIndex
    from .repo import Repo as Repo
    from .s3 import S3Source as S3Source
    from .schemas import LocalSchemaField as LocalSchemaField
    from .schemas import LocalSchemaRecord as LocalSchemaRecord
    from .stores import DiskDataStore as DiskDataStore
    from .stores import S3DataStore as S3DataStore

    __version__: str

_HOME = {
    "DiskDataStore": "stores",
    "Index": "index",
    "LocalDatasetEntry": "entry",
    "LocalIndex": "index",
    "LocalSchemaField": "schemas",
    "LocalSchemaRecord": "schemas",
    "REDIS_KEY_DATASET_ENTRY": "entry",
    "Repo": "repo",
    "S3DataStore": "stores",
    "S3Source": "s3",
}

__all__ = [
    "REDIS_KEY_DATASET_ENTRY",
    "DiskDataStore",
    "Index",
    "LocalDatasetEntry",
    "LocalIndex",
    "LocalSchemaField",
    "LocalSchemaRecord",
    "Repo",
    "S3DataStore",
    "S3Source",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("atdata-local")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOME, "__version__"})
