"""Shards copied into a folder; datasets in other shards, joined and divided."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.atomic import PARTIAL
from atdata.copying import copy_shards, originals
from atdata.errors import (
    EmptyDataset,
    ManifestError,
    SampleTypeError,
    ShardCorrupted,
    ShardExists,
    ShardNotFound,
    ShardUnreadable,
)
from atdata.manifest import read_manifest
from atdata.manifest.sidecar import read_sidecar
from atdata.reshape import join, reshard, sizes_of, split


@atdata.packable
class Word:
    text: str
    vector: NDArray[np.float32]


def words(first, count):
    return [Word(text=f"word {n}", vector=np.full(n % 3, n, np.float32)) for n in range(first, first + count)]


@pytest.fixture
def dataset(tmp_path):
    return atdata.write_samples(words(0, 25), tmp_path / "words.tar", maxcount=10)


def numbers(dataset):
    return [int(sample.text.split()[1]) for sample in dataset]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def stored(dataset):
    """The samples as tar has them: their keys, and their bytes."""
    found = []
    for shard in dataset.list_shards():
        with tarfile.open(shard) as tar:
            found += [(member.name.removesuffix(".msgpack"), tar.extractfile(member).read()) for member in tar]
    return found


def keys(dataset):
    return [key for key, _ in stored(dataset)]


# -- copying


def named(number):
    return f"copy-{number}.tar"


def test_copies_are_the_same_bytes_with_a_manifest_and_sidecars(dataset, tmp_path):
    told = []
    paths = copy_shards(
        originals(dataset), tmp_path / "copy", named, progress=lambda done, total: told.append((done, total))
    )
    assert [path.read_bytes() for path in paths] == [Path(shard).read_bytes() for shard in dataset.list_shards()]
    there = read_manifest(tmp_path / "copy")
    assert there.schemas == read_manifest(tmp_path).schemas
    assert [facts.samples for facts in there.shards.values()] == [10, 10, 5]
    assert all(read_sidecar(path, there.shards[path.name]) is not None for path in paths)
    size = sum(path.stat().st_size for path in paths)
    assert told[-1] == (size, size)
    assert numbers(atdata.load_dataset(tmp_path / "copy", split="train")) == list(range(25))


def test_what_no_manifest_knows_is_looked_through(dataset, tmp_path):
    (tmp_path / "manifest.json").unlink()
    for sidecar in tmp_path.glob("*.index"):
        sidecar.unlink()
    paths = copy_shards(originals(atdata.Dataset[Word](dataset.list_shards())), tmp_path / "copy", named)
    facts = read_manifest(tmp_path / "copy").shards
    assert [facts[path.name].samples for path in paths] == [10, 10, 5]
    assert facts["copy-0.tar"].sha256 == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert facts["copy-0.tar"].first_key == keys(dataset)[0]
    assert atdata.load_dataset(tmp_path / "copy", split="train").sample_type.__name__ == "Word"


def test_a_wrong_byte_is_told_and_nothing_is_left(dataset, tmp_path):
    shard = dataset.list_shards()[1]
    data = bytearray(Path(shard).read_bytes())
    data[5000] ^= 1
    Path(shard).write_bytes(data)
    with pytest.raises(ShardCorrupted, match=r"copy-1.tar has sha256"):
        copy_shards(originals(dataset), tmp_path / "copy", named)
    assert files(tmp_path / "copy") == []


def test_a_truncated_shard_that_no_manifest_knows_is_told(dataset, tmp_path):
    (tmp_path / "manifest.json").unlink()
    shard = dataset.list_shards()[1]
    data = Path(shard).read_bytes()
    Path(shard).write_bytes(data[:5000])
    with pytest.raises(ShardCorrupted, match="words-000001"):
        copy_shards(originals(atdata.Dataset[Word](dataset.list_shards())), tmp_path / "copy", named)
    assert files(tmp_path / "copy") == []


def test_a_shard_with_another_number_of_samples_is_told(dataset, tmp_path):
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"][0]["samples"] = 9
    path.write_text(json.dumps(content))
    (tmp_path / "words-000000.tar.index").unlink()
    with pytest.raises(ShardCorrupted, match="has 10 samples where its manifest says 9"):
        copy_shards(originals(dataset), tmp_path / "copy", named)


def test_no_shard_is_written_over(dataset, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "copy-2.tar").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ShardExists, match=r"copy-2.tar exists"):
            copy_shards(originals(dataset), tmp_path / "copy", named, resume=resume)
    assert files(tmp_path / "copy") == ["copy-2.tar"]
    (tmp_path / "copy" / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError):
        copy_shards(originals(dataset), tmp_path / "copy", named)


def test_a_shard_that_is_gone_is_named(dataset, tmp_path):
    shards = originals(dataset)
    (tmp_path / "words-000002.tar").unlink()
    with pytest.raises(ShardNotFound, match="words-000002"):
        copy_shards(shards, tmp_path / "copy", named)


def test_what_is_complete_is_not_read_again(dataset, tmp_path, server, answer, waits):
    """Shards from a real server that breaks in the third, the first time."""
    folder = tmp_path
    for path in [*folder.glob("*.tar"), folder / "manifest.json"]:
        server.files[f"/{path.name}"] = path.read_bytes()
    server.answers["/words-000002.tar"] = [answer(status=503)]
    there = atdata.load_dataset(f"{server.url}/manifest.json", split="train")
    shards = originals(there)
    with pytest.raises(ShardUnreadable):
        copy_shards(shards, tmp_path / "copy", named, resume=True)
    assert files(tmp_path / "copy") == [PARTIAL]
    with pytest.raises(ShardNotFound):  # what is hidden is no dataset
        atdata.load_dataset(tmp_path / "copy")
    server.answers.clear()
    server.requests.clear()
    copy_shards(shards, tmp_path / "copy", named, resume=True)
    assert [path for path, _ in server.requests] == ["/words-000002.tar"]
    assert PARTIAL not in files(tmp_path / "copy")
    assert numbers(atdata.load_dataset(tmp_path / "copy", split="train")) == list(range(25))
    server.requests.clear()
    copy_shards(shards, tmp_path / "copy", named, resume=True)  # all is there
    assert server.requests == []


def test_a_schema_that_is_not_at_hand_is_that_of_the_type(dataset, tmp_path, server):
    """A manifest elsewhere has a record of another version, and so of another CID."""
    content = json.loads((tmp_path / "manifest.json").read_text())
    (record,) = content["schemas"].values()
    content["schemas"] = {"elsewhere": record | {"version": "2.1.0"}}
    for shard in content["shards"]:
        shard["schema"] = "elsewhere"
    server.files = {f"/{path.name}": path.read_bytes() for path in tmp_path.glob("*.tar")}
    server.files["/manifest.json"] = json.dumps(content).encode()
    there = atdata.load_dataset(f"{server.url}/manifest.json", split="train")
    copy_shards(originals(there), tmp_path / "copy", named)
    copy = atdata.load_dataset(tmp_path / "copy", split="train")
    assert (copy.sample_type.__name__, numbers(copy)) == ("Word", list(range(25)))


def test_half_a_shard_of_an_earlier_attempt_is_made_anew(dataset, tmp_path):
    hidden = tmp_path / "copy" / PARTIAL
    hidden.mkdir(parents=True)
    shutil.copy(dataset.list_shards()[0], hidden / "copy-0.tar")
    (hidden / "copy-1.tar").write_bytes(b"half")
    (hidden / "copy-0.tar.index").write_bytes(b"half")
    copy_shards(originals(dataset), tmp_path / "copy", named, resume=True)
    assert numbers(atdata.load_dataset(tmp_path / "copy", split="train")) == list(range(25))
    assert PARTIAL not in files(tmp_path / "copy")


def test_two_do_not_fill_one_folder(dataset, tmp_path):
    """The second is refused while the first is at work."""
    refused = []

    def meanwhile(done, total):
        if not refused:
            with pytest.raises(ShardExists, match="another process is at work") as caught:
                copy_shards(originals(dataset), tmp_path / "copy", named, resume=True)
            refused.append(caught)

    copy_shards(originals(dataset), tmp_path / "copy", named, resume=True, progress=meanwhile)
    assert refused
    assert len(files(tmp_path / "copy")) == 7


# -- other shards


def test_reshard_keeps_samples_keys_and_bytes(dataset, tmp_path):
    made = reshard(dataset, tmp_path / "other", maxcount=4)
    assert len(made.list_shards()) == 7
    assert list(made) == list(dataset)
    assert stored(made) == stored(dataset)
    assert read_manifest(tmp_path / "other").schemas == read_manifest(tmp_path).schemas


def test_reshard_mixes_with_a_seed(dataset, tmp_path):
    a = reshard(dataset, tmp_path / "a", seed=1)
    b = reshard(dataset, tmp_path / "b", seed=1)
    c = reshard(dataset, tmp_path / "c", seed=2)
    assert numbers(a) == numbers(b) == numbers(dataset.shuffled(seed=1))
    assert numbers(a) != numbers(c)
    assert sorted(numbers(c)) == list(range(25))


def test_reshard_of_foreign_shards_keeps_what_it_does_not_know(tmp_path):
    written = atdata.write_samples(({"n": n, "more": "x"} for n in range(5)), tmp_path / "a.tar")
    (tmp_path / "manifest.json").unlink()
    made = reshard(atdata.Dataset(written.list_shards()), tmp_path / "b", maxcount=2)
    assert [sample.to_dict() for sample in made] == [{"n": n, "more": "x"} for n in range(5)]


def test_reshard_gives_new_keys_to_what_has_the_same(dataset, tmp_path):
    twice = atdata.Dataset[Word]([*dataset.list_shards(), *dataset.list_shards()])
    made = reshard(twice, tmp_path / "twice")
    assert len({*keys(made)}) == len(made) == 50
    assert keys(made)[:25] == keys(dataset)


def test_after_an_error_nothing_is_left(dataset, tmp_path):
    with open(dataset.list_shards()[1], "r+b") as file:
        file.truncate(5000)
    with pytest.raises(ShardCorrupted):
        reshard(dataset, tmp_path / "other", maxcount=4)
    with pytest.raises(ShardCorrupted):
        split(dataset, tmp_path / "other", {"train": 0.5, "test": None})
    assert files(tmp_path / "other") == []


# -- joined


def test_join_copies_the_shards_in_order(dataset, tmp_path):
    other = atdata.write_samples(words(25, 5), tmp_path / "other" / "a.tar")
    both = join([dataset, other, dataset], tmp_path / "both" / "all.tar")
    assert numbers(both) == [*range(30), *range(25)]
    assert both.sample_type is Word
    assert {"all-000000.tar", "all-000006.tar", "manifest.json"} < {*files(tmp_path / "both")}
    assert numbers(atdata.load_dataset(tmp_path / "both", split="train")) == numbers(both)


def test_types_that_differ_are_not_joined(dataset, tmp_path):
    other = atdata.write_samples([{"n": 1}], tmp_path / "other" / "a.tar")
    with pytest.raises(SampleTypeError, match="Word and DictSample"):
        join([dataset, other], tmp_path / "both")

    @atdata.packable
    class Other:
        text: int

    other = atdata.write_samples([Other(text=1)], tmp_path / "third" / "a.tar")
    with pytest.raises(SampleTypeError, match=r"of one type.*vector"):
        join([dataset, other], tmp_path / "both")
    assert not (tmp_path / "both").exists()


# -- divided


def test_split_divides_by_chance_and_keeps_the_order(dataset, tmp_path):
    parts = split(dataset, tmp_path / "parts", {"train": 0.8, "test": None}, seed=3, maxcount=8)
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "test": 5}
    assert sorted(numbers(parts["train"]) + numbers(parts["test"])) == list(range(25))
    assert numbers(parts["train"]) == sorted(numbers(parts["train"]))
    again = split(dataset, tmp_path / "again", {"train": 0.8, "test": None}, seed=3)
    assert numbers(again["test"]) == numbers(parts["test"])
    other = split(dataset, tmp_path / "other", {"train": 0.8, "test": None}, seed=4)
    assert numbers(other["test"]) != numbers(parts["test"])
    loaded = atdata.load_dataset(tmp_path / "parts")
    assert {name: len(part) for name, part in loaded.items()} == {"train": 20, "test": 5}


def test_split_counts_where_no_manifest_does(dataset, tmp_path):
    (tmp_path / "manifest.json").unlink()
    parts = split(atdata.Dataset[Word](dataset.list_shards()), tmp_path / "parts", {"a": 3, "b": 4})
    assert [len(part) for part in parts.values()] == [3, 4]


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.floats(0.01, 1), min_size=1, max_size=5), st.integers(1, 10_000))
def test_fractions_of_one_take_every_sample(weights, total):
    whole = sum(weights.values())
    parts = {name: weight / whole for name, weight in weights.items()}
    try:
        sizes = sizes_of(parts, total)
    except EmptyDataset:
        assert total < 200
        return
    assert sum(sizes) == total
    for size, fraction in zip(sizes, parts.values(), strict=True):
        assert abs(size - fraction * total) <= len(parts)


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ({}, ValueError, "parts are fractions"),
        ({"a": None, "b": None}, ValueError, "one may be the rest"),
        ({"a": 0}, ValueError, "over 0"),
        ({"a": -0.5}, ValueError, "over 0"),
        ({"a": 0.8, "b": 0.3}, ValueError, "the fractions are 1.1 together"),
        ({"a": 26}, EmptyDataset, "25 samples do not divide so: a 26"),
        ({"a": 25, "b": None}, EmptyDataset, "do not divide so: a 25, b 0"),
        ({"a": 0.01, "b": None}, EmptyDataset, "do not divide so"),
    ],
)
def test_parts_that_cannot_be_are_told(dataset, tmp_path, parts, error, said):
    with pytest.raises(error, match=said):
        split(dataset, tmp_path / "parts", parts)
    assert not (tmp_path / "parts").exists()
