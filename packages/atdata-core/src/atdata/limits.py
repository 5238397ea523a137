"""How large shards may be."""

from __future__ import annotations

from dataclasses import dataclass

from ._arguments import check_limit


@dataclass(frozen=True)
class Limits:
    """How large shards may be.

    Attributes:
        samples: at most so many samples; None for any number.
        bytes: at most so many bytes, unless a single sample is larger; None for any number.

    Raises:
        TypeError: one of them is no number.
        ValueError: one of them is below 1.
    """

    samples: int | None
    bytes: int | None

    def __post_init__(self) -> None:
        check_limit("maxcount", self.samples)
        check_limit("maxsize", self.bytes)

    def allow(self, count: int, size: int) -> bool:
        """Whether a shard may be so large."""
        return (self.samples is None or count <= self.samples) and (self.bytes is None or size <= self.bytes)
