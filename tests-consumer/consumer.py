"""What a user's code sees of atdata's types. Checked by mypy and pyright, never run.

A line with an ignore is a mistake that both must report: an ignore that nothing needs is an error itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any, assert_type

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import AtmosphereClient, AtUri, DatasetLoader, DatasetPublisher, SchemaLoader, verify
from atdata.errors import AtdataError
from atdata.lens import LensNetwork
from atdata.local import LocalDatasetEntry, LocalIndex
from atdata.promote import promote_to_atmosphere
from atdata.testing import check_lens_laws


@atdata.packable
class Digit:
    image: NDArray[np.uint8]
    label: int
    note: str | None = None
    tags: list[str] = field(default_factory=list[str])


@atdata.packable(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass
class Word(atdata.PackableSample):
    text: str


IMAGE = np.zeros((8, 8), np.uint8)


def samples() -> None:
    digit = Digit(image=IMAGE, label=3)
    assert_type(digit, Digit)
    assert_type(digit.image, NDArray[np.uint8])
    assert_type(digit.note, str | None)
    Digit(IMAGE, 3, "by position")
    Digit(image=IMAGE)  # type: ignore[call-arg]
    Digit(image=IMAGE, label="three")  # type: ignore[arg-type]
    Point(1.0).x = 2.0  # type: ignore[misc]

    word = Word(text="a")
    assert_type(Word.from_bytes(word.packed), Word)
    assert_type(word.as_wds, dict[str, Any])

    anything = atdata.DictSample(label=3)
    assert_type(anything.keys(), list[str])
    print(anything["label"], anything.label)


def writing(rows: Iterator[dict[str, object]]) -> None:
    assert_type(atdata.write_samples([Digit(image=IMAGE, label=3)], "digits.tar", maxcount=100), atdata.Dataset[Digit])
    assert_type(atdata.write_samples((Point(float(n)) for n in range(3)), "points.tar"), atdata.Dataset[Point])
    assert_type(atdata.write_samples(rows, "rows.tar"), atdata.Dataset[atdata.DictSample])
    assert_type(atdata.write_samples(rows, "rows.tar", sample_type=Digit), atdata.Dataset[Digit])
    with atdata.ShardWriter[Point]("points.tar", maxsize=1_000_000) as writer:
        writer.write(Point(1.0))
        writer.write(Word(text="a"))  # type: ignore[arg-type]
    assert_type(writer.dataset, atdata.Dataset[Point])


def reading() -> None:
    dataset = atdata.Dataset[Digit]("digits-{000000..000009}.tar")
    assert_type(dataset.sample_type, type[Digit])
    assert_type(dataset.batch_type, type[atdata.SampleBatch[Digit]])
    assert_type(dataset.list_shards(), list[str])
    assert_type(dataset.head(2), list[Digit])
    for sample in dataset:
        assert_type(sample, Digit)
    for sample in dataset.ordered():
        assert_type(sample, Digit)
    for sample in dataset.shuffled(seed=1):
        assert_type(sample, Digit)
    assert_type(dataset.ordered(), atdata.SampleStream[Digit])
    assert_type(dataset.ordered(batch_size=4), atdata.SampleStream[atdata.SampleBatch[Digit]])
    for batch in dataset.ordered(4, drop_last=True):
        assert_type(batch, atdata.SampleBatch[Digit])
    for batch in dataset.shuffled(batch_size=4, epoch=1):
        assert_type(batch, atdata.SampleBatch[Digit])
        assert_type(batch[0], Digit)
        assert_type([sample.label for sample in batch], list[int])
        print(batch.image.shape, batch["label"])
        padded, lengths = batch.pad("image", value=0)
        assert_type(padded, NDArray[Any])
        assert_type(lengths, NDArray[np.int64])
    dataset.ordered(batch_size="4")  # type: ignore[call-overload]
    dataset.ordered(4, policy="evenly")  # type: ignore[call-overload]
    assert_type(dataset.shuffled(seed=0, rank=0, world_size=2, policy="pad").set_epoch(3), atdata.SampleStream[Digit])
    assert_type(dataset.ordered(on_error=atdata.Skip(total=3)).state_dict(), dict[str, Any])

    assert_type(atdata.Dataset("digits.tar"), atdata.Dataset[atdata.DictSample])
    atdata.Dataset(7)  # type: ignore[arg-type]


def selecting() -> None:
    dataset = atdata.Dataset[Digit]("digits-{000000..000009}.tar")
    assert_type(dataset[3], Digit)
    assert_type(dataset.get("key"), Digit)
    assert_type(dataset[3:5], atdata.Dataset[Digit])
    assert_type(dataset[[3, 5]], atdata.Dataset[Digit])
    assert_type(dataset[np.arange(3)], atdata.Dataset[Digit])
    assert_type(dataset.skip(1).take(2).select([0]), atdata.Dataset[Digit])
    assert_type(dataset.split(0.9, seed=1), tuple[atdata.Dataset[Digit], ...])
    assert_type(dataset.filter(lambda digit: digit.label > 3), atdata.Dataset[Digit])
    assert_type(dataset.map(lambda digit: Word(text=str(digit.label))), atdata.Dataset[Word])
    assert_type(dataset.map(len_of).ordered(4), atdata.SampleStream[atdata.SampleBatch[int]])
    assert_type(atdata.concat(dataset, dataset[:3]), atdata.Dataset[Digit])
    assert_type(atdata.interleave([dataset, dataset], weights=[1, 2]), atdata.Dataset[Digit])
    dataset.select("abc")  # type: ignore[arg-type]
    dataset.filter(lambda digit: digit.nothing)  # type: ignore[attr-defined]


def len_of(digit: Digit) -> int:
    return digit.image.size


@atdata.lens
def word_of(digit: Digit) -> Word:
    return Word(text=str(digit.label))


@word_of.putter
def put_word(view: Word, source: Digit) -> Digit:
    return Digit(image=source.image, label=int(view.text))


@atdata.lens
def origin(word: Word) -> Point:
    return Point(float(len(word.text)))


def lenses(dataset: atdata.Dataset[Digit]) -> None:
    assert_type(word_of, atdata.Lens[Digit, Word])
    assert_type(word_of(Digit(image=IMAGE, label=3)), Word)
    assert_type(word_of.put(Word(text="4"), Digit(image=IMAGE, label=3)), Digit)
    assert_type(put_word(Word(text="4"), Digit(image=IMAGE, label=3)), Digit)
    assert_type(word_of | origin, atdata.Lens[Digit, Point])
    assert_type(word_of.compose(origin), atdata.Lens[Digit, Point])
    assert_type(atdata.Lens.fields({"x": "label"}, Digit, Point), atdata.Lens[Digit, Point])
    assert_type(LensNetwork().transform(Digit, Point), atdata.Lens[Digit, Point])
    assert_type(dataset.as_type(Word), atdata.Dataset[Word])
    assert_type(dataset.as_type(word_of), atdata.Dataset[Word])
    assert_type(dataset.as_type(Word.pick("text")), atdata.Dataset[atdata.PackableSample])
    for batch in dataset.as_type(Point).ordered(batch_size=4):
        assert_type(batch, atdata.SampleBatch[Point])
    word_of(Point(1.0))  # type: ignore[arg-type]
    origin | word_of  # type: ignore[operator]
    with LensNetwork.scoped() as network:
        check_lens_laws(word_of, [Digit(image=IMAGE, label=3)], [Word(text="4")])
        print(network)


def loading(index: atdata.AbstractIndex, split: str | None) -> None:
    assert_type(atdata.load_dataset("digits/", Digit, split="train"), atdata.Dataset[Digit])
    assert_type(atdata.load_dataset("digits-*.tar", split="test"), atdata.Dataset[atdata.DictSample])
    assert_type(atdata.load_dataset("@local/digits", index=index), atdata.DatasetDict[atdata.DictSample])
    splits = atdata.load_dataset(Path("digits"), Digit, data_files={"fit": "a-*.tar", "hold": [Path("b.tar")]})
    assert_type(splits, atdata.DatasetDict[Digit])
    assert_type(splits["fit"], atdata.Dataset[Digit])
    assert_type(splits.num_shards, dict[str, int])
    assert_type(splits.sample_type, type[Digit] | None)
    for name, dataset in splits.items():
        assert_type(name, str)
        assert_type(len(dataset), int)
        assert_type(dataset.num_samples, int | None)
    either = atdata.load_dataset("digits/", Digit, split=split)
    assert_type(either, atdata.Dataset[Any] | atdata.DatasetDict[Any])
    assert_type(atdata.DatasetDict({"fit": splits["fit"]}), atdata.DatasetDict[Digit])
    atdata.load_dataset(["a.tar", "b.tar"])  # type: ignore[call-overload]
    atdata.load_dataset("digits/", "train")  # type: ignore[call-overload]


class Memory:
    """A source as a user writes it."""

    def __init__(self, shards: dict[str, bytes]) -> None:
        self._shards = shards

    @property
    def shards(self) -> Iterator[tuple[str, IO[bytes]]]:
        return ((name, self.open_shard(name)) for name in self._shards)

    def list_shards(self) -> list[str]:
        return list(self._shards)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        return BytesIO(self._shards[shard_id])


def protocols(index: atdata.AbstractIndex) -> None:
    source: atdata.DataSource = Memory({})
    assert_type(atdata.Dataset[Point](source), atdata.Dataset[Point])
    wrong: atdata.DataSource = "digits.tar"  # type: ignore[assignment]
    packable: type[atdata.Packable] = Word
    entry = index.get_dataset("digits")
    assert_type(entry, atdata.IndexEntry)
    assert_type(atdata.Dataset[Digit](entry.data_urls), atdata.Dataset[Digit])
    print(wrong, packable)


def indexes(ds: atdata.Dataset[Digit]) -> None:
    index = LocalIndex(path="index.sqlite3")
    protocols(index)
    assert_type(index.insert_dataset(ds, name="digits", tags=["small"]), LocalDatasetEntry)
    assert_type(index.get_dataset("digits").metadata, dict[str, Any] | None)
    assert_type(index.list_datasets(limit=10, cursor="a"), list[LocalDatasetEntry])
    assert_type(index.search("digits", tags=["small"]), list[LocalDatasetEntry])
    assert_type(index.publish_schema(Digit, version="1.0.0"), str)
    assert_type(index.get_schema_record("atdata://local/sampleSchema/Digit").fields[0].optional, bool)
    assert_type(index.decode_schema("atdata://local/sampleSchema/Digit"), type[atdata.Packable])
    assert_type(index.decode_schema_as("atdata://local/sampleSchema/Digit", Digit), type[Digit])
    LocalDatasetEntry(name="digits", schema_ref="x", data_urls=7)  # type: ignore[arg-type]


def atmosphere(client: AtmosphereClient, digits: atdata.Dataset[Digit]) -> None:
    uri = DatasetPublisher(client).publish(digits, name="digits", tags=["mnist"])
    assert_type(uri, AtUri)
    assert_type(DatasetLoader(client).to_dataset(uri, Digit), atdata.Dataset[Digit])
    assert_type(DatasetLoader(client).list_all(repo="alice.example.org"), list[dict[str, Any]])
    assert_type(SchemaLoader(client).get_typed(uri).version, str)
    DatasetPublisher(client).publish(digits)  # type: ignore[call-arg]
    promoted = promote_to_atmosphere(LocalIndex().get_dataset("digits"), LocalIndex(), client, license="MIT")
    assert_type(promoted, str)
    assert_type(verify(promoted, client).ok, bool)
    verify(promoted, client, progress=lambda done: None)  # type: ignore[arg-type]


def errors() -> None:
    try:
        reading()
    except AtdataError as error:
        print(error)
