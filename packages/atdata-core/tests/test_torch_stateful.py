"""torchdata's StatefulDataLoader over streams of samples."""

import itertools
import json

import pytest
from numbered import BATCH, many_items, numbers

pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")
stateful = pytest.importorskip(
    "torchdata.stateful_dataloader", reason="torchdata is not installed; nox -s torch installs it"
)

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return many_items(tmp_path_factory.mktemp("items"))


def loader_of(dataset, workers):
    stream = dataset.shuffled(batch_size=BATCH, seed=0)
    return stateful.StatefulDataLoader(stream, batch_size=None, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("taken", [1, 6])
def test_it_goes_on_exactly_where_it_was(dataset, workers, taken):
    whole = numbers(dataset.shuffled(batch_size=BATCH, seed=0))
    loader = loader_of(dataset, workers)
    batches = iter(loader)
    assert numbers(itertools.islice(batches, taken)) == whole[:taken]
    state = loader.state_dict()
    del batches
    again = loader_of(dataset, workers)
    again.load_state_dict(state)
    assert numbers(again) == whole[taken:]


@pytest.mark.parametrize("workers", [0, 2])
def test_its_state_fits_a_loader_of_ours_with_other_workers(dataset, workers):
    whole = numbers(dataset.shuffled(batch_size=BATCH, seed=0))
    loader = loader_of(dataset, workers)
    batches = iter(loader)
    numbers(itertools.islice(batches, 5))
    state = json.loads(json.dumps(loader.state_dict()))
    del batches
    ours = dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0, num_workers=1)
    ours.load_state_dict(state)
    assert [batch["number"].tolist() for batch in ours] == whole[5:]
