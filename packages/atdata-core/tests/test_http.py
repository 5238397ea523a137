"""Shards over HTTP: what is retried, resumed, checked and kept secret. The server is real; see ``conftest.py``."""

import hashlib
import os
import pickle
import socket
import sys
import threading
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atdata
from atdata import Dataset, URLSource
from atdata.errors import (
    ShardCorrupted,
    ShardNotFound,
    ShardPermissionError,
    ShardUnreadable,
)
from atdata.sources import download, prefetch
from atdata.sources.access import Access

DATA = bytes(range(256)) * 2000
PATH = "/data.tar"
SECRET = "hunter2secret"


pytestmark = pytest.mark.usefixtures("no_proxies", "readers_end")


def prefetchers():
    return [thread for thread in threading.enumerate() if thread.name == "atdata-prefetch"]


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5000, len(DATA)])
def test_a_shard_is_read_whole(server, answer, chunked, size):
    server.serve(answer(chunked=chunked), data=DATA[:size])
    assert server.read() == DATA[:size]


def test_samples_come_out_in_every_mode(server, tmp_path):
    atdata.write_samples(({"n": n, "data": bytes(5000)} for n in range(300)), tmp_path / "data.tar")
    server.serve(data=(tmp_path / "data.tar").read_bytes())
    dataset = Dataset(server.url + PATH)
    assert [sample.n for sample in dataset] == list(range(300))
    assert [n for batch in dataset.ordered(batch_size=7) for n in batch.n] == list(range(300))
    assert sorted(sample.n for sample in dataset.shuffled(seed=0)) == list(range(300))


@settings(deadline=None)
@given(pieces=st.lists(st.integers(1, 3000), max_size=8), size=st.integers(1, 300))
def test_bytes_cross_between_threads_in_order(pieces, size):
    sent = os.urandom(sum(pieces))
    ring = prefetch._Ring(size)

    def write():
        source = memoryview(sent)
        while len(source):
            room = ring.room()
            count = min(len(room), len(source), 1 + len(source) % 997)
            room[:count] = source[:count]
            source = source[count:]
            ring.wrote(count)
        ring.end(None)

    thread = threading.Thread(target=write)
    thread.start()
    taken = b""
    for want in [*pieces, *([size] * (sum(pieces) + 1))]:
        target = bytearray(want)
        count = ring.take(memoryview(target))
        if not count:
            break
        taken += target[:count]
    thread.join()
    assert taken == sent


# ------------------------------------------------------------------------------------------------ retries


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507])
def test_what_can_pass_is_tried_again(server, answer, waits, status):
    server.serve(answer(status=status), answer(status=status), answer())
    assert server.read() == DATA
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, OSError), (401, ShardPermissionError), (403, PermissionError), (404, ShardNotFound), (418, ShardUnreadable)],
)
def test_what_cannot_pass_is_asked_once(server, answer, waits, status, kind):
    server.serve(answer(status=status, headers={"Retry-After": "1"}), answer())
    with pytest.raises(kind, match=str(status)):
        server.read()
    assert len(server.requests) == 1
    assert not waits


def test_waits_double_with_jitter_up_to_a_limit():
    for failures in range(1, 2000, 7):
        longest = min(0.5 * 2 ** min(failures - 1, 40), 60)
        assert all(longest / 2 <= download.delay(failures, None) <= longest for _ in range(5))
    assert len({download.delay(3, None) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("says", "expected"),
    [("0", 0), ("7", 7), ("100000", 60), ("9" * 400, None), ("soon", None), ("-3", None), ("", None), ("1.5", None)],
)
def test_retry_after_in_seconds_is_heeded_up_to_a_limit(server, answer, waits, says, expected):
    server.serve(answer(status=503, headers={"Retry-After": says}), answer())
    assert server.read() == DATA
    (waited,) = waits
    assert waited == expected if expected is not None else 0.25 <= waited <= 0.5


@pytest.mark.parametrize(("seconds", "low", "high"), [(30, 20, 31), (9000, 60, 60), (-500, 0, 0)])
def test_retry_after_as_a_date_is_heeded(server, answer, waits, seconds, low, high):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    server.serve(answer(status=429, headers={"Retry-After": date}), answer())
    assert server.read() == DATA
    assert low <= waits[0] <= high


def test_retries_come_to_an_end(server, answer, waits):
    server.serve(answer(status=503))
    with pytest.raises(ShardUnreadable, match="503 Service Unavailable"):
        server.read(retries=2)
    assert (len(server.requests), len(waits)) == (3, 2)
    with pytest.raises(ShardUnreadable, match="503"):
        server.read(retries=0)
    assert (len(server.requests), len(waits)) == (4, 2)


def test_a_server_that_refuses_connections_is_tried_again(waits):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}/data.tar"
    with pytest.raises(ShardUnreadable, match=rf"{port}.*refused"):
        URLSource(url, retries=3).open_shard(url)
    assert len(waits) == 3


