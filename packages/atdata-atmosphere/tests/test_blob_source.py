"""Blobs read from a server that cuts, stalls, lies and moves."""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import BlobSource, Dataset
from atdata.atmosphere import AtmosphereClient
from atdata.errors import ShardCorrupted, ShardNotFound, ShardPermissionError, ShardUnreadable, UnsafeURL
from atdata.sources import cache, open_shards
from atdata.testing import DataSourceContract
from atdata_atmosphere.errors import IdentityError

from .conftest import DID, cid_of

DATA = bytes(range(256)) * 8000


def read(source: BlobSource, number: int = 0) -> bytes:
    with source.open_shard(source.list_shards()[number]) as stream:
        return stream.read()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_good", set())


class TestContract(DataSourceContract):
    @pytest.fixture(autouse=True)
    def _server(self, pds: Any) -> None:
        self.pds = pds

    def make_source(self, shards: Mapping[str, bytes]) -> BlobSource:
        return BlobSource([self.pds.add(content) for content in shards.values()])

    def called(self, name: str, content: bytes) -> str:
        return cid_of(content)


class TestContractVerifiedBefore(TestContract):
    def make_source(self, shards: Mapping[str, bytes]) -> BlobSource:
        refs = [self.pds.add(content) for content in shards.values()]
        return BlobSource(refs, self.pds.url, verify="before", cache_dir=False)


# ------------------------------------------------------------------------------------------------ references


def test_references_of_every_form() -> None:
    cid = cid_of(b"a")
    plain = {"did": DID, "cid": cid}
    in_records = {"$type": "blob", "ref": {"$link": cid}, "mimeType": "application/x-tar", "size": 1}
    url = f"at://{DID}/blob/{cid}"
    sources = [
        BlobSource([plain]),
        BlobSource(blob_refs=[plain], pds_endpoint=None, _endpoint_cache={}),
        BlobSource.from_refs([plain]),
        BlobSource.from_refs([{**in_records, "did": DID}]),
        BlobSource.from_refs([in_records], did=DID),
        BlobSource.from_urls([url]),
    ]
    for source in sources:
        assert source.list_shards() == source.shard_list == [url]
        assert source.blob_refs == [plain]
        assert source == sources[0]
        assert hash(source) == hash(sources[0])
        assert source.url == url
    assert (
        BlobSource.from_refs([plain], pds_endpoint="https://pds.example.org").pds_endpoint == "https://pds.example.org"
    )
    assert BlobSource([plain], "https://pds.example.org") != sources[0]
    assert repr(BlobSource([plain, plain], "https://a.example")) == (
        f"BlobSource({url!r} and 1 more, pds_endpoint='https://a.example')"
    )


