"""Shards over HTTP: what is retried, resumed, checked and kept secret. The server is real; see ``conftest.py``."""

import base64
import gc
import hashlib
import io
import os
import pickle
import socket
import ssl
import sys
import threading
import time
import traceback
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.request import Request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atdata
from atdata import Dataset, URLSource
from atdata.errors import (
    AtdataError,
    ShardCorrupted,
    ShardNotFound,
    ShardPermissionError,
    ShardUnreadable,
    UnsafeURL,
)
from atdata.sources import download, http, prefetch
from atdata.sources.access import Access
from atdata.sources.trust import is_public

DATA = bytes(range(256)) * 2000
PATH = "/data.tar"
SECRET = "hunter2secret"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_threads_stay():
    yield
    assert wait_until(lambda: not prefetchers()), "a thread that reads ahead has not ended"


def prefetchers():
    return [thread for thread in threading.enumerate() if thread.name == "atdata-prefetch"]


def wait_until(condition):
    for _ in range(500):
        if condition():
            return True
        gc.collect()
        time.sleep(0.01)
    return False


def read(server, path=PATH, **options):
    source = URLSource(server.url + path, **options)
    with source.open_shard(server.url + path) as stream:
        return stream.read()


def serve(server, *answers, data=DATA, path=PATH):
    server.files[path] = data
    if answers:
        server.answers[path] = list(answers)


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


def shown(error):
    """All that a user, a log or a debugger prints of an error, and of what it came from."""
    texts = ["".join(traceback.format_exception(error)), repr(error)]
    while error is not None:
        texts += [str(error), repr(error.args), repr(getattr(error, "__dict__", ""))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5000, len(DATA)])
def test_a_shard_is_read_whole(server, answer, chunked, size):
    serve(server, answer(chunked=chunked), data=DATA[:size])
    assert read(server) == DATA[:size]


def test_samples_come_out_in_every_mode(server, tmp_path):
    atdata.write_samples(({"n": n, "data": bytes(5000)} for n in range(300)), tmp_path / "data.tar")
    serve(server, data=(tmp_path / "data.tar").read_bytes())
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
    serve(server, answer(status=status), answer(status=status), answer())
    assert read(server) == DATA
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, OSError), (401, ShardPermissionError), (403, PermissionError), (404, ShardNotFound), (418, ShardUnreadable)],
)
def test_what_cannot_pass_is_asked_once(server, answer, waits, status, kind):
    serve(server, answer(status=status, headers={"Retry-After": "1"}), answer())
    with pytest.raises(kind, match=str(status)):
        read(server)
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
    serve(server, answer(status=503, headers={"Retry-After": says}), answer())
    assert read(server) == DATA
    (waited,) = waits
    assert waited == expected if expected is not None else 0.25 <= waited <= 0.5


@pytest.mark.parametrize(("seconds", "low", "high"), [(30, 20, 31), (9000, 60, 60), (-500, 0, 0)])
def test_retry_after_as_a_date_is_heeded(server, answer, waits, seconds, low, high):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    serve(server, answer(status=429, headers={"Retry-After": date}), answer())
    assert read(server) == DATA
    assert low <= waits[0] <= high


def test_retries_come_to_an_end(server, answer, waits):
    serve(server, answer(status=503))
    with pytest.raises(ShardUnreadable, match="503 Service Unavailable"):
        read(server, retries=2)
    assert (len(server.requests), len(waits)) == (3, 2)
    with pytest.raises(ShardUnreadable, match="503"):
        read(server, retries=0)
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
    serve(server, *(answer(cut=200_000, reset=reset, **validator) for _ in range(2)), answer(**validator))
    assert read(server) == DATA
    first, *others = ranges(server)
    assert first is None
    assert len(others) == 2
    if not reset:
        assert others == ["bytes=200000-", "bytes=400000-"]
    tag = validator.get("modified", '"v1"')
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, tag, tag]


