"""webdataset as its manual shows it: a ``.npy`` file for each array, a ``.json`` file for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import webdataset as wds

from ..formats import SEED, Batch, RowFormat
from ..tar import PATTERN, shards_in
from ..workloads import Workload


class Peer(RowFormat):
    title = "webdataset .npy + .json"

    def write(self, workload: Workload, folder: Path) -> None:
        with wds.ShardWriter(str(folder / PATTERN), maxcount=workload.maxcount, verbose=0) as writer:
            for number, sample in enumerate(workload.dicts()):
                arrays = {f"{name}.npy": sample.pop(name) for name in workload.arrays}
                writer.write({"__key__": f"{number:09}", **arrays, "json": sample})

    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[dict[str, Any]]:
        return self._samples(workload, folder, shuffle)

    def loader(self, workload: Workload, folder: Path, shuffle: bool, workers: int) -> Iterable[Batch]:
        from .loading import as_it_is, collate, opened  # torch, which reading row by row can do without

        batches = self._samples(workload, folder, shuffle).batched(workload.batch_size, collation_fn=collate(workload))
        return opened(workload, wds.WebLoader(batches, batch_size=None, num_workers=workers, collate_fn=as_it_is))

    def _samples(self, workload: Workload, folder: Path, shuffle: bool) -> wds.WebDataset:
        shards = shards_in(folder)
        if shuffle:
            dataset = wds.WebDataset(shards, shardshuffle=len(shards), seed=SEED)
            dataset = dataset.shuffle(workload.buffer, initial=workload.buffer)
        else:
            dataset = wds.WebDataset(shards, shardshuffle=False)
        return dataset.decode().map(partial(_flat, tuple(workload.arrays)))


def _flat(arrays: tuple[str, ...], sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample["json"], **{name: sample[f"{name}.npy"] for name in arrays}}
