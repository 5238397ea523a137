"""A real HTTP server on the loopback interface that does what it is told, faults included."""

import contextlib
import gc
import http.server
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import pytest

from atdata import URLSource
from atdata.sources import download

DATA = bytes(range(256)) * 2000
PATH = "/data.tar"


@dataclass
class Answer:
    """What the server does with one request.

    Attributes:
        status: answer with this and no content, instead of a file.
        headers: more headers.
        data: content, instead of the file's.
        etag: its entity tag, or None.
        modified: its time of last modification, or None.
        ranges: whether to heed ``Range``.
        shift: heed it by so many bytes too late.
        length: the length to announce; None for the true one, 0 for none.
        chunked: send in chunks, without a length.
        cut: drop the connection after so many bytes of the body.
        reset: drop it the hard way.
        stall: instead of dropping it, send nothing more.
    """

    status: int | None = None
    headers: dict = field(default_factory=dict)
    data: bytes | None = None
    etag: str | None = '"v1"'
    modified: str | None = None
    ranges: bool = True
    shift: int = 0
    length: int | None = None
    chunked: bool = False
    cut: int | None = None
    reset: bool = False
    stall: bool = False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        path = self.path.partition("?")[0]
        self.server.requests.append((self.path, self.headers))
        answers = self.server.answers.get(path, [Answer()])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        data = self.server.files.get(path) if answer.data is None else answer.data
        if answer.status is None and data is None:
            answer = Answer(status=404)
        if answer.status is not None:
            self.begin(answer.status, answer.headers, 0)
            return
        facts = {"ETag": answer.etag, "Last-Modified": answer.modified, **answer.headers}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and answer.ranges else 0
        if self.headers.get("If-Range") not in (None, answer.etag, answer.modified):
            start = 0
        if start >= len(data) and start:
            self.begin(416, {"Content-Range": f"bytes */{len(data)}"}, 0)
            return
        if start:
            start += answer.shift
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        length = (len(body) if answer.length is None else answer.length) or None
        if answer.chunked:
            length, facts["Transfer-Encoding"] = None, "chunked"
            pieces = [body[low : low + 5000] for low in range(0, len(body), 5000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        self.begin(206 if start else 200, facts, length)
        self.send_body(answer, body)

    def begin(self, status, headers, length):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def send_body(self, answer, body):
        try:
            for low in range(0, len(body[: answer.cut]), 1 << 16):
                piece = body[low : low + (1 << 16)][: None if answer.cut is None else answer.cut - low]
                self.wfile.write(piece)
                self.server.sent += len(piece)
        except OSError:
            return  # the client has left
        if answer.stall:
            self.server.released.wait(20)
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *arguments):
        pass

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path as ``answers`` say, one answer after another, the last again and again."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.answers = {}
        self.requests = []
        self.sent = 0
        self.released = threading.Event()

    def handle_error(self, request, client_address):
        pass

    def serve(self, *answers, data=DATA, path=PATH):
        """Serve a file, and answer requests for it so."""
        self.files[path] = data
        if answers:
            self.answers[path] = list(answers)

    def read(self, path=PATH, **options):
        """A file, as a source with these options reads it."""
        source = URLSource(self.url + path, **options)
        with source.open_shard(self.url + path) as stream:
            return stream.read()

    def ranges(self):
        """The ranges that were asked for."""
        return [headers.get("Range") for _, headers in self.requests]


@pytest.fixture
def answer():
    return Answer


@pytest.fixture
def make_server():
    """Makes servers, and ends them after the test."""
    running = []

    def make():
        server = Server()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield make
    for server, thread in running:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def no_proxies(monkeypatch):
    """What the environment says of proxies does not count."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def readers_end():
    """Waits until no thread reads ahead any more; so does the end of the test."""

    def wait():
        deadline = time.monotonic() + 60
        while any(thread.name == "atdata-prefetch" for thread in threading.enumerate()):
            assert time.monotonic() < deadline, "a thread that reads ahead has not ended"
            gc.collect()
            time.sleep(0.01)

    yield wait
    wait()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that retries would have waited; they do not wait."""
    seconds = []
    monkeypatch.setattr(download, "_pause", lambda _stopping, delay: seconds.append(delay))
    return seconds
