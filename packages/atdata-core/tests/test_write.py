"""Writing: names, limits, keys, all or nothing, and writers that race, fail or are killed."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import Handmade
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample, ShardWriter, write_samples
from atdata.errors import EmptyDataset, ManifestError, SampleTypeError, ShardExists
from atdata.keys import new_key

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals and limits")


@atdata.packable
class Item:
    number: int
    vector: NDArray = None  # type: ignore[assignment]

    def __post_init__(self):
        super().__post_init__()
        if self.vector is None:
            self.vector = np.full(3, self.number, np.float32)


@atdata.packable
class Other:
    number: int


def items(count, start=0):
    return [Item(number) for number in range(start, start + count)]


def numbers(dataset):
    return [sample.number for sample in dataset]


def shards(folder):
    return sorted(path.name for path in folder.glob("*.tar"))


def members(path):
    with tarfile.open(path) as tar:
        return tar.getnames()


def keys(path):
    return [name.removesuffix(".msgpack") for name in members(path)]


def everything(folder):
    """All files below a folder, hidden ones too, and what they hold."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails_in_the_middle(count):
    yield from items(count)
    raise RuntimeError("the generator broke")


def python(script, *arguments, **options):
    """Start a process with this Python and these packages."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


# ----------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("data.tar", {}, ["data.tar"]),
        ("data.tar", {"maxcount": 2}, ["data-000000.tar", "data-000001.tar"]),
        ("data.tar", {"maxcount": 100}, ["data-000000.tar"]),
        ("data.tar", {"maxsize": 1 << 30}, ["data-000000.tar"]),
        ("data-%06d.tar", {}, ["data-000000.tar"]),
        ("data-%06d.tar", {"maxcount": 2}, ["data-000000.tar", "data-000001.tar"]),
        ("data-%d.tar", {"maxcount": 2}, ["data-0.tar", "data-1.tar"]),
        ("data-%02d-of-it.tar", {"maxcount": 2}, ["data-00-of-it.tar", "data-01-of-it.tar"]),
        ("", {}, ["shard-000000.tar"]),
        ("", {"maxcount": 3}, ["shard-000000.tar"]),
        ("data.v2.tar", {"maxcount": 2}, ["data.v2-000000.tar", "data.v2-000001.tar"]),
        ("100%.tar", {}, ["100%.tar"]),
        ("100%.tar", {"maxcount": 2}, ["100%-000000.tar", "100%-000001.tar"]),
        ("a b ü.tar", {}, ["a b ü.tar"]),
    ],
)
def test_path_decides_the_names_of_shards(tmp_path, path, options, expected):
    dataset = write_samples(items(3), tmp_path / path, **options)
    assert shards(tmp_path) == expected
    assert [Path(name).name for name in dataset.list_shards()] == expected
    assert list(dataset) == items(3)


@pytest.mark.parametrize("path", ["new", "new/", "new/deeper", "new/deeper/"])
def test_folders_are_made_and_filled(tmp_path, path):
    dataset = write_samples(items(3), f"{tmp_path}/{path}", maxcount=2)
    assert shards(tmp_path / path) == ["shard-000000.tar", "shard-000001.tar"]
    assert list(dataset) == items(3)


def test_folders_above_a_shard_are_made(tmp_path):
    assert list(write_samples(items(1), tmp_path / "a" / "b" / "c.tar")) == items(1)


def test_an_existing_folder_with_a_dot_in_its_name_is_a_folder(tmp_path):
    (tmp_path / "v1.0").mkdir()
    write_samples(items(1), tmp_path / "v1.0")
    assert shards(tmp_path / "v1.0") == ["shard-000000.tar"]


def test_relative_paths_are_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(write_samples(items(2), "data.tar")) == items(2)
    assert list(write_samples(items(2), Path("sub") / "data.tar", maxcount=1)) == items(2)
    assert shards(tmp_path) == ["data.tar"]


def test_a_folder_whose_name_looks_like_a_pattern_works_as_a_path(tmp_path):
    folder = tmp_path / "odd {a,b} %d :: name"
    dataset = write_samples(items(3), folder / "data.tar", maxcount=2)
    assert shards(folder) == ["data-000000.tar", "data-000001.tar"]
    assert list(dataset) == items(3)


@pytest.mark.parametrize(
    "path",
    ["data-{000..003}.tar", "s3://bucket/data.tar", "https://example.com/data.tar", "data.tar.gz", "data.zip"],
)
def test_paths_that_name_no_local_tar_are_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"URL|pattern|plain tar"):
        write_samples(items(1), path)
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("name", ["%06d-%06d.tar", "%s.tar", "%d%%.tar", "%(n)d-%d.tar"])
def test_names_with_more_than_one_number_are_refused_or_kept_as_they_are(tmp_path, name):
    try:
        dataset = write_samples(items(1), tmp_path / name)
    except ValueError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert shards(tmp_path) == [name]
        assert list(dataset) == items(1)


def test_a_file_in_place_of_the_folder_is_an_error_that_names_it(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        write_samples(items(1), tmp_path / "taken" / "data.tar")
    with pytest.raises(OSError, match="taken"):
        write_samples(items(1), tmp_path / "taken")
    assert everything(tmp_path) == {"taken": b""}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root writes to")
def test_a_folder_that_cannot_be_written_to_is_an_error_that_names_it():
    with pytest.raises(OSError, match="/proc/self"):
        write_samples(items(1), "/proc/self/data.tar")


# ---------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("count", "maxcount", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 1, [1, 1]), (1, 9, [1])]
)
def test_maxcount_is_the_number_of_samples_per_shard(tmp_path, count, maxcount, sizes):
    dataset = write_samples(items(count), tmp_path / "data.tar", maxcount=maxcount)
    assert [len(members(path)) for path in dataset.list_shards()] == sizes
    assert list(dataset) == items(count)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 6000), min_size=1, max_size=20), maxsize=st.integers(1, 30_000))
def test_shards_are_as_large_as_maxsize_allows(tmp_path_factory, lengths, maxsize):
    folder = tmp_path_factory.mktemp("sizes")
    samples = [Item(n, np.zeros(length, np.uint8)) for n, length in enumerate(lengths)]
    dataset = write_samples(samples, folder / "data.tar", maxsize=maxsize)
    assert list(dataset) == samples
    stored = [Path(path).stat().st_size for path in dataset.list_shards()]
    counts = [len(members(path)) for path in dataset.list_shards()]
    for size, count in zip(stored, counts, strict=True):
        assert size <= maxsize or count == 1
    # the first sample of the next shard had no room
    firsts = [_grown(path) for path in dataset.list_shards()[1:]]
    for size, first in zip(stored, firsts, strict=False):
        assert size + first > maxsize


def _grown(path):
    """Bytes that the first sample of a shard takes in it."""
    with tarfile.open(path) as tar:
        second = tar.getmembers()[1:2]
    return second[0].offset if second else Path(path).stat().st_size - 1024


def test_maxcount_and_maxsize_hold_together(tmp_path):
    dataset = write_samples(items(10), tmp_path / "data.tar", maxcount=4, maxsize=4096)
    for path in dataset.list_shards():
        assert len(members(path)) <= 4
        assert Path(path).stat().st_size <= 4096
    assert list(dataset) == items(10)


@pytest.mark.parametrize("name", ["maxcount", "maxsize"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_below_one_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        write_samples(items(1), tmp_path / "data.tar", **{name: value})
    with pytest.raises(TypeError, match=rf"{name} is a whole number; found '1GB'"):
        write_samples(items(1), tmp_path / "data.tar", **{name: "1GB"})


# --------------------------------------------------------------------------------------------- samples


def test_samples_are_taken_one_by_one(tmp_path):
    seen = []

    def lazily():
        for number in range(3):
            seen.append(number)
            yield Item(number)

    with ShardWriter(tmp_path / "data.tar") as writer:
        for count, sample in enumerate(lazily(), 1):
            writer.write(sample)
            assert len(seen) == writer.samples == count
    assert list(writer.dataset) == items(3)


def test_dict_rows_without_a_type_become_dict_samples(tmp_path):
    dataset = write_samples(({"n": n, "text": "a"} for n in range(3)), tmp_path / "data.tar")
    assert dataset.sample_type is DictSample
    assert [sample.n for sample in dataset] == [0, 1, 2]


def test_arrays_in_dict_rows_are_stored_as_arrays(tmp_path):
    write_samples([{"number": 1, "vector": np.arange(3)}], tmp_path / "data.tar")
    (sample,) = Dataset[Item](tmp_path / "data.tar")
    np.testing.assert_array_equal(sample.vector, np.arange(3))


def test_dict_rows_may_differ_in_their_fields(tmp_path):
    rows = [{"a": 1}, {"b": "x"}, {}]
    assert [sample.to_dict() for sample in write_samples(rows, tmp_path / "data.tar")] == rows


def test_dict_rows_and_samples_may_be_mixed_for_a_given_type(tmp_path):
    rows = (Item(n) if n % 2 else {"number": n} for n in range(4))
    dataset = write_samples(rows, tmp_path / "data.tar", sample_type=Item)
    assert dataset.sample_type is Item
    assert list(dataset) == items(4)


def test_dict_rows_after_samples_become_samples_of_their_type(tmp_path):
    assert list(write_samples([Item(0), {"number": 1}], tmp_path / "data.tar")) == items(2)


@pytest.mark.parametrize("row", [{"numbr": 1}, {"number": 1, "extra": 2}, {}, {1: 2}, {"number": "a"}], ids=str)
def test_dict_rows_that_do_not_fit_the_type_are_refused(tmp_path, row):
    with pytest.raises(SampleTypeError, match="Other"):
        write_samples([row], tmp_path / "data.tar", sample_type=Other)
    assert everything(tmp_path) == {}


def test_the_refusal_of_a_row_says_which_one_it_is(tmp_path):
    with pytest.raises(SampleTypeError, match=r"sample 1.*extra"):
        write_samples([{"number": 1}, {"extra": 1}], tmp_path / "data.tar", sample_type=Item)


def test_mixed_types_are_refused_with_both_named(tmp_path):
    with pytest.raises(SampleTypeError, match=r"sample 2.*Item, found Other"):
        write_samples([*items(2), Other(1)], tmp_path / "data.tar")
    assert everything(tmp_path) == {}


def test_a_subclass_is_another_type(tmp_path):
    @atdata.packable
    class Child(Item):
        pass

    with pytest.raises(SampleTypeError, match="found Child"):
        write_samples([Item(1), Child(2)], tmp_path / "data.tar")


def test_samples_of_another_type_than_given_are_refused(tmp_path):
    with pytest.raises(SampleTypeError, match="Other, found Item"):
        write_samples(items(1), tmp_path / "data.tar", sample_type=Other)


@pytest.mark.parametrize("thing", [3, "text", None, [1], object()])
def test_what_is_no_sample_is_refused(tmp_path, thing):
    with pytest.raises(SampleTypeError):
        write_samples([thing], tmp_path / "data.tar")
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("empty", [[], iter(()), (item for item in ())], ids=["list", "iterator", "generator"])
def test_an_empty_iterable_is_refused_and_leaves_nothing(tmp_path, empty):
    with pytest.raises(EmptyDataset, match=r"no samples.*data.tar") as caught:
        write_samples(empty, tmp_path / "data.tar")
    assert isinstance(caught.value, ValueError)
    assert everything(tmp_path) == {}


def test_values_that_cannot_be_stored_name_sample_and_field_and_leave_nothing(tmp_path):
    with pytest.raises(SampleTypeError, match=r"^sample 1: Item\.vector") as caught:
        write_samples([Item(1), Item(2, np.array([object()]))], tmp_path / "data.tar")
    assert caught.value.field == "vector"
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("one", [Item(1), DictSample(n=1), {"n": 1}])
def test_one_sample_in_place_of_several_is_told(tmp_path, one):
    with pytest.raises(TypeError, match=r"found one \w+: give \[sample\]"):
        write_samples(one, tmp_path / "data.tar")
    assert everything(tmp_path) == {}


def test_a_tilde_is_refused_where_no_folder_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"os\.path\.expanduser\('~/data\.tar'\)"):
        write_samples(items(1), "~/data.tar")
    assert everything(tmp_path) == {}
    (tmp_path / "~").mkdir()
    assert list(write_samples(items(1), "~/data.tar")) == items(1)


def test_samples_of_the_protocol_alone_are_written(tmp_path):
    dataset = write_samples([Handmade(1), Handmade(2)], tmp_path / "data.tar")
    assert dataset.sample_type is Handmade
    assert numbers(dataset) == [1, 2]


ALIASES = [
    np.arange(3, dtype=np.float64),
    np.arange(100_000, dtype=np.float64),
    np.asfortranarray(np.arange(60_000, dtype=np.float32).reshape(200, 300)),
    np.arange(200_000, dtype=np.int32)[::2],
]


@pytest.mark.parametrize("array", ALIASES, ids=["small", "large", "fortran", "strided"])
@pytest.mark.parametrize("as_dict", [False, True])
def test_changing_an_array_after_write_does_not_change_what_was_written(tmp_path, array, as_dict):
    array = array.copy(order="K")
    kept = array.copy()
    with ShardWriter(tmp_path / "data.tar", DictSample if as_dict else Item) as writer:
        for number in range(3):
            writer.write({"number": number, "vector": array} if as_dict else Item(number, array))
            array += 1
    for number, sample in enumerate(Dataset[Item](tmp_path / "data.tar")):
        np.testing.assert_array_equal(sample.vector, kept + number)


# -------------------------------------------------------------------------------------- the result


def test_the_returned_dataset_is_typed_and_complete(tmp_path):
    dataset = write_samples(items(5), tmp_path / "data.tar", maxcount=2)
    assert dataset.sample_type is Item
    assert list(dataset) == items(5)
    assert "3 shards, 5 samples" in repr(dataset)
    assert dataset.url == f"{tmp_path}/data-{{000000..000002}}.tar"


def test_the_manifest_describes_what_was_written(tmp_path):
    dataset = write_samples(items(5), tmp_path / "data.tar", maxcount=2)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["format"], manifest["layout"]) == ("atdata-manifest", "samples")
    assert [entry["samples"] for entry in manifest["shards"]] == [2, 2, 1]
    for path, entry in zip(dataset.list_shards(), manifest["shards"], strict=True):
        content = Path(path).read_bytes()
        assert entry["name"] == Path(path).name
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["firstKey"] == keys(path)[0]
    (record,) = manifest["schemas"].values()
    assert record["name"] == "Item"
    assert [field["name"] for field in record["fields"]] == ["number", "vector"]


def test_several_datasets_in_one_folder_share_the_manifest(tmp_path):
    write_samples(items(2), tmp_path / "train.tar")
    write_samples([Other(1)], tmp_path / "test.tar")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["shards"]] == ["test.tar", "train.tar"]
    assert {record["name"] for record in manifest["schemas"].values()} == {"Item", "Other"}
    assert "1 shard, 2 samples" in repr(Dataset[Item](tmp_path / "train.tar"))


@pytest.mark.parametrize("content", ['{"format": "something else"}', "[]", "not json"])
def test_a_foreign_manifest_is_not_overwritten(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ManifestError, match=r"manifest.json"):
        write_samples(items(1), tmp_path / "data.tar")
    assert everything(tmp_path) == {"manifest.json": content.encode()}


def test_types_without_a_schema_are_written_all_the_same(tmp_path):
    @atdata.packable
    class WithDict:
        meta: dict

    assert list(write_samples([WithDict({"a": 1})], tmp_path / "data.tar")) == [WithDict({"a": 1})]


def test_nothing_else_is_left_in_the_folder(tmp_path):
    write_samples(items(3), tmp_path / "data.tar", maxcount=2)
    assert sorted(everything(tmp_path)) == [
        "data-000000.tar",
        "data-000000.tar.index",
        "data-000001.tar",
        "data-000001.tar.index",
        "manifest.json",
    ]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_files_have_the_permissions_that_the_umask_gives(tmp_path):
    old = os.umask(0o027)
    try:
        write_samples(items(1), tmp_path / "new" / "data.tar")
    finally:
        os.umask(old)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {"0o640"}, modes


# ------------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("options", [{}, {"maxcount": 2}, {"maxsize": 3000}])
def test_an_exception_in_the_middle_leaves_nothing(tmp_path, options):
    with pytest.raises(RuntimeError, match="the generator broke"):
        write_samples(fails_in_the_middle(7), tmp_path / "data.tar", **options)
    assert everything(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path / "data.tar") as writer:  # noqa: PT012
        writer.write(Item(1))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_exception_while_overwriting_leaves_the_old_dataset(tmp_path):
    write_samples(items(5), tmp_path / "data.tar", maxcount=2)
    before = everything(tmp_path)
    with pytest.raises(RuntimeError):
        write_samples(fails_in_the_middle(7), tmp_path / "data.tar", maxcount=2, overwrite=True)
    assert everything(tmp_path) == before


def test_no_shard_has_its_final_name_before_the_writer_is_closed(tmp_path):
    with ShardWriter(tmp_path / "data.tar", maxcount=1) as writer:
        for sample in items(3):
            writer.write(sample)
        assert shards(tmp_path) == []
    assert len(shards(tmp_path)) == 3


def test_a_taken_later_name_leaves_nothing_new(tmp_path):
    (tmp_path / "data-000002.tar").write_bytes(b"mine")
    with pytest.raises(ShardExists, match=r"data-000002\.tar"):
        write_samples(items(3), tmp_path / "data.tar", maxcount=1)
    assert everything(tmp_path) == {"data-000002.tar": b"mine"}


def test_a_name_that_is_taken_meanwhile_leaves_nothing_new(tmp_path):
    with (  # noqa: PT012
        pytest.raises(ShardExists, match=r"data-000001\.tar"),
        ShardWriter(tmp_path / "data.tar", maxcount=1) as writer,
    ):
        writer.write(Item(0))
        writer.write(Item(1))
        (tmp_path / "data-000001.tar").write_bytes(b"theirs")
    assert everything(tmp_path) == {"data-000001.tar": b"theirs"}


def test_write_after_close_is_refused(tmp_path):
    writer = ShardWriter(tmp_path / "data.tar")
    writer.write(Item(0))
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(Item(1))
    writer.close()
    assert list(writer.dataset) == items(1)


def test_the_dataset_of_an_unfinished_or_aborted_writer_is_refused(tmp_path):
    writer = ShardWriter(tmp_path / "data.tar")
    with pytest.raises(ValueError, match="no dataset"):
        _ = writer.dataset
    writer.write(Item(1))
    writer.abort()
    with pytest.raises(ValueError, match="no dataset"):
        _ = writer.dataset
    assert list(tmp_path.iterdir()) == []


def test_a_sample_that_was_refused_does_not_spoil_the_rest(tmp_path):
    with ShardWriter(tmp_path / "data.tar") as writer:
        writer.write(Item(0))
        with pytest.raises(SampleTypeError):
            writer.write(Item(1, np.array([object()])))
        with pytest.raises(SampleTypeError):
            writer.write(Other(1))
        writer.write(Item(1))
    assert list(writer.dataset) == items(2)


def test_refused_keys_leave_no_empty_shards(tmp_path):
    with ShardWriter(tmp_path / "data.tar", maxcount=1) as writer:
        writer.write(Item(0), key="a")
        with pytest.raises(ValueError, match=r"bad.key"):
            writer.write(Item(1), key="bad.key")
    assert shards(tmp_path) == ["data-000000.tar"]
    assert [len(members(path)) for path in writer.dataset.list_shards()] == [1]


def test_a_writer_whose_every_sample_was_refused_is_empty(tmp_path):
    with pytest.raises(EmptyDataset), ShardWriter(tmp_path / "data.tar") as writer:  # noqa: PT012
        with pytest.raises(ValueError, match=r"bad.key"):
            writer.write(Item(1), key="bad.key")
        with pytest.raises(SampleTypeError):
            writer.write(Item(1, np.array([object()])))
    assert everything(tmp_path) == {}


def test_repr_of_a_writer_tells_its_state(tmp_path):
    with ShardWriter(tmp_path / "data.tar") as writer:
        writer.write(Item(1))
        assert "open, 1 samples" in repr(writer)
    assert "closed, 1 samples" in repr(writer)


# ------------------------------------------------------------------------------------------- overwrite


@pytest.mark.parametrize("options", [{}, {"maxcount": 2}])
def test_an_existing_shard_is_refused_at_once_and_kept(tmp_path, options):
    write_samples(items(5), tmp_path / "data.tar", **options)
    before = everything(tmp_path)
    touched = []
    with pytest.raises(ShardExists, match=r"data.*\.tar exists.*overwrite=True") as caught:
        write_samples((touched.append(n) or Item(n) for n in range(3)), tmp_path / "data.tar", **options)
    assert isinstance(caught.value, FileExistsError)
    assert touched == []
    assert everything(tmp_path) == before


def test_overwrite_replaces_shards_and_removes_leftovers(tmp_path):
    write_samples(items(9), tmp_path / "data.tar", maxcount=2)
    dataset = write_samples(items(3, start=100), tmp_path / "data.tar", maxcount=2, overwrite=True)
    assert shards(tmp_path) == ["data-000000.tar", "data-000001.tar"]
    assert numbers(dataset) == [100, 101, 102]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["shards"]] == shards(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.index")) == [f"{name}.index" for name in shards(tmp_path)]


def test_overwrite_leaves_other_datasets_alone(tmp_path):
    write_samples(items(4), tmp_path / "other.tar", maxcount=2)
    before = everything(tmp_path)
    write_samples(items(4), tmp_path / "data.tar", maxcount=2)
    write_samples(items(1), tmp_path / "data.tar", maxcount=2, overwrite=True)
    after = everything(tmp_path)
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: content for name, content in before.items() if name != "manifest.json"
    }
    assert list(Dataset[Item](f"{tmp_path}/other-{{000000..000001}}.tar")) == items(4)


def test_overwrite_of_nothing_is_a_plain_write(tmp_path):
    assert list(write_samples(items(2), tmp_path / "data.tar", overwrite=True)) == items(2)


def test_a_dataset_may_be_rewritten_from_itself(tmp_path):
    dataset = write_samples(items(5), tmp_path / "data.tar", maxcount=2)
    doubled = (Item(sample.number * 2) for sample in dataset)
    write_samples(doubled, tmp_path / "data.tar", maxcount=2, overwrite=True)
    assert numbers(Dataset[Item](dataset.url)) == [0, 2, 4, 6, 8]


def test_a_reader_of_an_overwritten_shard_keeps_reading_the_old_one(tmp_path):
    dataset = write_samples(items(5), tmp_path / "data.tar")
    stream = iter(dataset)
    next(stream)
    write_samples(items(2, start=50), tmp_path / "data.tar", overwrite=True)
    assert numbers(stream) == [1, 2, 3, 4]
    assert numbers(dataset) == [50, 51]


# ------------------------------------------------------------------------------------------------ keys


def test_default_keys_are_unique_and_sort_in_write_order(tmp_path):
    dataset = write_samples(items(500), tmp_path / "data.tar", maxcount=100)
    written = [key for path in dataset.list_shards() for key in keys(path)]
    assert len(set(written)) == 500
    assert written == sorted(written)


def test_default_keys_are_unique_among_threads():
    made = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda out=out: out.extend(new_key() for _ in range(2000))) for out in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key for out in made for key in out}) == 16_000


@needs_posix
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_default_keys_are_unique_after_fork():
    new_key()
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        made = pool.map(_some_keys, range(8), chunksize=1)
    every = [key for out in made for key in out] + _some_keys(0)
    assert len(set(every)) == len(every)
    # not by chance of the clock: the part that tells processes apart differs from the parent's
    assert new_key()[16:] not in {key[16:] for out in made for key in out}


def _some_keys(_):
    return [new_key() for _ in range(200)]


def test_default_keys_of_two_processes_differ():
    script = "from atdata.keys import new_key; print(*[new_key() for _ in range(100)])"
    first, second = (finished(process).split() for process in [python(script), python(script)])
    assert len({*first, *second}) == 200


def test_keys_of_ones_own_are_used(tmp_path):
    dataset = write_samples(items(3), tmp_path / "data.tar", key=lambda n, sample: f"{sample.number:03d}/item-{n}")
    assert keys(tmp_path / "data.tar") == ["000/item-0", "001/item-1", "002/item-2"]
    assert list(dataset) == items(3)


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "0",
        "a b",
        "日本語",
        "a/b",
        "a/b/c",
        "-",
        "a" * 99,
        "ä" * 60,
        "folder/" * 30 + "x",
        "a_b-c=d;e,f",
        "'\"$",
        "\\",
    ],
    ids=lambda key: ascii(key)[:20],
)
def test_legal_keys_are_read_back_by_us_by_tarfile_and_by_webdataset(tmp_path, key):
    write_samples(items(1), tmp_path / "data.tar", key=lambda n, sample: key)
    assert keys(tmp_path / "data.tar") == [key]
    code = (
        "import sys, webdataset as wds; print([s['__key__'] for s in wds.WebDataset(sys.argv[1], shardshuffle=False)])"
    )
    script = f"import sys; sys.stdout.reconfigure(encoding='utf-8'); {code}"
    assert len(list(Dataset[Item](tmp_path / "data.tar"))) == 1
    if key in ("日本語", "a/b", "ä" * 60):
        assert finished(python(script, tmp_path / "data.tar")).strip() == repr([key])


@pytest.mark.parametrize("key", ["", "a.b", "a/b.c", ".", "/a", "a/", "__a", "a\0b", "a.msgpack", "../a"])
def test_illegal_keys_are_refused_and_leave_nothing(tmp_path, key):
    with pytest.raises(ValueError, match="key"):
        write_samples(items(1), tmp_path / "data.tar", key=lambda n, sample: key)
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("key", ["\ud800", 3, b"a", 1.5], ids=ascii)
def test_keys_that_are_no_storable_text_are_refused_clearly(tmp_path, key):
    with pytest.raises((ValueError, TypeError), match="key"):
        write_samples(items(1), tmp_path / "data.tar", key=lambda n, sample: key)
    assert everything(tmp_path) == {}


def test_a_key_that_the_shard_has_already_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.tar.*already.*'same'"):
        write_samples(items(2), tmp_path / "data.tar", key=lambda n, sample: "same")
    assert everything(tmp_path) == {}


def test_keys_that_webdataset_would_take_for_one_sample_are_refused_or_kept_apart(tmp_path):
    names = ["a/x", "b/x"]
    write_samples(items(2), tmp_path / "data.tar", key=lambda n, sample: names[n])
    assert numbers(Dataset[Item](tmp_path / "data.tar")) == [0, 1]


# ------------------------------------------------------------------------------------- reproducibility


@pytest.mark.parametrize("options", [{}, {"maxcount": 2}])
def test_equal_samples_under_equal_keys_make_equal_files(tmp_path, options):
    def write(folder):
        write_samples(items(5), folder / "data.tar", key=lambda n, sample: f"{n:06d}", **options)
        return everything(folder)

    first = write(tmp_path / "one")
    time.sleep(0.02)
    assert write(tmp_path / "two") == first


def test_mtime_is_what_was_given(tmp_path):
    write_samples(items(2), tmp_path / "data.tar", mtime=1_600_000_000)
    with tarfile.open(tmp_path / "data.tar") as tar:
        assert {member.mtime for member in tar} == {1_600_000_000}
    write_samples(items(2), tmp_path / "zero.tar")
    with tarfile.open(tmp_path / "zero.tar") as tar:
        assert {member.mtime for member in tar} == {0}


@pytest.mark.parametrize("mtime", [-1, 1.5, 8**11])
def test_times_that_a_tar_cannot_hold_are_refused_or_read_back(tmp_path, mtime):
    try:
        write_samples(items(2), tmp_path / "data.tar", mtime=mtime)
    except (ValueError, TypeError):
        assert everything(tmp_path) == {}
    else:
        with tarfile.open(tmp_path / "data.tar") as tar:
            assert {member.mtime for member in tar} == {int(mtime)}
        assert list(Dataset[Item](tmp_path / "data.tar")) == items(2)


@pytest.mark.skipif(sys.platform == "win32", reason="GNU tar")
def test_gnu_tar_reads_our_shards(tmp_path):
    names = ["a", "ü" * 80, "x" * 95]
    write_samples(items(3), tmp_path / "data.tar", key=lambda n, sample: names[n])
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "-tf", tmp_path / "data.tar"],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert listed.stdout.decode().split("\n")[:-1] == [f"{name}.msgpack" for name in names]
    assert listed.stderr == b""


def test_webdatasets_writer_takes_our_samples(tmp_path):
    with wds.writer.TarWriter(str(tmp_path / "data.tar")) as sink:
        for sample in items(3):
            sink.write(sample.as_wds)
    assert list(Dataset[Item](tmp_path / "data.tar")) == items(3)


# --------------------------------------------------------------------------------- other processes


RACER = """
import sys, atdata
folder, name, start, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
try:
    rows = ({"number": start + n, "text": "x" * 3000} for n in range(count))
    atdata.write_samples(rows, f"{folder}/{name}", maxcount=4)
    print("done")