def test_a_server_that_says_nothing_is_left_after_the_timeout(waits):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/data.tar"
        with pytest.raises(ShardUnreadable, match=r"no answer within 0\.05 seconds"):
            URLSource(url, timeout=0.05, retries=1).open_shard(url)
    assert len(waits) == 1


def test_a_server_that_hangs_up_without_an_answer_is_tried_again(waits):
    with socket.create_server(("127.0.0.1", 0)) as rude:
        url = f"http://127.0.0.1:{rude.getsockname()[1]}/data.tar"

        def hang_up():
            for _ in range(3):
                rude.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ShardUnreadable, match="cannot be reached"):
            URLSource(url, retries=2).open_shard(url)
        thread.join()
    assert len(waits) == 2


# ----------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("validator", [{}, {"etag": None, "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
@pytest.mark.usefixtures("waits")
def test_reading_goes_on_where_it_broke(server, answer, reset, validator):
    server.serve(*(answer(cut=200_000, reset=reset, **validator) for _ in range(2)), answer(**validator))
    assert server.read() == DATA
    first, *others = server.ranges()
    assert first is None
    assert len(others) == 2
    if not reset:
        assert others == ["bytes=200000-", "bytes=400000-"]
    tag = validator.get("modified", '"v1"')
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, tag, tag]


@pytest.mark.usefixtures("waits")
def test_a_server_that_stalls_is_left_and_asked_for_the_rest(server, answer):
    server.serve(answer(cut=300_000, stall=True), answer())
    assert server.read(timeout=1) == DATA
    assert server.ranges() == [None, "bytes=300000-"]


@pytest.mark.usefixtures("waits")
def test_progress_restores_the_retries(server, answer):
    server.serve(*(answer(cut=50_000) for _ in range(8)), answer())
    assert server.read(retries=1) == DATA


def test_without_progress_retries_come_to_an_end(server, answer, waits):
    server.serve(answer(cut=300_000), answer(cut=0))
    with pytest.raises(ShardUnreadable, match=r"cannot be read further: the connection ended 212,000 bytes too soon"):
        server.read(retries=3)
    assert len(waits) == 3


@pytest.mark.usefixtures("waits")
def test_chunks_that_break_off_are_resumed(server, answer):
    server.serve(answer(chunked=True, cut=123_456), answer())
    assert server.read() == DATA


@pytest.mark.parametrize("validator", [{}, {"etag": None}, {"etag": 'W/"weak"'}])
@pytest.mark.usefixtures("waits")
def test_a_server_without_ranges_sends_again_what_is_skipped(server, answer, validator):
    server.serve(*(answer(cut=200_000 + n, ranges=False, **validator) for n in (0, 7)), answer(**validator))
    assert server.read() == DATA
    assert server.ranges() == [None, "bytes=200000-", "bytes=200007-"]