@pytest.mark.usefixtures("waits")
def test_a_server_that_stalls_is_left_and_asked_for_the_rest(server, answer):
    serve(server, answer(cut=300_000, stall=True), answer())
    assert read(server, timeout=0.1) == DATA
    assert ranges(server) == [None, "bytes=300000-"]


@pytest.mark.usefixtures("waits")
def test_progress_restores_the_retries(server, answer):
    serve(server, *(answer(cut=50_000) for _ in range(8)), answer())
    assert read(server, retries=1) == DATA


def test_without_progress_retries_come_to_an_end(server, answer, waits):
    serve(server, answer(cut=300_000), answer(cut=0))
    with pytest.raises(ShardUnreadable, match=r"cannot be read further: the connection ended 212,000 bytes too soon"):
        read(server, retries=3)
    assert len(waits) == 3


@pytest.mark.usefixtures("waits")
def test_chunks_that_break_off_are_resumed(server, answer):
    serve(server, answer(chunked=True, cut=123_456), answer())
    assert read(server) == DATA


@pytest.mark.parametrize("validator", [{}, {"etag": None}, {"etag": 'W/"weak"'}])
@pytest.mark.usefixtures("waits")
def test_a_server_without_ranges_sends_again_what_is_skipped(server, answer, validator):
    serve(server, *(answer(cut=200_000 + n, ranges=False, **validator) for n in (0, 7)), answer(**validator))
    assert read(server) == DATA
    assert ranges(server) == [None, "bytes=200000-", "bytes=200007-"]


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
    serve(server, answer(cut=300_000, etag=etag), answer(**CHANGES[change]))
    with pytest.raises(ShardUnreadable, match=r"changed while it was read.*data\.tar"):
        read(server)


@pytest.mark.usefixtures("waits")
def test_before_the_first_byte_a_shard_may_change(server, answer):
    serve(server, answer(cut=0), answer(etag='"v2"', data=b"new"))
    assert read(server) == b"new"


@pytest.mark.usefixtures("waits")
def test_what_nothing_identifies_is_resumed_only_if_its_digest_is_known(server, answer):
    broken = answer(etag=None, chunked=True, cut=100_000)
    serve(server, broken, answer(etag=None, chunked=True, ranges=False))
    with pytest.raises(ShardUnreadable, match="nothing shows that the shard is still the same"):
        read(server)
    serve(server, broken, answer(etag=None, chunked=True, ranges=False))
    assert read(server, digests={server.url + PATH: hashlib.sha256(DATA).hexdigest()}) == DATA
    serve(server, broken, answer(etag=None, chunked=True, ranges=False, data=DATA[::-1]))
    with pytest.raises(ShardCorrupted, match="sha256"):
        read(server, digests={server.url + PATH: hashlib.sha256(DATA).hexdigest()})


@pytest.mark.usefixtures("waits")
def test_a_range_that_begins_earlier_is_used(server, answer):
    serve(server, answer(cut=300_000), answer(shift=-7))
    assert read(server) == DATA


@pytest.mark.usefixtures("waits")
def test_a_range_that_was_not_asked_for_is_refused(server, answer):
    serve(server, answer(cut=300_000), answer(shift=7))
    with pytest.raises(ShardUnreadable, match="another part"):
        read(server)


# ------------------------------------------------------------------------------------- lengths and digests


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.usefixtures("waits")
def test_a_server_that_announces_too_much_is_found_out(server, answer, ranges):
    serve(server, answer(length=len(DATA) + 1000, ranges=ranges))
    with pytest.raises(ShardUnreadable, match=r"1,000 bytes too soon|416.*nothing behind the first 512,000.*513,000"):
        read(server)


def test_a_server_that_announces_too_little_is_found_out_by_size_or_digest(server, answer):
    serve(server, answer(length=len(DATA) - 1000))
    digest = hashlib.sha256(DATA).hexdigest()
    assert len(read(server)) == len(DATA) - 1000  # all that HTTP can know
    for known in (digest, (len(DATA), digest)):
        with pytest.raises(ShardCorrupted, match=r"511,000 bytes"):
            read(server, digests={server.url + PATH: known})


