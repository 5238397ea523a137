"""Lightning's litdata."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming.writer import BinaryWriter

from ..formats import SEED, Batch, RowFormat
from ..workloads import Workload
from .loading import collate, opened

torch.set_num_threads(1)


class Peer(RowFormat):
    title = "litdata"

    def write(self, workload: Workload, folder: Path) -> None:
        writer = BinaryWriter(str(folder), chunk_bytes="64MB")
        for number, sample in enumerate(workload.dicts()):
            writer[number] = sample
        writer.done()
        writer.merge()

    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[dict[str, Any]]:
        return StreamingDataset(str(folder), shuffle=shuffle, seed=SEED)

    def loader(self, workload: Workload, folder: Path, shuffle: bool, workers: int) -> Iterable[Batch]:
        dataset = StreamingDataset(str(folder), shuffle=shuffle, seed=SEED)
        loader = StreamingDataLoader(
            dataset, batch_size=workload.batch_size, num_workers=workers, collate_fn=collate(workload)
        )
        return opened(workload, loader)
