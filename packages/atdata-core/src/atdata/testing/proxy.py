"""A TCP proxy that does to connections what networks do: cuts, stalls, changed bytes, servers that are busy."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 64 << 10
_METHODS: Final = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")
_BUSY: Final = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultyProxy:
    """A port of this machine behind which a server is, but not always. Use it with ``with``.

    Args:
        port: the server's port on the loopback interface.
        cut: how likely it is that a connection is cut, each time that up to 64 KiB pass.
        stall: the same, that it does nothing for ``pause`` seconds and is cut then.
        corrupt: the same, that one bit is changed.
        busy: how likely it is that an HTTP request is answered with 503.
        pause: see ``stall``.
        rate: bytes per second that each connection lets through from the server; None for all it can.
        seed: what decides where faults are, as far as threads let it.

    Attributes:
        faults: how many there were of each kind.
    """

    def __init__(
        self,
        port: int,
        *,
        cut: float = 0.0,
        stall: float = 0.0,
        corrupt: float = 0.0,
        busy: float = 0.0,
        pause: float = 1.0,
        rate: float | None = None,
        seed: int = 0,
    ) -> None:
        self.faults = {"cut": 0, "stall": 0, "corrupt": 0, "busy": 0}
        self._server = port
        self._chances = {"cut": cut, "stall": stall, "corrupt": corrupt}
        self._busy = busy
        self._pause = pause
        self._rate = rate
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: set[socket.socket] = set()

    @property
    def port(self) -> int:
        """The proxy's own port."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            _cut(*self._open)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._rate), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, rate: float | None) -> None:
        begun, passed = time.monotonic(), 0
        try:
            while data := source.recv(_CHUNK):
                fault = self._fault(data)
                if fault == "busy":
                    source.sendall(_BUSY)
                    break
                if fault == "stall":
                    time.sleep(self._pause)
                if fault in ("cut", "stall"):
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(self._changed(data) if fault == "corrupt" else data)
                passed += len(data)
                if rate is not None:
                    ahead = passed / rate - (time.monotonic() - begun)
                    if ahead < -0.01:  # it was idle, which is no credit for later
                        begun, passed = time.monotonic(), 0
                    elif ahead > 0.002:
                        time.sleep(ahead)
        except OSError:
            pass  # the other side is gone
        finally:
            _cut(source, target)
            with self._lock:
                self._open -= {source, target}
            source.close()

    def _fault(self, data: bytes) -> str | None:
        with self._lock:
            if data.startswith(_METHODS) and self._random.random() < self._busy:
                self.faults["busy"] += 1
                return "busy"
            draw = self._random.random()
            for kind, chance in self._chances.items():
                if draw < chance:
                    self.faults[kind] += 1
                    return kind
                draw -= chance
        return None

    def _changed(self, data: bytes) -> bytes:
        with self._lock:
            place, bit = self._random.randrange(len(data)), 1 << self._random.randrange(8)
        return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def _cut(*sides: socket.socket) -> None:
    for side in sides:
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
