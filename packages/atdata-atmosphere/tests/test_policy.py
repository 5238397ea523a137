"""Where requests may go, over real connections with TLS."""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from atdata.atmosphere import AtmosphereClient
from atdata.errors import UnsafeURL
from atdata_atmosphere.errors import ServerFault, ServerUnreachable
from atdata_atmosphere.policy import Policy, is_public, origin
from atdata_atmosphere.storage import RecordSource
from atdata_atmosphere.xrpc import Xrpc


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "https://", "https:///a", "file:///etc/passwd", "https://h:x/", "https://h:99999", "https://["],
)
def test_urls_of_no_server(url: str) -> None:
    with pytest.raises(UnsafeURL):
        origin(url)


def test_origins() -> None:
    assert origin("https://Example.org/x") == ("https", "example.org", 443)
    assert origin("http://[::1]:80/") == ("http", "::1", 80)


class Server(ThreadingHTTPServer):
    """Answers over TLS what it is told to."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_address[1]}"
        self.redirect = ""
        self.content: dict[str, Any] = {}
        self.asked: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(302 if self.server.redirect else 200)
        if self.server.redirect:
            self.send_header("location", self.server.redirect)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(self.server.content).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    made = Server(certificate)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def trusting(server: Server) -> Iterator[Xrpc]:
    """What asks this one server at its private address, and no other."""
    made = Xrpc(Policy(trusted=frozenset({origin(server.url)})), 10, 0)
    yield made
    made.close()


def test_servers_that_the_user_names_may_be_private(server: Server, trusting: Xrpc) -> None:
    assert trusting.query(server.url, "org.example.ask", {"a": None, "b": 1}) == {}
    assert server.asked == ["/xrpc/org.example.ask?b=1"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1"])
def test_private_servers_that_others_name_are_never_connected_to(server: Server, trusting: Xrpc, host: str) -> None:
    port = server.server_address[1]
    with pytest.raises((UnsafeURL, ServerUnreachable)):
        Xrpc(Policy(), 10, 0).query(f"https://{host}:{port}", "org.example.ask", {})
    assert server.asked == []
    server.redirect = f"https://{host}:{port + 1}/"
    with pytest.raises((UnsafeURL, ServerUnreachable)) as caught:
        trusting.query(server.url, "org.example.ask", {})
    assert "Connection refused" not in str(caught.value)


def test_private_servers_that_did_documents_name(server: Server) -> None:
    did, port = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", server.server_address[1]
    with AtmosphereClient(plc_url=server.url) as client:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            service = {"type": "AtprotoPersonalDataServer", "serviceEndpoint": f"https://{host}:{port + 1}"}
            server.content = {"id": did, "service": [{"id": "#atproto_pds", **service}]}
            client._directory.forget(did)
            with pytest.raises(UnsafeURL, match="no public address"):
                client.list_lenses(did)


@pytest.mark.parametrize(
    "to", ["http://example.org/", "file:///etc/passwd", "ftp://example.org/", "https://u:p@example.org/"]
)
def test_redirects_to_what_is_no_server(server: Server, trusting: Xrpc, to: str) -> None:
    server.redirect = to
    with pytest.raises((UnsafeURL, ServerFault)):
        trusting.query(server.url, "org.example.ask", {})


def test_redirects_in_circles(server: Server, trusting: Xrpc) -> None:
    server.redirect = f"{server.url}/again"
    with pytest.raises(ServerFault, match="redirects"):
        trusting.query(server.url, "org.example.ask", {})


def test_certificates_are_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ServerUnreachable, match="certificate"):
        Xrpc(Policy(trusted=frozenset({origin(server.url)})), 10, 0).query(server.url, "org.example.ask", {})


@pytest.mark.parametrize(
    "url",
    [
        *(
            "/etc/passwd",
            "data.tar",
            "file:///a.tar",
            "pipe:cat a",
            "http://example.org/a.tar",
            "ftp://example.org/a.tar",
        ),
        *(
            "https://127.0.0.1/a.tar",
            "https://localhost/a.tar",
            "https://[::1]/a.tar",
            "gopher://x/a.tar",
            "https://[/a",
        ),
    ],
)
def test_shards_that_records_may_not_name(url: str) -> None:
    with pytest.raises(UnsafeURL):
        RecordSource([url], Policy(), "a record")


def test_shards_at_private_addresses_behind_names(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    ask = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: ask("127.0.0.1", *rest, **more))
    source = RecordSource([f"https://innocent.example.org:{server.server_address[1]}/a.tar"], Policy(), "a record")
    with pytest.raises(UnsafeURL, match=r"innocent\.example\.org.* leads to 127\.0\.0\.1"):
        source.open_shard(source.list_shards()[0])
    assert server.asked == []
