"""``SampleStream``: what ``ordered()`` and ``shuffled()`` return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

from webdataset.pipeline import DataPipeline

T_co = TypeVar("T_co", covariant=True)


class SampleStream(DataPipeline, Generic[T_co]):  # type: ignore[misc]
    """A ``webdataset.DataPipeline`` whose element type is known.

    It can be iterated again and again, each time from the start; ``compose``, ``with_epoch``, ``wds.WebLoader`` and
    torch's ``DataLoader`` work on it. In a DataLoader's workers each reads its own shards.
    """

    def __iter__(self) -> Iterator[T_co]:
        if len(self.pipeline) == 1 and self.repetitions == 1:
            return cast("Iterator[T_co]", self.pipeline[0]())  # nothing to add to what the stage yields
        return cast("Iterator[T_co]", super().__iter__())

    def compose(self, *args: Any) -> SampleStream[Any]:
        """A stream with more stages behind this one's; a stage takes an iterator and returns one."""
        return cast("SampleStream[Any]", super().compose(*args))
