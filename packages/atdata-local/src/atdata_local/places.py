"""Where things are that nobody has named a place for: all in the user's data directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import Catalog
    from .stores import DiskDataStore


def _data(name: str) -> Path:
    from platformdirs import user_data_path

    return user_data_path("atdata") / name


def index_file() -> Path:
    """The file of the embedded index."""
    return _data("index.sqlite3")


def stub_folder() -> Path:
    """The folder of modules for editors."""
    return _data("stubs")


def server_folder() -> Path:
    """Where development servers keep their data."""
    return _data("servers")


def store_of(catalog: Catalog) -> DiskDataStore:
    """Where shards go if an index without a store is asked to store them: beside its file, if it is one."""
    from .stores import DiskDataStore

    return DiskDataStore(getattr(catalog, "path", index_file()).with_name("shards"))