except FileExistsError:
    print("exists")
"""


def race(arguments):
    """Start writers at the same moment; what each says in the end."""
    processes = [python(RACER, *each) for each in arguments]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [finished(process).strip() for process in processes]


def test_writers_of_different_names_share_a_folder(tmp_path):
    said = race([(tmp_path, f"part{n}.tar", n * 100, 10) for n in range(4)])
    assert said == ["done"] * 4
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["shards"]] == shards(tmp_path)
    assert len(shards(tmp_path)) == 12
    assert sum(entry["samples"] for entry in manifest["shards"]) == 40
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".tar", ".index"] * 12 + [".json"])


def test_of_writers_of_the_same_name_one_wins_whole(tmp_path):
    said = race([(tmp_path, "data.tar", n * 100, 10) for n in range(4)])
    assert sorted(said) == ["done"] + ["exists"] * 3
    winner = said.index("done")
    dataset = Dataset(f"{tmp_path}/data-{{000000..000002}}.tar")
    assert numbers(dataset) == [winner * 100 + n for n in range(10)]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert sum(entry["samples"] for entry in manifest["shards"]) == 10
    for path, entry in zip(dataset.list_shards(), manifest["shards"], strict=True):
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == entry["sha256"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".tar", ".index"] * 3 + [".json"])


OVERWRITER = """
import sys, atdata
writer = atdata.ShardWriter(sys.argv[1], maxcount=1, overwrite=True)
for n in range(30):
    writer.write({"writer": int(sys.argv[2])})
