"""Ranks of torch.distributed over gloo, each with workers: every sample once, equal steps, other ranks after a stop."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

import atdata

pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")

RANKS, BATCH, COUNT = 2, 3, 41
RUNS = {
    "uneven": {"shuffle": True, "seed": 0},
    "drop_last": {"shuffle": True, "seed": 0, "policy": "drop_last"},
    "pad": {"shuffle": True, "seed": 0, "policy": "pad"},
    "spawned": {"num_workers": 1, "multiprocessing_context": "spawn"},
    "stopped": {"shuffle": True, "seed": 0},
}
STOP = 3

TRAIN = """
import itertools, json, sys
import torch.distributed as dist
import atdata

@atdata.packable
class Number:
    number: int

def had(dataset, name, stop, options):
    loader = dataset.to_torch(**{"batch_size": 3, "num_workers": 2} | options)
    batches = iter(loader)
    mine = [batch["number"].tolist() for batch in itertools.islice(batches, stop if name == "stopped" else None)]
    everyone = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, {"batches": mine, "state": loader.state_dict(), "length": len(loader)})
    return everyone

def main(shards, rendezvous, rank, stop, runs):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=2)
    dataset = atdata.Dataset[Number](shards)
    everything = {name: had(dataset, name, int(stop), options) for name, options in json.loads(runs).items()}
    if rank == "0":
        print(json.dumps(everything))
    dist.destroy_process_group()

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@atdata.packable
class Number:
    number: int


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """41 samples in shards of 1, 10, 10, 10 and 10: one rank may have no shard of its own."""
    folder = tmp_path_factory.mktemp("numbers")
    atdata.write_samples([Number(0)], folder / "data-000000.tar")
    for shard in range(1, 5):
        atdata.write_samples(map(Number, range(10 * shard - 9, 10 * shard + 1)), folder / f"data-{shard:06}.tar")
    return atdata.Dataset[Number](f"{folder}/data-{{000000..000004}}.tar")


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    """For each of the runs what each rank had: its batches, its state, its length."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "train.py").write_text(TRAIN)
    command = [sys.executable, folder / "train.py", dataset.url, folder / "rendezvous"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(STOP), json.dumps(RUNS)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for rank in range(RANKS)
    ]
    outputs = [rank.communicate()[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * RANKS
    return json.loads(outputs[0])


def samples(ranks):
    return Counter(number for rank in ranks for batch in rank for number in batch)


@pytest.mark.parametrize("name", ["uneven", "spawned"])
def test_every_sample_comes_once(runs, name):
    ranks = [rank["batches"] for rank in runs[name]]
    assert all(ranks)
    assert samples(ranks) == Counter(range(COUNT))
    assert [rank["length"] for rank in runs[name]] == [*map(len, ranks)]


@pytest.mark.parametrize(("policy", "total"), [("drop_last", 40), ("pad", 42)])
def test_all_ranks_make_equally_many_equal_steps(runs, policy, total):
    ranks = [rank["batches"] for rank in runs[policy]]
    assert len({tuple(map(len, batches)) for batches in ranks}) == 1
    seen = samples(ranks)
    assert seen.total() == total
    assert set(seen) <= set(range(COUNT))
    assert len(seen) == min(total, COUNT)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_another_number_of_ranks_goes_on_where_these_stopped(dataset, runs, world_size):
    stopped = runs["stopped"]
    assert [len(rank["batches"]) for rank in stopped] == [STOP, STOP]
    assert stopped[0]["state"] == stopped[1]["state"]
    rest = []
    for rank in range(world_size):
        loader = dataset.to_torch(
            batch_size=BATCH + 1, shuffle=True, seed=0, num_workers=rank, rank=rank, world_size=world_size
        )
        loader.load_state_dict(stopped[rank % RANKS]["state"])
        rest.append([batch["number"].tolist() for batch in loader])
    assert samples([*(rank["batches"] for rank in stopped), *rest]) == Counter(range(COUNT))
