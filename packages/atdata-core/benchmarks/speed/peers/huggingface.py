"""HuggingFace datasets, map-style.

Read as Arrow tables: its NumPy form turns every integer into int64 and every float into float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features
from datasets.arrow_writer import ArrowWriter

from ..formats import SEED, Batch, ColumnFormat
from ..workloads import Workload
from .columns import decoded, record_batches, schema

NAME = "data.arrow"


class Peer(ColumnFormat):
    title = "HuggingFace datasets"

    def write(self, workload: Workload, folder: Path) -> None:
        with ArrowWriter(features=Features.from_arrow_schema(schema(workload)), path=str(folder / NAME)) as writer:
            for batch in record_batches(workload):
                writer.write_table(pa.Table.from_batches([batch]))
            writer.finalize()

    def batches(self, workload: Workload, folder: Path, shuffle: bool) -> Iterator[Batch]:
        dataset = Dataset.from_file(str(folder / NAME)).with_format("arrow")
        if shuffle:
            dataset = dataset.shuffle(seed=SEED, keep_in_memory=True)
        return (decoded(workload, table) for table in dataset.iter(workload.batch_size))