@pytest.mark.usefixtures("waits")
def test_a_rest_that_is_longer_than_announced_is_found_out(server, answer):
    server.files[PATH] = DATA
    longer = answer(ranges=False, data=DATA + b"x", length=len(DATA) + 1)
    server.answers[PATH] = [answer(cut=300_000), longer]
    with pytest.raises(ShardUnreadable, match="changed while it was read"):
        read(server)


def test_right_digests_are_silent(server):
    serve(server)
    digest = hashlib.sha256(DATA).hexdigest()
    for known in (digest, digest.upper(), (len(DATA), digest), (None, digest)):
        assert read(server, digests={server.url + PATH: known}) == DATA


@pytest.mark.parametrize("mode", ["ordered", "batches", "shuffled"])
def test_a_wrong_byte_is_an_error_with_shard_offset_and_both_digests(server, tmp_path, mode):
    atdata.write_samples(({"n": n, "data": bytes(5000)} for n in range(300)), tmp_path / "data.tar")
    good = (tmp_path / "data.tar").read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2 + 1000] ^= 1
    serve(server, data=bytes(bad))
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
    serve(server)
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
    serve(server, answer(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ShardUnreadable, match=r"compressed.*gzip"):
        read(server)


# ------------------------------------------------------------------------------------- redirects and secrets


SECRETS = {"token": SECRET, "headers": {"X-Api-Key": SECRET}, "retries": 1}


def secrets_of(requests):
    return [
        (path, {name.lower() for name, value in headers.items() if SECRET in base64_too(value)})
        for path, headers in requests
    ]


def base64_too(value):
    kind, _, login = value.partition(" ")
    return base64.b64decode(login).decode() if kind == "Basic" else value


def test_token_and_headers_are_sent(server):
    serve(server)
    assert read(server, **SECRETS) == DATA
    ((_, headers),) = server.requests
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-api-key"] == SECRET
    assert headers["User-Agent"] == "atdata"


@pytest.mark.usefixtures("waits")
def test_a_callable_gives_headers_anew_for_each_request(server, answer):
    serve(server, answer(cut=100_000), answer(cut=100_000), answer())
    given = iter(range(10))
    assert read(server, headers=lambda: {"X-Number": str(next(given))}) == DATA
    assert [headers["X-number"] for _, headers in server.requests] == ["0", "1", "2"]


@pytest.mark.usefixtures("waits")
def test_an_error_of_the_callable_crosses_threads(server, answer):
    serve(server, answer(cut=100_000), answer())
    given = iter([{}])
    with pytest.raises(StopIteration):
        read(server, headers=lambda: next(given))


def test_redirects_within_a_server_keep_token_and_headers(server, answer):
    serve(server, path="/there.tar")
    serve(server, answer(status=302, headers={"Location": "/there.tar"}))
    assert read(server, **SECRETS) == DATA
    assert secrets_of(server.requests) == [
        (PATH, {"authorization", "x-api-key"}),
        ("/there.tar", {"authorization", "x-api-key"}),
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_another_server_take_no_secret_along(make_server, answer, status):
    first, second = make_server(), make_server()
    serve(second)
    serve(first, answer(status=status, headers={"Location": second.url + PATH}))
    url = first.url.replace("//", f"//user:{SECRET}@") + PATH
    source = URLSource(url, headers={"X-Api-Key": SECRET})
    with source.open_shard(url) as stream:
        assert stream.read() == DATA
    assert secrets_of(first.requests) == [(PATH, {"authorization", "x-api-key"})]
    assert secrets_of(second.requests) == [(PATH, set())]


def test_what_was_left_behind_does_not_come_back(make_server, answer):
    first, second = make_server(), make_server()
    serve(first, answer(status=302, headers={"Location": second.url + PATH}))
    serve(first, path="/back.tar")
    serve(second, answer(status=302, headers={"Location": first.url + "/back.tar"}))
    assert read(first, **SECRETS) == DATA
    assert secrets_of(first.requests)[1] == ("/back.tar", set())


@pytest.mark.usefixtures("waits")
def test_a_redirect_is_followed_anew_when_reading_goes_on(make_server, answer):
    first, second = make_server(), make_server()
    serve(second, answer(cut=100_000), answer())
    serve(first, answer(status=302, headers={"Location": second.url + PATH}))
    assert read(first) == DATA
    assert ranges(second) == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "http://data.example.com/", "https://data.example.com:8443/", "https://user@evil.example/"],
)
def test_no_secret_goes_from_https_to_http_or_elsewhere(target):
    request = Request("https://data.example.com/data.tar", headers={"User-agent": "atdata", "Range": "bytes=5-"})
    request.add_unredirected_header("Authorization", f"Bearer {SECRET}")
    request.add_header("Proxy-Authorization", SECRET)  # as the proxy's handler does
    moved = http._Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, target)
    assert moved.full_url == target
    assert dict(moved.header_items()) == {"User-agent": "atdata", "Range": "bytes=5-"}


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:1", "//\x00"])
def test_redirects_to_anything_else_are_not_followed(server, answer, target):
    serve(server, answer(status=302, headers={"Location": target}))
    with pytest.raises(OSError, match=r"data\.tar"):
        read(server, retries=0)


