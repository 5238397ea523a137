"""The atdata backend for one machine or a team: the index of datasets and schemas, embedded or on Redis.

Names are imported when they are first used; the clients of servers, when a server is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .entry import REDIS_KEY_DATASET_ENTRY as REDIS_KEY_DATASET_ENTRY
    from .entry import LocalDatasetEntry as LocalDatasetEntry
    from .index import Index as Index
    from .index import LocalIndex as LocalIndex
    from .schemas import LocalSchemaField as LocalSchemaField
    from .schemas import LocalSchemaRecord as LocalSchemaRecord

    __version__: str

_HOME = {
    "Index": "index",
    "LocalDatasetEntry": "entry",
    "LocalIndex": "index",
    "LocalSchemaField": "schemas",
    "LocalSchemaRecord": "schemas",
    "REDIS_KEY_DATASET_ENTRY": "entry",
}

__all__ = [
    "REDIS_KEY_DATASET_ENTRY",
    "Index",
    "LocalDatasetEntry",
    "LocalIndex",
    "LocalSchemaField",
    "LocalSchemaRecord",
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
