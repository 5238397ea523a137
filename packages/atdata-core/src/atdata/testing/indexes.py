"""What every ``AbstractIndex`` must do, as tests that each implementation runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset import Dataset
from ..protocols import AbstractIndex, IndexEntry, Packable
from ..sample import PackableSample, values_equal
from ..write import write_samples


@dataclass
class Picture(PackableSample):
    """A picture and what is on it."""

    pixels: NDArray[np.uint8]
    label: str
    score: float = 0.5
    boxes: list[int] | None = None


@dataclass
class Sentence(PackableSample):
    """What somebody said."""

    text: str
    language: str | None = None


def raised(error: type[BaseException], call: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    """The error of that class that a call raises.

    Raises:
        AssertionError: the call raises none.
    """
    try:
        result = call(*args, **kwargs)
    except error as found:
        return found
    raise AssertionError(f"{error.__name__} was not raised; the result is {result!r}")


class AbstractIndexContract:
    """Tests for pytest. Subclass it as ``TestMyIndex`` and give it a fixture ``index``: a new, empty ``AbstractIndex``.

    Indexes that take no datasets in files of this machine also override ``make_dataset``.

    Examples:
        >>> import pytest, atdata_local
        >>> from atdata.testing import AbstractIndexContract
        >>> class TestIndex(AbstractIndexContract):
        ...     @pytest.fixture
        ...     def index(self, tmp_path):
        ...         return atdata_local.Index(path=tmp_path / "index.sqlite3")
    """

    def make_dataset(self, folder: Path, sample_type: type[Any], name: str) -> Dataset[Any]:
        """A dataset of three samples in two shards.

        Args:
            folder: an empty folder for this test.
            sample_type: ``Picture`` or ``Sentence``.
            name: unlike those of the other datasets of this test.
        """
        if sample_type is Picture:
            samples: list[Any] = [Picture(pixels=np.full((2, n + 1), n, np.uint8), label=f"{n}") for n in range(3)]
        else:
            samples = [Sentence(text=f"{name} {n}", language="en" if n else None) for n in range(3)]
        return write_samples(samples, folder / f"{name}-%06d.tar", maxcount=2)

    # -- the protocol

    def test_satisfies_the_protocol(self, index: AbstractIndex) -> None:
        """It has every member of ``AbstractIndex``."""
        assert isinstance(index, AbstractIndex)

    def test_a_new_index_is_empty(self, index: AbstractIndex) -> None:
        """Both forms of both listings are empty."""
        assert index.list_datasets() == list(index.datasets) == []
        assert index.list_schemas() == list(index.schemas) == []

    # -- schemas

    def test_published_schema_is_found_by_its_reference(self, index: AbstractIndex) -> None:
        """The record has name, version and fields, optional ones marked."""
        record = index.get_schema(index.publish_schema(Picture, version="1.2.3"))
        assert (record["name"], record["version"]) == ("Picture", "1.2.3")
        assert [field["name"] for field in record["fields"]] == ["pixels", "label", "score", "boxes"]
        assert [field["optional"] for field in record["fields"]] == [False, False, False, True]

    def test_docstring_describes_the_schema(self, index: AbstractIndex) -> None:
        """The record's description is the class's docstring."""
        for sample_type, text in ((Picture, "A picture and what is on it."), (Sentence, "What somebody said.")):
            assert index.get_schema(index.publish_schema(sample_type, version="1.0.0"))["description"] == text

    def test_versions_of_a_schema_are_kept_side_by_side(self, index: AbstractIndex) -> None:
        """Each version has a reference and a record of its own."""
        refs = [index.publish_schema(Sentence, version=version) for version in ("1.0.0", "1.0.1", "2.0.0")]
        assert len(set(refs)) == 3
        assert [index.get_schema(ref)["version"] for ref in refs] == ["1.0.0", "1.0.1", "2.0.0"]

    def test_schemas_are_listed(self, index: AbstractIndex) -> None:
        """Both forms of the listing have every schema once."""
        index.publish_schema(Picture, version="1.0.0")
        index.publish_schema(Sentence, version="1.0.0")
        for listed in (index.list_schemas(), list(index.schemas)):
            assert sorted(schema["name"] for schema in listed) == ["Picture", "Sentence"]

    def test_decoded_type_reads_and_writes_the_same_samples(self, index: AbstractIndex) -> None:
        """A type made from the schema is as good as the class."""
        decoded: Any = index.decode_schema(index.publish_schema(Picture, version="1.0.0"))
        assert decoded.__name__ == "Picture"
        sample = Picture(pixels=np.arange(6, dtype=np.uint8).reshape(2, 3), label="six", boxes=[1, 2])
        copy = decoded.from_bytes(sample.packed)
        checked: object = copy
        assert isinstance(checked, Packable)
        assert values_equal([copy.pixels, copy.label, copy.score, copy.boxes], [sample.pixels, "six", 0.5, [1, 2]])
        assert copy.packed == sample.packed
        assert decoded(pixels=sample.pixels, label="seven").boxes is None

    def test_unknown_schema_is_a_key_error(self, index: AbstractIndex) -> None:
        """So is decoding it; the error says something."""
        ref = index.publish_schema(Sentence, version="1.0.0")
        missing = ref[:-1] + ("2" if ref[-1] != "2" else "3")
        for method in (index.get_schema, index.decode_schema):
            assert str(raised(KeyError, method, missing))

    def test_malformed_schema_reference_is_a_value_error(self, index: AbstractIndex) -> None:
        """Texts that are no references at all."""
        for ref in ("", "Picture", "atdata://", "https://example.org/Picture"):
            raised(ValueError, index.get_schema, ref)

    def test_what_is_no_sample_type_is_a_type_error(self, index: AbstractIndex) -> None:
        """Nothing is published."""
        raised(TypeError, index.publish_schema, int, version="1.0.0")
        assert index.list_schemas() == []

    def test_impossible_version_is_a_value_error(self, index: AbstractIndex) -> None:
        """Nothing is published."""
        for version in ("1.0", "one", "1.0.0.0", "01.0.0"):
            raised(ValueError, index.publish_schema, Sentence, version=version)
        assert index.list_schemas() == []

    # -- datasets

    def test_inserted_dataset_is_found_by_its_name(self, index: AbstractIndex, tmp_path: Path) -> None:
        """The entry is the one that inserting returned."""
        ref = index.publish_schema(Sentence, version="1.0.0")
        ds = self.make_dataset(tmp_path, Sentence, "one")
        inserted = index.insert_dataset(ds, name="one", schema_ref=ref)
        found = index.get_dataset("one")
        for entry in (inserted, found):
            assert isinstance(entry, IndexEntry)
            assert (entry.name, entry.schema_ref, entry.metadata) == ("one", ref, None)
        assert inserted.data_urls == found.data_urls

    def test_entry_leads_to_every_sample(self, index: AbstractIndex, tmp_path: Path) -> None:
        """Its URLs and its schema are enough to read the dataset."""
        ds = self.make_dataset(tmp_path, Picture, "pictures")
        index.insert_dataset(ds, name="pictures")
        entry = index.get_dataset("pictures")
        decoded = index.decode_schema(entry.schema_ref)
        store = getattr(index, "data_store", None)
        urls = entry.data_urls if store is None else [store.read_url(url) for url in entry.data_urls]
        read: list[Any] = list(Dataset.of(decoded, urls))
        assert [sample.label for sample in read] == ["0", "1", "2"]
        assert all(np.array_equal(copy.pixels, sample.pixels) for copy, sample in zip(read, ds, strict=True))

    def test_schema_of_an_inserted_dataset_is_published_once(self, index: AbstractIndex, tmp_path: Path) -> None:
        """Datasets of one type share a schema."""
        first = index.insert_dataset(self.make_dataset(tmp_path, Sentence, "first"), name="first")
        second = index.insert_dataset(self.make_dataset(tmp_path, Sentence, "second"), name="second")
        assert first.schema_ref == second.schema_ref
        assert index.get_schema(first.schema_ref)["name"] == "Sentence"
        assert len(index.list_schemas()) == 1

    def test_metadata_is_kept_as_it_is(self, index: AbstractIndex, tmp_path: Path) -> None:
        """Nested, of any script, with None and empty lists."""
        metadata = {
            "source": "示例",
            "counts": [1, 2, 3],
            "nested": {"yes": True, "no": None, "half": 0.5},
            "empty": [],
        }
        index.insert_dataset(self.make_dataset(tmp_path, Sentence, "one"), name="one", metadata=metadata)
        assert index.get_dataset("one").metadata == metadata

    def test_names_of_many_kinds(self, index: AbstractIndex, tmp_path: Path) -> None:
        """Names differ by case, script and signs."""
        ds = self.make_dataset(tmp_path, Sentence, "one")
        names = ["a", "a b", "a-b_c.d", "A", "données", "数据集", "v1:2", "100"]
        for name in names:
            index.insert_dataset(ds, name=name)
        assert [index.get_dataset(name).name for name in names] == names
        assert sorted(entry.name for entry in index.datasets) == sorted(names)

    def test_every_dataset_is_listed_once(self, index: AbstractIndex, tmp_path: Path) -> None:
        """More of them than a page holds."""
        ds = self.make_dataset(tmp_path, Sentence, "one")
        names = sorted(f"dataset {number}" for number in range(120))
        for name in names:
            index.insert_dataset(ds, name=name)
        assert sorted(entry.name for entry in index.list_datasets()) == names
        assert sorted(entry.name for entry in index.datasets) == names

    def test_unknown_dataset_is_a_key_error(self, index: AbstractIndex) -> None:
        """The error names it."""
        assert "missing" in str(raised(KeyError, index.get_dataset, "missing"))

    def test_impossible_name_is_a_value_error(self, index: AbstractIndex, tmp_path: Path) -> None:
        """Nothing is inserted."""
        ds = self.make_dataset(tmp_path, Sentence, "one")
        for name in ("", " ", "a/b", "line\nbreak", "nul\0", "n" * 600):
            raised(ValueError, index.insert_dataset, ds, name=name)
        assert index.list_datasets() == []
