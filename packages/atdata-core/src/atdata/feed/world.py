"""Where this process stands among those that train together."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple


class Worker(NamedTuple):
    """A worker process of a DataLoader.

    Attributes:
        number: which one, from 0.
        total: how many there are.
        seed: what all of them have in common in this epoch, and in no other.
    """

    number: int
    total: int
    seed: int


def worker() -> Worker | None:
    """The DataLoader's worker that this process is, or None."""
    loading = sys.modules.get("torch.utils.data")
    info = loading.get_worker_info() if loading is not None else None
    return None if info is None else Worker(info.id, info.num_workers, info.seed - info.id)


def _distributed() -> Any:
    distributed: Any = sys.modules.get("torch.distributed")
    return distributed if distributed is not None and distributed.is_available() else None


def group() -> tuple[int, int] | None:
    """Rank and number of ranks as torch.distributed knows them; None where it is not in use."""
    distributed = _distributed()
    if distributed is None or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks: as given, else as torch.distributed or the launcher's environment says.

    Raises:
        ValueError: the environment says what makes no sense.
    """
    if rank is not None and world_size is not None:
        return rank, world_size
    known = group()
    if known is not None:
        return known
    texts = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if None in texts:
        return 0, 1
    try:
        here, count = (int(text or "") for text in texts)
    except ValueError:
        here, count = 0, -1
    if not 0 <= here < count:
        raise ValueError(
            f"the environment says RANK={texts[0]} and WORLD_SIZE={texts[1]}, which is no place among ranks; give "
            "rank= and world_size=, or unset them"
        )
    return here, count
