"""What the documentation shows, done as it shows it: samples, datasets, sources of one's own, the first tutorial."""

import doctest
import importlib
import io
import pkgutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO

import numpy as np
import ormsgpack
import pytest
import webdataset as wds
from numpy.typing import NDArray

import atdata
from atdata import Dataset, SampleBatch
from atdata._protocols import AbstractDataStore, AbstractIndex, DataSource, IndexEntry
from atdata.lens import LensNetwork


@atdata.packable
class ImageSample:
    """A sample containing an image with label and confidence."""

    image: NDArray
    label: str
    confidence: float


@atdata.packable
class PrimitiveSample:
    name: str
    count: int
    score: float
    active: bool
    data: bytes


@atdata.packable
class ArraySample:
    features: NDArray
    embeddings: NDArray | None


@atdata.packable
class ListSample:
    tags: list[str]
    scores: list[float]


@atdata.packable
class GoodSample:
    features: NDArray
    label: str
    metadata: dict
    scores: list[float]


@dataclass
class DirectSample(atdata.PackableSample):
    name: str
    values: NDArray


def images(count):
    rng = np.random.default_rng(0)
    return [
        ImageSample(image=rng.random((24, 24, 3)).astype(np.float32), label=f"class_{i % 10}", confidence=rng.random())
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """A hundred images, written with WebDataset as the tutorial does."""
    path = str(tmp_path_factory.mktemp("tutorial") / "my-dataset-000000.tar")
    with wds.writer.TarWriter(path) as sink:
        for i, sample in enumerate(images(100)):
            sink.write({**sample.as_wds, "__key__": f"sample_{i:06d}"})
    return path


# ---------------------------------------------------------------------------------- packable samples


def test_a_sample_packs_and_unpacks():
    sample = images(1)[0]
    restored = ImageSample.from_bytes(sample.packed)
    assert np.array_equal(sample.image, restored.image)
    assert sample.label == restored.label
    assert isinstance(sample, atdata.PackableSample)


@pytest.mark.parametrize(
    "sample",
    [
        PrimitiveSample(name="a", count=1, score=0.5, active=True, data=b"\x00"),
        ArraySample(features=np.arange(3), embeddings=None),
        ArraySample(features=np.arange(3), embeddings=np.ones((2, 2))),
        ListSample(tags=["a", "b"], scores=[0.5, 1.0]),
        GoodSample(features=np.arange(3), label="a", metadata={"k": [1, {"deep": None}]}, scores=[1.0]),
        DirectSample(name="a", values=np.arange(3)),
    ],
    ids=lambda sample: type(sample).__name__,
)
def test_the_sample_types_of_the_guide_round_trip(sample):
    assert type(sample).from_bytes(sample.packed) == sample


def test_as_wds_has_a_key_and_the_bytes():
    wds_dict = images(1)[0].as_wds
    assert set(wds_dict) == {"__key__", "msgpack"}
    assert isinstance(wds_dict["__key__"], str)
    assert isinstance(wds_dict["msgpack"], bytes)


def test_a_shard_is_written_with_generated_keys_too(tmp_path):
    path = str(tmp_path / "data-000000.tar")
    with wds.writer.TarWriter(path) as sink:
        for sample in images(3):
            sink.write(sample.as_wds)
    assert list(Dataset[ImageSample](path).ordered()) == images(3)


def test_bytes_in_array_fields_become_arrays_after_construction():
    stored = ormsgpack.unpackb(images(1)[0].packed)["image"]
    assert isinstance(stored, bytes)
    assert isinstance(ImageSample(image=stored, label="a", confidence=1.0).image, np.ndarray)


def test_what_the_guide_advises_against_is_refused():
    with pytest.raises(TypeError, match="nested"):

        @atdata.packable
        class Nesting:
            nested: ImageSample

    with pytest.raises(TypeError, match="callback"):

        @atdata.packable
        class Calling:
            callback: Callable


# ----------------------------------------------------------------------------------------- datasets


def test_one_shard_and_many_by_braces(shard, tmp_path):
    with wds.writer.ShardWriter(str(tmp_path / "data-%06d.tar"), maxcount=10, verbose=0) as sink:
        for i, sample in enumerate(images(25)):
            sink.write({**sample.as_wds, "__key__": f"sample_{i:06d}"})
    dataset = atdata.Dataset[ImageSample](f"{tmp_path}/data-{{000000..000002}}.tar")
    assert dataset.shard_list == [f"{tmp_path}/data-{n:06d}.tar" for n in range(3)]
    assert list(dataset.ordered()) == images(25)
    assert len(list(atdata.Dataset[ImageSample](shard).ordered())) == 100


def test_a_text_and_a_url_source_are_equivalent(shard):
    by_text = atdata.Dataset[ImageSample](shard)
    by_source = atdata.Dataset[ImageSample](atdata.URLSource(shard))
    assert list(by_text.ordered()) == list(by_source.ordered())
    assert by_text.source.shard_list == [shard]


def test_batches_stack_arrays_and_list_the_rest(shard):
    dataset = atdata.Dataset[ImageSample](shard)
    for batch in dataset.ordered(batch_size=16):
        assert batch.image.shape == (16, 24, 24, 3)
        assert batch.image.dtype == np.float32
        assert batch.label[:3] == ["class_0", "class_1", "class_2"]
        assert len(batch.confidence) == 16
        assert batch.image is batch.image
        break


def test_without_batching_single_samples_come(shard):
    labels = [sample.label for sample in atdata.Dataset[ImageSample](shard).ordered(batch_size=None)]
    assert labels == [f"class_{i % 10}" for i in range(100)]


def test_shuffled_batches_hold_the_same_samples(shard):
    dataset = atdata.Dataset[ImageSample](shard)
    shuffled = [
        confidence
        for batch in dataset.shuffled(buffer_shards=100, buffer_samples=10000, batch_size=32)
        for confidence in batch.confidence
    ]
    ordered = [sample.confidence for sample in dataset.ordered()]
    assert shuffled != ordered
    assert sorted(shuffled) == sorted(ordered)


def test_shuffled_takes_initial_as_the_questions_page_shows(shard):
    batches = list(atdata.Dataset[ImageSample](shard).shuffled(batch_size=64, initial=1000))
    assert [len(batch) for batch in batches] == [64, 36]


def test_batches_are_made_of_samples_by_hand_too():
    batch = SampleBatch[ImageSample](images(3))
    assert batch.image.shape == (3, 24, 24, 3)
    assert batch.label == ["class_0", "class_1", "class_2"]


def test_metadata_is_fetched_from_its_url(shard, tmp_path):
    (tmp_path / "metadata.msgpack").write_bytes(ormsgpack.packb({"version": 1}))
    dataset = atdata.Dataset[ImageSample](shard, metadata_url=str(tmp_path / "metadata.msgpack"))
    assert dataset.metadata == {"version": 1}
    assert dataset.metadata is dataset.metadata


def test_the_sample_type_is_known(shard):
    dataset = atdata.Dataset[ImageSample](shard)
    assert dataset.sample_type is ImageSample
    assert dataset.batch_type == SampleBatch[ImageSample]


def test_a_shard_of_other_content_is_a_malformed_sample(tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        info = tarfile.TarInfo("a.jpg")
        tar.addfile(info, io.BytesIO())
    with pytest.raises(RuntimeError, match="Malformed sample: 'msgpack' field not found"):
        list(atdata.Dataset[ImageSample](str(tmp_path / "data.tar")).ordered())
    with pytest.raises(KeyError):
        list(atdata.Dataset[ImageSample](str(tmp_path / "data.tar")).ordered())


# --------------------------------------------------------------------------------- sources of one's own


class MyCustomSource:
    """A source as the guide to protocols writes it."""

    def __init__(self, config: dict):
        self._config = config
        self._shards = ["shard-001.tar", "shard-002.tar"]

    @property
    def shard_list(self) -> list[str]:
        return self._shards

    def shards(self) -> Iterator[tuple[str, IO[bytes]]]:
        for shard_id in self._shards:
            yield shard_id, self._open(shard_id)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        if shard_id not in self._shards:
            raise KeyError(f"Shard not found: {shard_id}")
        return self._open(shard_id)

    def _open(self, shard_id: str) -> IO[bytes]:
        return io.BytesIO(self._config[shard_id])


def test_a_source_of_ones_own_is_used_with_dataset(tmp_path):
    content = {}
    for part, name in enumerate(["shard-001.tar", "shard-002.tar"]):
        atdata.write_samples(images(10)[part * 5 : part * 5 + 5], tmp_path / name)
        content[name] = (tmp_path / name).read_bytes()
    dataset = atdata.Dataset[ImageSample](MyCustomSource(content))
    assert dataset.shard_list == ["shard-001.tar", "shard-002.tar"]
    assert list(dataset.ordered()) == images(10)
    assert sorted(len(batch) for batch in dataset.shuffled(batch_size=4)) == [2, 4, 4]


def test_code_for_any_source_works_with_ours(shard):
    def sizes(source: DataSource) -> dict[str, int]:
        found = {}
        for shard_id, stream in source.shards():
            with stream:
                found[shard_id] = len(stream.read())
        assert list(found) == source.shard_list
        return found

    assert sizes(atdata.URLSource(shard))[shard] > 100_000


def test_iterating_the_shards_of_a_source_as_a_property(shard):
    for shard_id, stream in atdata.URLSource(shard).shards:
        assert shard_id == shard
        with stream:
            assert len(stream.read(512)) == 512


def test_an_unknown_shard_is_a_key_error(shard):
    with pytest.raises(KeyError):
        atdata.URLSource(shard).open_shard("data-000001.tar")


def test_protocols_are_checked_at_run_time():
    class Entry:
        name = "images"
        schema_ref = "atdata://local/sampleSchema/ImageSample@1.0.0"
        data_urls = ("data.tar",)
        metadata = None

    class Store:
        def write_shards(self, ds, *, prefix, **kwargs):
            return []

        def read_url(self, url):
            return url

        def supports_streaming(self):
            return True

    assert isinstance(Entry(), IndexEntry)
    assert isinstance(Store(), AbstractDataStore)
    for protocol in (IndexEntry, AbstractIndex, AbstractDataStore, DataSource):
        assert not isinstance(object(), protocol)
    assert isinstance(ImageSample, atdata.Packable)


# -------------------------------------------------------------------------------------- the tutorial


def test_the_tutorial(tmp_path):
    sample = ImageSample(image=np.random.rand(224, 224, 3).astype(np.float32), label="cat", confidence=0.95)
    assert len(sample.packed) > 224 * 224 * 3 * 4
    assert np.allclose(sample.image, ImageSample.from_bytes(sample.packed).image)

    path = str(tmp_path / "my-dataset-000000.tar")
    with wds.writer.TarWriter(path) as sink:
        for i, each in enumerate(images(100)):
            sink.write({**each.as_wds, "__key__": f"sample_{i:06d}"})

    dataset = atdata.Dataset[ImageSample](path)
    batch = next(iter(dataset.ordered(batch_size=16)))
    assert batch.image.shape == (16, 24, 24, 3)
    assert (len(batch.label), len(batch.confidence)) == (16, 16)
    batch = next(iter(dataset.shuffled(batch_size=32)))
    assert batch.image.shape == (32, 24, 24, 3)
    assert set(batch.label) <= {f"class_{i}" for i in range(10)}

    @atdata.packable
    class SimplifiedSample:
        label: str
        confidence: float

    @atdata.lens
    def simplify(src: ImageSample) -> SimplifiedSample:
        return SimplifiedSample(label=src.label, confidence=src.confidence)

    batch = next(iter(dataset.as_type(SimplifiedSample).ordered(batch_size=8)))
    assert batch.label == [f"class_{i}" for i in range(8)]
    assert batch.confidence == [each.confidence for each in images(8)]


# ----------------------------------------------------------------------------------------- lenses


@atdata.packable
class RawSample:
    audio: NDArray
    text: str
    speaker_id: int


@atdata.packable
class TextFeatures:
    text: str
    word_count: int


def raw():
    return RawSample(audio=np.ones(3), text="three words here", speaker_id=7)


@pytest.fixture
def extract_text():
    with LensNetwork.scoped():

        @atdata.lens
        def extract_text(src: RawSample) -> TextFeatures:
            return TextFeatures(text=src.text, word_count=len(src.text.split()))

        yield extract_text


def test_a_view_with_derived_features(extract_text, tmp_path):
    assert extract_text(raw()) == extract_text.get(raw()) == TextFeatures("three words here", 3)
    dataset = atdata.write_samples([raw()] * 5, tmp_path / "raw.tar")
    (batch,) = dataset.as_type(TextFeatures).ordered(batch_size=8)
    assert batch.word_count == [3] * 5


def test_a_putter_and_the_laws(extract_text):
    @extract_text.putter
    def extract_text_put(view: TextFeatures, source: RawSample) -> RawSample:
        return RawSample(audio=source.audio, text=view.text, speaker_id=source.speaker_id)

    source, view, other = raw(), TextFeatures("a b", 2), TextFeatures("c", 1)
    assert extract_text.put(extract_text.get(source), source) == source
    updated = extract_text.put(view, source)
    assert extract_text.get(updated) == view
    assert extract_text.put(other, updated) == extract_text.put(other, source)
    assert (updated.text, updated.speaker_id) == ("a b", 7)


def test_the_trivial_putter_changes_nothing(extract_text):
    original = raw()
    assert extract_text.put(TextFeatures("modified", 1), original) == original


def test_the_network_finds_a_registered_lens(extract_text):
    network = LensNetwork()
    assert network is LensNetwork()
    assert network.transform(RawSample, TextFeatures) is extract_text
    with pytest.raises(ValueError, match="no lens from TextFeatures to RawSample"):
        network.transform(TextFeatures, RawSample)


# ------------------------------------------------------------------------------------------- docstrings

ELSEWHERE = {"atdata.local", "atdata.atmosphere", "atdata.promote"}
NEED_TORCH = {"atdata.export.parcel", "atdata.export.tensors", "atdata.export.torch"}  # which have no examples
SKIPPED = ELSEWHERE if find_spec("torch") else ELSEWHERE | NEED_TORCH
DOCUMENTED = sorted(info.name for info in pkgutil.walk_packages(atdata.__path__, "atdata.") if info.name not in SKIPPED)


@pytest.mark.parametrize("name", ["atdata", *DOCUMENTED])
def test_the_examples_in_docstrings_do_what_they_show(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder()
    found = [test for name in DOCUMENTED for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 4
