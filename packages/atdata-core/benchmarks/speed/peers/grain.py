"""Google's grain on ArrayRecord files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grain
from array_record.python.array_record_module import ArrayRecordWriter

from ..formats import SEED, RowFormat
from ..tar import packed, unpacked
from ..workloads import Workload

NAME = "data.array_record"


class Peer(RowFormat):
    title = "grain + ArrayRecord"

    def write(self, workload: Workload, folder: Path) -> None:
        writer = ArrayRecordWriter(str(folder / NAME), "group_size:1,uncompressed")
        for sample in workload.dicts():
            writer.write(packed(sample))
        writer.close()

    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[dict[str, Any]]:
        dataset = grain.MapDataset.source(grain.sources.ArrayRecordDataSource([str(folder / NAME)]))
        if shuffle:
            dataset = dataset.shuffle(seed=SEED)
        return dataset.map(lambda record: unpacked(workload, record)).to_iter_dataset(
            grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        )
