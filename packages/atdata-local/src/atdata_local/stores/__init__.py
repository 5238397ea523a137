"""Where shards are kept: on disk or in S3."""

from .disk import DiskDataStore
from .s3 import S3DataStore

__all__ = ["DiskDataStore", "S3DataStore"]
