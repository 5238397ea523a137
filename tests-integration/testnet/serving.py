"""What the web servers of these tests have in common."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class Server(ThreadingHTTPServer):
    """A server that answers from the beginning to ``close()``, or to the end of ``with``.

    Args:
        handler: makes what answers a request.
        certificate: file of a key and a certificate, to speak TLS.
        host: an address of this machine.

    Attributes:
        url: where it is.
    """

    daemon_threads = True

    def __init__(self, handler: Any, certificate: Path | None = None, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        name = "localhost" if host == "127.0.0.1" else host
        self.url = f"http{'s' if certificate else ''}://{name}:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up on what they do not need to its end, or do not trust."""

    def close(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Quiet(BaseHTTPRequestHandler):
    """A request of which nothing is printed."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