print("ready", flush=True)
sys.stdin.readline()
writer.close()
"""


def test_after_overwriting_writers_raced_the_dataset_is_one_writers_and_fits_the_manifest(tmp_path):
    for _ in range(3):
        for number in range(30, 2000):  # leftovers to remove, which takes a while
            (tmp_path / f"data-{number:06d}.tar").touch()
        processes = [python(OVERWRITER, tmp_path / "data.tar", number) for number in range(2)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            finished(process)
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert [entry["name"] for entry in manifest["shards"]] == shards(tmp_path)
        for entry in manifest["shards"]:
            assert hashlib.sha256((tmp_path / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
        assert len({sample.writer for sample in Dataset(f"{tmp_path}/data-{{000000..000029}}.tar")}) == 1


STARTER = """
import sys, threading
from pathlib import Path
from atdata import ShardWriter
folder, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for n in range(100):
    writer = ShardWriter(f"{folder}/{name}-{n}.tar")
    writer.write({"number": n})
    writer.abort()
print("done")
"""


def test_writers_that_start_at_the_same_moment_do_not_sweep_each_other_away(tmp_path):
    processes = [python(STARTER, tmp_path, f"w{n}") for n in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [finished(process) for process in processes] == ["done\n"] * 4
    assert list(tmp_path.iterdir()) == []


HOLDER = """
import sys, time, atdata
writer = atdata.ShardWriter(sys.argv[1], maxcount=3)
for n in range(8):
    writer.write({"number": n, "text": "x" * 100_000})
