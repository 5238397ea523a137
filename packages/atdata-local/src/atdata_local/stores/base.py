"""What the stores of this package have in common: how they are asked to write, and to sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from atdata import Dataset
from atdata.manifest import ShardFacts
from atdata.storing import Limits, folder_of, known, no_others

from .leftovers import Leftover

# A writer that was silent for so long is taken for dead
DAY = timedelta(days=1)


class ShardStore(ABC):
    """Shards in folders with manifests.

    Args:
        prefix: a folder in the store, for all that is stored.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = folder_of(prefix)

    def write_shards(
        self,
        ds: Dataset[Any],
        *,
        prefix: str,
        cache_local: bool = False,
        maxcount: int | None = None,
        maxsize: int | None = None,
        **options: Any,
    ) -> list[str]:
        """Store a dataset's shards: all of them, or after an exception none.

        Shards that are within the limits, of which the manifest knows type and digest, and that no lens changes are
        copied as they are; others are read and made anew. Nothing is ever written over; the manifest comes last.

        Args:
            ds: the dataset.
            prefix: the folder in the store, such as ``datasets/mnist/v1``. Several datasets may share it.
            cache_local: make each shard in a temporary file before it is sent; for sources that pause so long that a
                server would give up waiting. Shards that are copied as they are, and stores on disk, do not need it.
            maxcount: at most so many samples per shard.
            maxsize: at most so many bytes per shard, unless a single sample is larger; shards that are made anew have
                at most 1 GiB by default.
            options: none; for the protocol's sake.

        Returns:
            URLs of the shards in this store.

        Raises:
            TypeError: an option that there is not.
            NothingStored: the dataset has no samples; a ``RuntimeError``.
            ShardCorrupted: a shard is not what its manifest says.
            ShardPermissionError: the server refuses the credentials; says which of them is wrong, and how.
            ShardNotFound: there is no such bucket.
            AtdataError: the dataset cannot be read, or the server does not answer.
            OSError: the disk is full, or the folder may not be written to.
        """
        no_others(options)
        return self._write(ds, folder_of(self._prefix, prefix), Limits(maxcount, maxsize), cache_local)

    def supports_streaming(self) -> bool:
        """True: shards are read while they come."""
        return True

    def sweep(self, older_than: timedelta = DAY, *, prefix: str = "", dry_run: bool = False) -> list[Leftover]:
        """Remove what writers that died have left: shards that no manifest names, and parts of shards.

        Only what writers of atdata left is removed, and only where they gave no sign of life for some time. One that
        was stopped for longer and goes on finds its shards gone, and fails.

        Args:
            older_than: for how long; less than an hour is safe only while nobody writes.
            prefix: look only below this folder of the store.
            dry_run: remove nothing.

        Returns:
            What was removed; with ``dry_run``, what would be.

        Raises:
            ManifestError: a manifest that cannot be understood.
            AtdataError: something cannot be listed, or not be removed.
        """
        now = datetime.now(UTC)
        dead = [left for left in self.leftovers(prefix) if now - left.alive >= older_than]
        return dead if dry_run else self._remove(dead)

    def leftovers(self, prefix: str = "") -> list[Leftover]:
        """What writers that did not finish have left below a prefix; some may still be at work.

        Raises:
            ManifestError: a manifest that cannot be understood.
            AtdataError: it cannot be listed.
        """
        return self._leftovers(folder_of(self._prefix, prefix))

    def shard_facts(self, urls: Sequence[str]) -> list[ShardFacts] | None:
        """What the manifests know of shards, or None if one is unknown.

        Raises:
            ValueError: one that is not in this store.
        """
        source = self.source(urls)
        found = [ready.facts for shard in source.list_shards() if (ready := known(source, shard)) is not None]
        return found if len(found) == len(source.list_shards()) else None

    @abstractmethod
    def source(self, urls: Sequence[str]) -> Any:
        """A data source of shards that this store gave out.

        Raises:
            ValueError: one that is not in this store.
        """

    @abstractmethod
    def _write(self, ds: Dataset[Any], folder: str, limits: Limits, spool: bool) -> list[str]: ...

    @abstractmethod
    def _leftovers(self, folder: str) -> list[Leftover]: ...

    @abstractmethod
    def _remove(self, dead: Sequence[Leftover]) -> list[Leftover]: ...
