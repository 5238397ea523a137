"""Blobs sent to a server that refuses, lies and hangs up."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import BlobSource, Dataset, plugins
from atdata.atmosphere import DatasetPublisher, PDSBlobStore
from atdata.errors import InvalidReference, ShardCorrupted
from atdata.protocols import AbstractDataStore
from atdata.shard.tar import END_OF_ARCHIVE
from atdata_atmosphere.blob_writing import send_blobs
from atdata_atmosphere.errors import (
    AtmosphereWarning,
    InvalidRecord,
    NotLoggedIn,
    PayloadTooLarge,
    RecordRefused,
    ServerFault,
)
from atdata_atmosphere.uploads import Content, Crew

UPLOAD, HEAD = "POST uploadBlob", "HEAD com.atproto.sync.getBlob"


@atdata.packable
class Row:
    number: int
    values: NDArray[np.float32]


def rows(count: int, width: int = 50) -> Iterator[Row]:
    return (Row(number=n, values=np.full(width, n, np.float32)) for n in range(count))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset[Row]:
    """Twelve rows in four shards."""
    return atdata.write_samples(rows(12), tmp_path / "rows" / "r-%06d.tar", maxcount=3)


@pytest.fixture
def store(pds: Any) -> Iterator[PDSBlobStore]:
    client = pds.client()
    yield PDSBlobStore(client)
    client.close()


def refuse(handler: Any, size: int) -> bool:
    return bool(handler.rfile.read(size) and handler.answer({"error": "InvalidRequest"}, 400))


def numbers(store: PDSBlobStore, urls: list[str]) -> list[int]:
    return [row.number for row in Dataset.of(Row, store.create_source(urls))]


def test_it_is_a_data_store(store: PDSBlobStore) -> None:
    assert isinstance(store, AbstractDataStore)
    assert store.supports_streaming()
    assert repr(store) == f"PDSBlobStore({store.client!r})"
    assert store.url == f"pds://{store.client.did}"


# ------------------------------------------------------------------------------------------------ as they are


def test_shards_that_fit_are_sent_as_they_are(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    files = [Path(shard).read_bytes() for shard in dataset.list_shards()]
    urls = store.write_shards(dataset, prefix="rows/v1")
    cids = [atdata.cid.cid_of_file(shard) for shard in dataset.list_shards()]
    assert urls == [f"at://{store.client.did}/blob/{cid}" for cid in cids]
    assert [pds.blobs[cid] for cid in cids] == files
    sent = [headers for request, headers in zip(pds.requests, pds.headers, strict=True) if request == UPLOAD]
    assert [headers["content-type"] for headers in sent] == ["application/x-tar"] * 4
    assert sorted(int(headers["content-length"]) for headers in sent) == sorted(map(len, files))
    facts = store.shard_facts(urls)
    assert facts is not None
    assert [(fact.name, fact.samples, fact.bytes) for fact in facts] == [
        (cid, 3, len(data)) for cid, data in zip(cids, files, strict=True)
    ]
    assert store.shard_facts([*urls, urls[0][:-1] + "x"]) is None
    assert numbers(store, urls) == list(range(12))


def test_what_the_repository_has_is_not_sent_again(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    urls = store.write_shards(dataset, prefix="a")
    again = PDSBlobStore(pds.client())
    assert again.write_shards(dataset, prefix="b") == urls
    assert store.write_shards(dataset, prefix="c", maxcount=3) == urls
    assert pds.count(UPLOAD) == 4


def test_after_an_error_only_the_rest_is_sent(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    class Hidden(dict[str, bytes]):
        """What no record refers to."""

        def get(self, key: str, default: Any = None) -> Any:
            return None

    pds.blobs = Hidden()
    pds.then(None, None, refuse, None, None)
    with pytest.raises(RecordRefused):
        store.write_shards(dataset, prefix="a")
    before = pds.count(UPLOAD)
    sent = len(pds.blobs)
    assert 0 < sent < 4
    pds.then()
    urls = store.write_shards(dataset, prefix="a")
    assert pds.count(UPLOAD) == before + 4 - sent
    assert store.write_shards(dataset, prefix="a") == urls  # whether they are still there is for records to say
    assert pds.count(UPLOAD) == before + 8 - sent


def test_a_damaged_shard(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    path = Path(dataset.list_shards()[2])
    content = path.read_bytes()
    path.write_bytes(content[:600] + b"?" + content[601:])
    with pytest.raises(ShardCorrupted, match="sha256"):
        store.write_shards(dataset, prefix="a")


def test_a_shard_on_another_server_is_copied(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    urls = store.write_shards(dataset, prefix="a")
    facts = store.shard_facts(urls)
    assert facts is not None

    class Known(BlobSource):
        def facts(self, shard: str) -> Any:
            return facts[urls.index(shard)] if facts is not None else None

        def schema(self, shard: str) -> Any:
            return None

    source = Known.from_urls(urls, cache_dir=False)
    copies = dict(pds.blobs)
    taken = {url: copies[url.rpartition("/")[2]] for url in urls}
    again: Dataset[Any] = Dataset(source)
    opened = []

    def open_shard(shard: str) -> Any:
        import io

        opened.append(shard)
        return io.BytesIO(taken[shard])

    source.open_shard = open_shard  # type: ignore[method-assign]
    pds.blobs.clear()
    assert store.write_shards(again, prefix="b") == urls
    assert pds.blobs == copies
    pds.blobs.clear()
    taken[urls[1]] = taken[urls[1]][:-1] + b"?"
    with pytest.raises(ShardCorrupted, match="sha256"):
        store.write_shards(again, prefix="b")
    assert sorted(set(opened)) == sorted(urls)


# ------------------------------------------------------------------------------------------------ made anew


def test_shards_are_cut_to_what_the_server_takes(pds: Any, store: PDSBlobStore, tmp_path: Path) -> None:
    dataset = atdata.write_samples(rows(60, 1000), tmp_path / "large.tar")
    pds.limit = 50_000
    with pytest.warns(AtmosphereWarning, match=r"at most 50,000 bytes.*maxsize=3,000,000,000") as caught:
        urls = store.write_shards(dataset, prefix="a")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert 5 < len(urls) == len(pds.blobs)
    assert max(map(len, pds.blobs.values())) <= 50_000
    assert numbers(store, urls) == list(range(60))
    facts = store.shard_facts(urls)
    assert facts is not None
    assert sum(fact.samples for fact in facts) == 60


def test_limits_of_the_users_are_no_news(pds: Any, store: PDSBlobStore, tmp_path: Path) -> None:
    dataset = atdata.write_samples(rows(60, 1000), tmp_path / "large.tar")
    pds.limit = 1_000_000
    assert len(store.write_shards(dataset, prefix="a", maxsize=50e3)) > 5
    assert len(store.write_shards(dataset, prefix="a", maxcount=7, maxsize=None)) == 9
    assert len(store.write_shards(dataset, prefix="a", maxcount=None, maxsize=None)) == 1


def test_servers_that_do_not_say_what_they_take(pds: Any, store: PDSBlobStore, tmp_path: Path) -> None:
    dataset = atdata.write_samples(rows(16, 250_000), tmp_path / "large.tar")
    with pytest.warns(AtmosphereWarning, match="at most 5,242,880 bytes"):
        urls = store.write_shards(dataset, prefix="a")
    assert [len(pds.blobs[url.rpartition("/")[2]]) // 1_000_000 for url in urls] == [5, 5, 5, 1]
    assert pds.count("GET com.atproto.server.describeServer") == 1
    send_blobs(store.client, [bytes(6 << 20)], "application/x-tar")  # who names a blob wants it sent
    assert numbers(store, urls) == list(range(16))


def test_a_sample_that_is_too_large(pds: Any, store: PDSBlobStore, tmp_path: Path) -> None:
    pds.limit = 100_000
    large = Row(number=1, values=np.zeros(50_000, np.float32))
    dataset = atdata.write_samples([*rows(1), large], tmp_path / "large.tar", key=lambda n, _: f"row-{n}")
    with (
        pytest.warns(AtmosphereWarning, match="is cut"),
        pytest.raises(PayloadTooLarge, match=r"'row-1' has 20\d,\d{3} bytes, and http.* at most 100,000"),
    ):
        store.write_shards(dataset, prefix="a")


def test_datasets_that_break_or_are_empty(store: PDSBlobStore, dataset: Dataset[Row], tmp_path: Path) -> None:
    class Breaking:
        def list_shards(self) -> list[str]:
            return dataset.list_shards()

        def open_shard(self, shard_id: str) -> Any:
            if shard_id == dataset.list_shards()[3]:
                raise ConnectionResetError("the last shard broke")
            return open(shard_id, "rb")

    with pytest.raises(ConnectionResetError):
        store.write_shards(Dataset.of(Row, Breaking()), prefix="a", maxcount=2)  # type: ignore[arg-type]
    (tmp_path / "empty.tar").write_bytes(END_OF_ARCHIVE)
    with pytest.raises(RuntimeError, match="no samples"):
        store.write_shards(Dataset.of(Row, tmp_path / "empty.tar"), prefix="a")


# ------------------------------------------------------------------------------------------------ refusals


def test_what_is_refused_before_anything_is_sent(pds: Any, dataset: Dataset[Row]) -> None:
    from atdata.atmosphere import AtmosphereClient

    with AtmosphereClient(pds.url, allow_insecure=True, plc_url=pds.url) as nobody, pytest.raises(NotLoggedIn):
        PDSBlobStore(nobody).write_shards(dataset, prefix="a")
    store = PDSBlobStore(pds.client())
    with pytest.raises(TypeError, match="maxcuont"):
        store.write_shards(dataset, prefix="a", maxcuont=3)
    for limits in ({"maxcount": 0}, {"maxsize": 0.5}):
        with pytest.raises(ValueError, match="1 or more"):
            store.write_shards(dataset, prefix="a", **limits)
    with pytest.raises(ValueError, match="prefix"):
        store.write_shards(dataset, prefix="../b")
    assert pds.count(UPLOAD) == 0


def test_urls_of_no_blob(store: PDSBlobStore) -> None:
    for call in (store.read_url, lambda url: store.create_source([url])):
        for url in ("https://example.org/a.tar", "at://did:plc:abc/blob", "a.tar"):
            with pytest.raises(ValueError, match="URL of a blob"):
                call(url)
    with pytest.raises(InvalidReference):
        store.create_source([])


def test_urls_for_others(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    import urllib.request

    url = store.write_shards(dataset, prefix="a")[0]
    with urllib.request.urlopen(store.read_url(url)) as answer:
        assert answer.read() == Path(dataset.list_shards()[0]).read_bytes()


def test_more_shards_than_a_record_names(
    pds: Any, store: PDSBlobStore, dataset: Dataset[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atdata_atmosphere.blob_writing.MOST_SHARDS", 3)
    with pytest.raises(InvalidRecord, match="room for 3 blobs"):
        store.write_shards(dataset, prefix="a")
    assert pds.count(UPLOAD) == 0
    with pytest.raises(InvalidRecord, match="room for 3 blobs"):
        store.write_shards(dataset, prefix="a", maxcount=1)
    with pytest.raises(InvalidRecord, match="room for 3 blobs"):
        send_blobs(store.client, [b"a", b"b", b"c", b"d"], "application/x-tar")


@pytest.mark.parametrize(
    ("status", "answer", "error", "says"),
    [
        (413, {"error": "PayloadTooLarge"}, PayloadTooLarge, "413"),
        (200, {"blob": {}}, ServerFault, "did not say what to call it"),
        (200, {"blob": {"ref": {"$link": "bafkreiother"}}}, ServerFault, "bafkreiother"),
    ],
)
def test_servers_that_refuse_or_lie(
    pds: Any,
    store: PDSBlobStore,
    dataset: Dataset[Row],
    status: int,
    answer: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    pds.then(*[lambda handler, size: handler.rfile.read(size) and handler.answer(answer, status)] * 4)
    with pytest.raises(error, match=says):
        store.write_shards(dataset, prefix="a")


def test_servers_that_hang_up(pds: Any, store: PDSBlobStore, dataset: Dataset[Row]) -> None:
    half = [lambda handler, size: handler.rfile.read(size // 2) and handler.hang_up()] * 3
    pds.then(*half, lambda handler, size: handler.rfile.read(size) and handler.answer({}, 503))
    urls = store.write_shards(dataset, prefix="a")
    assert numbers(store, urls) == list(range(12))
    assert pds.count(UPLOAD) == 8


# ------------------------------------------------------------------------------------------------ the parts


def test_content_is_read_from_its_beginning_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 200_000)
    with open(tmp_path / "a", "rb") as file:
        content = Content("a", file, 600_000)
        assert len(content) == 600_000
        assert b"".join(content) == b"".join(content) == b"abc" * 200_000
        assert max(map(len, content)) == 256 << 10
        with pytest.raises(ShardCorrupted, match="a has 1 of its 600,001 bytes less"):
            list(Content("a", file, 600_001))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told(
    pds: Any, store: PDSBlobStore, dataset: Dataset[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    from atdata_atmosphere import uploads

    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 (whoever writes closes it)
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", lambda **_: full)
    with pytest.raises(OSError, match=r"a shard is made there; make room") as caught:
        store.write_shards(dataset, prefix="a", maxcount=1)
    assert caught.value.errno == errno.ENOSPC
    assert full.closed


def test_a_crew_stops_at_the_first_fault() -> None:
    began, go = threading.Event(), threading.Event()
    done = []

    def fail() -> None:
        began.wait(20)
        raise KeyError("first")

    def go_on(crew: Crew) -> None:
        began.set()
        go.wait(20)
        done.append(crew.stopping())

    with pytest.raises(KeyError, match="first"), Crew(2) as crew:  # noqa: PT012 (what is begun before counts)
        failing = crew.do(fail)
        crew.do(lambda: go_on(crew))
        assert failing.exception(20) is not None
        go.set()
        while True:
            crew.do(lambda: None)
    assert done == [True]


def test_a_crew_that_is_left_with_an_error_lets_go() -> None:
    with pytest.raises(ZeroDivisionError), Crew(1) as crew:
        crew.do(lambda: 1 // 0).exception(20)
    assert crew.stopping()


# ------------------------------------------------------------------------------------------------ publishing blobs


def test_blobs_from_memory_and_from_disk(pds: Any, dataset: Dataset[Row], tmp_path: Path) -> None:
    client = pds.client()
    paths = dataset.list_shards()
    blobs, samples = send_blobs(client, [Path(paths[0]).read_bytes(), paths[1], Path(paths[2])], "application/x-tar")
    assert [blob["ref"]["$link"] for blob in blobs] == [atdata.cid.cid_of_file(path) for path in paths[:3]]
    assert samples == [None, 3, 3]
    assert send_blobs(client, iter(paths), "application/x-tar")[1] == [3, 3, 3, 3]
    assert pds.count(UPLOAD) == 4
    pds.limit = 1000
    client = pds.client()
    for given in ([b"", b"x" * 1001], iter([b"x" * 1001])):
        with pytest.raises(PayloadTooLarge, match=r"blob \d has 1,001 bytes"):
            send_blobs(client, given, "application/x-tar")
    with pytest.raises(PayloadTooLarge, match=r"r-000000\.tar"):
        send_blobs(client, paths, "application/x-tar")
    with pytest.raises(FileNotFoundError):
        send_blobs(client, [tmp_path / "nothing"], "application/x-tar")
    assert pds.count(UPLOAD) == 4


def test_blobs_are_not_sent_for_what_cannot_be_published(pds: Any) -> None:
    client = pds.client()
    schema = f"at://{client.did}/ac.foundation.dataset.sampleSchema/s"
    with pytest.raises(InvalidRecord):
        DatasetPublisher(client).publish_with_blobs([b"a"], schema, name="")
    assert pds.count(UPLOAD) == 0


# ------------------------------------------------------------------------------------------------ entry points


def test_entry_points(pds: Any, dataset: Dataset[Row]) -> None:
    make = plugins.get("atdata.stores", "pds")
    client = pds.client()
    for url in ("pds://", "pds://alice.test", "pds://Alice.test/", f"pds://{client.did}"):
        assert make(url, client=client).url == f"pds://{client.did}"
    with pytest.raises(ValueError, match="another account"):
        make("pds://bob.test", client=client)
    with pytest.raises(TypeError, match="bucket"):
        make("pds://", client=client, bucket="b")
    with pytest.raises(NotLoggedIn):
        make("pds://")
    urls = make("pds://", client=client).write_shards(dataset, prefix="a")
    source = plugins.get("atdata.sources", "at")(urls)
    assert isinstance(source, BlobSource)
    assert source.list_shards() == urls
