"""Lance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa

from ..formats import Batch, ColumnFormat
from ..workloads import Workload
from .columns import decoded, random_batches, record_batches, schema

NAME = "data.lance"


class Peer(ColumnFormat):
    title = "Lance"

    def write(self, workload: Workload, folder: Path) -> None:
        batches = pa.RecordBatchReader.from_batches(schema(workload), record_batches(workload))
        lance.write_dataset(batches, str(folder / NAME))

    def batches(self, workload: Workload, folder: Path, shuffle: bool) -> Iterator[Batch]:
        dataset = lance.dataset(str(folder / NAME))
        rows = (
            map(dataset.take, random_batches(workload, dataset.count_rows()))
            if shuffle
            else dataset.to_batches(batch_size=workload.batch_size)
        )
        return (decoded(workload, batch) for batch in rows)