def test_redirects_in_circles_end(server, answer):
    serve(server, answer(status=302, headers={"Location": PATH}))
    with pytest.raises(ShardUnreadable, match="goes in circles"):
        read(server)


FAULTS = {
    "not found": [{"status": 404}],
    "not allowed": [{"status": 401, "headers": {"WWW-Authenticate": f'Basic realm="{SECRET}"'}}],
    "down": [{"status": 503}],
    "breaks": [{"cut": 10_000}, {"cut": 0}],
    "changes": [{"cut": 10_000}, {"etag": '"v2"'}],
    "moved": [{"status": 302, "headers": {"Location": f"file:///{SECRET}"}}],
    "circles": [{"status": 302, "headers": {"Location": f"{PATH}?key={SECRET}"}}],
    "nonsense": [{"status": 302, "headers": {"Location": f"http://{SECRET}:{SECRET}@[::/"}}],
    "compressed": [{"headers": {"Content-Encoding": "gzip"}}],
    "wrong bytes": [{"data": b"wrong"}],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("waits")
def test_no_secret_is_in_any_error(server, answer, fault, caplog):
    serve(server, *(answer(**options) for options in FAULTS[fault]))
    url = server.url.replace("//", f"//user:{SECRET}@") + f"{PATH}?signature={SECRET}#{SECRET}"
    source = URLSource(
        url,
        headers=lambda: {"X-Api-Key": SECRET},
        token=SECRET,
        retries=1,
        digests={url: hashlib.sha256(DATA).hexdigest()},
    )
    with pytest.raises((OSError, ShardCorrupted)) as caught, source.open_shard(url) as stream:
        stream.read()
    assert isinstance(caught.value, AtdataError)
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text
    assert "data.tar" in str(caught.value)


def test_no_secret_is_in_a_repr(server):
    source = URLSource(
        f"{server.url}/x.tar?k={SECRET}", token=SECRET, headers={"X": SECRET}, proxy=f"http://u:{SECRET}@127.0.0.1:1"
    )
    assert SECRET not in repr(source)
    assert SECRET not in repr(source._remote)
    assert SECRET not in repr(Dataset(source))


@pytest.mark.parametrize(
    "options",
    [
        {"token": f"{SECRET}\r\nX: y"},
        {"token": ""},
        {"headers": {"X-Key": f"{SECRET}\n"}},
        {"headers": {"X-Key": f"{SECRET}\u20ac"}},
        {"headers": {"X Key": SECRET}},
        {"headers": {"Range": "bytes=0-"}},
        {"headers": {"X-Key": 5}},
        {"headers": SECRET},
        {"proxy": f"socks5://u:{SECRET}@host:1"},
        {"proxy": f"http://{SECRET}@host:port"},
        {"timeout": 0},
        {"timeout": None},
        {"retries": -1},
        {"retries": 1.5},
        {"cache_bytes": 10},
    ],
)
def test_options_that_cannot_be_meant_are_refused_without_showing_secrets(options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options)).removesuffix("s")) as caught:
        URLSource("https://example.com/data.tar", **options)
    assert SECRET not in shown(caught.value)


