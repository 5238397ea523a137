"""Datasets: what they take, how they iterate, and what they say about themselves."""

import copy
import io
import itertools
import json
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import types
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ormsgpack
import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import Handmade
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample, SampleBatch, URLSource
from atdata.errors import (
    FieldMismatch,
    MalformedSample,
    SampleDecodeError,
    SampleTypeError,
    ShardCorrupted,
    ShardIsDirectory,
    ShardNotFound,
)

T = TypeVar("T")


@atdata.packable
class Item:
    number: int
    vector: NDArray
    note: str | None = None


class Items(Dataset[Item]):
    """A dataset whose type is in its class."""


class MoreItems(Items):
    pass


def item(number):
    return Item(number, np.full(3, number, np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four shards of five, five, five and two samples, numbered 0 to 16."""
    folder = tmp_path_factory.mktemp("items")
    atdata.write_samples(map(item, range(17)), folder / "data-%06d.tar", maxcount=5)
    return folder


@pytest.fixture
def dataset(folder):
    return Dataset[Item](f"{folder}/data-{{000000..000003}}.tar")


def numbers(stream):
    return [sample.number for sample in stream]


class PropertySource:
    """A user's source as one page of the documentation describes it: a property and methods."""

    def __init__(self, folder):
        self.folder = folder
        self.opened = []

    @property
    def shards(self):
        for name in self.list_shards():
            yield name, self.open_shard(name)

    def list_shards(self):
        return sorted(path.name for path in self.folder.glob("*.tar"))

    def open_shard(self, shard_id):
        if shard_id not in self.list_shards():
            raise KeyError(f"Shard not found: {shard_id}")
        self.opened.append(shard_id)
        return open(self.folder / shard_id, "rb")


class MethodSource:
    """A user's source as another page describes it: ``shard_list``, and ``shards`` as a method."""

    def __init__(self, folder):
        self._folder = folder
        self._shards = sorted(path.name for path in folder.glob("*.tar"))

    @property
    def shard_list(self):
        return self._shards

    def shards(self):
        for shard_id in self._shards:
            yield shard_id, self._open(shard_id)

    def open_shard(self, shard_id):
        if shard_id not in self._shards:
            raise KeyError(f"Shard not found: {shard_id}")
        return self._open(shard_id)

    def _open(self, shard_id):
        return io.BytesIO((self._folder / shard_id).read_bytes())


class OnlyShardsMethod:
    def __init__(self, folder):
        self._source = MethodSource(folder)

    def shards(self):
        return self._source.shards()


class OnlyShardsProperty:
    def __init__(self, folder):
        self._source = MethodSource(folder)

    @property
    def shards(self):
        return self._source.shards()


class MethodList:
    """``shard_list`` as a method."""

    def __init__(self, folder):
        self._source = MethodSource(folder)

    def shard_list(self):
        return self._source.shard_list

    def open_shard(self, shard_id):
        return self._source.open_shard(shard_id)


SOURCES = [PropertySource, MethodSource, OnlyShardsMethod, OnlyShardsProperty, MethodList]

# --------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize(
    "form",
    [
        lambda folder: f"{folder}/data-{{000000..000003}}.tar",
        lambda folder: folder / "data-000000.tar",
        lambda folder: f"file://{folder}/data-{{000000..000003}}.tar",
        lambda folder: [f"{folder}/data-000000.tar", folder / "data-000001.tar"],
        lambda folder: (f"{folder}/data-{{000000..000001}}.tar", f"{folder}/data-{{000002,000003}}.tar"),
        lambda folder: f"{folder}/data-000000.tar::{folder}/data-000001.tar",
        lambda folder: URLSource(f"{folder}/data-{{000000..000003}}.tar"),
        *SOURCES,
    ],
)
def test_every_form_of_source_is_read_in_order(folder, form):
    ds = Dataset[Item](form(folder))
    names = [Path(name).name for name in ds.list_shards()]
    assert names == [f"data-{number:06}.tar" for number in range(len(names))]
    assert numbers(ds.ordered()) == list(range(min(5 * len(names), 17)))


def test_paths_may_be_given_by_any_iterable(folder):
    paths = (folder / f"data-{number:06}.tar" for number in range(2))
    assert numbers(Dataset[Item](paths)) == list(range(10))


def test_url_keyword_is_the_same_as_source(folder):
    ds = Dataset[Item](url=str(folder / "data-000000.tar"))
    assert numbers(ds.ordered()) == [0, 1, 2, 3, 4]
    assert ds.url == str(folder / "data-000000.tar")


def test_relative_paths_work(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert numbers(Dataset[Item]("data-000003.tar")) == [15, 16]
    assert numbers(Dataset[Item]("./data-000003.tar")) == [15, 16]


@pytest.mark.parametrize("arguments", [((), {}), (("a.tar",), {"url": "b.tar"}), ((None,), {})])
def test_exactly_one_source_is_taken(arguments):
    positional, named = arguments
    with pytest.raises(TypeError, match="one source"):
        Dataset[Item](*positional, **named)


@pytest.mark.parametrize("source", [3, 3.5, object(), b"data.tar", [3], []])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(TypeError):
        Dataset[Item](source)


def test_an_empty_url_is_refused():
    with pytest.raises((TypeError, ValueError)):
        Dataset[Item]("")


def test_the_refusal_of_a_source_says_what_it_lacks():
    with pytest.raises(TypeError, match="SimpleNamespace has no list_shards"):
        Dataset[Item](types.SimpleNamespace(open_shard=open))
    with pytest.raises(TypeError, match="open_shard"):
        Dataset[Item](types.SimpleNamespace(list_shards=list))


def test_nothing_is_opened_before_iteration(tmp_path):
    ds = Dataset[Item](str(tmp_path / "absent-{0..9}.tar"))
    stream = ds.ordered(batch_size=2)
    assert len(ds.list_shards()) == 10
    with pytest.raises(ShardNotFound):
        next(iter(stream))


def test_shards_are_opened_one_by_one(folder):
    source = PropertySource(folder)
    stream = iter(Dataset[Item](source).ordered())
    assert source.opened == []
    next(stream)
    assert source.opened == ["data-000000.tar"]


class ClosingSource(PropertySource):
    def __init__(self, folder):
        super().__init__(folder)
        self.streams = []

    def open_shard(self, shard_id):
        self.streams.append(super().open_shard(shard_id))
        return self.streams[-1]


def test_streams_of_sources_are_closed(folder):
    source = ClosingSource(folder)
    assert len(list(Dataset[Item](source).ordered())) == 17
    assert len(source.streams) == 4
    assert all(stream.closed for stream in source.streams)


def test_streams_are_closed_when_iteration_stops_early(folder):
    source = ClosingSource(folder)
    Dataset[Item](source).head(2)
    assert [stream.closed for stream in source.streams] == [True]


def test_errors_of_sources_come_through(folder):
    class Failing(PropertySource):
        def open_shard(self, shard_id):
            raise PermissionError(f"no key for {shard_id}")

    with pytest.raises(PermissionError, match=r"no key for data-000000.tar"):
        list(Dataset[Item](Failing(folder)))


def test_our_own_sources_satisfy_the_protocol(folder):
    assert isinstance(URLSource("data.tar"), atdata.DataSource)
    assert isinstance(PropertySource(folder), atdata.DataSource)


# ----------------------------------------------------------------------------------------------- types


def test_unsubscripted_means_dict_samples(folder):
    ds = Dataset(str(folder / "data-000000.tar"))
    assert ds.sample_type is DictSample
    first = next(iter(ds))
    assert type(first) is DictSample
    assert first.number == 0
    assert first["note"] is None


def test_sample_type_and_batch_type_are_what_was_subscripted(dataset):
    assert dataset.sample_type is Item
    assert dataset.batch_type == SampleBatch[Item]


@pytest.mark.parametrize("cls", [Items, MoreItems])
def test_subclasses_of_a_subscripted_dataset_know_their_type(folder, cls):
    ds = cls(str(folder / "data-000003.tar"))
    assert ds.sample_type is Item
    assert numbers(ds) == [15, 16]


def test_a_generic_subclass_is_subscripted_as_usual(folder):
    class Named(Dataset[T]):
        pass

    assert Named[Item](str(folder / "data-000003.tar")).sample_type is Item
    assert Named(str(folder / "data-000003.tar")).sample_type is DictSample


@pytest.mark.parametrize("argument", [T, Any])
def test_what_is_no_class_is_refused_as_a_sample_type(argument):
    with pytest.raises(SampleTypeError, match="sample type"):
        _ = Dataset[argument]("data.tar").sample_type


@pytest.mark.parametrize("argument", [int, dict, np.ndarray])
def test_a_class_that_is_no_sample_type_is_refused_by_name(folder, argument):
    with pytest.raises(SampleTypeError, match=argument.__name__):
        next(iter(Dataset[argument](str(folder / "data-000000.tar")).ordered()))


@atdata.packable
class Narrow:
    number: int
    extra: str = "none"


def test_another_type_reads_the_fields_that_it_has(folder):
    first = Dataset[Narrow](str(folder / "data-000000.tar")).head(1)
    assert first == [Narrow(0, "none")]


def test_a_type_that_does_not_fit_says_where(folder):
    @atdata.packable
    class Wrong:
        number: str

    shard = str(folder / "data-000000.tar")
    with pytest.raises(FieldMismatch, match=r"Wrong\.number: expected str, found int") as caught:
        list(Dataset[Wrong](shard).ordered())
    assert (caught.value.shard, caught.value.offset, caught.value.field) == (shard, 0, "number")
    assert caught.value.key
    assert shard in str(caught.value)
    assert caught.value.key in str(caught.value)


def test_a_type_that_does_not_fit_says_where_in_a_batch_too(folder):
    @atdata.packable
    class Wrong:
        number: str

    shard = str(folder / "data-000000.tar")
    (batch, *_) = Dataset[Wrong](shard).ordered(batch_size=2)
    with pytest.raises(FieldMismatch) as caught:
        _ = batch.number
    assert (caught.value.shard, caught.value.offset) == (shard, 0)
    with pytest.raises(FieldMismatch) as caught:
        _ = batch.samples
    assert (caught.value.shard, caught.value.offset) == (shard, 0)


def test_any_type_with_the_protocols_members_can_be_read(folder):
    assert numbers(Dataset[Handmade](str(folder / "data-000000.tar")).ordered()) == [0, 1, 2, 3, 4]
    (batch,) = Dataset[Handmade](str(folder / "data-000000.tar")).ordered(batch_size=9)
    assert numbers(batch) == [0, 1, 2, 3, 4]


# --------------------------------------------------------------------------------------------- ordered


def test_ordered_yields_all_samples_in_order(dataset):
    assert list(dataset.ordered()) == [item(number) for number in range(17)]


def test_iterating_a_dataset_is_ordered(dataset):
    assert list(dataset) == list(dataset.ordered())


@pytest.mark.parametrize(
    ("size", "lengths"), [(1, [1] * 17), (4, [4, 4, 4, 4, 1]), (6, [6, 6, 5]), (17, [17]), (100, [17])]
)
def test_batches_span_shards_and_the_last_may_be_short(dataset, size, lengths):
    batches = list(dataset.ordered(batch_size=size))
    assert [len(batch) for batch in batches] == lengths
    assert [number for batch in batches for number in batch.number] == list(range(17))
    assert all(batch.vector.shape == (len(batch), 3) for batch in batches)


@pytest.mark.parametrize(("size", "lengths"), [(1, [1] * 17), (4, [4, 4, 4, 4]), (17, [17]), (100, [])])
def test_drop_last_drops_a_short_last_batch(dataset, size, lengths):
    assert [len(batch) for batch in dataset.ordered(batch_size=size, drop_last=True)] == lengths
    assert [len(batch) for batch in dataset.shuffled(batch_size=size, drop_last=True)] == lengths


def test_batch_size_none_yields_samples(dataset):
    assert numbers(dataset.ordered(batch_size=None)) == list(range(17))
    assert numbers(dataset.ordered(None)) == list(range(17))


def test_batches_are_of_the_batch_type(dataset):
    batch = next(iter(dataset.ordered(batch_size=3)))
    assert isinstance(batch, SampleBatch)
    assert batch.sample_type is Item
    assert list(batch) == [item(0), item(1), item(2)]


@pytest.mark.parametrize("size", [0, -1])
def test_batch_sizes_below_one_are_refused(dataset, size):
    with pytest.raises(ValueError, match="batch_size"):
        dataset.ordered(batch_size=size)
    with pytest.raises(ValueError, match="batch_size"):
        dataset.shuffled(batch_size=size)


@pytest.mark.parametrize("size", [2.5, "3", [3]])
def test_batch_sizes_that_are_no_integers_are_refused_at_once(dataset, size):
    with pytest.raises(TypeError, match="batch_size is a whole number"):
        dataset.ordered(batch_size=size)


@pytest.mark.parametrize("name", ["seed", "epoch", "buffer_samples"])
def test_other_numbers_of_a_stream_are_named_too(dataset, name):
    with pytest.raises(TypeError, match=f"{name} is a whole number; found 'a'"):
        dataset.shuffled(**{name: "a"})


def test_numpy_integers_are_batch_sizes(dataset):
    assert len(list(dataset.ordered(batch_size=np.int64(6)))) == 3


def test_drop_last_without_batches_is_refused(dataset):
    with pytest.raises(ValueError, match="drop_last"):
        dataset.ordered(drop_last=True)
    with pytest.raises(ValueError, match="drop_last"):
        dataset.shuffled(drop_last=True)


def test_streams_may_be_iterated_again_and_at_the_same_time(dataset):
    stream = dataset.ordered()
    assert numbers(stream) == numbers(stream) == list(range(17))
    pairs = list(zip(stream, stream, strict=True))
    assert [(a.number, b.number) for a, b in pairs] == [(n, n) for n in range(17)]


# -------------------------------------------------------------------------------------------- shuffled


@settings(max_examples=60, deadline=None)
@given(
    shards=st.integers(1, 6),
    samples=st.integers(1, 30),
    initial=st.none() | st.integers(1, 40),
    size=st.none() | st.integers(1, 20),
    seed=st.none() | st.integers(),
    epoch=st.integers(0, 3),
)
def test_shuffled_yields_every_sample_exactly_once(folder, shards, samples, initial, size, seed, epoch):
    stream = Dataset[Item](f"{folder}/data-{{000000..000003}}.tar").shuffled(
        shards, samples, size, seed=seed, epoch=epoch, initial=initial
    )
    got = [n for batch in stream for n in batch.number] if size else numbers(stream)
    assert Counter(got) == Counter(range(17))


def test_shuffled_mixes(dataset):
    got = numbers(dataset.shuffled(seed=0))
    assert got != list(range(17))
    assert {number // 5 for number in got[:6]} != {got[0] // 5}


def test_all_orders_of_a_small_dataset_turn_up_about_equally_often(tmp_path):
    ds = atdata.write_samples([{"n": n} for n in range(3)], tmp_path / "data.tar")
    orders = Counter(tuple(s.n for s in ds.shuffled(seed=7, epoch=epoch)) for epoch in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60


@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_same_seed_and_epoch_give_the_same_order(dataset, batch_size):
    def order(**how):
        stream = dataset.shuffled(batch_size=batch_size, **how)
        return numbers(stream) if batch_size is None else [batch.number for batch in stream]

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=1)


def test_a_seeded_stream_repeats_itself(dataset):
    stream = dataset.shuffled(seed=5)
    assert numbers(stream) == numbers(stream)


def test_without_a_seed_every_pass_has_another_order(dataset):
    stream = dataset.shuffled()
    assert len({tuple(numbers(stream)) for _ in range(5)}) == 5
    assert numbers(dataset.shuffled()) != numbers(dataset.shuffled())


def test_shuffling_neither_uses_nor_changes_the_global_generators(dataset):
    import random

    random.seed(1)
    expected = random.Random(1).random()
    numbers(dataset.shuffled())
    assert random.random() == expected


SHUFFLE_SCRIPT = """
import sys, atdata
dataset = atdata.Dataset(sys.argv[1])
print([sample.number for sample in dataset.shuffled(2, 6, seed=11, epoch=3)])
"""


def test_a_seed_gives_the_same_order_in_every_process(folder, dataset):
    here = numbers(dataset.shuffled(2, 6, seed=11, epoch=3))
    for hash_seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", SHUFFLE_SCRIPT, f"{folder}/data-{{000000..000003}}.tar"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(run.stdout) == here


def test_a_buffer_of_one_keeps_the_order(dataset):
    assert numbers(dataset.shuffled(1, 1, seed=0)) == list(range(17))


def test_a_sample_buffer_of_one_mixes_shards_only(dataset):
    got = numbers(dataset.shuffled(buffer_samples=1, seed=3))
    runs = [list(run) for _, run in itertools.groupby(got, key=lambda number: number // 5)]
    assert len(runs) == 4
    assert all(run == sorted(run) for run in runs)
    assert any([run[0] for run in _runs(dataset, seed)] != [0, 5, 10, 15] for seed in range(5))


def _runs(dataset, seed):
    got = numbers(dataset.shuffled(buffer_samples=1, seed=seed))
    return [list(run) for _, run in itertools.groupby(got, key=lambda number: number // 5)]


def test_a_sample_is_never_later_than_its_buffer_allows(dataset):
    for seed in range(20):
        got = numbers(dataset.shuffled(1, 4, seed=seed))
        assert all(number - position < 4 for position, number in enumerate(got))


def test_initial_decides_how_much_is_read_before_the_first_sample(tmp_path):
    atdata.write_samples(({"number": n} for n in range(2000)), tmp_path / "data-%06d.tar", maxcount=100)
    opened = {}
    for initial in (1, None):
        source = PropertySource(tmp_path)
        next(iter(Dataset(source).shuffled(initial=initial, seed=0)))
        opened[initial] = len(source.opened)
    assert opened[1] < 5
    assert opened[None] == 20


@pytest.mark.parametrize("name", ["buffer_shards", "buffer_samples", "initial"])
@pytest.mark.parametrize("value", [0, -3])
def test_buffers_below_one_are_refused(dataset, name, value):
    with pytest.raises(ValueError, match=name):
        dataset.shuffled(**{name: value})


def test_unknown_arguments_are_refused(dataset):
    with pytest.raises(TypeError):
        dataset.shuffled(bufer_samples=3)
    with pytest.raises(TypeError):
        dataset.ordered(seed=3)


def test_the_positional_order_is_that_of_the_documentation(dataset):
    batches = list(dataset.shuffled(2, 10, 8))
    assert [len(batch) for batch in batches] == [8, 8, 1]


# ------------------------------------------------------------------------------------------ pipelines


def test_streams_are_webdataset_pipelines(dataset):
    assert isinstance(dataset.ordered(), wds.DataPipeline)
    assert isinstance(dataset.ordered(), atdata.SampleStream)
    assert isinstance(dataset.shuffled(batch_size=2), wds.DataPipeline)


def test_compose_adds_stages_and_leaves_the_stream_alone(dataset):
    stream = dataset.ordered()
    doubled = stream.compose(lambda samples: (sample.number * 2 for sample in samples))
    assert list(doubled) == [number * 2 for number in range(17)]
    assert next(iter(doubled.compose(wds.filters.batched(4, collation_fn=None)))) == [0, 2, 4, 6]
    assert numbers(stream) == list(range(17))
    assert isinstance(doubled, atdata.SampleStream)


def test_webdatasets_own_filters_work_as_stages(dataset):
    stream = dataset.ordered().compose(wds.map(lambda sample: sample.number), wds.select(lambda n: n % 2 == 0))
    assert list(stream) == list(range(0, 17, 2))


def test_with_epoch_sets_the_number_of_samples_of_a_pass(dataset):
    assert numbers(dataset.ordered().with_epoch(5)) == [0, 1, 2, 3, 4]
    assert numbers(dataset.ordered().with_epoch(20)) == [*range(17), 0, 1, 2]


def test_repeat_makes_several_passes(dataset):
    assert numbers(dataset.ordered().repeat(2)) == [*range(17), *range(17)]


def test_web_loader_reads_a_stream(dataset):
    pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")
    loader = wds.WebLoader(dataset.ordered(batch_size=5), batch_size=None, num_workers=0)
    assert [batch.number for batch in loader][:2] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("make", [lambda d: d.ordered(), lambda d: d.shuffled(2, 5, seed=1), lambda d: d.ordered(4)])
def test_streams_survive_pickling(dataset, make):
    stream = make(dataset)
    restored = pickle.loads(pickle.dumps(stream))
    assert isinstance(restored, atdata.SampleStream)
    assert list(map(repr, restored)) == list(map(repr, stream))


def test_streams_of_users_sources_survive_pickling(folder):
    stream = pickle.loads(pickle.dumps(Dataset[Item](MethodSource(folder)).ordered()))
    assert numbers(stream) == list(range(17))


def test_datasets_survive_pickling_and_copying(dataset):
    for other in (pickle.loads(pickle.dumps(dataset)), copy.copy(dataset), copy.deepcopy(dataset)):
        assert other.sample_type is Item
        assert numbers(other) == list(range(17))


# ---------------------------------------------------------------------------- what it says about itself


def test_list_shards_and_shard_list_are_the_same(dataset, folder):
    expected = [f"{folder}/data-{number:06}.tar" for number in range(4)]
    assert dataset.list_shards() == dataset.shard_list == expected


def test_changing_the_returned_list_changes_nothing(dataset):
    dataset.list_shards().clear()
    dataset.shard_list.clear()
    assert len(dataset.list_shards()) == 4


def test_source_is_what_was_given(folder):
    source = MethodSource(folder)
    assert Dataset[Item](source).source is source
    made = Dataset[Item]("data.tar").source
    assert isinstance(made, URLSource)
    assert made.shard_list == ["data.tar"]


def test_url_of_a_source_without_one_names_its_shards(folder):
    assert Dataset[Item](MethodSource(folder)).url.startswith("data-000000.tar")


def test_head_gives_the_first_samples(dataset):
    assert numbers(dataset.head()) == [0, 1, 2, 3, 4]
    assert numbers(dataset.head(7)) == [0, 1, 2, 3, 4, 5, 6]
    assert dataset.head(0) == []
    assert len(dataset.head(100)) == 17


def test_head_opens_no_more_shards_than_it_needs(folder):
    source = PropertySource(folder)
    Dataset[Item](source).head(5)
    assert source.opened == ["data-000000.tar"]


def test_repr_with_a_manifest_tells_type_shards_samples_and_fields(dataset):
    text = repr(dataset)
    assert text.startswith("Dataset[Item](")
    assert "4 shards, 17 samples" in text
    assert "number: int, vector: NDArray, note: str | None" in text


def test_repr_without_a_manifest_leaves_out_the_samples(folder, tmp_path):
    shutil.copy(folder / "data-000000.tar", tmp_path)
    text = repr(Dataset[Item](tmp_path / "data-000000.tar"))
    assert "1 shard;" in text
    assert "samples" not in text


def test_repr_does_not_trust_the_manifest_of_a_shard_that_changed(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    shard = tmp_path / "copy" / "data-000000.tar"
    shard.write_bytes(shard.read_bytes() + bytes(512))
    assert "samples" not in repr(Dataset[Item](shard))


def test_repr_of_a_broken_manifest_still_works(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").write_text("{")
    assert repr(Dataset[Item](tmp_path / "copy" / "data-000000.tar")).startswith("Dataset[Item](")


@pytest.mark.parametrize(
    "url", ["absent.tar", "https://example.com/a-{000..999}.tar", "file://elsewhere/a.tar", "nosuch://x.tar"]
)
def test_repr_of_what_cannot_be_read_works(url):
    assert repr(Dataset[Item](url)).startswith("Dataset[Item](")


def test_repr_of_an_untyped_dataset_and_of_a_users_source(folder):
    assert repr(Dataset("data.tar")) == "Dataset[DictSample]('data.tar': 1 shard)"
    assert "4 shards" in repr(Dataset[Item](MethodSource(folder)))


def test_repr_of_very_many_shards_is_short():
    text = repr(Dataset[Item]([f"https://example.com/data-{number}.tar" for number in range(1000)]))
    assert "1,000 shards" in text
    assert len(text) < 300


# ------------------------------------------------------------------------------------------- metadata


def test_metadata_is_none_without_a_metadata_url(dataset):
    assert dataset.metadata is None


@pytest.mark.parametrize("form", [str, Path, lambda path: f"file://{path}"])
def test_metadata_is_read_from_its_url(tmp_path, form):
    path = tmp_path / "metadata.msgpack"
    path.write_bytes(ormsgpack.packb({"name": "digits", "classes": [0, 1]}))
    assert Dataset[Item]("data.tar", metadata_url=form(path)).metadata == {"name": "digits", "classes": [0, 1]}


def test_metadata_url_is_the_second_argument_and_read_once(tmp_path):
    path = tmp_path / "metadata.msgpack"
    path.write_bytes(ormsgpack.packb({"a": 1}))
    ds = Dataset[Item]("data.tar", str(path))
    first = ds.metadata
    path.unlink()
    assert ds.metadata is first


def test_absent_metadata_is_not_found():
    with pytest.raises(ShardNotFound, match=r"absent\.msgpack"):
        _ = Dataset[Item]("data.tar", metadata_url="absent.msgpack").metadata


@pytest.mark.parametrize("content", [b"", b"{}", ormsgpack.packb([1])])
def test_metadata_that_is_no_msgpack_map_is_refused_with_its_url(tmp_path, content):
    path = tmp_path / "metadata.msgpack"
    path.write_bytes(content)
    with pytest.raises(SampleDecodeError, match=r"metadata\.msgpack"):
        _ = Dataset[Item]("data.tar", metadata_url=str(path)).metadata


# ------------------------------------------------------------------------------------ wrap, wrap_batch


def test_wrap_makes_a_sample_of_webdatasets_dict():
    ds = Dataset[Item]("data.tar")
    assert ds.wrap(item(3).as_wds) == item(3)
    assert ds.wrap({"msgpack": item(3).packed}) == item(3)


def test_wrap_batch_makes_a_batch_of_webdatasets_dict():
    batch = Dataset[Item]("data.tar").wrap_batch({"msgpack": [item(n).packed for n in range(3)]})
    assert isinstance(batch, SampleBatch)
    assert batch.sample_type is Item
    assert batch.number == [0, 1, 2]
    assert batch.vector.shape == (3, 3)


def test_wrap_batch_takes_what_webdataset_batches(folder):
    ds = Dataset[Item]("data.tar")
    raw = [{"__key__": str(n), "__url__": "data.tar", "msgpack": item(n).packed} for n in range(3)]
    collated = {key: [sample[key] for sample in raw] for key in raw[0]}
    assert ds.wrap_batch(collated).samples == [item(0), item(1), item(2)]


@pytest.mark.parametrize("method", ["wrap", "wrap_batch"])
def test_wrap_without_msgpack_is_a_malformed_sample(method):
    ds = Dataset[Item]("data.tar")
    with pytest.raises(MalformedSample, match="Malformed sample: 'msgpack' field not found") as caught:
        getattr(ds, method)({"__key__": "a", "jpg": b""})
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, KeyError)
    assert "jpg" in str(caught.value)


def test_errors_in_wrapped_samples_name_the_key_and_url():
    with pytest.raises(SampleDecodeError, match=r"data.tar") as caught:
        Dataset[Item]("x.tar").wrap({"__key__": "k7", "__url__": "data.tar", "msgpack": b"\xc1"})
    assert (caught.value.shard, caught.value.key) == ("data.tar", "k7")


def test_errors_in_wrapped_batches_name_the_key_of_the_sample():
    raw = {"__key__": ["k0", "k1"], "msgpack": [item(0).packed, b"\xc1"]}
    with pytest.raises(SampleDecodeError) as caught:
        _ = Dataset[Item]("x.tar").wrap_batch(raw).number
    assert caught.value.key == "k1"


# ------------------------------------------------------------------------------------- shards' faults


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


READERS = {
    "ordered": lambda ds: ds.ordered(),
    "ordered in batches": lambda ds: (sample for batch in ds.ordered(batch_size=2) for sample in batch),
    "shuffled": lambda ds: ds.shuffled(seed=0),
    "shuffled in batches": lambda ds: (sample for batch in ds.shuffled(batch_size=2, seed=0) for sample in batch),
    "iterated": iter,
}


class StreamSource:
    """One shard, as a stream that cannot seek or tell its name."""

    def __init__(self, path):
        self.path = path

    def list_shards(self):
        return [str(self.path)]

    def open_shard(self, shard_id):
        return io.BytesIO(self.path.read_bytes())


@pytest.fixture(params=READERS)
def everything(request):
    """Read all samples of a source, in each of the ways there are."""
    return lambda source, cls=Item: list(READERS[request.param](Dataset[cls](source)))


@pytest.fixture(params=["path", "stream"])
def source_of(request):
    """A shard as a path, which may be mapped, or as a stream of a user's source."""
    return {"path": Path, "stream": StreamSource}[request.param]


def test_a_missing_shard_is_not_found(tmp_path, everything):
    with pytest.raises(ShardNotFound, match=re.escape(str(tmp_path / "absent.tar"))) as caught:
        everything(tmp_path / "absent.tar")
    assert isinstance(caught.value, FileNotFoundError)


def test_a_folder_is_no_shard(tmp_path, everything):
    with pytest.raises(ShardIsDirectory, match="is a directory") as caught:
        everything(tmp_path)
    assert isinstance(caught.value, IsADirectoryError)


def test_a_member_that_is_no_msgpack_says_where(tmp_path, everything, source_of):
    path = tar_of(tmp_path / "bad.tar", [("a.msgpack", item(0).packed), ("b.msgpack", b"\xc1\xc1")])
    with pytest.raises(SampleDecodeError, match="not msgpack") as caught:
        everything(source_of(path))
    assert (caught.value.shard, caught.value.key, caught.value.offset) == (str(path), "b", 1024)


def test_a_sample_without_msgpack_says_where(tmp_path, everything, source_of):
    path = tar_of(tmp_path / "bad.tar", [("a.msgpack", item(0).packed), ("b.jpg", b""), ("c.msgpack", item(0).packed)])
    with pytest.raises(MalformedSample, match="'msgpack' field not found") as caught:
        everything(source_of(path))
    assert (caught.value.shard, caught.value.key) == (str(path), "b")


def test_members_beside_a_samples_msgpack_are_ignored(tmp_path, everything, source_of):
    path = tar_of(tmp_path / "more.tar", [("a.jpg", b"x"), ("a.msgpack", item(0).packed), ("a.txt", b"y")])
    assert everything(source_of(path)) == [item(0)]


@pytest.mark.parametrize("missing", [1024, 1025, 1500, 3000, 5632, 6000])
def test_a_truncated_shard_says_so(folder, tmp_path, everything, source_of, missing):
    whole = (folder / "data-000000.tar").read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[:-missing])
    with pytest.raises(ShardCorrupted, match=r"truncated|ends") as caught:
        everything(source_of(path))
    assert caught.value.shard == str(path)


def test_what_is_whole_in_a_truncated_shard_comes_out_first(folder, tmp_path, source_of):
    whole = (folder / "data-000000.tar").read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[:2500])
    got = []
    with pytest.raises(ShardCorrupted):  # noqa: PT012
        for sample in Dataset[Item](source_of(path)):
            got.append(sample)
    assert got == [item(0), item(1)]


@pytest.mark.parametrize("content", [b"", b"no tar", b"x" * 2000, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_tar_is_corrupted(tmp_path, everything, source_of, content):
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    with pytest.raises(ShardCorrupted) as caught:
        everything(source_of(path))
    assert caught.value.shard == str(path)
    assert isinstance(caught.value, ValueError)


def test_a_shard_of_no_samples_yields_nothing(tmp_path, everything, source_of):
    assert everything(source_of(tar_of(tmp_path / "none.tar", []))) == []


def test_a_shard_that_was_changed_under_its_sidecar_is_read_as_it_is_or_refused(folder, tmp_path, everything):
    shutil.copytree(folder, tmp_path / "copy")
    shard = tmp_path / "copy" / "data-000000.tar"
    size = shard.stat().st_size
    tar_of(shard, [(f"k{number}.msgpack", item(100 + number).packed) for number in range(3)])
    with open(shard, "ab") as file:
        file.truncate(max(size, shard.stat().st_size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = everything(shard)
        except ShardCorrupted as error:
            assert ".index" in str(error)  # noqa: PT017
        else:
            assert sorted(numbers(got)) == [100, 101, 102]


class Failing(io.BytesIO):
    """A stream that fails after some bytes."""

    def __init__(self, data, limit):
        super().__init__(data)
        self._limit = limit

    def read(self, size=-1):
        self._check()
        return super().read(size)

    def readinto(self, target):
        self._check()
        return super().readinto(memoryview(target)[:512])

    def _check(self):
        if self.tell() >= self._limit:
            raise ConnectionResetError("the line broke")


def test_a_stream_that_fails_is_an_error_after_what_came_before(folder):
    data = (folder / "data-000000.tar").read_bytes()

    class Source:
        def list_shards(self):
            return ["far.tar"]

        def open_shard(self, shard_id):
            return Failing(data, 3000)

    got = []
    with pytest.raises(ConnectionResetError, match="the line broke"):  # noqa: PT012
        for sample in Dataset[Item](Source()):
            got.append(sample)
    assert got == [item(number) for number in range(len(got))]
    with pytest.raises(ConnectionResetError):
        list(Dataset[Item](Source()).shuffled(batch_size=2))


def test_samples_larger_than_any_block_are_read(tmp_path, everything, source_of):
    big = [Item(number, np.full(2_500_000 + number, number, np.float32)) for number in range(3)]
    small = [item(number) for number in range(3, 6)]
    atdata.write_samples([big[0], small[0], big[1], small[1], small[2], big[2]], tmp_path / "data.tar")
    got = sorted(everything(source_of(tmp_path / "data.tar")), key=lambda sample: sample.number)
    assert got == [*big, *small]


def test_threads_may_read_one_dataset_at_the_same_time(dataset):
    expected = list(dataset)
    streams = [dataset.ordered(), dataset.ordered(batch_size=3), dataset.shuffled(seed=1), dataset]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda stream: list(stream), streams * 6))
    for stream, result in zip(streams * 6, results, strict=True):
        samples = [sample for batch in result for sample in batch] if stream is streams[1] else result
        assert sorted(samples, key=lambda sample: sample.number) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_stream_that_is_under_way_may_be_read_on_after_fork(dataset):
    stream = iter(dataset.ordered())
    next(stream)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_all_numbers, [dataset] * 2) == [list(range(17))] * 2
    assert numbers(stream) == list(range(1, 17))


def _all_numbers(dataset):
    return numbers(dataset.ordered())


def test_shards_of_webdatasets_writers_are_read(tmp_path, everything):
    with wds.writer.ShardWriter(str(tmp_path / "data-%06d.tar"), maxcount=3, verbose=0) as sink:
        for number in range(7):
            sink.write({**item(number).as_wds, "__key__": f"sample_{number:06d}"})
    got = everything(f"{tmp_path}/data-{{000000..000002}}.tar")
    assert sorted(got, key=lambda sample: sample.number) == [item(number) for number in range(7)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_shards_that_we_write_are_read_by_webdataset(folder):
    raw = wds.WebDataset(str(folder / "data-000000.tar"), shardshuffle=False)
    assert [Item.from_bytes(sample["msgpack"]) for sample in raw] == [item(number) for number in range(5)]
