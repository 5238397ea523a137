"""Records: what one may be, its key, its CID, and lists of them."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from atdata.cid import generate_cid
from atdata.errors import AtdataError, NoCID
from atdata.uri import AtUri

from .errors import AtmosphereWarning, InvalidRecord, ServerFault, WrongRecord

NAMESPACE = "ac.foundation.dataset"
SCHEMA, DATASET, LENS = (f"{NAMESPACE}.{name}" for name in ("sampleSchema", "record", "lens"))

PAGE = 100
LARGEST = 1_000_000  # bytes of a request that servers read as JSON
# Older servers take 150 KiB at once
BATCH_BYTES, BATCH_RECORDS = 140_000, 200
_SAFE_INTEGER = 2**53 - 1
_DEEPEST = 100
_EMPTY_PAGES, _MOST_PAGES = 20, 100_000


class Record(dict[str, Any]):
    """A record as its owner wrote it, fields that this version does not know included.

    Attributes:
        uri: where it is; the authority is the owner's DID.
        cid: its CID, or None where the server did not tell.
    """

    uri: AtUri
    cid: str | None

    def __init__(self, value: Mapping[str, Any], uri: AtUri, cid: str | None) -> None:
        super().__init__(value)
        self.uri, self.cid = uri, cid

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self.uri, self.cid)


# ------------------------------------------------------------------------------------------------ keys

_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
_lock = threading.Lock()
_clock_id = secrets.randbelow(1024)
_last = 0


def new_key() -> str:
    """A new record key: a TID, which sorts by time and is never given twice."""
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        number = _last << 10 | _clock_id
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def is_timed(key: str) -> bool:
    """Whether a record key is a TID."""
    return len(key) == 13 and set(key) <= set(_ALPHABET)


def time_of(key: str) -> datetime:
    """When a TID was made, as whoever made it says.

    Raises:
        ValueError: it is no TID.
    """
    number = 0
    for letter in key:
        number = number << 5 | _ALPHABET.index(letter)
    return datetime.fromtimestamp((number >> 10) / 1e6, UTC)


# ------------------------------------------------------------------------------------------------ values


def wire(value: Any, where: str = "record") -> Any:
    """A value as it is sent: bytes as ``{"$bytes": ...}``, everything else as it is.

    Args:
        value: JSON-like, and bytes.
        where: what it is, for messages.

    Raises:
        InvalidRecord: the protocol has no such value; says where in the record.
    """
    return _wire(value, where, 0)


def _wire(value: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InvalidRecord(f"{where[:200]} is nested more than {_DEEPEST} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if abs(value) > _SAFE_INTEGER:
            raise InvalidRecord(f"{where} is {value:,}; servers keep integers up to {_SAFE_INTEGER:,} only")
        return value
    if isinstance(value, bytes):
        return {"$bytes": padless(value)}
    if isinstance(value, Mapping):
        return {
            _text(key, f"a key of {where}"): _wire(item, f"{where}.{key}", depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_wire(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, float):
        raise InvalidRecord(f"{where} is {value!r}; the protocol has no floats: write it as text, or into metadata")
    raise InvalidRecord(f"{where} is a {type(value).__name__}, which the protocol does not have")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRecord(f"{where} is {value!r:.80}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRecord(f"{where} is not text that UTF-8 can hold") from None
    return value


def check_depth(record: Mapping[str, Any]) -> None:
    """Refuse a record of others that is nested deeper than one may be written.

    Raises:
        WrongRecord: it is.
    """
    level: list[Any] = [record]
    for _ in range(_DEEPEST + 2):
        level = [
            inner
            for item in level
            if isinstance(item, Mapping | list)
            for inner in (item.values() if isinstance(item, Mapping) else item)
        ]
    if level:
        raise WrongRecord(f"it is nested more than {_DEEPEST} deep")


def checked(collection: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is sent, if a server would take it.

    Raises:
        InvalidRecord: it would not: too large, of another collection, or with values that the protocol lacks.
    """
    if not isinstance(record, Mapping):
        raise InvalidRecord(f"a record is a map, not {type(record).__name__}")
    value: dict[str, Any] = wire(record)
    if value.get("$type") != collection:
        raise InvalidRecord(f"a record of {collection} has that as its '$type'; found {value.get('$type')!r:.100}")
    if (size := json_size(value)) > LARGEST:
        raise InvalidRecord(f"the record has {size:,} bytes; servers take at most {LARGEST:,}")
    return value