CHANGES = {
    "another tag": {"etag": '"v2"', "data": DATA[::-1]},
    "another tag, no ranges": {"etag": '"v2"', "data": DATA[::-1], "ranges": False},
    "another length": {"etag": None, "data": DATA + b"more"},
    "shorter": {"etag": None, "data": DATA[:400_000]},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("waits")
def test_a_shard_that_changes_while_it_is_read_is_an_error(server, answer, change):
    etag = None if CHANGES[change]["etag"] is None else '"v1"'
    server.serve(answer(cut=300_000, etag=etag), answer(**CHANGES[change]))
    with pytest.raises(ShardUnreadable, match=r"changed while it was read.*data\.tar"):
        server.read()


@pytest.mark.usefixtures("waits")
def test_before_the_first_byte_a_shard_may_change(server, answer):
    server.serve(answer(cut=0), answer(etag='"v2"', data=b"new"))
    assert server.read() == b"new"


@pytest.mark.usefixtures("waits")
def test_what_nothing_identifies_is_resumed_only_if_its_digest_is_known(server, answer):
    broken = answer(etag=None, chunked=True, cut=100_000)
    server.serve(broken, answer(etag=None, chunked=True, ranges=False))
    with pytest.raises(ShardUnreadable, match="nothing shows that the shard is still the same"):
        server.read()
    server.serve(broken, answer(etag=None, chunked=True, ranges=False))
    assert server.read(digests={server.url + PATH: hashlib.sha256(DATA).hexdigest()}) == DATA
    server.serve(broken, answer(etag=None, chunked=True, ranges=False, data=DATA[::-1]))
    with pytest.raises(ShardCorrupted, match="sha256"):
        server.read(digests={server.url + PATH: hashlib.sha256(DATA).hexdigest()})


@pytest.mark.usefixtures("waits")
def test_a_range_that_begins_earlier_is_used(server, answer):
    server.serve(answer(cut=300_000), answer(shift=-7))
    assert server.read() == DATA


@pytest.mark.usefixtures("waits")
def test_a_range_that_was_not_asked_for_is_refused(server, answer):
    server.serve(answer(cut=300_000), answer(shift=7))
    with pytest.raises(ShardUnreadable, match="another part"):
        server.read()


# ------------------------------------------------------------------------------------- lengths and digests


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.usefixtures("waits")
def test_a_server_that_announces_too_much_is_found_out(server, answer, ranges):
    server.serve(answer(length=len(DATA) + 1000, ranges=ranges))
    with pytest.raises(ShardUnreadable, match=r"1,000 bytes too soon|416.*nothing behind the first 512,000.*513,000"):
        server.read()


def test_a_server_that_announces_too_little_is_found_out_by_size_or_digest(server, answer):
    server.serve(answer(length=len(DATA) - 1000))
    digest = hashlib.sha256(DATA).hexdigest()
    assert len(server.read()) == len(DATA) - 1000  # all that HTTP can know
    for known in (digest, (len(DATA), digest)):
        with pytest.raises(ShardCorrupted, match=r"511,000 bytes"):
            server.read(digests={server.url + PATH: known})


@pytest.mark.usefixtures("waits")
def test_a_rest_that_is_longer_than_announced_is_found_out(server, answer):
    server.files[PATH] = DATA
    longer = answer(ranges=False, data=DATA + b"x", length=len(DATA) + 1)
    server.answers[PATH] = [answer(cut=300_000), longer]
    with pytest.raises(ShardUnreadable, match="changed while it was read"):
        server.read()


def test_right_digests_are_silent(server):
    server.serve()
    digest = hashlib.sha256(DATA).hexdigest()
    for known in (digest, digest.upper(), (len(DATA), digest), (None, digest)):
        assert server.read(digests={server.url + PATH: known}) == DATA


@pytest.mark.parametrize("mode", ["ordered", "batches", "shuffled"])
def test_a_wrong_byte_is_an_error_with_shard_offset_and_both_digests(server, tmp_path, mode):
    atdata.write_samples(({"n": n, "data": bytes(5000)} for n in range(300)), tmp_path / "data.tar")
    good = (tmp_path / "data.tar").read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2 + 1000] ^= 1
    server.serve(data=bytes(bad))
    url = server.url + PATH
    source = URLSource(url, digests={url: (len(good), hashlib.sha256(good).hexdigest())})
    read = {
        "ordered": lambda: list(Dataset(source)),
        "batches": lambda: list(Dataset(source).ordered(batch_size=10)),
        "shuffled": lambda: list(Dataset(source).shuffled(seed=0)),
    }
    with pytest.raises(ShardCorrupted) as caught:
        read[mode]()
    assert caught.value.shard == url
    assert caught.value.offset == len(good)
    assert hashlib.sha256(good).hexdigest() in str(caught.value)
    assert hashlib.sha256(bad).hexdigest() in str(caught.value)


def test_a_size_that_is_wrong_is_an_error_before_anything_is_read(server):
    server.serve()
    url = server.url + PATH
    source = URLSource(url, digests={url: (7, "0" * 64)})
    with pytest.raises(ShardCorrupted, match="512,000 bytes where 7 are expected"):
        source.open_shard(url)


def test_digests_are_checked_for_what_commands_write(tmp_path):
    if os.name == "nt":
        pytest.skip("there is no cat")
    (tmp_path / "data.tar").write_bytes(DATA)
    command = f"pipe:cat '{tmp_path}/data.tar'"
    good = URLSource(command, allow_shell=True, digests={command: hashlib.sha256(DATA).hexdigest()})
    with good.open_shard(command) as stream:
        assert stream.read() == DATA
    bad = URLSource(command, allow_shell=True, digests={command: "0" * 64})
    with bad.open_shard(command) as stream, pytest.raises(ShardCorrupted, match="sha256"):
        stream.read()


