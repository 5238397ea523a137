"""webdataset as its manual shows it: a ``.npy`` file for each array, a ``.json`` file for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import webdataset as wds

from ..formats import SEED, RowFormat
from ..tar import PATTERN, shards_in
from ..workloads import Workload


class Peer(RowFormat):
    title = "webdataset .npy + .json"

    def write(self, workload: Workload, folder: Path) -> None:
        with wds.ShardWriter(str(folder / PATTERN), maxcount=workload.maxcount, verbose=0) as writer:
            for number, sample in enumerate(workload.dicts()):
                arrays = {f"{name}.npy": sample.pop(name) for name in workload.arrays}
                writer.write({"__key__": f"{number:09}", **arrays, "json": sample})

    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterator[dict[str, Any]]:
        shards = shards_in(folder)
        if shuffle:
            dataset = wds.WebDataset(shards, shardshuffle=len(shards), seed=SEED)
            dataset = dataset.shuffle(workload.buffer, initial=workload.buffer)
        else:
            dataset = wds.WebDataset(shards, shardshuffle=False)
        for sample in dataset.decode():
            yield {**sample["json"], **{name: sample[f"{name}.npy"] for name in workload.arrays}}
