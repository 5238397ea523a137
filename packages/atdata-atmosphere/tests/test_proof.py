"""Proofs that a record is in a repository, on repositories that are made here."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import libipld
import pytest
from atproto_crypto.consts import P256_CURVE_ORDER, SECP256K1_CURVE_ORDER
from atproto_crypto.did import format_did_key
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from atdata.atmosphere import AtUri
from atdata_atmosphere.errors import NotProven, RecordNotFound
from atdata_atmosphere.proof import _layer, prove
from atdata_atmosphere.records import new_key, record_cid

DID = "did:plc:" + "a" * 24
REV = "3mabcdefghijk"
CURVES = {"ES256K": (ec.SECP256K1(), SECP256K1_CURVE_ORDER), "ES256": (ec.SECP256R1(), P256_CURVE_ORDER)}


@dataclass
class Signing:
    """A key of one of the two curves of the network."""

    kind: str = "ES256K"

    def __post_init__(self) -> None:
        self.curve, self.order = CURVES[self.kind]
        self.private = ec.generate_private_key(self.curve)
        public = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.did = format_did_key(self.kind, public)

    def sign(self, data: bytes, *, low: bool = True) -> bytes:
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        s = min(s, self.order - s) if low else max(s, self.order - s)
        return r.to_bytes(32) + s.to_bytes(32)


KEYS = {kind: Signing(kind) for kind in CURVES}
KEY = KEYS["ES256K"]


class Blocks(dict[bytes, bytes]):
    """Blocks by their CIDs, which are made here."""

    def put(self, value: Any) -> bytes:
        block = libipld.encode_dag_cbor(value)
        cid = b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
        self[cid] = block
        return cid

    def tree(self, items: list[tuple[bytes, bytes]], layer: int) -> bytes | None:
        """The node of keys and CIDs, of which none is above a layer."""
        if not items:
            return None
        here = [number for number, (key, _) in enumerate(items) if _layer(key) == layer]
        ends = [*here, len(items)]
        entries, last = [], b""
        for number, end in zip(here, ends[1:], strict=True):
            key, cid = items[number]
            shared = next(
                (n for n, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(map(len, (last, key)))
            )
            right = self.tree(items[number + 1 : end], layer - 1)
            entries.append({"p": shared, "k": key[shared:], "v": cid, "t": right})
            last = key
        return self.put({"l": self.tree(items[: ends[0]], layer - 1), "e": entries})

    def repository(self, records: Mapping[str, Any], **changes: Any) -> bytes:
        """The commit of a repository."""
        items = sorted((path.encode(), self.put(record)) for path, record in records.items())
        root = self.tree(items, max((_layer(key) for key, _ in items), default=0)) or self.put({"l": None, "e": []})
        return self.commit(root, **changes)

    def commit(self, root: bytes, key: Signing = KEY, low: bool = True, **changes: Any) -> bytes:
        unsigned = {"did": DID, "version": 3, "data": root, "rev": REV, "prev": None, **changes}
        return self.put(unsigned | {"sig": key.sign(libipld.encode_dag_cbor(unsigned), low=low)})

    def car(self, root: bytes) -> bytes:
        header = libipld.encode_dag_cbor({"version": 1, "roots": [root]})
        return b"".join(map(section, [header, *(cid + block for cid, block in self.items())]))


def section(data: bytes) -> bytes:
    length, prefix = len(data), b""
    while length >= 0x80:
        prefix, length = prefix + bytes([length & 0x7F | 0x80]), length >> 7
    return prefix + bytes([length]) + data


COLLECTION = "org.example.thing"
THING = {
    "$type": COLLECTION,
    "n": 1,
    "list": [1.5, None, True, "é"],
    "bytes": b"\0\1",
    "link": b"\x01\x55\x12\x20" + b"7" * 32,
}
URI = AtUri(DID, COLLECTION, "one")


def proven(blocks: Blocks, root: bytes, uri: AtUri = URI, key: Signing = KEY) -> Any:
    return prove(blocks.car(root), uri, key.did)


@pytest.mark.parametrize("kind", CURVES)
def test_a_record_and_who_signed_it(kind: str) -> None:
    blocks, key = Blocks(), KEYS[kind]
    root = blocks.repository({f"{COLLECTION}/one": THING, f"{COLLECTION}/two": {}}, key=key)
    proof = proven(blocks, root, key=key)
    link = libipld.encode_cid(THING["link"])
    assert proof.value == THING | {"bytes": {"$bytes": "AAE"}, "link": {"$link": link}}
    assert proof.cid == record_cid(proof.value)
    assert (proof.commit, proof.rev, proof.key) == (libipld.encode_cid(root), REV, key.did)
    for other in (Signing(kind), KEYS["ES256" if kind == "ES256K" else "ES256K"]):
        with pytest.raises(NotProven, match="not signed with did:key:z"):
            proven(blocks, root, key=other)


def test_the_time_is_that_of_the_revision() -> None:
    blocks = Blocks()
    root = blocks.repository({f"{COLLECTION}/one": THING}, rev=new_key())
    assert abs(proven(blocks, root).signed - datetime.now(UTC)) < timedelta(days=1)


@pytest.mark.parametrize("kind", CURVES)
def test_the_second_signature_that_each_one_has_is_refused(kind: str) -> None:
    blocks, key = Blocks(), KEYS[kind]
    root = blocks.repository({f"{COLLECTION}/one": THING}, key=key, low=False)
    with pytest.raises(NotProven, match="not signed with"):
        proven(blocks, root, key=key)


def test_heights_in_the_tree_are_those_of_the_protocol() -> None:
    keys = {"2653ae71": 0, "blue": 1, "app.bsky.feed.post/454397e440ec": 4, "app.bsky.feed.post/9adeb165882c": 8}
    assert {key: _layer(key.encode()) for key in keys} == keys


RKEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789._~-", min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)


@given(st.sets(RKEYS, max_size=40), RKEYS, st.data())
def test_what_is_there_is_proven_and_what_is_not_is_not(rkeys: set[str], other: str, data: st.DataObject) -> None:
    blocks = Blocks()
    root = blocks.repository({f"{COLLECTION}/{rkey}": {"rkey": rkey} for rkey in rkeys})
    for rkey in rkeys | {other}:
        uri = AtUri(DID, COLLECTION, rkey)
        if rkey in rkeys:
            assert proven(blocks, root, uri).value == {"rkey": rkey}
        else:
            with pytest.raises(RecordNotFound):
                proven(blocks, root, uri)
    if rkeys:
        rkey = data.draw(st.sampled_from(sorted(rkeys)))
        lost = data.draw(st.sampled_from(sorted(blocks)))
        block = blocks.pop(lost)
        uri = AtUri(DID, COLLECTION, rkey)
        with contextlib.suppress(NotProven):  # a block that is not on the way may be missing, and no other
            assert proven(blocks, root, uri).value == {"rkey": rkey}
            return
        blocks[lost] = block
        assert proven(blocks, root, uri).value == {"rkey": rkey}


BLOCKS = Blocks()
ROOT = BLOCKS.repository({f"{COLLECTION}/{rkey}": THING | {"rkey": rkey} for rkey in ("one", "two", "three", "four")})
CAR = BLOCKS.car(ROOT)
PROOF = prove(CAR, URI, KEY.did)


@given(st.integers(0, len(CAR) - 1), st.integers(1, 255))
def test_a_changed_byte_proves_nothing_else(at: int, change: int) -> None:
    changed = CAR[:at] + bytes([CAR[at] ^ change]) + CAR[at + 1 :]
    with contextlib.suppress(NotProven):
        assert prove(changed, URI, KEY.did) == PROOF  # the version of the file, say


@given(st.integers(0, len(CAR) - 1))
def test_a_part_proves_nothing_else(size: int) -> None:
    with contextlib.suppress(NotProven):
        assert prove(CAR[:size], URI, KEY.did) == PROOF  # what is cut off was not on the way


@given(st.binary(max_size=300))
def test_any_bytes_prove_nothing(data: bytes) -> None:
    with pytest.raises(NotProven):
        prove(data, URI, KEY.did)
    with pytest.raises(NotProven):
        prove(CAR[:60] + data, URI, KEY.did)


@given(st.binary(max_size=100))
def test_any_block_proves_nothing(block: bytes) -> None:
    cid = b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
    with pytest.raises(NotProven):
        prove(Blocks({cid: block}).car(cid), URI, KEY.did)
    blocks = Blocks({cid: block})
    with pytest.raises(NotProven):
        proven(blocks, blocks.commit(cid))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"did": "did:plc:" + "b" * 24}, "is one of 'did:plc:bbb"),
        ({"version": 2}, "version 2"),
        ({"rev": "yesterday"}, "no revision"),
        ({"rev": None}, "no revision"),
        ({"data": None}, None),
        ({"data": "tree"}, "is missing"),
        ({"data": b"\x01\x71\x12\x20" + b"0" * 32}, "is missing"),
    ],
)
def test_commits_of_another_kind(changes: dict[str, Any], said: str | None) -> None:
    blocks = Blocks()
    root = blocks.repository({f"{COLLECTION}/one": THING}, **changes)
    with pytest.raises(NotProven if said else RecordNotFound, match=said):
        proven(blocks, root)


@pytest.mark.parametrize("sig", [None, b"", b"0" * 63, b"\0" * 64, "0" * 64])
def test_commits_without_a_signature(sig: Any) -> None:
    blocks = Blocks()
    blocks.repository({f"{COLLECTION}/one": THING})
    tree = blocks.tree([(f"{COLLECTION}/one".encode(), blocks.put(THING))], _layer(f"{COLLECTION}/one".encode()))
    commit = {"did": DID, "version": 3, "data": tree, "rev": REV, "prev": None}
    for unsigned in (commit, commit | {"sig": sig}):
        with pytest.raises(NotProven, match="sign"):
            proven(blocks, blocks.put(unsigned))


@pytest.mark.parametrize("key", ["", "did:key:", "did:key:z6Mk", "did:web:example.org", "did:key:zQ3sh", "z" * 999])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(NotProven, match="cannot be checked with"):
        prove(CAR, URI, key)


def entry(key: str, right: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {"p": 0, "k": key.encode(), "v": b"\x01\x71\x12\x20" + b"1" * 32, "t": right, **changes}


# Keys of the lowest layer, and one above it
LOW = [f"{COLLECTION}/{n:03}" for n in range(40) if _layer(f"{COLLECTION}/{n:03}".encode()) == 0]
HIGH = next(f"{COLLECTION}/{n:03}" for n in range(400) if _layer(f"{COLLECTION}/{n:03}".encode()) == 1)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry(LOW[1]), entry(LOW[0])], "malformed"),
        ([entry(LOW[0]), entry(LOW[0])], "malformed"),
        ([entry(LOW[0], p=3)], "malformed"),
        ([entry(LOW[0], p=-1)], "malformed"),
        ([entry(LOW[0], p=1.0)], "malformed"),
        ([entry(LOW[0], v=None)], "malformed"),
        ([entry(LOW[0], k="text")], "malformed"),
        ([{"k": b""}], "malformed"),
        ([7], "malformed"),
        (7, "malformed"),
        (None, "malformed"),
        (sorted([entry(LOW[0]), entry(HIGH)], key=lambda each: each["k"]), "not in its place"),
    ],
)
def test_nodes_that_are_none(entries: Any, said: str) -> None:
    blocks = Blocks()
    root = blocks.commit(blocks.put({"l": None, "e": entries}))
    with pytest.raises(NotProven, match=said):
        proven(blocks, root, AtUri(DID, COLLECTION, "zzz"))


def test_trees_with_keys_where_they_do_not_belong() -> None:
    blocks, other = Blocks(), AtUri(DID, COLLECTION, "zzz")
    lowest = blocks.put({"l": None, "e": [entry(LOW[0])]})
    for node, said in (
        ({"l": None, "e": [entry(HIGH, blocks.put({"l": None, "e": [entry(HIGH)]}))]}, "not in its place"),
        ({"l": None, "e": [entry(HIGH, blocks.put({"l": None, "e": [entry(f"{LOW[0]}")]}))]}, "not between"),
        ({"l": None, "e": [entry(LOW[1], lowest)]}, "below its lowest"),
        ({"l": lowest, "e": []}, "below its lowest"),
        ({"l": None, "e": [entry(HIGH, b"\x01\x71\x12\x20" + b"2" * 32)]}, "is missing"),
    ):
        with pytest.raises(NotProven, match=said):
            proven(blocks, blocks.commit(blocks.put(node)), other)


@pytest.mark.parametrize("depth", [980, 100_000])
def test_a_deep_record(depth: int) -> None:
    blocks, path = Blocks(), f"{COLLECTION}/one".encode()
    block = b"\xa1\x61a" + b"\x81" * depth + b"\x80"
    cid = b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
    blocks[cid] = block
    root = blocks.commit(blocks.tree([(path, cid)], _layer(path)) or b"")
    with pytest.raises(NotProven, match=r"nested too deep|is not DAG-CBOR"):
        proven(blocks, root)
