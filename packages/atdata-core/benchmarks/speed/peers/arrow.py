"""Arrow IPC files, mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ..formats import Batch, ColumnFormat
from ..workloads import Workload
from .columns import decoded, random_batches, record_batches, schema

NAME = "data.arrow"


class Peer(ColumnFormat):
    title = "Arrow IPC, mapped"

    def write(self, workload: Workload, folder: Path) -> None:
        with pa.ipc.new_file(str(folder / NAME), schema(workload)) as writer:
            for batch in record_batches(workload):
                writer.write_batch(batch)

    def batches(self, workload: Workload, folder: Path, shuffle: bool) -> Iterator[Batch]:
        with pa.memory_map(str(folder / NAME)) as file, pa.ipc.open_file(file) as reader:
            if shuffle:
                table = reader.read_all()
                for numbers in random_batches(workload, len(table)):
                    yield decoded(workload, table.take(numbers))
            else:
                for number in range(reader.num_record_batches):
                    yield decoded(workload, reader.get_batch(number))