@pytest.mark.parametrize(
    "digests",
    [{"other.tar": "0" * 64}, {"a.tar": "0" * 63}, {"a.tar": 5}, {"a.tar": (-1, "0" * 64)}, {"a.tar": ("1", "0" * 64)}],
)
def test_digests_that_cannot_be_meant_are_refused(digests):
    with pytest.raises(ValueError, match=r"digest.*\.tar"):
        URLSource("a.tar", digests=digests)


def test_a_shard_that_is_sent_compressed_is_refused(server, answer):
    server.serve(answer(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ShardUnreadable, match=r"compressed.*gzip"):
        server.read()


# ------------------------------------------------------------------------------ memory, threads, processes


def test_memory_is_bounded_however_slow_the_reader(server, answer):
    size = 100 << 20
    server.files[PATH] = memoryview(bytes(size))
    url = server.url + PATH
    tracemalloc.start()
    try:
        with URLSource(url).open_shard(url) as stream:
            assert stream.read(1) == b"\0"
            before = -1
            while before != server.sent:  # until nothing moves any more
                before = server.sent
                time.sleep(0.05)
            assert server.sent < size // 2
            count = 1
            target = bytearray(1 << 20)
            while got := stream.readinto(target):
                count += got
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == size
    assert peak < 16 << 20


@pytest.mark.parametrize("how", ["close", "forget"])
def test_the_thread_ends_with_its_stream_even_if_the_server_stalls(server, answer, how, readers_end):
    server.serve(answer(cut=100_000, stall=True))
    url = server.url + PATH
    stream = URLSource(url).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    assert len(prefetchers()) == 1
    if how == "close":
        stream.close()
    del stream
    readers_end()


def test_the_thread_ends_while_it_waits_for_a_retry(server, answer, readers_end):
    server.serve(answer(cut=100_000), answer(status=503, headers={"Retry-After": "60"}))
    url = server.url + PATH
    stream = URLSource(url).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    while len(server.requests) < 2:
        time.sleep(0.01)
    stream.close()
    readers_end()


def test_the_thread_ends_when_iteration_stops(server, tmp_path, readers_end):
    atdata.write_samples(({"n": n, "data": bytes(50_000)} for n in range(400)), tmp_path / "data.tar")
    server.serve(data=(tmp_path / "data.tar").read_bytes())
    assert [sample.n for sample in Dataset(server.url + PATH).head(2)] == [0, 1]
    readers_end()


def test_a_closed_stream_is_closed(server):
    server.serve()
    stream = URLSource(server.url + PATH).open_shard(server.url + PATH)
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_neither_uses_nor_disturbs_a_stream(server, answer):
    server.serve(data=DATA * 40)
    url = server.url + PATH
    stream = URLSource(url).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    child = os.fork()
    if not child:
        status = 1
        try:
            try:
                stream.raw.readinto(bytearray(10))
            except ShardUnreadable as error:
                status = 0 if "another process" in str(error) else 2
            stream.close()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert stream.read() == (DATA * 40)[1000:]
    stream.close()


def test_sources_with_options_are_equal_and_pickled(server):
    server.serve()
    url = server.url + PATH
    options = {
        **{"timeout": 5, "retries": 2, "token": SECRET, "headers": {"X": "y"}, "proxy": ""},
        "digests": {url: hashlib.sha256(DATA).hexdigest()},
    }
    source, same = URLSource(url, **options), URLSource(url, **options)
    assert source == same
    assert hash(source) == hash(same)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    with copy.open_shard(url) as stream:
        assert stream.read() == DATA
    assert server.requests[0][1]["Authorization"] == f"Bearer {SECRET}"
    for name in options:
        assert URLSource(url, **{key: value for key, value in options.items() if key != name}) != source


def test_changing_the_headers_that_were_given_changes_nothing():
    headers = {"X-Key": "good"}
    access = Access(headers=headers)
    headers["X-Key"] = "bad\r\n"
    assert access.request_headers() == {"X-key": "good"}


def test_reading_over_http_is_imported_when_it_is_needed():
    import subprocess

    script = "import sys, atdata; atdata.URLSource('a.tar'); sys.exit('urllib.request' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