def test_headers_of_a_callable_are_checked_too(server):
    serve(server)
    with pytest.raises(ValueError, match=r"X-Key.*cannot be sent") as caught:
        read(server, headers=lambda: {"X-Key": f"{SECRET}\r\nHost: evil"})
    assert SECRET not in shown(caught.value)
    assert not server.requests


# --------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def secure(server, tmp_path):
    """The server with TLS; ``certificate`` is the file of its certificate."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    server.certificate = tmp_path / "certificate.pem"
    server.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    http._tls.cache_clear()
    yield server
    http._tls.cache_clear()


@pytest.mark.usefixtures("waits")
def test_tls_is_read_resumed_and_left(secure, answer, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    serve(secure, answer(cut=200_000), answer(cut=100_000, reset=True), answer())
    assert read(secure) == DATA
    serve(secure, answer(cut=100_000, stall=True))
    stream = URLSource(secure.url + PATH).open_shard(secure.url + PATH)
    assert stream.read(1000) == DATA[:1000]
    stream.close()
    assert wait_until(lambda: not prefetchers())


def test_tls_of_an_unknown_server_is_refused_at_once(secure, waits):
    serve(secure)
    with pytest.raises(ShardUnreadable, match="certificate verify failed"):
        read(secure, token=SECRET)
    assert not secure.requests
    assert not waits


def test_a_redirect_from_tls_to_plain_http_takes_no_secret_along(secure, make_server, answer, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    plain = make_server()
    serve(plain)
    serve(secure, answer(status=302, headers={"Location": plain.url + PATH}))
    assert read(secure, **SECRETS) == DATA
    assert secrets_of(secure.requests) == [(PATH, {"authorization", "x-api-key"})]
    assert secrets_of(plain.requests) == [(PATH, set())]


def test_with_keep_tls_no_redirect_leaves_tls(secure, make_server, answer, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    plain = make_server()
    serve(plain)
    serve(secure, answer(status=302, headers={"Location": plain.url + PATH}))
    with pytest.raises(ShardUnreadable, match="a redirect that is not followed"):
        read(secure, keep_tls=True)
    assert not plain.requests
    serve(secure, answer(status=302, headers={"Location": "/moved.tar"}))
    serve(secure, path="/moved.tar")
    assert read(secure, keep_tls=True) == DATA
    serve(plain, answer(status=302, headers={"Location": secure.url + "/moved.tar"}))
    assert read(plain, keep_tls=True) == DATA


def test_with_public_only_no_private_address_is_talked_to(server):
    serve(server)
    with pytest.raises(UnsafeURL, match=r"leads to 127\.0\.0\.1, which is no public address") as caught:
        read(server, public_only=True)
    assert caught.value.__cause__ is caught.value.__context__ is None
    named = f"http://localhost:{server.server_port}{PATH}"
    with pytest.raises(UnsafeURL, match=r"localhost.* leads to (127\.0\.0\.1|::1)"):
        URLSource(named, public_only=True, retries=0).open_shard(named)
    assert not server.requests


def test_with_public_only_nobody_private_is_even_knocked_at():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/data.tar"
        with pytest.raises(UnsafeURL, match="no public address"):
            URLSource(url, public_only=True).open_shard(url)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_with_public_only_public_servers_are_read(server, monkeypatch):
    monkeypatch.setattr("atdata.sources.http.is_public", lambda address: True)
    serve(server)
    assert read(server, public_only=True) == DATA


def test_with_public_only_no_private_server_is_talked_to_over_tls(secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    serve(secure)
    assert read(secure) == DATA
    with pytest.raises(UnsafeURL, match="no public address"):
        read(secure, public_only=True)
    assert len(secure.requests) == 1


def test_with_public_only_a_proxy_decides(make_server):
    proxy = make_server()
    url = "http://data.example.com/data.tar"
    proxy.files[url] = DATA
    with atdata.URLSource(url, proxy=proxy.url, public_only=True).open_shard(url) as stream:
        assert stream.read() == DATA


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


# ---------------------------------------------------------------------------------------------- proxies


def test_a_proxy_is_asked_by_option_or_environment(make_server, monkeypatch):
    proxy = make_server()
    url = "http://data.example.com/data.tar"
    proxy.files[url] = DATA
    login = base64.b64encode(f"user:{SECRET}".encode()).decode()

    def through(**options):
        proxy.requests.clear()
        with URLSource(url, **options).open_shard(url) as stream:
            assert stream.read() == DATA
        ((path, headers),) = proxy.requests
        assert path == url
        return headers["Proxy-Authorization"]

    address = proxy.url.removeprefix("http://")
    assert through(proxy=proxy.url) is None
    assert through(proxy=address) is None
    assert through(proxy=f"http://user:{SECRET}@{address}") == f"Basic {login}"
    monkeypatch.setenv("http_proxy", proxy.url)
    assert through() is None


def test_proxies_of_the_environment_can_be_left_aside(server, monkeypatch):
    serve(server)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read(server, proxy="") == DATA
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert read(server) == DATA


def test_a_login_for_a_proxy_does_not_go_on_to_the_server(make_server, answer, monkeypatch):
    proxy, server = make_server(), make_server()
    serve(server)
    url = "http://data.example.com/data.tar"
    proxy.answers[url] = [answer(status=302, headers={"Location": server.url + PATH})]
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//user:{SECRET}@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with URLSource(url).open_shard(url) as stream:
        assert stream.read() == DATA
    assert secrets_of(proxy.requests) == [(url, {"proxy-authorization"})]
    assert secrets_of(server.requests) == [(PATH, set())]


def test_a_proxy_that_refuses_a_tunnel_is_named_without_secrets(make_server, waits):
    proxy = make_server()  # answers 501 to CONNECT
    url = "https://data.example.com/data.tar"
    with pytest.raises(ShardUnreadable, match="the proxy answers 501") as caught:
        URLSource(url, proxy=proxy.url.replace("//", f"//user:{SECRET}@"), retries=1).open_shard(url)
    assert SECRET not in shown(caught.value)
    assert len(waits) == 1


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
def test_the_thread_ends_with_its_stream_even_if_the_server_stalls(server, answer, how):
    serve(server, answer(cut=100_000, stall=True))
    url = server.url + PATH
    stream = URLSource(url).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    assert len(prefetchers()) == 1
    if how == "close":
        stream.close()
    del stream
    assert wait_until(lambda: not prefetchers())


def test_the_thread_ends_while_it_waits_for_a_retry(server, answer):
    serve(server, answer(cut=100_000), answer(status=503, headers={"Retry-After": "60"}))
    url = server.url + PATH
    stream = URLSource(url).open_shard(url)
    assert stream.read(1000) == DATA[:1000]
    assert wait_until(lambda: len(server.requests) == 2)
    stream.close()
    assert wait_until(lambda: not prefetchers())


def test_the_thread_ends_when_iteration_stops(server, tmp_path):
    atdata.write_samples(({"n": n, "data": bytes(50_000)} for n in range(400)), tmp_path / "data.tar")
    serve(server, data=(tmp_path / "data.tar").read_bytes())
    assert [sample.n for sample in Dataset(server.url + PATH).head(2)] == [0, 1]
    assert wait_until(lambda: not prefetchers())


def test_a_closed_stream_is_closed(server):
    serve(server)
    stream = URLSource(server.url + PATH).open_shard(server.url + PATH)
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_neither_uses_nor_disturbs_a_stream(server, answer):
    serve(server, data=DATA * 40)
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
    serve(server)
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