@pytest.mark.parametrize(
    ("refs", "says"),
    [
        ([], "at least one"),
        ([{"cid": cid_of(b"")}], "whose blob"),
        ([{"$type": "blob", "ref": {"$link": cid_of(b"")}}], "whose blob"),
        ([{"did": DID}], "neither"),
        ([{"did": DID, "cid": ""}], "neither"),
        ([{"did": DID, "ref": {}}], "neither"),
        ([{"did": DID, "cid": "a/../b"}], "URL of a blob"),
        ([{"did": "a b", "cid": "c"}], "URL of a blob"),
        (["at://did:plc:a/blob/b"], "a dict of 'did' and 'cid'"),
    ],
)
def test_what_is_no_reference(refs: list[Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BlobSource.from_refs(refs)


@pytest.mark.parametrize(
    "url",
    ["", "https://a.example/b", f"at://{DID}", f"at://{DID}/blob/", f"at://{DID}/record/x", f"at://{DID}/blob/a/b"],
)
def test_urls_of_no_blob(url: str) -> None:
    with pytest.raises(ValueError, match="URL of a blob"):
        BlobSource.from_urls([url])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"verify": "later"}, "'end' or 'before'"),
        ({"cache_dir": False, "cache_bytes": 5}, "there is none"),
        ({"cache_bytes": 0}, "from 1 on"),
        ({"timeout": 0}, "above 0"),
        ({"retries": -1}, "a count"),
        ({"pds_endpoint": "nowhere"}, "URL of a server"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BlobSource([{"did": DID, "cid": cid_of(b"")}], **options)


def test_shards_that_there_are_not(pds: Any) -> None:
    source = BlobSource([pds.add(b"a"), {"did": DID, "cid": "bafyreiabc"}])
    for error in (KeyError, ValueError):
        with pytest.raises(error, match="not a shard of BlobSource"):
            source.open_shard(f"at://{DID}/blob/{cid_of(b'b')}")
    with pytest.raises(ValueError, match="CID of a blob"):
        source.open_shard(source.list_shards()[1])
    assert pds.requests == []


# ------------------------------------------------------------------------------------------------ reading


def test_requests_want_no_packing(pds: Any) -> None:
    source = BlobSource([pds.add(DATA)])
    assert read(source) == DATA
    assert pds.requests == [f"GET {DID}", "GET com.atproto.sync.getBlob"]
    assert pds.headers[-1]["Accept-Encoding"] == "identity"
    pds.then(lambda handler, data: handler.blob(data, content_encoding="gzip"))
    with pytest.raises(ShardUnreadable, match="compressed"):
        read(BlobSource([pds.add(b"b")]))


def test_the_second_pass_reads_the_disk(pds: Any, cache_dir: Path) -> None:
    refs = [pds.add(DATA), pds.add(DATA[1:])]
    source = BlobSource(refs)
    for _ in range(3):
        assert [read(source, n) for n in (0, 1)] == [DATA, DATA[1:]]
    assert pds.count("GET com.atproto.sync.getBlob") == 2
    assert kept(cache_dir) == sorted(
        f"atdata-sha256-{hashlib.sha256(data).hexdigest()}.tar" for data in (DATA, DATA[1:])
    )
    pds.named = "http://localhost:1"  # nobody is asked at all
    assert read(BlobSource(refs, "http://localhost:1", retries=0)) == DATA


def test_the_cache_is_bounded(pds: Any, tmp_path: Path) -> None:
    blobs = [bytes([n]) * 100_000 for n in range(5)]
    source = BlobSource([pds.add(blob) for blob in blobs], cache_dir=tmp_path / "small", cache_bytes=250_000)
    assert [read(source, n) for n in range(5)] == blobs
    assert len(kept(tmp_path / "small")) == 2
    with pytest.raises(ShardUnreadable, match="no room"):
        read(BlobSource([pds.add(DATA)], cache_dir=tmp_path / "small", cache_bytes=1000))


def test_profiles_name_network_and_cache(pds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PDS", "PLC", "CACHE_DIR"):
        monkeypatch.delenv(f"ATDATA_{name}")
    (tmp_path / "config.toml").write_text(
        f'[profiles.default]\npds = "{pds.url}"\nplc = "{pds.url}"\ncache = "{tmp_path}/profile"\n'
    )
    monkeypatch.setenv("ATDATA_CONFIG", str(tmp_path / "config.toml"))
    assert read(BlobSource([pds.add(DATA)])) == DATA
    assert len(kept(tmp_path / "profile")) == 1
    assert AtmosphereClient.from_env().server == pds.url


def test_without_a_cache_nothing_is_kept(pds: Any, cache_dir: Path) -> None:
    source = BlobSource([pds.add(DATA)], cache_dir=False)
    assert read(source) == read(source) == DATA
    assert pds.count("GET com.atproto.sync.getBlob") == 2
    assert kept(cache_dir) == []


def test_the_cache_that_nobody_asked_for(pds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from atdata_atmosphere import blob_source

    monkeypatch.delenv("ATDATA_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "home" / name)
    ref = pds.add(DATA)
    assert read(BlobSource([ref])) == DATA
    assert len(kept(tmp_path / "home" / "atdata" / "blobs")) == 1
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(blob_source.shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    assert blob_source._own_cache(None) is None
    assert blob_source._own_cache(5) is not None
    assert read(BlobSource([ref])) == DATA
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert blob_source._own_cache(5) is None


def test_datasets_of_at_urls(pds: Any) -> None:
    refs = [pds.add(shard) for shard in shards(20)]
    urls = BlobSource(refs).list_shards()
    dataset = Dataset[Row](urls)
    assert [row.number for row in dataset] == list(range(20))
    assert pickle.loads(pickle.dumps(BlobSource(refs))) == BlobSource(refs)
    assert Dataset[Row](BlobSource(refs)).url == "::".join(urls)


def test_another_process_finds_the_same(pds: Any) -> None:
    source = BlobSource([pds.add(DATA)], client=pds.client(), cache_dir=False)
    program = (
        "import pickle, sys; s = pickle.load(sys.stdin.buffer); print(len(s.open_shard(s.list_shards()[0]).read()))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATDATA_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=pickle.dumps(source), env=environment, capture_output=True, check=True)
    assert int(done.stdout) == len(DATA)


# ------------------------------------------------------------------------------------------------ faults that pass


def test_what_breaks_off_begins_again(pds: Any, waits: list[float]) -> None:
    def cut(handler: Any, data: bytes) -> bool:
        handler.blob(data[: len(data) // 3], len(data))
        return bool(handler.hang_up())

    source = BlobSource([pds.add(DATA)])
    pds.then(cut, lambda handler, data: handler.answer({}, 503), lambda handler, data: handler.hang_up(), cut)
    assert read(source) == DATA
    assert pds.count("GET com.atproto.sync.getBlob") == 5
    assert len(waits) == 4
    assert read(source) == DATA  # and what was kept is whole
    assert pds.count("GET com.atproto.sync.getBlob") == 5


def test_what_stalls_begins_again(pds: Any, waits: list[float]) -> None:
    release = threading.Event()

    def stall(handler: Any, data: bytes) -> bool:
        handler.blob(data[:1000], len(data))
        release.wait(20)
        return bool(handler.hang_up())

    pds.then(stall)
    try:
        assert read(BlobSource([pds.add(DATA)], timeout=0.2)) == DATA
    finally:
        release.set()


def test_what_never_passes(pds: Any, waits: list[float], cache_dir: Path) -> None:
    pds.then(*[lambda handler, data: handler.blob(data[:5], len(data)) and handler.hang_up()] * 3)
    with pytest.raises(ShardUnreadable, match="bytes too soon"):
        read(BlobSource([pds.add(DATA)], retries=2))
    assert kept(cache_dir) == []


def test_whoever_leaves_ends_the_retries_of_later_shards(pds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atdata.sources.download._FIRST_DELAY", 60.0)
    waiting = threading.Event()

    def lose(handler: Any, data: bytes) -> bool:
        waiting.set()
        return bool(handler.hang_up())

    source = BlobSource([pds.add(b"first"), pds.add(b"second")])
    read(source)  # now it is in the cache
    pds.then(lose)
    streams = open_shards(source, source.list_shards())
    next(streams)[1].close()
    assert waiting.wait(20)
    streams.close()
    for thread in threading.enumerate():
        if thread.name == "atdata-ahead":
            thread.join(20)
            assert not thread.is_alive()
    assert pds.count("GET com.atproto.sync.getBlob") == 2


def test_an_account_that_moves_is_found_again(pds: Any, make_pds: Callable[[], Any], waits: list[float]) -> None:
    elsewhere = make_pds()
    source = BlobSource([pds.add(DATA), pds.add(b"b"), elsewhere.add(b"c")])
    pds.then(lambda handler, data: handler.blob(data[:5], len(data)) and handler.hang_up())
    elsewhere.blobs |= pds.blobs
    del elsewhere.blobs[cid_of(b"b")]
    assert read(source, 0) == DATA
    pds.named = elsewhere.url
    assert read(source, 2) == b"c"
    assert elsewhere.count("GET com.atproto.sync.getBlob") == 1
    with pytest.raises(ShardNotFound, match=elsewhere.url):
        read(source, 1)


# ------------------------------------------------------------------------------------------------ faults that stay


def test_blobs_that_there_are_not(pds: Any) -> None:
    source = BlobSource([{"did": DID, "cid": cid_of(b"gone")}])
    with pytest.raises(ShardNotFound, match="only while a record refers to it") as caught:
        read(source)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.shard == source.list_shards()[0]
    pds.then(lambda handler, data: handler.answer({}, 403))
    with pytest.raises(ShardPermissionError):
        read(BlobSource([pds.add(b"secret")]))


def test_owners_that_there_are_not(pds: Any) -> None:
    with pytest.raises(IdentityError, match="carol"):
        read(BlobSource([{"did": "carol.test", "cid": cid_of(b"")}]))


def test_servers_that_others_name_are_public(pds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = pds.add(DATA)
    assert read(BlobSource([ref], pds.url, cache_dir=False)) == DATA  # this one the user named
    monkeypatch.delenv("ATDATA_ALLOW_INSECURE")
    with pytest.raises(UnsafeURL):
        read(BlobSource([ref], cache_dir=False))
    assert read(BlobSource([ref], pds.url, cache_dir=False)) == DATA
    source = BlobSource([ref], cache_dir=False)
    assert source._access(DID, "https://pds.example.org").public_only
    assert not BlobSource([ref], "https://pds.example.org")._access(DID, "https://pds.example.org").public_only


# ------------------------------------------------------------------------------------------------ wrong bytes


@atdata.packable
class Row:
    number: int
    values: NDArray[np.float32]


def shards(count: int, size: int = 7, width: int = 300) -> list[bytes]:
    """Shards of rows."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rows = (Row(number=n, values=np.full(width, n, np.float32)) for n in range(count))
        written = atdata.write_samples(rows, Path(folder) / "r-%06d.tar", maxcount=size)
        return [Path(shard).read_bytes() for shard in written.list_shards()]


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("place", [0, 1200, -1100, -1])
def test_a_wrong_byte_is_found_at_the_end_at_the_latest(pds: Any, cache_dir: Path, place: int) -> None:
    (shard,) = shards(5)
    source = BlobSource([pds.add(shard)])
    wrong = changed(shard, place % len(shard))
    pds.then(lambda handler, data: handler.blob(wrong))
    with pytest.raises(ShardCorrupted, match=r"sha256|header") as caught:
        list(Dataset.of(Row, source))
    assert caught.value.shard == source.list_shards()[0]
    assert kept(cache_dir) == []
    assert [row.number for row in Dataset.of(Row, source)] == list(range(5))
    assert len(kept(cache_dir)) == 1


def test_samples_that_come_early_are_not_the_last_word(pds: Any, cache_dir: Path) -> None:
    (shard,) = shards(50, 50, 60_000)
    wrong = changed(shard, len(shard) - 3000)
    numbers = []
    pds.then(lambda handler, data: handler.blob(wrong), lambda handler, data: handler.blob(wrong))
    source = BlobSource([pds.add(shard)])
    with pytest.raises(ShardCorrupted, match="sha256"):  # noqa: PT012 (what was given before counts)
        for row in Dataset.of(Row, source):
            numbers.append(row.number)
    assert len(numbers) > 0
    numbers.clear()
    before = BlobSource(source.blob_refs, verify="before")
    with pytest.raises(ShardCorrupted, match="sha256"):  # noqa: PT012
        for row in Dataset.of(Row, before):
            numbers.append(row.number)
    assert numbers == []
    assert kept(cache_dir) == []
    assert len(list(Dataset.of(Row, before))) == 50


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told(pds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from atdata.sources import remote

    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 (whoever writes closes it)
    monkeypatch.setattr(remote.tempfile, "TemporaryFile", lambda **_: full)
    with pytest.raises(ShardUnreadable, match=r"No space left on device; make room there"):
        read(BlobSource([pds.add(DATA)], verify="before", cache_dir=False))
    assert full.closed


def test_blobs_without_end(pds: Any, cache_dir: Path) -> None:
    def endless(handler: Any, data: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        return True

    ref = pds.add(DATA)
    for verify in ("end", "before"):
        pds.then(endless, endless, lambda handler, data: handler.blob(data, 1 << 40))
        with pytest.raises(ShardUnreadable, match="does not say how many bytes"):
            read(BlobSource([ref], verify=verify))  # type: ignore[arg-type]
        with pytest.raises(ShardCorrupted, match=f"more than the {len(DATA):,} bytes"):
            read(BlobSource.from_refs([{**ref, "size": len(DATA)}], verify=verify))
        with pytest.raises(ShardUnreadable, match=r"has 1,099,511,627,776 bytes"):
            read(BlobSource([ref], verify=verify))  # type: ignore[arg-type]
    assert kept(cache_dir) == []


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1])
def test_a_wrong_length(pds: Any, length: int) -> None:
    ref = pds.add(DATA)
    pds.then(lambda handler, data: handler.blob((data + b"x")[:length]))
    with pytest.raises(ShardCorrupted, match=f"{length:,} bytes"):
        read(BlobSource.from_refs([{**ref, "size": len(DATA)}]))
    pds.then(lambda handler, data: handler.blob((data + b"x")[:length]))
    with pytest.raises(ShardCorrupted, match="sha256"):
        read(BlobSource([ref]))


def test_a_file_in_the_cache_that_is_damaged_is_not_read(
    pds: Any, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = BlobSource([pds.add(DATA)])
    assert read(source) == DATA
    (name,) = kept(cache_dir)
    (cache_dir / name).write_bytes(changed(DATA, 77))
    monkeypatch.setattr(cache, "_good", set())
    assert read(source) == DATA
    assert (cache_dir / name).read_bytes() == DATA
    assert pds.count("GET com.atproto.sync.getBlob") == 2


def test_a_size_that_a_record_lies_about(pds: Any, cache_dir: Path) -> None:
    ref = pds.add(DATA)
    assert read(BlobSource([ref])) == DATA
    with pytest.raises(ShardCorrupted, match="expected"):
        read(BlobSource.from_refs([{**ref, "size": 5}]))
    assert len(kept(cache_dir)) == 1
    assert read(BlobSource([ref])) == DATA
