"""A box passes what every source, store and index of atdata passes."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import pytest

import atdata
from atdata import plugins
from atdata.testing import AbstractIndexContract, DataSourceContract, DataStoreContract

pytest.importorskip("atdata_box", reason="the example is not installed: pip install docs/examples/backend")

from atdata_box import BoxIndex, BoxSource, BoxStore
from atdata_box.box import Place, opened


@pytest.fixture
def path(tmp_path: Any) -> Any:
    return tmp_path / "test.box"


class TestSource(DataSourceContract):
    @pytest.fixture(autouse=True)
    def _box(self, path: Any) -> None:
        self.path = path

    def make_source(self, shards: Mapping[str, bytes]) -> BoxSource:
        with opened(self.path, write=True) as box:
            box.executemany("INSERT OR REPLACE INTO shards (name, data) VALUES (?, ?)", shards.items())
        return BoxSource([str(Place(self.path, name)) for name in shards])


class TestStore(DataStoreContract):
    @pytest.fixture(autouse=True)
    def _box(self, path: Any) -> None:
        self.path = path

    def make_store(self) -> BoxStore:
        return BoxStore(self.path)

    def objects(self, store: BoxStore, prefix: str) -> list[str]:
        try:
            with opened(self.path) as box:
                return [name for (name,) in box.execute("SELECT name FROM shards") if name.startswith(prefix)]
        except sqlite3.OperationalError:  # no table yet
            return []


class TestIndex(AbstractIndexContract):
    @pytest.fixture
    def index(self, path: Any) -> BoxIndex:
        return BoxIndex(path)


def test_it_is_found_by_its_entry_points(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATDATA_BOX", str(path))
    index = plugins.get("atdata.indexes", "box")()
    letters = atdata.write_samples([{"letter": letter} for letter in "abc"], path.with_name("letters.tar"))
    urls = plugins.get("atdata.stores", "box")(f"box://{path}").write_shards(letters, prefix="letters")
    assert [sample.letter for sample in atdata.Dataset(urls)] == ["a", "b", "c"]
    assert index.list_datasets() == []


def test_a_dataset_is_loaded_by_its_name(path: Any) -> None:
    @atdata.packable
    class Letter:
        letter: str

    index = BoxIndex(path)
    letters = atdata.write_samples([Letter(letter=letter) for letter in "abc"], path.with_name("letters.tar"))
    index.insert_dataset(letters, name="letters")
    loaded = atdata.load_dataset("@local/letters", index=index, split="train")
    assert [sample.letter for sample in loaded] == ["a", "b", "c"]


def test_what_is_not_there_is_named(path: Any) -> None:
    BoxIndex(path)
    with pytest.raises(FileNotFoundError, match=r"no shard 'a\.tar'"):
        atdata.Dataset(f"box://{path}!/a.tar").head(1)
