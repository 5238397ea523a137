"""Whether a catalog contradicts itself: every key or row is looked at, every lookup followed."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from typing import Any, Final

_CHECKS: Final = (
    (
        "{} has entries and is at none of them",
        "SELECT name FROM entries GROUP BY name HAVING sum(current) != 1",
    ),
    (
        "{} is not at its latest entry",
        "SELECT name FROM entries a WHERE current AND seq < (SELECT max(seq) FROM entries b WHERE b.name = a.name)",
    ),
    (
        "{} is found by words and has no entry",
        "SELECT DISTINCT name FROM words WHERE name NOT IN (SELECT name FROM entries WHERE current)",
    ),
    (
        "{} is not found by words of its entry",
        """
        WITH RECURSIVE split (name, word, rest) AS (
            SELECT name, '', words || char(10) FROM entries WHERE current
            UNION ALL
            SELECT name, substr(rest, 1, instr(rest, char(10)) - 1), substr(rest, instr(rest, char(10)) + 1)
            FROM split WHERE rest != ''
        )
        SELECT DISTINCT name FROM split
        WHERE word != '' AND NOT EXISTS (SELECT 1 FROM words w WHERE w.name = split.name AND w.token = split.word)
        """,
    ),
)


def audit_sqlite(db: sqlite3.Connection) -> list[str]:
    """What contradicts itself in an index file, one line each."""
    problems = [str(row[0]) for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    for message, query in _CHECKS:
        problems += [message.format(repr(row[0])) for row in db.execute(query)]
    return problems


def audit_redis(redis: Any, base: str) -> list[str]:
    """What contradicts itself in a repository on Redis, one line each. Changes while it looks may look like faults.

    Args:
        redis: the client.
        base: what the repository's keys begin with.
    """
    keys = {_text(key).removeprefix(f"{base}:") for key in redis.scan_iter(match=f"{base}:*", count=1000)}
    cids = {key.removeprefix("entry:") for key in keys if key.startswith("entry:")}
    schemas = {key.removeprefix("schema:") for key in keys if key.startswith("schema:")}
    lookups = {"names", "history", "order", "words", "counter", "schemas", "shapes"}
    rest = keys - lookups - {f"entry:{cid}" for cid in cids} - {f"schema:{schema}" for schema in schemas}
    problems = [f"key {base}:{key} is nobody's" for key in sorted(rest) if not key.startswith("call:")]
    return problems + _audit_entries(redis, base, cids) + _audit_schemas(redis, base, schemas)


def _audit_entries(redis: Any, base: str, cids: set[str]) -> list[str]:
    records: dict[tuple[str, str], dict[str, str]] = {}
    for cid in cids:
        record = {_text(field): _text(value) for field, value in redis.hgetall(f"{base}:entry:{cid}").items()}
        also = json.loads(record.pop("also", "{}"))
        for one in (record, *also.values()):
            records[one.get("name", ""), cid] = one
    order = {_pair(member): int(number) for member, number in redis.zrange(f"{base}:order", 0, -1, withscores=True)}
    history = {}
    for member in redis.zrange(f"{base}:history", 0, -1):
        name, number, cid = _text(member).split("\0")
        history[name, cid] = int(number)
    places = [_pair(member) for member in redis.zrange(f"{base}:names", 0, -1)]
    words = defaultdict(set)
    for member in redis.zrange(f"{base}:words", 0, -1):
        token, name = _text(member).split("\0")
        words[name].add(token)

    problems = [f"{name!r}: no record of {cid}" for name, cid in order.keys() - records.keys()]
    problems += [f"{name!r}: the record of {cid} is an orphan" for name, cid in records.keys() - order.keys()]
    problems += [
        f"{name!r}: order and history differ about {cid}" for (name, cid), _ in order.items() ^ history.items()
    ]
    for pair, record in records.items():
        if pair in order and record.get("seq") != str(order[pair]):
            problems.append(f"{pair[0]!r}: the record of {pair[1]} has another number")
    latest = {name: cid for (name, cid), _ in sorted(order.items(), key=lambda item: item[1])}
    problems += [f"{name!r} dangles: it is at {cid}" for name, cid in sorted(set(places) ^ latest.items())]
    problems += [f"{name!r} is found by words and has no entry" for name in words.keys() - latest.keys()]
    for name, cid in latest.items():
        wanted = set(records.get((name, cid), {}).get("words", "").split("\n")) - {""}
        if not wanted <= words[name]:
            problems.append(f"{name!r} is not found by words of its entry")
    return problems


def _audit_schemas(redis: Any, base: str, schemas: set[str]) -> list[str]:
    listed = {f"{name}@{version}" for name, _, version in _members(redis, f"{base}:schemas")}
    shaped = {f"{name}@{version}" for name, _, _, version in _members(redis, f"{base}:shapes")}
    return [f"schema {schema} is not in all lookups" for schema in sorted((schemas ^ listed) | (schemas ^ shaped))]


def _members(redis: Any, key: str) -> list[list[str]]:
    return [_text(member).split("\0") for member in redis.zrange(key, 0, -1)]


def _pair(member: Any) -> tuple[str, str]:
    name, cid = _text(member).split("\0")
    return name, cid


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
