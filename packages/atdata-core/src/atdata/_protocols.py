"""The protocols under the name that earlier code imports them by."""

from .protocols import AbstractDataStore, AbstractIndex, DataSource, IndexEntry, Packable

__all__ = ["AbstractDataStore", "AbstractIndex", "DataSource", "IndexEntry", "Packable"]
