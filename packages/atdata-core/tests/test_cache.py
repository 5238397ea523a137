"""The cache of remote shards: bounded, shared by processes, and never half-written."""

import contextlib
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

import atdata
from atdata import Dataset, URLSource
from atdata.atomic import PREFIX, Staging
from atdata.errors import ShardCorrupted, ShardUnreadable
from atdata.sources import cache

posix = pytest.mark.skipif(sys.platform == "win32", reason="uses signals, limits and names as POSIX has them")
DATA = bytes(range(256)) * 1000
SIZE = len(DATA)


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.setattr(cache, "_good", set())
    monkeypatch.setattr(cache, "_said", set())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def read(server, folder, path="/data.tar", **options):
    url = server.url + path
    with URLSource(url, cache_dir=folder, **options).open_shard(url) as stream:
        return stream.read()


def kept(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(server, count, size=SIZE):
    for n in range(count):
        server.files[f"/{n}.tar"] = bytes([n]) * size


def known(server, *paths):
    return {server.url + path: sha256(server.files[path]) for path in paths}


def test_a_shard_of_known_digest_is_downloaded_once(server, folder):
    server.files["/data.tar"] = DATA
    digests = known(server, "/data.tar")
    for _ in range(3):
        assert read(server, folder, digests=digests) == DATA
    assert len(server.requests) == 1
    assert kept(folder) == [f"atdata-sha256-{sha256(DATA)}.tar"]


@pytest.mark.parametrize(
    "validator", [{}, {"etag": 'W/"weak"'}, {"etag": None, "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}]
)
def test_without_a_digest_the_server_is_asked_for_its_version_only(server, answer, folder, validator):
    server.files["/data.tar"] = bytes(50_000_000)
    server.answers["/data.tar"] = [answer(**validator)]
    for _ in range(3):
        assert len(read(server, folder)) == 50_000_000
    assert len(server.requests) == 3
    assert server.sent < 100_000_000
    (name,) = kept(folder)
    assert name.startswith("atdata-url-")


def test_another_version_is_another_shard(server, answer, folder):
    server.files["/data.tar"] = DATA
    assert read(server, folder) == DATA
    server.answers["/data.tar"] = [answer(etag='"v2"', data=b"new")]
    assert read(server, folder) == b"new"
    assert read(server, folder) == b"new"
    assert len(kept(folder)) == 2


def test_other_urls_are_other_shards_unless_their_digest_is_the_same(server, folder):
    server.files |= {"/a.tar": DATA, "/b.tar": DATA}
    for path in ("/a.tar", "/b.tar", "/a.tar?x=1"):
        assert read(server, folder, path) == DATA
    assert len(kept(folder)) == 3
    for path in ("/a.tar", "/b.tar"):
        assert read(server, folder, path, digests={server.url + path: sha256(DATA)}) == DATA
    assert len(server.requests) == 4
    assert len(kept(folder)) == 4


def test_what_nothing_identifies_is_not_kept_which_is_said_once(server, answer, folder):
    server.files["/data.tar"] = DATA
    server.answers["/data.tar"] = [answer(etag=None)]
    with pytest.warns(RuntimeWarning, match=r"127\.0\.0\.1.*not cached: it gives neither an ETag"):
        assert read(server, folder) == DATA
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(server, folder) == DATA
    assert not folder.exists()


@pytest.mark.parametrize("size", [40, 50_000])
@pytest.mark.parametrize("mode", ["ordered", "batches", "shuffled"])
def test_kept_shards_are_read_like_local_ones(server, folder, tmp_path, mode, size):
    rows = [{"n": n, "data": bytes([n % 256]) * size} for n in range(3_000_000 // (size + 2000))]
    atdata.write_samples(rows, tmp_path / "data.tar")
    server.files["/data.tar"] = (tmp_path / "data.tar").read_bytes()
    url = server.url + "/data.tar"
    source = URLSource(url, cache_dir=folder, digests=known(server, "/data.tar"))
    read = {
        "ordered": lambda: [sample.n for sample in Dataset(source)],
        "batches": lambda: [n for batch in Dataset(source).ordered(batch_size=7) for n in batch.n],
        "shuffled": lambda: sorted(sample.n for sample in Dataset(source).shuffled(seed=0)),
    }[mode]
    for _ in range(2):
        assert read() == list(range(len(rows)))
    assert len(server.requests) == 1
    with source.open_shard(url) as stream:
        assert isinstance(stream, cache.CachedShard)


def test_shuffles_are_the_same_with_and_without_a_cache(server, folder, tmp_path):
    atdata.write_samples(({"n": n} for n in range(500)), tmp_path / "data.tar")
    server.files["/data.tar"] = (tmp_path / "data.tar").read_bytes()
    url = server.url + "/data.tar"
    orders = [
        [sample.n for sample in Dataset(URLSource(url, **options)).shuffled(seed=3)]
        for options in ({}, {"cache_dir": folder}, {"cache_dir": folder})
    ]
    orders.append([sample.n for sample in Dataset(tmp_path / "data.tar").shuffled(seed=3)])
    assert orders == [orders[0]] * 4


def test_what_is_not_read_to_its_end_is_not_kept(server, answer, folder):
    server.files["/data.tar"] = DATA
    server.answers["/data.tar"] = [answer(cut=100_000, stall=True), answer()]
    url = server.url + "/data.tar"
    stream = URLSource(url, cache_dir=folder).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    stream.close()
    for _ in range(6000):
        if not kept(folder):
            break
        time.sleep(0.01)
    assert kept(folder) == []
    assert read(server, folder) == DATA


@pytest.mark.usefixtures("waits")
def test_what_broke_and_was_resumed_is_kept_whole(server, answer, folder):
    server.files["/data.tar"] = DATA
    server.answers["/data.tar"] = [answer(cut=100_000), answer(cut=50_000), answer()]
    for _ in range(2):
        assert read(server, folder, digests=known(server, "/data.tar")) == DATA
    assert len(server.requests) == 3


def test_a_shard_with_a_wrong_digest_is_not_kept(server, folder):
    server.files["/data.tar"] = DATA
    with pytest.raises(ShardCorrupted, match="sha256"):
        read(server, folder, digests={server.url + "/data.tar": "0" * 64})
    assert kept(folder) == []


@pytest.mark.parametrize("damage", ["flipped", "short", "empty"])
def test_a_damaged_file_is_found_and_fetched_again(server, folder, monkeypatch, damage):
    server.files["/data.tar"] = DATA
    digests = known(server, "/data.tar")
    assert read(server, folder, digests=digests) == DATA
    (path,) = folder.iterdir()
    path.write_bytes({"flipped": DATA[:-1] + b"x", "short": DATA[:-1], "empty": b""}[damage])
    assert read(server, folder, digests=digests) == DATA
    assert len(server.requests) == 2
    assert path.read_bytes() == DATA


def test_a_file_that_is_cut_is_found_without_a_digest_too(server, folder):
    server.files["/data.tar"] = DATA
    assert read(server, folder) == DATA
    (path,) = folder.iterdir()
    path.write_bytes(DATA[:-1])
    assert read(server, folder) == DATA
    assert path.read_bytes() == DATA


# --------------------------------------------------------------------------------------------- the limit


def test_those_that_were_not_used_for_longest_go_first(server, folder):
    fill(server, 5)
    paths = [f"/{n}.tar" for n in range(5)]
    digests = known(server, *paths)

    def get(n):
        read(
            server,
            folder,
            paths[n],
            digests={server.url + paths[n]: digests[server.url + paths[n]]},
            cache_bytes=3 * SIZE,
        )

    for n in (0, 1, 2, 0, 3):
        get(n)
    assert {name.split("-")[2][:64] for name in kept(folder)} == {sha256(server.files[paths[n]]) for n in (0, 2, 3)}
    get(4)
    assert {name.split("-")[2][:64] for name in kept(folder)} == {sha256(server.files[paths[n]]) for n in (0, 3, 4)}


def held(folder):
    """Bytes of all shards in the cache, while others come and go."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".tar"):
                with contextlib.suppress(FileNotFoundError):
                    total += os.stat(os.path.join(parent, name)).st_size
    return total


def test_it_never_holds_more_than_its_limit(server, folder):
    fill(server, 8)
    most = []
    for n in range(8):
        url = f"{server.url}/{n}.tar"
        with URLSource(url, cache_dir=folder, cache_bytes=3 * SIZE + 5).open_shard(url) as stream:
            while stream.read(50_000):
                most.append(held(folder))
    assert max(most) <= 3 * SIZE + 5
    assert len(kept(folder)) == 3


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("digest", [False, True])
def test_a_limit_smaller_than_a_shard_is_an_error_that_says_so(server, answer, folder, chunked, digest):
    server.files["/data.tar"] = DATA
    server.answers["/data.tar"] = [answer(chunked=chunked)]
    options = {"digests": {server.url + "/data.tar": (SIZE, sha256(DATA))}} if digest else {}
    with pytest.raises(ShardUnreadable, match=r"data\.tar has .* bytes.*cache_bytes=1,000.*raise.*leave out cache_dir"):
        read(server, folder, cache_bytes=1000, **options)
    assert not folder.exists() or kept(folder) == []
    assert read(server, folder, cache_bytes=SIZE, **options) == DATA


def test_shards_of_unknown_size_are_bounded_too(server, answer, folder):
    fill(server, 4)
    for n in range(4):
        server.answers[f"/{n}.tar"] = [answer(chunked=True)]
        assert len(read(server, folder, f"/{n}.tar", cache_bytes=2 * SIZE + 100)) == SIZE
    assert len(kept(folder)) == 2


def test_nothing_else_in_the_folder_is_touched(server, folder):
    folder.mkdir()
    strangers = [
        "data.tar",
        "atdata-sha256-abc.tar",
        "atdata-url-.tar",
        f"atdata-url-{'0' * 64}.tar.gz",
        "manifest.json",
    ]
    for name in strangers:
        (folder / name).write_bytes(DATA)
        os.utime(folder / name, (0, 0))
    (folder / f"atdata-url-{'1' * 64}.tar").mkdir()
    fill(server, 3)
    for n in range(3):
        read(server, folder, f"/{n}.tar", cache_bytes=SIZE)
    assert set(strangers) < set(kept(folder))
    assert len(kept(folder)) == len(strangers) + 2


@posix
def test_a_shard_that_goes_while_it_is_read_is_read_to_its_end(server, folder, tmp_path):
    rows = [{"n": n, "data": bytes(40_000)} for n in range(200)]
    atdata.write_samples(rows, tmp_path / "data.tar")
    server.files |= {"/data.tar": (tmp_path / "data.tar").read_bytes(), "/other.tar": bytes(8_000_000)}
    url = server.url + "/data.tar"
    source = URLSource(url, cache_dir=folder, cache_bytes=9_000_000)
    assert len(list(Dataset(source))) == 200
    for stream in (Dataset(source).ordered(batch_size=5), Dataset(source).shuffled(batch_size=5, seed=0)):
        assert len(list(Dataset(source))) == 200  # is kept
        batches = iter(stream)
        numbers = list(next(batches).n)
        read(server, folder, "/other.tar", cache_bytes=9_000_000)
        assert len(kept(folder)) == 1
        numbers += [n for batch in batches for n in batch.n]
        assert sorted(numbers) == list(range(200))


# --------------------------------------------------------------------------------------- many at a time


def test_readers_of_one_shard_at_once_all_get_it(server, folder):
    server.files["/data.tar"] = DATA * 20
    results = []
    threads = [threading.Thread(target=lambda: results.append(read(server, folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DATA * 20] * 8
    assert len(kept(folder)) == 1


def test_readers_that_have_no_room_at_once_read_without(server, folder):
    server.files |= {"/a.tar": DATA, "/b.tar": DATA[::-1]}
    url = server.url + "/a.tar"
    with URLSource(url, cache_dir=folder, cache_bytes=SIZE).open_shard(url) as stream:
        half = stream.read(1000)
        assert read(server, folder, "/b.tar", cache_bytes=SIZE) == DATA[::-1]
        assert half + stream.read() == DATA
    assert len(kept(folder)) == 1


READER = """
import sys, atdata
url, folder, limit, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for _ in range(rounds):
    for n in range(6):
        source = atdata.URLSource(f"{url}/{n}.tar", cache_dir=folder, cache_bytes=limit)
        with source.open_shard(f"{url}/{n}.tar") as stream:
            data = stream.read()
        assert data == bytes([n]) * len(data) and len(data) == 256_000, (n, len(data))
print("good")
"""


def start(script, *arguments):
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_processes_share_a_cache_that_is_too_small_for_all(server, folder):
    fill(server, 6)
    readers = [start(READER, server.url, folder, 4 * SIZE, 4) for _ in range(3)]
    outputs = [reader.communicate(timeout=300)[0] for reader in readers]
    assert outputs == ["good\n"] * 3
    assert sum((folder / name).stat().st_size for name in kept(folder)) <= 4 * SIZE


def test_a_download_that_ends_while_its_folder_is_listed_is_no_fault(server, folder, monkeypatch):
    fill(server, 2)
    read(server, folder, "/0.tar")
    other = Staging(folder)
    listdir = os.listdir

    def ended(path):
        if path.name.startswith(PREFIX):
            other.discard()
        return listdir(path)

    monkeypatch.setattr(os, "listdir", ended)
    assert read(server, folder, "/1.tar") == server.files["/1.tar"]
    assert len(kept(folder)) == 2


@posix
def test_a_killed_download_blocks_nobody_and_leaves_nothing(server, answer, folder):
    server.files["/data.tar"] = DATA
    server.answers["/data.tar"] = [answer(cut=100_000, stall=True), answer()]
    script = """
import sys, atdata
url, folder = sys.argv[1:]
stream = atdata.URLSource(url, cache_dir=folder, cache_bytes=300_000).open_shard(url)
print(len(stream.read(1000)), flush=True)
stream.read()
"""
    victim = start(script, server.url + "/data.tar", folder)
    assert victim.stdout.readline() == "1000\n"
    assert any(name.startswith(".atdata-tmp-") for name in kept(folder))
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert read(server, folder, cache_bytes=300_000) == DATA
    (name,) = kept(folder)
    assert (folder / name).read_bytes() == DATA


# ------------------------------------------------------------------------------------------------ faults


@posix
def test_a_full_disk_is_an_error_that_names_the_folder_and_leaves_nothing(server, answer, folder):
    script = """
import resource, sys, atdata
url, folder, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    with atdata.URLSource(url, cache_dir=folder).open_shard(url) as stream:
        stream.read()
except atdata.errors.ShardUnreadable as error:
    print(error)
"""
    server.files |= {"/data.tar": DATA, "/chunked.tar": DATA}
    server.answers["/chunked.tar"] = [answer(chunked=True)]
    for path in ("/data.tar", "/chunked.tar"):
        reader = start(script, server.url + path, folder, SIZE // 2)
        output, _ = reader.communicate(timeout=300)
        assert f"cache_dir {str(folder)!r} cannot be used: File too large; make room there" in output, output
        assert path in output
        assert kept(folder) == []


def test_a_folder_that_is_a_file_is_an_error_that_names_it(server, tmp_path):
    server.files["/data.tar"] = DATA
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ShardUnreadable, match=r"cache_dir .*file.* cannot be used.*another folder"):
            read(server, folder)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1 GB"])
def test_a_limit_that_cannot_be_meant_is_refused(limit):
    with pytest.raises(ValueError, match="cache_bytes is"):
        URLSource("http://127.0.0.1/x.tar", cache_dir="x", cache_bytes=limit)


def test_a_relative_folder_stays_where_it_was_named(server, tmp_path, monkeypatch):
    server.files["/data.tar"] = DATA
    monkeypatch.chdir(tmp_path)
    url = server.url + "/data.tar"
    source = URLSource(url, cache_dir="here")
    assert not (tmp_path / "here").exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(pickle.dumps(source)).open_shard(url) as stream:
        assert stream.read() == DATA
    assert len(kept(tmp_path / "here")) == 1


@posix
def test_what_commands_write_is_kept_if_its_digest_is_known(tmp_path, folder):
    (tmp_path / "data.tar").write_bytes(DATA)
    command = f"pipe:cat '{tmp_path}/data.tar'"
    source = URLSource(command, allow_shell=True, cache_dir=folder, digests={command: sha256(DATA)})
    for _ in range(2):
        with source.open_shard(command) as stream:
            assert stream.read() == DATA
            assert stream.read(10) == b""
        (tmp_path / "data.tar").unlink(missing_ok=True)
    assert kept(folder) == [f"atdata-sha256-{sha256(DATA)}.tar"]


def test_local_files_are_not_copied(tmp_path, folder):
    (tmp_path / "data.tar").write_bytes(DATA)
    with URLSource(tmp_path / "data.tar", cache_dir=folder).open_shard(str(tmp_path / "data.tar")) as stream:
        assert stream.read() == DATA
    assert not folder.exists()
