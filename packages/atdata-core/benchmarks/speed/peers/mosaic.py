"""MosaicML streaming, format MDS."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

# Its image datasets, which are not used here, need a torchvision that fits the torch; imported with it, all would fail.
sys.modules["streaming.vision"] = ModuleType("streaming.vision")
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset  # noqa: E402
from streaming.base.util import clean_stale_shared_memory  # noqa: E402

from ..formats import SEED, Batch, RowFormat  # noqa: E402
from ..workloads import Field, Workload  # noqa: E402
from .loading import collate, opened  # noqa: E402

torch.set_num_threads(1)


class Peer(RowFormat):
    title = "MosaicML streaming"

    def write(self, workload: Workload, folder: Path) -> None:
        columns = {name: _encoding(field) for name, field in workload.fields.items()}
        with MDSWriter(out=str(folder), columns=columns) as writer:
            for sample in workload.dicts():
                writer.write(sample)

    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[dict[str, Any]]:
        clean_stale_shared_memory()  # a pass before this one is not always done with it
        return StreamingDataset(local=str(folder), batch_size=workload.batch_size, shuffle=shuffle, shuffle_seed=SEED)

    def loader(self, workload: Workload, folder: Path, shuffle: bool, workers: int) -> Iterable[Batch]:
        dataset = self.rows(workload, folder, shuffle)
        loader = StreamingDataLoader(
            dataset, batch_size=workload.batch_size, num_workers=workers, collate_fn=collate(workload)
        )
        return opened(workload, loader)


def _encoding(field: Field) -> str:
    if field.shape:
        return f"ndarray:{field.dtype}:{','.join(map(str, field.shape))}"
    return f"ndarray:{field.dtype}" if field.dtype else {int: "int", float: "float64", str: "str"}[field.hint]
