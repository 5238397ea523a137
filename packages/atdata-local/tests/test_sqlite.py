"""The embedded catalog: its file, its neighbours, and what can happen to them."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atdata_local import Index, LocalDatasetEntry
from atdata_local.catalog import sqlite
from atdata_local.entries import keep
from atdata_local.errors import IndexBusy, IndexCorrupted, IndexFull, IndexReadOnly, IndexUnreachable

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and processes")


def entry(number: int) -> LocalDatasetEntry:
    return LocalDatasetEntry(f"d{number}", "atdata://local/sampleSchema/A@1.0.0", [f"s3://b/{number}.tar"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite3"


@pytest.fixture
def filled(path: Path) -> Path:
    """A file with one entry, closed."""
    index = Index(path=path)
    keep(index.catalog, entry(1))
    index.close()
    return path


def names(index: Index) -> list[str]:
    return [found.name for found in index.list_datasets()]


# -- where it is


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    index = Index(path=tmp_path / "deep" / "down" / "index.sqlite3")
    assert list(tmp_path.iterdir()) == []
    assert index.list_datasets() == []
    assert (tmp_path / "deep" / "down" / "index.sqlite3").exists()


def test_urls_and_the_environment_choose_the_file(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite://{filled.as_posix()}"
    assert names(Index(url)) == ["d1"]
    assert Index(url).url == url
    spaced = tmp_path / "with space.sqlite3"
    shutil.copy(filled, spaced)
    assert names(Index(f"sqlite://{tmp_path}/with%20space.sqlite3")) == ["d1"]
    assert names(Index(Index(path=spaced).url)) == ["d1"]
    assert Index(url.replace("///", "////")).url == url
    monkeypatch.setenv("ATDATA_INDEX_URL", url)
    assert names(Index()) == ["d1"]
    for wrong in ("sqlite://alice:hunter2@host/x", f"{url}?password=hunter2"):
        with pytest.raises(ValueError, match="names no file, or has a host") as caught:
            Index(wrong)
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("ATDATA_INDEX_URL", "nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        Index()


def test_default_is_in_the_data_directory_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATDATA_INDEX_URL", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
    assert names(Index()) == []
    assert [file.name for file in tmp_path.rglob("*.sqlite3")] == ["index.sqlite3"]


def test_default_index_serves_references(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atdata import plugins

    monkeypatch.setenv("ATDATA_INDEX_URL", f"sqlite://{filled.as_posix()}")
    assert names(plugins.get("atdata.indexes", "local")()) == ["d1"]


# -- many at once


def test_threads_share_an_index(path: Path) -> None:
    index = Index(path=path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: keep(index.catalog, entry(number)), range(80)))
        assert {found.name for found in pool.map(lambda n: index.get_dataset(f"d{n}"), range(80))} == {
            f"d{n}" for n in range(80)
        }
    assert index.catalog.audit() == []


def read_in_child(index: Index) -> None:
    assert len(index.list_datasets()) == 1
    keep(index.catalog, entry(2))


@POSIX
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_index_survives_a_fork_amid_writes(filled: Path) -> None:
    index = Index(path=filled)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            keep(index.catalog, entry(1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            index.catalog.delete("d2", None, ["d2"])
            child = multiprocessing.get_context("fork").Process(target=read_in_child, args=(index,))
            child.start()
            child.join(300)
            assert child.exitcode == 0
            assert names(index) == ["d1", "d2"]
    finally:
        stop.set()
        writer.join()
    assert index.catalog.audit() == []


MAKE = """
import sys
from atdata_local import Index
print(len(Index(path=sys.argv[1]).list_datasets()))
"""


def test_processes_may_make_the_same_file_at_once(path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(path)]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for process in racing:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out.strip()) == (0, "0"), err


def test_index_may_be_pickled(filled: Path) -> None:
    import pickle

    assert names(pickle.loads(pickle.dumps(Index(path=filled)))) == ["d1"]


def test_another_writer_is_waited_for_and_named(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    index = Index(path=filled)
    assert names(index) == ["d1"]
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexBusy, match="other writers"):
        keep(index.catalog, entry(2))
    assert names(index) == ["d1"], "readers need not wait"
    other.execute("ROLLBACK")
    other.close()
    keep(index.catalog, entry(2))
    assert names(index) == ["d1", "d2"]


# -- releases


def test_newer_release_brings_older_files_up(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = (*sqlite.MIGRATIONS, "CREATE TABLE notes (text TEXT NOT NULL)")
    monkeypatch.setattr(sqlite, "MIGRATIONS", newer)
    index = Index(path=filled)
    assert names(index) == ["d1"]
    keep(index.catalog, entry(2))
    index.close()
    with closing(sqlite3.connect(filled)) as db, db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    monkeypatch.undo()
    with pytest.raises(IndexCorrupted, match="newer release"):
        Index(path=filled).list_datasets()


def test_migration_that_fails_changes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*sqlite.MIGRATIONS, "CREATE TABLE notes (text TEXT); CREATE TABLE entries (text TEXT)")
    monkeypatch.setattr(sqlite, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        Index(path=filled).list_datasets()
    monkeypatch.undo()
    assert names(Index(path=filled)) == ["d1"]


def test_file_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(IndexCorrupted, match="another program"):
        Index(path=path).list_datasets()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look like one" * 100, b"SQLite format 3\0" * 300]
)
def test_file_that_is_no_database_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(IndexCorrupted, match=r"index\.sqlite3"):
        Index(path=path).list_datasets()
    assert path.read_bytes() == content


def test_damaged_file_is_named(filled: Path) -> None:
    data = bytearray(filled.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    filled.write_bytes(data)
    with pytest.raises(IndexCorrupted, match="backup"):
        Index(path=filled).list_datasets()


# -- permissions and disks


def as_nobody(act: Callable[[Path], Any], path: Path) -> Any:
    """What a function returns to a user who owns nothing, if this user may become one."""

    def run() -> None:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            sender.send(act(path))
        except BaseException as error:
            sender.send(repr(error))

    receiver, sender = multiprocessing.Pipe(duplex=False)
    # a fork, because such a user may not even start this Python
    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    try:
        assert receiver.poll(300)
        return receiver.recv()
    finally:
        child.join()


def read_and_write(path: Path) -> tuple[list[str], str]:
    index = Index(path=path)
    found = names(index)
    with pytest.raises(IndexReadOnly) as caught:
        keep(index.catalog, entry(2))
    return found, str(caught.value)


@POSIX
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_file_that_may_only_be_read_is_read(folder_mode: int) -> None:
    # pytest's own folders are closed to other users
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = Index(path=folder / "index.sqlite3")
        keep(index.catalog, entry(1))
        index.close()
        (folder / "index.sqlite3").chmod(0o444)
        folder.chmod(folder_mode)
        try:
            found, said = as_nobody(read_and_write, folder / "index.sqlite3")
        finally:
            folder.chmod(stat.S_IRWXU)
    assert found == ["d1"]
    assert "write permission" in said


def fail_to_open(path: Path) -> str:
    with pytest.raises(IndexUnreachable) as caught:
        Index(path=path).list_datasets()
    return str(caught.value)


@POSIX
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("place", ["/proc/nowhere/index.sqlite3", "/etc/atdata-test.sqlite3"])
def test_file_in_a_forbidden_place_is_named(place: str) -> None:
    assert place in as_nobody(fail_to_open, Path(place))


def test_folder_in_the_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IndexUnreachable, match=r"index\.sqlite3"):
        Index(path=path).list_datasets()


def test_full_disk_changes_nothing(filled: Path) -> None:
    index = Index(path=filled)
    assert names(index) == ["d1"]
    catalog: Any = index.catalog
    pages = catalog._connection.execute("PRAGMA page_count").fetchone()[0]
    catalog._connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite's own word for a full disk
    large = LocalDatasetEntry("large", "x", [f"s3://bucket/{number}.tar" for number in range(5_000)])
    with pytest.raises(IndexFull, match="nothing was changed"):
        keep(catalog, large)
    assert names(index) == ["d1"]
    assert catalog.audit() == []
    index.close()
    keep(catalog, large)
    assert names(index) == ["d1", "large"]


def test_audit_finds_what_contradicts_itself(filled: Path) -> None:
    index = Index(path=filled)
    keep(index.catalog, entry(2))
    index.close()
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE entries SET current = 0 WHERE name = 'd1'")
        db.execute("DELETE FROM words WHERE name = 'd2'")
        db.execute("INSERT INTO words VALUES ('d9', 'x')")
    problems = "\n".join(index.catalog.audit())
    assert "'d1' has entries" in problems
    assert "'d9' is found by words" in problems
    assert "'d2' is not found" in problems
