"""Shards over HTTP: redirects, TLS and proxies, and what none of them may learn. The server is real."""

import base64
import hashlib
import io
import socket
import ssl
import traceback
from datetime import UTC, datetime, timedelta
from urllib.request import Request

import pytest

import atdata
from atdata import Dataset, URLSource
from atdata.errors import AtdataError, ShardCorrupted, ShardUnreadable, UnsafeURL
from atdata.sources import http
from atdata.sources.trust import is_public

DATA = bytes(range(256)) * 2000
PATH = "/data.tar"
SECRET = "hunter2secret"

pytestmark = pytest.mark.usefixtures("no_proxies", "readers_end")


def shown(error):
    """All that a user, a log or a debugger prints of an error, and of what it came from."""
    texts = ["".join(traceback.format_exception(error)), repr(error)]
    while error is not None:
        texts += [str(error), repr(error.args), repr(getattr(error, "__dict__", ""))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


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
    server.serve()
    assert server.read(**SECRETS) == DATA
    ((_, headers),) = server.requests
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-api-key"] == SECRET
    assert headers["User-Agent"] == "atdata"


@pytest.mark.usefixtures("waits")
def test_a_callable_gives_headers_anew_for_each_request(server, answer):
    server.serve(answer(cut=100_000), answer(cut=100_000), answer())
    given = iter(range(10))
    assert server.read(headers=lambda: {"X-Number": str(next(given))}) == DATA
    assert [headers["X-number"] for _, headers in server.requests] == ["0", "1", "2"]


@pytest.mark.usefixtures("waits")
def test_an_error_of_the_callable_crosses_threads(server, answer):
    server.serve(answer(cut=100_000), answer())
    given = iter([{}])
    with pytest.raises(StopIteration):
        server.read(headers=lambda: next(given))


def test_redirects_within_a_server_keep_token_and_headers(server, answer):
    server.serve(path="/there.tar")
    server.serve(answer(status=302, headers={"Location": "/there.tar"}))
    assert server.read(**SECRETS) == DATA
    assert secrets_of(server.requests) == [
        (PATH, {"authorization", "x-api-key"}),
        ("/there.tar", {"authorization", "x-api-key"}),
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_another_server_take_no_secret_along(make_server, answer, status):
    first, second = make_server(), make_server()
    second.serve()
    first.serve(answer(status=status, headers={"Location": second.url + PATH}))
    url = first.url.replace("//", f"//user:{SECRET}@") + PATH
    source = URLSource(url, headers={"X-Api-Key": SECRET})
    with source.open_shard(url) as stream:
        assert stream.read() == DATA
    assert secrets_of(first.requests) == [(PATH, {"authorization", "x-api-key"})]
    assert secrets_of(second.requests) == [(PATH, set())]


def test_what_was_left_behind_does_not_come_back(make_server, answer):
    first, second = make_server(), make_server()
    first.serve(answer(status=302, headers={"Location": second.url + PATH}))
    first.serve(path="/back.tar")
    second.serve(answer(status=302, headers={"Location": first.url + "/back.tar"}))
    assert first.read(**SECRETS) == DATA
    assert secrets_of(first.requests)[1] == ("/back.tar", set())


@pytest.mark.usefixtures("waits")
def test_a_redirect_is_followed_anew_when_reading_goes_on(make_server, answer):
    first, second = make_server(), make_server()
    second.serve(answer(cut=100_000), answer())
    first.serve(answer(status=302, headers={"Location": second.url + PATH}))
    assert first.read() == DATA
    assert second.ranges() == [None, "bytes=100000-"]


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
    server.serve(answer(status=302, headers={"Location": target}))
    with pytest.raises(OSError, match=r"data\.tar"):
        server.read(retries=0)


def test_redirects_in_circles_end(server, answer):
    server.serve(answer(status=302, headers={"Location": PATH}))
    with pytest.raises(ShardUnreadable, match="goes in circles"):
        server.read()


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
    server.serve(*(answer(**options) for options in FAULTS[fault]))
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
    server.serve()
    with pytest.raises(ValueError, match=r"X-Key.*cannot be sent") as caught:
        server.read(headers=lambda: {"X-Key": f"{SECRET}\r\nHost: evil"})
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
def test_tls_is_read_resumed_and_left(secure, answer, monkeypatch, readers_end):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    secure.serve(answer(cut=200_000), answer(cut=100_000, reset=True), answer())
    assert secure.read() == DATA
    secure.serve(answer(cut=100_000, stall=True))
    stream = URLSource(secure.url + PATH).open_shard(secure.url + PATH)
    assert stream.read(1000) == DATA[:1000]
    stream.close()
    readers_end()


def test_tls_of_an_unknown_server_is_refused_at_once(secure, waits):
    secure.serve()
    with pytest.raises(ShardUnreadable, match="certificate verify failed"):
        secure.read(token=SECRET)
    assert not secure.requests
    assert not waits


def test_a_redirect_from_tls_to_plain_http_takes_no_secret_along(secure, make_server, answer, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    plain = make_server()
    plain.serve()
    secure.serve(answer(status=302, headers={"Location": plain.url + PATH}))
    assert secure.read(**SECRETS) == DATA
    assert secrets_of(secure.requests) == [(PATH, {"authorization", "x-api-key"})]
    assert secrets_of(plain.requests) == [(PATH, set())]


def test_with_keep_tls_no_redirect_leaves_tls(secure, make_server, answer, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    plain = make_server()
    plain.serve()
    secure.serve(answer(status=302, headers={"Location": plain.url + PATH}))
    with pytest.raises(ShardUnreadable, match="a redirect that is not followed"):
        secure.read(keep_tls=True)
    assert not plain.requests
    secure.serve(answer(status=302, headers={"Location": "/moved.tar"}))
    secure.serve(path="/moved.tar")
    assert secure.read(keep_tls=True) == DATA
    plain.serve(answer(status=302, headers={"Location": secure.url + "/moved.tar"}))
    assert plain.read(keep_tls=True) == DATA


def test_with_public_only_no_private_address_is_talked_to(server):
    server.serve()
    with pytest.raises(UnsafeURL, match=r"leads to 127\.0\.0\.1, which is no public address") as caught:
        server.read(public_only=True)
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
    server.serve()
    assert server.read(public_only=True) == DATA


def test_with_public_only_no_private_server_is_talked_to_over_tls(secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    secure.serve()
    assert secure.read() == DATA
    with pytest.raises(UnsafeURL, match="no public address"):
        secure.read(public_only=True)
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
    server.serve()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert server.read(proxy="") == DATA
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert server.read() == DATA


def test_a_login_for_a_proxy_does_not_go_on_to_the_server(make_server, answer, monkeypatch):
    proxy, server = make_server(), make_server()
    server.serve()
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
