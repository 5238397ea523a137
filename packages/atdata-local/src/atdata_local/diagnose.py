"""Whether the place of an index is fit for it, and what to do where it is not."""

from __future__ import annotations

import re
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .catalog import Catalog
from .catalog.redis import RedisCatalog
from .catalog.sqlite import SQLiteCatalog

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Less than this is left for other programs, too, in bytes.
_LITTLE_SPACE = 1 << 30


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        status: ``ok``, ``warning`` for what may cost data or time one day, ``error`` for what does so now.
        found: what is there.
        advice: what to do about it; empty where all is well.
    """

    check: str
    status: Literal["ok", "warning", "error"]
    found: str
    advice: str = ""


def diagnose(catalog: Catalog, *, audit: bool = False) -> list[Finding]:
    """Look at the place of an index.

    Args:
        catalog: the index's catalog.
        audit: also look at every record and follow every lookup.

    Raises:
        AtdataError: it cannot be reached at all.
    """
    findings: list[Finding] = []
    if isinstance(catalog, RedisCatalog):
        findings += _redis(catalog)
    elif isinstance(catalog, SQLiteCatalog):
        findings += _sqlite(catalog)
    if audit:
        problems = catalog.audit()
        findings += [
            Finding("records", "error", problem, "insert the dataset again, or restore a backup")
            for problem in problems
        ]
        findings += [] if problems else [Finding("records", "ok", "every record and lookup agrees with the others")]
    return findings


def _judge(check: str, found: str, bad: bool, advice: str, status: Literal["warning", "error"] = "warning") -> Finding:
    return Finding(check, status, found, advice) if bad else Finding(check, "ok", found)


def _sqlite(catalog: SQLiteCatalog) -> Iterator[Finding]:
    catalog.page(limit=1)
    yield Finding("file", "ok", f"{catalog.path}, {catalog.path.stat().st_size:,} bytes")
    yield _judge("writing", "allowed" if catalog.writable else "not allowed", not catalog.writable, "ask its owner")
    yield Finding("version", "ok", f"SQLite {sqlite3.sqlite_version}")
    free = shutil.disk_usage(catalog.path.parent).free
    yield _judge("disk", f"{free:,} bytes free", free < _LITTLE_SPACE, "free some space; a full disk takes no entries")
    kind = _file_system(catalog.path)
    shared = kind.startswith(("nfs", "cifs", "smb", "9p", "fuse"))
    advice = "file locks are often broken there: keep the file on a local disk, or use Redis for a team"
    yield _judge("file system", kind, shared, advice)


def _file_system(path: Path) -> str:
    """The kind of file system of a path, where the system tells: ``ext4``, ``nfs4``, ..."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    around = [(len(mount[1]), mount[2]) for mount in mounts if path.is_relative_to(mount[1].replace("\\040", " "))]
    return max(around, default=(0, "unknown"))[1]


def _redis(catalog: RedisCatalog) -> Iterator[Finding]:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        catalog.schema("Latency", "1.0.0")
        times.append((time.perf_counter() - start) * 1000)
    latency = statistics.median(times)
    yield _judge("latency", f"{latency:.2f} ms a question", latency > 10, "a server nearer to its users answers sooner")
    yield from _connection(catalog)
    for node, info in catalog.server_info().items():
        where = f" of {node}" if node else ""
        for finding in _server(info):
            yield Finding(finding.check + where, finding.status, finding.found, finding.advice)


def _connection(catalog: RedisCatalog) -> Iterator[Finding]:
    for host, options in catalog.connections():
        local = host in _LOOPBACK or host.startswith("/")
        password = bool(options.get("password") or options.get("credential_provider"))
        advice = "set requirepass, or users with ACL SETUSER, and connect with a password"
        yield _judge("password", f"{host}: {'used' if password else 'none'}", not (password or local), advice)
        tls = bool(options.get("tls"))
        advice = "passwords and entries travel in clear text; use TLS: rediss://"
        yield _judge("encryption", f"{host}: {'TLS' if tls else 'none'}", not (tls or local), advice)


def _server(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", "0"))
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    yield _judge("version", name, numbers < [6, 0], "upgrade the server to 6.0 or newer", "error")

    appends = bool(int(info.get("aof_enabled", 0)))
    advice = "what was written since the last snapshot is lost when the server stops; set appendonly yes"
    yield _judge("persistence", "append-only file" if appends else "snapshots at most", not appends, advice)
    failed = [key for key in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(key, "ok") != "ok"]
    advice = "the server cannot write to its disk; look into its log, and free its disk"
    yield _judge("saving", ", ".join(failed) or "works", bool(failed), advice, "error")

    policy, limit, used = (
        info.get("maxmemory_policy", "unknown"),
        int(info.get("maxmemory", 0)),
        int(info["used_memory"]),
    )
    evicts = policy not in ("noeviction", "unknown")
    advice = "a server at its limit would throw entries away; set maxmemory-policy noeviction"
    yield _judge("memory policy", policy, evicts, advice, "error" if limit else "warning")
    amount = f"{used:,} of {limit:,} bytes" if limit else f"{used:,} bytes, no limit"
    yield _judge("memory", amount, bool(limit) and used > 0.8 * limit, "raise maxmemory, or delete entries")
    lost = int(info.get("evicted_keys", 0))
    advice = "entries may be among them; run atdata diagnose --audit"
    yield _judge("evicted keys", f"{lost:,}", lost > 0, advice)

    master = info.get("role", "master") == "master"
    yield _judge(
        "role", str(info.get("role")), not master, "a replica takes no changes; connect to its master to write"
    )
