"""A team's day with an index, from the first schema to loading by reference: on a file and on a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from numpy.typing import NDArray
from redis import Redis
from servers import Server

import atdata
from atdata import load_dataset
from atdata.local import LocalDatasetEntry, LocalIndex


@atdata.packable
class TrainingSample:
    """Features, and the label that they stand for."""

    features: NDArray
    label: int


@atdata.packable
class TextSample:
    """A text of some category."""

    text: str
    category: str


@pytest.fixture(params=["file", "server"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LocalIndex]:
    if request.param == "file":
        return lambda: LocalIndex(path=tmp_path / "index.sqlite3")
    request.getfixturevalue("redis_url")
    server: Server = request.getfixturevalue("redis_server")
    return lambda: LocalIndex(redis=Redis(host="localhost", port=server.port))


def test_workflow(connect: Callable[[], LocalIndex], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index = connect()

    entry = LocalDatasetEntry(
        name="my-dataset",
        schema_ref="local://schemas/examples.TrainingSample@1.0.0",
        data_urls=["s3://bucket/data-000000.tar", "s3://bucket/data-000001.tar"],
        metadata={"source": "example", "samples": 10000},
    )
    assert entry.metadata == {"source": "example", "samples": 10000}
    assert entry.cid.startswith("bafyrei")

    schema_ref = index.publish_schema(TrainingSample, version="1.0.0")
    assert schema_ref == "atdata://local/sampleSchema/TrainingSample@1.0.0"
    text_ref = index.publish_schema(TextSample, version="1.0.0")
    shown = [f"{schema.get('name', 'Unknown')} v{schema.get('version', '?')}" for schema in index.list_schemas()]
    assert shown == ["TextSample v1.0.0", "TrainingSample v1.0.0"]
    assert [field["name"] for field in index.get_schema(schema_ref).get("fields", [])] == ["features", "label"]
    assert index.decode_schema(schema_ref).__name__ == "TrainingSample"
    assert index.get_schema(text_ref)["description"] == "A text of some category."

    with wds.writer.TarWriter("local-data-000000.tar") as sink:
        for number in range(1000):
            sample = TrainingSample(features=np.random.randn(128).astype(np.float32), label=number % 10)
            sink.write({**sample.as_wds, "__key__": f"sample_{number:06d}"})
    ds = atdata.Dataset[TrainingSample]("local-data-000000.tar")

    # the same version of the same schema again is no mistake
    assert index.publish_schema(TrainingSample, version="1.0.0") == schema_ref
    inserted = index.insert_dataset(ds, name="training-v1")
    assert (inserted.data_urls, inserted.schema_ref) == (["local-data-000000.tar"], schema_ref)

    # somebody else, later
    theirs = connect()
    retrieved = theirs.get_entry_by_name("training-v1")
    assert retrieved == inserted == theirs.get_entry(inserted.cid)
    dataset = atdata.Dataset[TrainingSample](retrieved.data_urls[0])
    assert next(iter(dataset.ordered(batch_size=32))).features.shape == (32, 128)

    loaded = load_dataset("@local/training-v1", index=theirs, split="train")
    batch = next(iter(loaded.shuffled(batch_size=32)))
    assert batch.features.shape == (32, 128)
    assert [entry.name for entry in theirs.entries] == [entry.name for entry in theirs.all_entries] == ["training-v1"]


def test_all_datasets_move_from_one_index_to_another(connect: Callable[[], LocalIndex], tmp_path: Path) -> None:
    source, target = LocalIndex(path=tmp_path / "source.sqlite3"), connect()
    for number in range(3):
        texts = [TextSample(text=f"{number} {n}", category="c") for n in range(4)]
        source.insert_dataset(atdata.write_samples(texts, tmp_path / f"text-{number}.tar"), name=f"texts {number}")
    for entry in source.list_datasets():
        sample_type = source.decode_schema(entry.schema_ref)
        ref = target.publish_schema(sample_type)
        ds = atdata.Dataset[sample_type](entry.data_urls[0])  # type: ignore[valid-type]
        target.insert_dataset(ds, name=entry.name, schema_ref=ref)
    assert [entry.name for entry in target.list_datasets()] == ["texts 0", "texts 1", "texts 2"]
    moved = load_dataset("@local/texts 2", index=target, split="train")
    assert [sample.text for sample in moved] == ["2 0", "2 1", "2 2", "2 3"]
