"""A server of DNS, and one of https for any host: what handles are looked up with."""

from __future__ import annotations

import socketserver
import threading
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .serving import Quiet, Server


class Dns(socketserver.ThreadingUDPServer):
    """Answers questions for TXT records.

    Attributes:
        texts: TXT records by name, each as the file of a zone has it; what is not here does not exist.
        asked: the names that were asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Question)
        self.texts: dict[str, list[str]] = {}
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.server_address[1])


class _Question(socketserver.BaseRequestHandler):
    server: Dns  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        data, answering = self.request
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.server.asked.append(name)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        texts = self.server.texts.get(name)
        if texts is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        else:
            kind = (dns.rdataclass.IN, dns.rdatatype.TXT)
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, *kind, *texts))
        answering.sendto(reply.to_wire(), self.client_address)


class WellKnown(Server):
    """Says over TLS whose a host is.

    Args:
        certificate: for the hosts.

    Attributes:
        dids: what it says, by host.
        asked: hosts and paths that were asked for.
    """

    def __init__(self, certificate: Path) -> None:
        self.dids: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(_Handler, certificate)


class _Handler(Quiet):
    server: WellKnown  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        host = self.headers["host"]
        self.server.asked.append(f"{host}{self.path}")
        content = self.server.dids.get(host) if self.path == "/.well-known/atproto-did" else None
        self.send_response(404 if content is None else 200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")