def json_size(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def blob_bytes(value: Any) -> int:
    """How many bytes the blobs have, as far as it is said, that a record refers to."""
    if isinstance(value, Mapping):
        own = value.get("size") if value.get("$type") == "blob" else None
        return own if type(own) is int and own > 0 else sum(map(blob_bytes, value.values()))
    return sum(map(blob_bytes, value)) if isinstance(value, list | tuple) else 0


def record_cid(value: Mapping[str, Any]) -> str:
    """The CID of a record as it is sent: what the server will call it.

    Raises:
        NoCID: it holds bytes or links that cannot be read, or a value that the protocol lacks; a ``ValueError``.
    """
    try:
        plain = _ipld(value)
    except ValueError as error:
        raise NoCID(f"a record with bytes or links that cannot be read: {error}") from None
    return generate_cid(plain)


def _ipld(value: Any) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(text := value.get("$bytes"), str):
            return unpadded(text)
        if len(value) == 1 and isinstance(text := value.get("$link"), str):
            # the encoder makes a link of the bytes of a CID
            return cid_bytes(text)
        return {key: _ipld(item) for key, item in value.items()}
    return [_ipld(item) for item in value] if isinstance(value, list | tuple) else value


def cid_text(cid: bytes) -> str:
    """A CID as text."""
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def cid_bytes(text: str) -> bytes:
    """The bytes of a CID, from its text; ``ValueError`` for what is none."""
    return base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))


def padless(data: bytes) -> str:
    """Bytes in base64 without padding."""
    return base64.b64encode(data).decode().rstrip("=")


def unpadded(text: str) -> bytes:
    """Bytes from base64 with or without padding."""
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)


# ------------------------------------------------------------------------------------------------ lists


def pages(fetch: Callable[[str | None], Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The pages of a listing, for as long as the server has more.

    Args:
        fetch: gives the page at a cursor.

    Raises:
        ServerFault: the listing goes in circles.
    """
    cursor, seen, empty = None, set[Any](), 0
    while len(seen) < _MOST_PAGES:
        page = fetch(cursor)
        yield page
        cursor = page.get("cursor")
        empty = 0 if page.get("records") else empty + 1
        if not cursor:
            return
        if not isinstance(cursor, str) or cursor in seen or empty > _EMPTY_PAGES:
            raise ServerFault("a listing goes in circles, so it is left here")
        seen.add(cursor)
    raise ServerFault(f"a listing has no end; it is left after {_MOST_PAGES:,} pages")


def entries(page: Mapping[str, Any]) -> list[Any]:
    """The entries of a page.

    Raises:
        ServerFault: it has no list of them.
    """
    found = page.get("records")
    if not isinstance(found, list):
        raise ServerFault("a listing has no list of records")
    return found


def listed(entry: Any, did: str, collection: str) -> Record | None:
    """A record from its entry in a listing; None, with a warning, for what is none."""
    try:
        uri = AtUri.parse(entry["uri"])
        if (uri.authority, uri.collection) == (did, collection) and isinstance(entry["value"], dict):
            return Record(entry["value"], uri, str(entry["cid"]) if entry.get("cid") else None)
    except (AtdataError, AttributeError, KeyError, TypeError):
        pass
    warnings.warn(f"left out of a listing, as it is no record: {entry!r:.200}", AtmosphereWarning, stacklevel=4)
    return None


def batches(writes: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Group records into what is sent at once: each group is written whole or not at all."""
    group: list[dict[str, Any]] = []
    size = 0
    for collection, record in writes:
        value = checked(collection, record)
        more = json_size(value) + 200  # with what is said around it
        if group and (size + more > BATCH_BYTES or len(group) == BATCH_RECORDS):
            yield group
            group, size = [], 0
        group.append(
            {
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": collection,
                "rkey": new_key(),
                "value": value,
            }
        )
        size += more
    if group:
        yield group


def uris_of(did: str, group: Sequence[Mapping[str, Any]]) -> list[AtUri]:
    """Where the records of a group are."""
    return [AtUri(did, write["collection"], write["rkey"]) for write in group]
