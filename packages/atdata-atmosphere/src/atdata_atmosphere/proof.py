"""Proofs that a record is in a repository: a signed commit, and the hashes that lead from it to the record.

A repository is a tree of its records, sorted by their keys (a Merkle search tree); a commit names the root of the tree
and is signed with the key of the account. Whoever has the commit and the nodes on the way to a record needs to believe
no server: every block is what its CID says, and the first one is what the owner of the key signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import libipld
from atproto_core.exceptions import AtProtocolError
from atproto_crypto.verify import verify_signature

from atdata.uri import AtUri

from .errors import NotProven, RecordNotFound
from .records import cid_text, padless, time_of

# CIDv1, hash sha2-256, 32 bytes; of DAG-CBOR, which all blocks of a repository are, and of blobs
_BLOCK, _BLOB = b"\x01\x71\x12\x20", b"\x01\x55\x12\x20"
_CID_SIZE = 36
_SIGNATURE_SIZE = 64
_VERSION = 3
_REV = re.compile("[234567a-j][234567a-z]{12}")


@dataclass(frozen=True)
class Proof:
    """A record, and the commit that it is in.

    Attributes:
        value: the record as JSON holds it: bytes are ``{"$bytes": ...}``, links ``{"$link": ...}``.
        cid: CID of the record.
        commit: CID of the commit.
        rev: the commit's revision.
        key: the key that signed it, as a ``did:key:``.
    """

    value: dict[str, Any]
    cid: str
    commit: str
    rev: str
    key: str

    @property
    def signed(self) -> datetime:
        """When the commit was made, as its signer says."""
        return time_of(self.rev)


def prove(car: bytes, uri: AtUri, key: str) -> Proof:
    """Check that blocks of a repository lead from a commit of its owner to a record.

    Args:
        car: a CAR file of them, as ``com.atproto.sync.getRecord`` answers.
        uri: where the record is; its authority is a DID.
        key: the key that the owner signs commits with, as a ``did:key:``.

    Raises:
        NotProven: they do not; says what is wrong. A ``ValueError``.
        RecordNotFound: they lead to where the record would be, and there is none; a ``KeyError``.
    """
    root, blocks = _read_car(car)
    commit = _map(blocks, root, "the commit")
    _check_commit(commit, uri.authority, key)
    path = f"{uri.collection}/{uri.rkey}"
    found = _find(blocks, commit.get("data"), path.encode())
    if found is None:
        raise RecordNotFound(f"there is no {path} in the repository of {uri.authority}, at revision {commit['rev']}")
    record = _map(blocks, found, "the record")
    try:
        return Proof(_json(record), cid_text(found), cid_text(root), commit["rev"], key)
    except RecursionError:
        raise NotProven("the record is nested too deep") from None


# ------------------------------------------------------------------------------------------------ blocks


def _read_car(car: bytes) -> tuple[Any, dict[bytes, bytes]]:
    """The root of a CAR file, and its blocks by CID, each of which has the hash that its CID says.

    libipld reads such files, too, but checks no hash, and gives values, from which not every block can be made again.
    """
    header, at = _section(car, 0)
    roots = _decoded(header, "the header").get("roots")
    if not isinstance(roots, list) or not roots:
        raise NotProven("the blocks have no root")
    blocks: dict[bytes, bytes] = {}
    while at < len(car):
        section, at = _section(car, at)
        cid, block = section[:_CID_SIZE], section[_CID_SIZE:]
        if cid != _BLOCK + hashlib.sha256(block).digest():
            raise NotProven(f"the block {cid_text(cid)} is not what its CID says")
        blocks[cid] = block
    return roots[0], blocks


def _section(car: bytes, at: int) -> tuple[bytes, int]:
    """A section of a CAR file, which begins with its length, and where the next one begins."""
    length = shift = 0
    while at < len(car) and shift < 35:
        byte, at = car[at], at + 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if length > len(car) - at:
                break
            return car[at : at + length], at + length
    raise NotProven(f"the blocks end in the middle, at byte {at:,} of {len(car):,}")


def _map(blocks: Mapping[bytes, bytes], cid: Any, what: str) -> dict[str, Any]:
    block = blocks.get(cid) if isinstance(cid, bytes) else None
    if block is None:
        raise NotProven(f"{what} is missing in the blocks that the server sent")
    return _decoded(block, what)


def _decoded(block: bytes, what: str) -> dict[str, Any]:
    try:
        value = libipld.decode_dag_cbor(block)
    except (ValueError, RecursionError) as error:
        raise NotProven(f"{what} is not DAG-CBOR: {error}") from None
    if not isinstance(value, dict):
        raise NotProven(f"{what} is no map")
    return value


# ------------------------------------------------------------------------------------------------ commit


def _check_commit(commit: Mapping[str, Any], did: str, key: str) -> None:
    if commit.get("did") != did:
        raise NotProven(f"the commit is one of {commit.get('did')!r:.100}, not of {did}")
    if commit.get("version") != _VERSION:
        raise NotProven(f"the commit has version {commit.get('version')!r:.20}; this one reads {_VERSION}")
    if not isinstance(rev := commit.get("rev"), str) or not _REV.fullmatch(rev):
        raise NotProven(f"the commit has no revision; found {rev!r:.40}")
    signature = commit.get("sig")
    if not isinstance(signature, bytes) or len(signature) != _SIGNATURE_SIZE:
        raise NotProven("the commit has no signature")
    try:
        unsigned = libipld.encode_dag_cbor({name: value for name, value in commit.items() if name != "sig"})
        good = verify_signature(key, unsigned, signature)  # refuses the second signature that each one has, too
    except (AtProtocolError, RecursionError, ValueError) as error:
        raise NotProven(f"the signature of the commit cannot be checked with {key:.100}: {error}") from None
    if not good:
        raise NotProven(f"the commit is not signed with {key}, which is the key of {did}")


# ------------------------------------------------------------------------------------------------ tree


def _find(blocks: Mapping[bytes, bytes], root: Any, wanted: bytes) -> bytes | None:
    """The CID of the record of a key in a tree; None if the tree shows that there is none.

    How many zeros the hash of a key begins with says how high it is in the tree, so a key has one place only.
    """
    cid, low, high, layer = root, b"", None, None
    while cid is not None:
        node = _map(blocks, cid, "a node of the tree")
        entries = _entries(node)
        keys = [key for key, _, _ in entries]
        if layer is None:
            layer = _layer(keys[0]) if keys else 0
        if any(_layer(key) != layer for key in keys):
            raise NotProven("a node of the tree is not in its place")
        if keys and (keys[0] <= low or (high is not None and keys[-1] >= high)):
            raise NotProven("a node of the tree has keys that are not between those around it")
        cid = node.get("l")
        for key, value, right in entries:
            if key == wanted:
                return value
            if key > wanted:
                high = key
                break
            low, cid = key, right
        layer -= 1
        if cid is not None and layer < 0:
            raise NotProven("the tree has nodes below its lowest layer")
    return None


def _layer(key: bytes) -> int:
    return (256 - int.from_bytes(hashlib.sha256(key).digest()).bit_length()) // 2


def _entries(node: Mapping[str, Any]) -> list[tuple[bytes, bytes, Any]]:
    """Keys of a node in their order, each with the CID of its record and that of the node behind it, or None."""
    entries: list[tuple[bytes, bytes, Any]] = []
    last = b""
    try:
        for entry in node["e"]:
            shared, rest, value, right = entry["p"], entry["k"], entry["v"], entry["t"]
            key = last[:shared] + rest
            if not 0 <= shared <= len(last) or key <= last or not isinstance(value, bytes):
                raise ValueError
            entries.append((key, value, right))
            last = key
    except (KeyError, TypeError, ValueError):
        raise NotProven("a node of the tree is malformed") from None
    return entries


# ------------------------------------------------------------------------------------------------ values


def _json(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if not isinstance(value, bytes):
        return value
    # libipld gives links as the bytes of their CIDs
    if len(value) == _CID_SIZE and value.startswith((_BLOCK, _BLOB)):
        return {"$link": cid_text(value)}
    return {"$bytes": padless(value)}
