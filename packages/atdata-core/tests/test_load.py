"""``load_dataset``: what paths and patterns find, which split a shard is in, and what it says when there is nothing."""

import contextlib
import json
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DatasetDict, DictSample, load_dataset, write_samples
from atdata.errors import (
    AtdataError,
    ManifestError,
    SampleTypeError,
    SchemaError,
    ShardNotFound,
    ShardPermissionError,
    SplitNotFound,
    UnlistableURL,
    UnsafeURL,
)
from atdata.find import natural
from atdata.splits import split_of

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@atdata.packable
class Text:
    text: str
    label: int


def empty(folder: Path, *names: str) -> None:
    """Files of these names. What is in them does not matter: finding shards reads none."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(path, **options):
    """Names of the shards of each split, below the path."""
    loaded = load_dataset(path, DictSample, **options)
    return {split: [Path(shard).name for shard in dataset.shard_list] for split, dataset in loaded.items()}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def texts(here):
    for split, count in (("train", 7), ("test", 2)):
        write_samples([Text(f"{split} {n}", n) for n in range(count)], f"{split}-%03d.tar", maxcount=4)
    return here


# ------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-000.tar", "train"),
        ("training-000.tar", "train"),
        ("test-000.tar", "test"),
        ("testing-000.tar", "test"),
        ("val-000.tar", "validation"),
        ("valid-000.tar", "validation"),
        ("validation-000.tar", "validation"),
        ("dev-000.tar", "validation"),
        ("development-000.tar", "validation"),
        ("train.tar", "train"),
        ("test_000.tar", "test"),
        ("test000.tar", "test"),
        ("VAL.tar", "validation"),
        ("imagenet-val-000.tar", "validation"),
        ("imagenet_1k.test.000.tar", "test"),
        ("my test set.tar", "test"),
        ("test-of-train.tar", "test"),
        ("smoke-test-train-000.tar", "train"),
        ("train/000.tar", "train"),
        ("test/000.tar", "test"),
        ("Validation/000.tar", "validation"),
        ("test/part-1/000.tar", "test"),
        ("train/dev/000.tar", "validation"),
        ("train/test-000.tar", "test"),
        ("latest-000.tar", None),
        ("contest.tar", None),
        ("pretrain-000.tar", None),
        ("trainer.tar", None),
        ("devices.tar", None),
        ("évaltest.tar", None),
        ("000.tar", None),
        ("my-tests/000.tar", None),
        ("test-run-7/000.tar", None),
        ("", None),
    ],
)
def test_a_name_or_a_folder_tells_the_split(name, split):
    assert split_of(name) == split


@given(st.text())
def test_every_text_tells_a_split_or_none(text):
    assert split_of(text) in {None, "train", "test", "validation"}


def test_splits_come_in_their_usual_order_and_the_rest_is_for_training(tmp_path):
    empty(tmp_path, "val-0.tar", "test-0.tar", "train-0.tar", "more.tar", "latest-0.tar")
    assert list(found(tmp_path).items()) == [
        ("train", ["latest-0.tar", "more.tar", "train-0.tar"]),
        ("validation", ["val-0.tar"]),
        ("test", ["test-0.tar"]),
    ]


def test_folders_are_splits_also_where_they_are_part_of_what_was_given(here):
    empty(here, "data/train/a.tar", "data/test/b.tar", "data/test/deep/c.tar")
    expected = {"train": ["a.tar"], "test": ["b.tar", "c.tar"]}
    assert found("data") == found("data/") == found("./data/**/*.tar") == found(here / "data") == expected
    assert found("data/*/*.tar") == found("data/{train,test}/*.tar") == {"train": ["a.tar"], "test": ["b.tar"]}
    assert found("data/test") == found("data/test/") == found("data/test/**") == {"test": ["b.tar", "c.tar"]}
    assert found("data/test/*.tar") == found("data/test/b.tar") == found(Path("data/test/b.tar")) == {"test": ["b.tar"]}


def test_folders_above_what_was_given_tell_nothing(tmp_path):
    folder = tmp_path / "test" / "mine"
    empty(folder, "000.tar")
    assert found(folder) == found(f"{folder}/000.tar") == found(f"{folder}/*.tar") == {"train": ["000.tar"]}


# -------------------------------------------------------------------------------------------------- paths


def test_all_forms_of_a_path_find_the_same_shards(texts):
    train, test = ["train-000.tar", "train-001.tar"], ["test-000.tar"]
    both = {"train": train, "test": test}
    for path in (".", "./", "*.tar", "**/*.tar", "{train,test}*.tar", "t*[0-9].tar", texts, str(texts), texts.as_uri()):
        assert found(path) == both, path
    for path in ("train-{000..001}.tar", "train-*.tar", "train-00?.tar", "train-000.tar::train-001.tar"):
        assert found(path) == {"train": train}, path
    assert found("test-000.tar") == found(texts / "test-000.tar") == {"test": test}
    assert found("manifest.json") == found(texts / "manifest.json") == both


def test_samples_come_out_typed_and_counted(texts):
    train = load_dataset("train-*.tar", Text, split="train")
    assert train.sample_type is Text
    assert [sample.text for sample in train] == [f"train {n}" for n in range(7)]
    assert len(train) == train.num_samples == 7
    (batch,) = load_dataset(".", Text)["test"].ordered(batch_size=2)
    assert batch.label == [0, 1]


def test_shards_come_in_natural_order(tmp_path):
    empty(tmp_path, "a-10.tar", "a-9.tar", "a-1.tar", "b/10/x.tar", "b/9/x.tar", "a-01.tar")
    shards = [
        Path(shard).relative_to(tmp_path).as_posix() for shard in load_dataset(tmp_path, split="train").shard_list
    ]
    assert shards == ["a-01.tar", "a-1.tar", "a-9.tar", "a-10.tar", "b/9/x.tar", "b/10/x.tar"]
    listed = load_dataset(f"{tmp_path}/a-{{10..9}}.tar", split="train").shard_list
    assert [Path(shard).name for shard in listed] == ["a-10.tar", "a-9.tar"]  # as it was given


@given(st.lists(st.text("ab19٣²-", max_size=6)))
def test_natural_order_is_one_and_takes_any_text(names):
    assert natural(names) == natural(names[::-1])
    assert sorted(natural(names)) == sorted(names)


def test_what_is_hidden_or_unfinished_or_no_shard_is_left_out(tmp_path):
    empty(
        tmp_path, "a.tar", ".b.tar", ".cache/c.tar", ".atdata-tmp-00/d.tar", "e.tar.index", "f.tar.gz", "sub.tar/g.tar"
    )
    assert found(tmp_path) == found(f"{tmp_path}/**/*") == {"train": ["a.tar", "g.tar"]}
    assert found(f"{tmp_path}/*") == {"train": ["a.tar"]}
    assert found(tmp_path / ".cache") == {"train": ["c.tar"]}


def test_a_writer_at_work_is_not_seen(tmp_path):
    write_samples([{"n": 1}], tmp_path / "done.tar")
    with atdata.ShardWriter(tmp_path / "late.tar") as writer:
        writer.write({"n": 2})
        assert found(tmp_path) == {"train": ["done.tar"]}
    assert found(tmp_path) == {"train": ["done.tar", "late.tar"]}


@links
def test_links_are_followed_and_circles_are_not(tmp_path):
    empty(tmp_path, "store/train/0.tar", "data/readme")
    (tmp_path / "data" / "train").symlink_to(tmp_path / "store" / "train")
    (tmp_path / "data" / "1.tar").symlink_to(tmp_path / "store" / "train" / "0.tar")
    (tmp_path / "store" / "train" / "up").symlink_to(tmp_path / "data")
    assert found(tmp_path / "data") == {"train": ["1.tar", "0.tar"]}
    (tmp_path / "data" / "2.tar").symlink_to(tmp_path / "nowhere")
    dataset = load_dataset(f"{tmp_path}/data/2.*", split="train")
    with pytest.raises(ShardNotFound):  # a link to nothing is a shard that is lost, not one to be passed over
        list(dataset)


@pytest.mark.parametrize("name", ["odd[1]", "a{b,c}", "c*", "@home", "file:x"])
def test_a_folder_of_an_odd_name_is_found(here, name):
    empty(here, f"{name}/train-0.tar", f"{name}/train-1.tar")
    assert found(Path(name)) == {"train": ["train-0.tar", "train-1.tar"]}
    assert found(Path(name), data_files="*-{0,1}.tar") == {"train": ["train-0.tar", "train-1.tar"]}
    assert found(Path(name), data_files=Path("train-1.tar")) == {"train": ["train-1.tar"]}
    assert load_dataset(Path(name, "train-0.tar"), split="train").shard_list


def test_a_name_that_exists_is_taken_as_it_is(here):
    empty(here, "x{1,2}.tar", "y[1].tar", "y1.tar")
    assert found("x{1,2}.tar") == {"train": ["x{1,2}.tar"]}
    assert found("y[1].tar") == {"train": ["y[1].tar"]}
    assert found("y[12].tar") == {"train": ["y1.tar"]}


def test_urls_are_taken_without_asking_whether_they_are_there():
    urls = load_dataset("https://example.com/{train,test}/d-{0..2}.tar?key=a", DictSample)
    assert urls.num_shards == {"train": 3, "test": 3}
    assert urls["test"].shard_list[-1] == "https://example.com/test/d-2.tar?key=a"
    assert list(load_dataset("https://test/val.tar#train")) == ["validation"]
    assert list(load_dataset("https://test/0.tar")) == ["train"]
    assert list(load_dataset("s3://test/0.tar::s3://test/dev/0.tar")) == ["train", "validation"]


# --------------------------------------------------------------------------------------------- data_files


def test_data_files_say_which_shards(texts):
    train, test = ["train-000.tar", "train-001.tar"], ["test-000.tar"]
    assert found(texts, data_files="train-*.tar") == {"train": train}
    assert found(".", data_files=["test-000.tar", "train-001.tar"]) == {"train": ["test-000.tar", "train-001.tar"]}
    mapping = {"fit": "train-{000..001}.tar", "eval": [texts / "test-000.tar"]}
    assert list(found(".", data_files=mapping).items()) == [("fit", train), ("eval", test)]
    assert found("elsewhere", data_files=f"{texts}/test*.tar") == {"train": test}
    assert found("elsewhere", data_files=(texts / "test-000.tar").as_uri()) == {"train": test}
    assert found("", data_files="test-000.tar") == {"train": test}
    evaluation = load_dataset(".", Text, data_files=mapping, split="eval")
    assert [sample.label for sample in evaluation] == [0, 1]


def test_a_shard_that_several_patterns_name_is_loaded_once(texts):
    assert found(".", data_files=["train-*.tar", "*-000.tar"]) == {
        "train": ["train-000.tar", "train-001.tar", "test-000.tar"]
    }
    assert found("{train,train-000}*.tar") == {"train": ["train-000.tar", "train-001.tar"]}


def test_data_files_are_relative_to_urls_too():
    files = {"train": "t-{0..1}.tar", "test": ["e.tar", "https://other.example/f.tar"]}
    loaded = load_dataset("https://example.com/data/", DictSample, data_files=files)
    assert loaded["train"].shard_list == ["https://example.com/data/t-0.tar", "https://example.com/data/t-1.tar"]
    assert loaded["test"].shard_list == ["https://example.com/data/e.tar", "https://other.example/f.tar"]
    with pytest.raises(UnlistableURL):
        load_dataset("https://example.com/data", data_files="*.tar")


@pytest.mark.parametrize("files", [{}, [], {"train": []}, "", {"train": ""}])
def test_data_files_that_name_nothing_are_an_error(here, files):
    with pytest.raises(ValueError, match=r"names no|empty"):
        load_dataset(".", data_files=files)


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("tarin.tar", r"no shard at tarin\.tar; in .* there is notes, train-0\.tar"),
        ("no/such/folder/", r"no shard at no.such.folder; in .* there is notes, train-0\.tar"),
        ("notes", r"no \.tar files match .*; in .*notes there is a\.txt$"),
        ("v*.tar", r"no \.tar files match v\*\.tar; in .* there is notes"),
        ("v*/**/*.tar", r"no \.tar files match"),
        ("train-{0..2}.tar", r"no shard at train-1\.tar"),
        ("train-0.tar/x.tar", r"no shard at"),
        (Path("*.tar"), r"for a pattern give text"),
        ("a\0b", r"no shard at"),
        ("a\0b/*.tar", r"no \.tar files match"),
        ("x" * 5000, r"no shard at x{300};"),
        (f"{'x' * 5000}/a.tar", r"no shard at x{300};"),
        (f"{'x' * 5000}/*.tar", r"no \.tar files match x{300};"),
        ("train-0.tar/*.tar", r"no \.tar files match"),
        ("nothing", "there is nothing$"),
    ],
)
def test_where_nothing_is_found_the_error_says_what_is_there(here, path, says):
    empty(here, "train-0.tar", "train-0.tar.index", "notes/a.txt")
    if path == "nothing":
        (here / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match=says):
        load_dataset(path)


@given(st.text("qa*?[]{},@#%-0/\\\0\n", max_size=12))
def test_any_pattern_that_finds_nothing_is_a_clear_error(tmp_path_factory, text):
    with contextlib.chdir(tmp_path_factory.getbasetemp()), pytest.raises((FileNotFoundError, ValueError)) as caught:
        load_dataset(f"q{text}")  # "/" would be all files of this machine
    assert isinstance(caught.value, AtdataError) or re.search("braces|empty", str(caught.value))


def test_a_long_listing_is_cut(tmp_path):
    empty(tmp_path, *(f"{n}.txt" for n in range(2000)))
    with pytest.raises(ShardNotFound, match=r"0\.txt, 1\.txt, .* 7\.txt and 1,992 more$"):
        load_dataset(tmp_path)


def test_a_split_that_is_missing_is_a_value_error_and_a_key_error_that_name_the_others(texts):
    with pytest.raises(ValueError, match=r"Split 'tset' not found; there is 'train' \(2 shards\), 'test' \(1 shard\)"):
        load_dataset(".", Text, split="tset")
    loaded = load_dataset(".", Text)
    with pytest.raises(KeyError) as caught:
        loaded["tset"]
    assert str(caught.value) == "Split 'tset' not found; there is 'train' (2 shards), 'test' (1 shard)"
    assert isinstance(caught.value, SplitNotFound)
    assert loaded.get("tset") is None
    assert "tset" not in loaded


@pytest.mark.parametrize("url", ["https://example.com/data/", "http://h/", "http://h", "https://h/d/*.tar?s=a"])
def test_a_folder_on_a_web_server_cannot_be_listed_and_the_error_names_the_manifest(url):
    with pytest.raises(ValueError, match=r"cannot be listed over https?.*manifest\.json") as caught:
        load_dataset(url)
    assert "s=a" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "a{b", "train.tar::"])
def test_paths_that_make_no_sense_are_value_errors(path):
    with pytest.raises(ValueError, match=r"empty|braces"):
        load_dataset(path)


def test_arguments_in_the_wrong_place_are_told():
    with pytest.raises(TypeError, match="split="):
        load_dataset("data", "train")
    with pytest.raises(TypeError, match="data_files"):
        load_dataset(["a.tar", "b.tar"])


def test_a_class_that_is_no_sample_type_is_refused_before_anything_is_read(texts):
    class Plain:
        text: str

    with pytest.raises(SampleTypeError, match=r"Plain.* is no sample type; put @atdata\.packable above"):
        load_dataset(".", Plain)


def test_a_tilde_is_told(here):
    for path in ("~/data/train.tar", "~/data/*.tar"):
        with pytest.raises(FileNotFoundError, match=r"only shells know '~'"):
            load_dataset(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.PARQUET", "rows.jsonl", "rows.npy"])
def test_a_table_is_no_shard_and_the_error_says_how_to_make_some(here, name):
    empty(here, name)
    with pytest.raises(ValueError, match=r"rows\..* is no tar; .*atdata write"):
        load_dataset(name)


def test_no_command_is_run():
    with pytest.raises(UnsafeURL):
        load_dataset("pipe:cat train.tar")
    with pytest.raises(UnsafeURL):
        load_dataset("data", data_files={"train": "pipe:cat train.tar"})
    with pytest.raises(UnsafeURL):
        load_dataset("data-{0..99999999}.tar")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_not_passed_over(tmp_path):
    empty(tmp_path, "a.tar", "locked/b.tar")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(ShardPermissionError, match="locked"):
            load_dataset(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


# --------------------------------------------------------------------------------------------- own types


def test_without_a_type_the_manifest_names_it(texts):
    loaded = load_dataset(".")
    assert [sample.text for sample in loaded["test"]] == ["test 0", "test 1"]
    assert loaded["test"].sample_type is loaded["train"].sample_type is loaded.sample_type is not DictSample
    assert loaded.sample_type.__name__ == "Text"
    assert load_dataset("test-000.tar", split="test").sample_type.__name__ == "Text"
    assert load_dataset("test-000.tar", split="test").as_type(Text).head(1) == [Text("test 0", 0)]
    assert load_dataset(".", DictSample)["test"].as_type(Text).head(1) == [Text("test 0", 0)]
    assert load_dataset(".", DictSample)["test"].head(1)[0].keys() == ["label", "text"]


def test_without_a_manifest_or_a_schema_in_it_samples_are_dicts(texts):
    write_samples([{"n": 1}], "val-0.tar")
    assert load_dataset(".", split="validation").sample_type is DictSample
    assert load_dataset(".", split="train").sample_type is not DictSample
    assert load_dataset(".").sample_type is None  # it depends on the split
    assert load_dataset(".", data_files="*.tar", split="train").sample_type is DictSample
    Path("manifest.json").unlink()
    assert {dataset.sample_type for dataset in load_dataset(".").values()} == {DictSample}


def test_shards_of_several_types_are_dicts(texts):
    @atdata.packable
    class Number:
        number: float

    write_samples([Number(1.0)], "more.tar")
    assert load_dataset(".", split="train").sample_type is DictSample
    assert load_dataset(".", split="test").sample_type is not DictSample


def test_a_shard_that_changed_since_the_manifest_was_written_has_no_type_and_no_count(texts):
    with open("test-000.tar", "ab") as file:
        file.write(bytes(512))
    test = load_dataset(".", split="test")
    assert test.sample_type is DictSample
    assert test.num_samples is None


def damaged(change):
    path = Path("manifest.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_schema_that_is_no_type_is_an_error_that_says_how_to_go_on(texts):
    damaged(lambda content: next(iter(content["schemas"].values()))["fields"][0].update(fieldType={"$type": "new"}))
    with pytest.raises(SchemaError, match=r"'Text'.*sample_type; atdata\.DictSample always works"):
        load_dataset(".", split="test")
    assert len(load_dataset(".", DictSample, split="test").head()) == 2


def test_a_manifest_that_lacks_a_schema_or_is_damaged_says_so_and_how_to_go_on(texts):
    damaged(lambda content: content["schemas"].clear())
    with pytest.raises(ManifestError, match=r"does not have it.*sample_type"):
        load_dataset(".", split="test")
    Path("manifest.json").write_text("{")
    with pytest.raises(ManifestError, match=r"not JSON.*sample_type"):
        load_dataset(".", split="test")
    assert len(list(load_dataset(".", Text, split="test"))) == 2
    assert "test: 1 shard\n" in repr(load_dataset(".", Text))


def test_a_manifest_given_by_name_must_be_ours_and_complete(texts):
    Path("test-000.tar").unlink()
    with pytest.raises(ShardNotFound, match=r"names test-000\.tar, and that is not there"):
        load_dataset("manifest.json")
    assert list(load_dataset(".", Text)) == ["train"]
    Path("manifest.json").write_text("{}")
    with pytest.raises(ManifestError, match="not an atdata manifest"):
        load_dataset("manifest.json")
    Path("manifest.json").write_text(
        '{"format": "atdata-manifest", "version": 1, "layout": "samples", "schemas": {}, "shards": []}'
    )
    with pytest.raises(ShardNotFound, match="names no shards"):
        load_dataset("manifest.json")


# ------------------------------------------------------------------------------------------------ lengths


def test_the_length_is_known_of_local_shards_and_without_a_scan_where_a_manifest_knows_them(texts):
    dataset = Dataset[Text]("train-{000..001}.tar")
    assert len(dataset) == 7
    assert len(list(dataset)) == 7
    Path("manifest.json").unlink()
    assert dataset.num_samples is None
    assert len(dataset) == 7  # their sidecars tell
    for sidecar in Path().glob("*.index"):
        sidecar.unlink()
    assert len(dataset) == 7


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_manifest_that_is_gone_or_damaged_hinders_nothing(texts, content):
    dataset = Dataset[Text]("train-{000..001}.tar")
    Path("manifest.json").unlink()
    if content is not None:
        Path("manifest.json").write_text(content)
    assert dataset
    assert len(list(dataset)) == len([*dataset]) == len(tuple(dataset)) == 7
    assert len(list(dataset.ordered())) == 7
    assert pickle.loads(pickle.dumps(dataset)).shard_list == dataset.shard_list
    assert len(dataset) == 7


def test_a_dataset_is_true_even_if_it_is_empty_or_missing(here):
    assert Dataset("nowhere.tar")
    assert bool(Dataset("https://example.com/x.tar"))


# -------------------------------------------------------------------------------------------- DatasetDict


def test_a_dataset_dict_is_a_dict_that_knows_its_datasets(texts):
    loaded = load_dataset(".", Text)
    assert isinstance(loaded, dict)
    assert loaded.num_shards == {"train": 2, "test": 1}
    assert loaded.sample_type is Text
    assert loaded.streaming is False
    assert load_dataset(".", Text, streaming=True).streaming is True
    assert repr(loaded) == "DatasetDict[Text](\n    train: 2 shards, 7 samples\n    test: 1 shard, 2 samples\n)"
    copy = pickle.loads(pickle.dumps(loaded))
    assert (repr(copy), copy.sample_type, list(copy)) == (repr(loaded), Text, ["train", "test"])


def test_a_dataset_dict_can_be_made_by_hand(texts):
    none = DatasetDict()
    assert (none.num_shards, none.sample_type, none.streaming, repr(none)) == ({}, None, False, "DatasetDict()")
    with pytest.raises(KeyError, match="there is none"):
        none["train"]
    made = DatasetDict[Text]({"a": Dataset[Text]("train-000.tar")}, Text, True)
    assert (made.sample_type, made.streaming) == (Text, True)
    made["b"] = Dataset("gone-{0..9}.tar")
    assert repr(made).splitlines()[1:3] == ["    a: 1 shard, 4 samples", "    b: 10 shards"]
    assert repr(DatasetDict({"a": made["a"], "b": made["b"]})).startswith("DatasetDict(\n")
    beyond = made["a"].select([99])
    assert "a: 1 shard\n" in repr(DatasetDict({"a": beyond}))
    assert ": 1 shard" in repr(beyond)


# ------------------------------------------------------------------------------------- the documentation


@atdata.packable
class Image:
    image: NDArray
    label: str


def test_the_complete_example_of_the_documentation(here):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        with wds.writer.TarWriter(f"{split}-000.tar") as sink:
            for n in range(20):
                sample = Image(image=rng.random((8, 8, 3)).astype(np.float32), label=f"sample_{n}")
                sink.write({**sample.as_wds, "__key__": f"{n:06d}"})
    loaded = load_dataset("./", Image)
    assert list(loaded.keys()) == ["train", "test"]
    assert {name: len(dataset.shard_list) for name, dataset in loaded.items()} == {"train": 1, "test": 1}
    batch = next(iter(loaded["train"].ordered(batch_size=16)))
    assert batch.image.shape == (16, 8, 8, 3)
    assert batch.label[:2] == ["sample_0", "sample_1"]
    assert sum(len(batch) for batch in load_dataset("./", Image, split="train").ordered(batch_size=7)) == 20
    sample = load_dataset("./train-000.tar", split="train").head(1)[0]
    assert (sample["label"], sample.label, sample.keys()) == ("sample_0", "sample_0", ["image", "label"])


def test_the_error_handling_of_the_documentation(texts):
    def handled(path, split="train", **options):
        try:
            return load_dataset(path, Text, split=split, **options)
        except FileNotFoundError:
            return "no files"
        except ValueError as error:
            return "no split" if "Split" in str(error) else "invalid"
        except KeyError:
            return "not in the index"

    assert handled("path/to/data.tar") == "no files"
    assert handled(".", split="extra") == "no split"
    assert handled("https://example.com/folder/") == "invalid"
    assert handled("@local/nothing", index=Nothing()) == "not in the index"


class Nothing:
    """An index without datasets."""

    def get_dataset(self, ref):
        raise KeyError(ref)
