"""Datasets of atdata in one SQLite file, a box: an example of a backend."""

from .index import BoxIndex
from .source import BoxSource
from .store import BoxStore

__all__ = ["BoxIndex", "BoxSource", "BoxStore"]