print("written", flush=True)
time.sleep(60)
"""


def test_a_writer_that_was_forgotten_neither_publishes_nor_hangs(tmp_path):
    script = """
        import sys, atdata
        writer = atdata.ShardWriter(sys.argv[1])
        for n in range(5):
            writer.write({"number": n, "text": "x" * 2_000_000})
    """
    finished(python(script, tmp_path / "data.tar"))
    assert shards(tmp_path) == []
    write_samples(items(1), tmp_path / "data.tar")
    assert sorted(everything(tmp_path)) == ["data.tar", "data.tar.index", "manifest.json"]


@needs_posix
def test_a_killed_writer_leaves_no_shard_and_the_next_one_cleans_up(tmp_path):
    process = python(HOLDER, tmp_path / "data.tar")
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert shards(tmp_path) == []
    assert not (tmp_path / "manifest.json").exists()
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left, "this test expects a writer to work in a hidden folder"
    write_samples(items(2), tmp_path / "data.tar")
    assert sorted(everything(tmp_path)) == ["data.tar", "data.tar.index", "manifest.json"]
    assert not any(path.exists() for path in left)


@needs_posix
def test_a_living_writers_files_are_left_alone(tmp_path):
    process = python(HOLDER, tmp_path / "data.tar")
    try:
        assert process.stdout.readline() == "written\n"
        before = sorted(path.name for path in tmp_path.rglob("*"))
        write_samples(items(2), tmp_path / "other.tar")
        after = sorted(path.name for path in tmp_path.rglob("*"))
        assert set(before) <= set(after)
    finally:
        process.kill()
        process.communicate()


LIMITED = """
import resource, signal, sys
import numpy as np
import atdata
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
"""


@needs_posix
@pytest.mark.parametrize("size", [100, 50_000, 1_000_000])
def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, size):
    script = LIMITED + textwrap.dedent("""
        try:
            rows = ({"x": np.zeros(int(sys.argv[2]), np.uint8)} for _ in range(2_000_000 // int(sys.argv[2]) + 1))
            atdata.write_samples(rows, sys.argv[1])
        except OSError as error:
            print(error.errno)
    """)
    import errno

    assert finished(python(script, tmp_path / "data.tar", size)).strip() == str(errno.EFBIG)
    assert list(tmp_path.iterdir()) == []


@needs_posix
@pytest.mark.parametrize("size", [100, 50_000])
def test_a_writer_that_met_a_full_disk_publishes_nothing_even_if_the_user_goes_on(tmp_path, size):
    script = LIMITED + textwrap.dedent("""
        size = int(sys.argv[2])
        writer = atdata.ShardWriter(sys.argv[1])
        written = failed = 0
        for n in range(2_000_000 // size):
            try:
                writer.write({"n": n, "x": np.zeros(size, np.uint8)})
                written += 1
            except (OSError, ValueError):
                failed += 1
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert failed, "the limit was not met"
        try:
            writer.close()
        except (OSError, ValueError):
            print("refused")
        else:
            print(len(list(writer.dataset)) == written)
    """)
    said = finished(python(script, tmp_path / "data.tar", size)).strip()
    assert said in ("refused", "True")
    if said == "refused":
        assert everything(tmp_path) == {}


@needs_posix
def test_a_full_disk_while_overwriting_leaves_the_old_dataset(tmp_path):
    write_samples(items(3), tmp_path / "data.tar")
    before = everything(tmp_path)
    script = LIMITED + textwrap.dedent("""
        try:
            atdata.write_samples(({"x": np.zeros(50_000, np.uint8)} for _ in range(50)), sys.argv[1], overwrite=True)
        except OSError:
            print("full")
    """)
    assert finished(python(script, tmp_path / "data.tar")).strip() == "full"
    assert everything(tmp_path) == before


def test_a_name_that_no_manifest_can_hold_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="not UTF-8"):
        atdata.write_samples([{"n": 1}], tmp_path / "a\udcff.tar")
    assert not [*tmp_path.iterdir()]
