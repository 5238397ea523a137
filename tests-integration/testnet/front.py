"""A server that stands before a network and misbehaves as it is told."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from .network import Network
from .serving import Quiet, Server

# Answers a request itself, and returns True; or returns False, and the network answers
Rule: TypeAlias = Callable[["Handler"], bool]


class Handler(Quiet):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Front  # pyright: ignore[reportIncompatibleVariableOverride]

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append(f"{self.command} {self.path}")
        if not self.server.rule(self):
            self.forward()

    do_GET = do_POST = _handle

    def forward(self) -> None:
        """Answer as the network does, but name this server wherever it names its own."""
        network = self.server.network
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "content-length")}
        request = urllib.request.Request(
            (network.plc if self.path.startswith("/did:") else network.pds) + self.path,
            data=self.body if self.command == "POST" else None,
            headers=headers,
            method=self.command,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, content, kind = reply.status, reply.read(), reply.headers["content-type"]
        except urllib.error.HTTPError as error:
            status, content, kind = error.code, error.read(), error.headers["content-type"]
        self.answer(status, content.replace(network.pds.encode(), self.server.url.encode()), kind)

    def answer(self, status: int, content: bytes | dict[str, Any], kind: str = "application/json", **more: str) -> bool:
        """Send an answer."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind or "application/json")
        self.send_header("content-length", str(len(data)))
        for key, value in more.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
        return True


class Front(Server):
    """Passes requests on to a network, unless the rule answers them.

    Args:
        network: the network.
        certificate: file of a key and a certificate for ``localhost``, to speak TLS.

    Attributes:
        url: where it is, as a PDS and as a directory of DIDs.
        rule: what to do with each request.
        requests: what was asked so far: methods and paths.
    """

    def __init__(self, network: Network, certificate: Path | None = None) -> None:
        self.network = network
        self.rule: Rule = lambda handler: False
        self.requests: list[str] = []
        super().__init__(Handler, certificate)
