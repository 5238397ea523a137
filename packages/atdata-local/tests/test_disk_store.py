"""The store on disk."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata import plugins
from atdata.testing import DataStoreContract
from atdata_local import DiskDataStore


@atdata.packable
class Word:
    text: str


class TestContract(DataStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "store"

    def make_store(self) -> DiskDataStore:
        return DiskDataStore(self.folder)

    def objects(self, store: Any, prefix: str) -> list[str]:
        return sorted(str(path) for path in (store.root / prefix).rglob("*") if path.is_file())


@pytest.fixture
def words(tmp_path: Path) -> atdata.Dataset[Word]:
    return atdata.write_samples((Word(text=str(n)) for n in range(5)), tmp_path / "words" / "w-%06d.tar", maxcount=2)


def test_stored_shards_are_a_dataset_with_manifest_and_sidecars(tmp_path: Path, words: atdata.Dataset[Word]) -> None:
    urls = DiskDataStore(tmp_path / "store", prefix="team").write_shards(words, prefix="words/v1")
    folder = tmp_path / "store" / "team" / "words" / "v1"
    assert all(url.startswith(folder.as_uri() + "/data--") for url in urls)
    assert len(list(folder.glob("*.index"))) == 3
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert [shard["samples"] for shard in manifest["shards"]] == [2, 2, 1]
    (record,) = manifest["schemas"].values()
    assert record["name"] == "Word"
    stored = atdata.Dataset[Word](urls)
    assert [word.text for word in stored] == ["0", "1", "2", "3", "4"]
    assert "5 samples" in repr(stored)


def test_names_with_braces_and_percent_signs_are_read_again(tmp_path: Path, words: atdata.Dataset[Word]) -> None:
    urls = DiskDataStore(tmp_path / "a {b} %20 ::c").write_shards(words, prefix="v1")
    assert [word.text for word in atdata.Dataset[Word](urls)] == ["0", "1", "2", "3", "4"]


def test_foreign_keys_are_replaced_where_readers_would_misread_them(tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        for name in ("__x.msgpack", "a.msgpack", "b/../c.msgpack"):
            payload = Word(text=name).packed
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            tar.addfile(member, io.BytesIO(payload))
    urls = DiskDataStore(tmp_path / "store").write_shards(atdata.Dataset[Word](tmp_path / "foreign.tar"), prefix="v1")
    assert [word.text for word in atdata.Dataset[Word](urls)] == ["__x.msgpack", "a.msgpack", "b/../c.msgpack"]


def test_a_random_name_may_have_six_noughts(
    tmp_path: Path, words: atdata.Dataset[Word], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda count: "000000" + "a" * (2 * count - 6))
    urls = DiskDataStore(tmp_path / "store").write_shards(words, prefix="w", maxcount=1)
    assert [word.text for word in atdata.Dataset[Word](urls)] == [word.text for word in words]


def test_a_manifest_of_somebody_else_is_not_written_over(tmp_path: Path, words: atdata.Dataset[Word]) -> None:
    folder = tmp_path / "store" / "v1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(atdata.errors.ManifestError, match="not an atdata manifest"):
        DiskDataStore(tmp_path / "store").write_shards(words, prefix="v1")
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path, words: atdata.Dataset[Word]) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(OSError, match="store"):
        DiskDataStore(tmp_path / "store").write_shards(words, prefix="v1")


def test_it_does_not_delete_what_is_elsewhere(tmp_path: Path, words: atdata.Dataset[Word]) -> None:
    store = DiskDataStore(tmp_path / "store")
    for url in (words.list_shards()[0], "s3://bucket/a.tar", f"{store.url}/../words/w-000000.tar"):
        with pytest.raises(ValueError, match="is not in"):
            store.delete_shards([url])
    assert Path(words.list_shards()[0]).exists()


def test_it_is_made_from_paths_and_file_urls(tmp_path: Path) -> None:
    store = DiskDataStore(tmp_path, prefix="a/b")
    assert store == DiskDataStore(tmp_path.as_uri(), prefix="/a//b/") == pickle.loads(pickle.dumps(store))
    assert plugins.get("atdata.stores", "file")(tmp_path.as_uri()) == DiskDataStore(str(tmp_path))
    with pytest.raises(ValueError, match="not a folder of this machine"):
        DiskDataStore("s3://bucket")
    with pytest.raises(ValueError, match="another machine"):
        DiskDataStore("file://host/folder")
