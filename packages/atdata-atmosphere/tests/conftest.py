"""A small personal data server on the loopback interface that keeps blobs, and misbehaves as it is told."""

import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from atdata.atmosphere import AtmosphereClient
from atdata_atmosphere.storage import raw_cid

DID = "did:plc:abcdefghijklmnopqrstuvwx"


def cid_of(data: bytes) -> str:
    return raw_cid(hashlib.sha256(data).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """One request. A fault is a function of it and of what it asks for; True says that it was answered so."""

    protocol_version = "HTTP/1.1"
    server: "Pds"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        method = url.path.rpartition("/")[2]
        self.server.requests.append(f"{self.command} {method}")
        self.server.headers.append(dict(self.headers.items()))
        if method.startswith("did:"):
            service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self.server.named}
            self.answer({"id": method, "service": [service]})
        elif method == "com.atproto.server.describeServer":
            self.answer({} if self.server.limit is None else {"blobUploadLimit": self.server.limit})
        elif method == "com.atproto.identity.resolveHandle":
            self.answer({"error": "InvalidRequest", "message": "Unable to resolve handle"}, 400)
        elif method == "com.atproto.sync.getBlob":
            data = self.server.blobs.get(query["cid"])
            if data is None or query["did"] != DID:
                self.answer({"error": "InvalidRequest", "message": "Blob not found"}, 400)
            elif not self.server.fault(self, data):
                self.blob(data)
        else:
            self.answer({"error": "MethodNotImplemented"}, 501)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.server.requests.append("POST uploadBlob")
        self.server.headers.append(dict(self.headers.items()))
        size = int(self.headers["content-length"])
        if self.server.fault(self, size):
            return
        data = self.rfile.read(size)
        if len(data) < size:  # the client has left
            self.close_connection = True
            return
        self.server.blobs[cid_of(data)] = data
        ref = {"$link": cid_of(data)}
        self.answer({"blob": {"$type": "blob", "ref": ref, "mimeType": self.headers["content-type"], "size": size}})

    def blob(self, data: bytes, length: int | None = None, **headers: str) -> bool:
        """Send a blob, or what shall pass for it."""
        self.send_response(200)
        self.send_header("content-type", "application/x-tar")
        self.send_header("content-length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):  # the client has left
                self.wfile.write(data)
        return True

    def answer(self, content: dict[str, Any], status: int = 200) -> bool:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        return True

    def hang_up(self) -> bool:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

    def log_message(self, *arguments: Any) -> None:
        pass


class Pds(ThreadingHTTPServer):
    """A server of one account, and the directory in which that is found.

    Attributes:
        url: where it is.
        named: where the account's document says that it is.
        blobs: what it has, by CID.
        limit: the bytes of a blob that it says it takes; None if it does not say.
        requests: what was asked.
        headers: of each request.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = self.named = f"http://localhost:{self.server_port}"
        self.blobs: dict[str, bytes] = {}
        self.limit: int | None = None
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._faults: list[Callable[[Handler, Any], Any]] = []
        self._lock = threading.Lock()

    def add(self, data: bytes) -> dict[str, str]:
        """Keep a blob. Returns a reference to it."""
        self.blobs[cid_of(data)] = data
        return {"did": DID, "cid": cid_of(data)}

    def then(self, *faults: Callable[[Handler, Any], Any]) -> None:
        """What to do with the next blobs that are asked for or sent; False is nothing special."""
        self._faults = list(faults)

    def fault(self, handler: Handler, what: Any) -> bool:
        if handler.command == "HEAD":
            return False
        with self._lock:
            fault = self._faults.pop(0) if self._faults else None
        return bool(fault and fault(handler, what))

    def count(self, request: str) -> int:
        return self.requests.count(request)

    def client(self, **options: Any) -> AtmosphereClient:
        """A client of the account, logged in."""
        options = {"plc_url": self.url, "allow_insecure": True, "timeout": 5.0, **options}
        client = AtmosphereClient(self.url, **options)
        claims = {"sub": DID, "iat": int(time.time()), "exp": int(time.time()) + 9000, "scope": "com.atproto.access"}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        client.login_with_session(":::".join(["alice.test", DID, f"e30.{body}.e30", f"e30.{body}.e30", self.url]))
        return client

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture
def make_pds() -> Iterator[Callable[[], Pds]]:
    """Makes servers, and ends them after the test."""
    running: list[tuple[Pds, threading.Thread]] = []

    def make() -> Pds:
        server = Pds()
        thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield make
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pds(make_pds: Callable[[], Pds], monkeypatch: pytest.MonkeyPatch) -> Pds:
    """A server in the network that the environment names."""
    server = make_pds()
    for name, value in {"PLC": server.url, "PDS": server.url, "ALLOW_INSECURE": "1"}.items():
        monkeypatch.setenv(f"ATDATA_{name}", value)
    return server


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where blobs are kept."""
    monkeypatch.setenv("ATDATA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that retries would have waited; they do not wait."""
    from atdata.sources import download

    seconds: list[float] = []
    monkeypatch.setattr(download, "_pause", lambda _stopping, delay: seconds.append(delay))
    return seconds
