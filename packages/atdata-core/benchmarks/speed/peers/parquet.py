"""Parquet through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..formats import SEED, Batch, ColumnFormat
from ..workloads import Workload
from .columns import decoded, random_batches, record_batches, schema

NAME = "data.parquet"
MIXED = 4  # row groups that are shuffled together; they make up the buffer


class Peer(ColumnFormat):
    title = "Parquet"

    def write(self, workload: Workload, folder: Path) -> None:
        batches = record_batches(workload)
        per_group = max(1, workload.buffer // MIXED // workload.batch_size)
        # it has no integers below 32 bits; a dictionary keeps them in fewer
        small = [f"{name}.list.element" for name, field in workload.fields.items() if field.dtype == "uint8"]
        with pq.ParquetWriter(folder / NAME, schema(workload), compression="none", use_dictionary=small) as writer:
            while group := list(islice(batches, per_group)):
                writer.write_table(pa.Table.from_batches(group))

    def batches(self, workload: Workload, folder: Path, shuffle: bool) -> Iterator[Batch]:
        with pq.ParquetFile(folder / NAME, memory_map=True) as file:
            if not shuffle:
                for batch in file.iter_batches(workload.batch_size, use_threads=False):
                    yield decoded(workload, batch)
                return
            groups = np.random.default_rng(SEED).permutation(file.num_row_groups).tolist()
            for start in range(0, len(groups), MIXED):
                table = file.read_row_groups(groups[start : start + MIXED], use_threads=False)
                for numbers in random_batches(workload, len(table)):
                    yield decoded(workload, table.take(numbers))
