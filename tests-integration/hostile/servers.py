"""The servers of somebody who means harm, and one that nobody may talk to."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from testnet.serving import Quiet, Server

# Stands for an address of the public internet
PUBLIC = "127.0.0.2"
_BLOCK = 1 << 16


def tar(*members: tuple[str, bytes]) -> bytes:
    """A tar of these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def packed(value: bytes) -> bytes:
    """A shard of one sample whose field ``text`` is these bytes of msgpack."""
    return tar(("0.msgpack", b"\x81\xa4text" + value))


def header(size: int) -> bytes:
    """The header of a member that claims to be so large."""
    info = tarfile.TarInfo("0.msgpack")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


class _Touch:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def _pickled(path: Path) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    data = file.getvalue() + pickle.dumps(_Touch(path))
    return b"\xc6" + len(data).to_bytes(4, "big") + data


def _vast() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 45,)})
    return b"\xc4" + bytes([len(file.getvalue())]) + file.getvalue()


class Evil(Server):
    """A web server with shards of many bad kinds.

    Args:
        certificate: of its TLS, for ``PUBLIC``.
        canary: the address that nobody may talk to.
        trap: a file that nobody may make.
        good: a shard that is one.
    """

    def __init__(self, certificate: Path, canary: str, trap: Path, good: bytes) -> None:
        super().__init__(_Handler, certificate, PUBLIC)
        self.redirects = {
            "private": f"https://{canary}/x.tar",
            "private-name": f"https://localhost:{canary.rpartition(':')[2]}/x.tar",
            "metadata": "https://169.254.169.254/latest/meta-data/",
            "plain": f"http://{PUBLIC}:{self.server_address[1]}/good.tar",
            "file": "file:///etc/passwd",
            "ftp": f"ftp://{canary}/x.tar",
            "data": "data:application/x-tar,hello",
            "circle": f"{self.url}/redirect/circle",
        }
        self.shards = {
            "good.tar": good,
            "nothing.tar": b"",
            "garbage.tar": b"no tar" * 1000,
            "gzipped.tar": gzip.compress(tar(("0.msgpack", bytes(50_000_000)))),
            "deep.tar": packed(b"\x91" * 1_000_000),
            "many.tar": packed(b"\xdd\xff\xff\xff\xff"),
            "long.tar": packed(b"\xdb\xff\xff\xff\xff"),
            "pickle.tar": packed(_pickled(trap)),
            "vast.tar": packed(_vast()),
            "no-map.tar": tar(("0.msgpack", b"\xc0")),
            "../../up.tar": tar(("../../../../tmp/up", b"\x81\xa4text\xa1a"), ("/etc/passwd", b"")),
        }
        self.endless: dict[str, Iterable[bytes]] = {
            "garbage": itertools.repeat(b"garbage " * (_BLOCK // 8)),
            "zeros": itertools.repeat(bytes(_BLOCK)),
            "member": itertools.chain([header(1 << 40)], itertools.repeat(bytes(_BLOCK))),
            "headers": itertools.repeat(_long_name() * 100),
        }


def _long_name() -> bytes:
    """The header of a name that is longer than anybody needs, and never followed by what it names."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 512
    return info.tobuf(tarfile.GNU_FORMAT) + b"a" * 512


class _Handler(Quiet):
    server: Evil  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        kind, _, name = self.path.lstrip("/").partition("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("location", self.server.redirects[name])
            self.end_headers()
        elif kind == "endless":
            self.send_response(200)
            self.end_headers()
            for block in self.server.endless[name]:
                self.wfile.write(block)
        elif kind == "encoded":
            data = gzip.compress(bytes(50_000_000))
            self.send_response(200)
            self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        else:
            shard = self.server.shards.get(f"{kind}/{name}".rstrip("/"))
            self.send_response(404 if shard is None else 200)
            self.send_header("content-length", str(len(shard or b"")))
            self.end_headers()
            self.wfile.write(shard or b"")


class Canary:
    """Counts who knocks.

    Attributes:
        port: where, on the loopback addresses of both protocols.
        knocks: how often.
    """

    def __init__(self) -> None:
        self.knocks = 0
        first = socket.create_server(("127.0.0.1", 0))
        self.port: int = first.getsockname()[1]
        listening = [first]
        if socket.has_ipv6:
            listening.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for server in listening:
            threading.Thread(target=self._count, args=(server,), daemon=True).start()

    def _count(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            self.knocks += 1
            connection.close()
