"""Records of all shapes, as a server, an export of its repository and its event stream have them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from atproto import CAR, FirehoseSubscribeReposClient, models, parse_subscribe_repos_message
from testnet.network import Network

from atdata.atmosphere import AtmosphereClient, AtUri
from atdata_atmosphere.errors import (
    AtmosphereWarning,
    InvalidRecord,
    NotLoggedIn,
    RecordChanged,
    RecordExists,
    RecordNotFound,
    RecordRefused,
)
from atdata_atmosphere.records import DATASET, Record, record_cid

KIND = "ac.foundation.dataset.lens"
VALUES: list[dict[str, Any]] = [
    {"text": "plain", "number": 2**53 - 1, "less": -(2**53) + 1, "yes": True, "none": None},
    {"text": "\N{SNOWMAN} \N{GRINNING FACE} e\u0301 \x00 \u202e", "": "empty key", "a" * 300: "long key"},
    {"deep": [[[[{"x": [{}, []]}]]]], "list": [None, False, 0, ""]},
    {"bytes": b"\x00\x01\xff" * 33, "empty": b""},
    {"b": 1, "aa": 2, "a": 3, "ab": {"z": 1, "y": 2}},
]


def record(**value: Any) -> dict[str, Any]:
    return {"$type": KIND, **value}


@pytest.fixture
def events(network: Network) -> Iterator[dict[str, str]]:
    """CIDs of records by their paths, as the server announces them."""
    found: dict[str, str] = {}
    url = network.pds.replace("http", "ws") + "/xrpc"
    stream = FirehoseSubscribeReposClient(models.ComAtprotoSyncSubscribeRepos.Params(cursor=0), base_uri=url)

    def note(message: Any) -> None:
        commit = parse_subscribe_repos_message(message)
        if isinstance(commit, models.ComAtprotoSyncSubscribeRepos.Commit):
            found.update({f"{commit.repo}/{op.path}": str(op.cid) for op in commit.ops if op.cid})

    thread = threading.Thread(target=stream.start, args=(note,), daemon=True)
    thread.start()
    yield found
    stream.stop()


def test_one_cid_everywhere(network: Network, alice: AtmosphereClient, events: dict[str, str]) -> None:
    uris = [alice.create_record(KIND, record(**value)) for value in VALUES]
    uris += alice.create_records([(KIND, record(**value)) for value in VALUES])
    export = httpx.get(f"{network.pds}/xrpc/com.atproto.sync.getRepo", params={"did": alice.did}).content
    blocks = {cid.encode() for cid in CAR.from_bytes(export).blocks}
    for uri, value in zip(uris, VALUES * 2, strict=True):
        found = alice.get_record(uri)
        expected = record_cid(found)
        assert found.cid == expected
        assert expected in blocks
        sent = {key: item for key, item in value.items() if not isinstance(item, bytes)}
        assert {key: found[key] for key in sent} == sent
        path = f"{alice.did}/{uri.collection}/{uri.rkey}"
        for _ in range(200):
            if path in events:
                break
            threading.Event().wait(0.05)
        assert events[path] == expected


def test_create_never_overwrites(alice: AtmosphereClient) -> None:
    uri = alice.create_record(KIND, record(n=1), rkey="mine")
    assert uri == AtUri(alice.did, KIND, "mine")
    with pytest.raises(RecordExists, match="already a record"):
        alice.create_record(KIND, record(n=2), rkey="mine")
    assert alice.get_record(uri)["n"] == 1
    assert alice.create_record(KIND, record(n=1), rkey="mine") == uri  # as a call that is sent again does
    assert alice.put_record(KIND, "mine", record(n=3)) == uri
    assert alice.get_record(str(uri))["n"] == 3


def test_delete(alice: AtmosphereClient, bob: AtmosphereClient) -> None:
    uri = alice.create_record(KIND, record(n=1))
    with pytest.raises(InvalidRecord, match="only its owner"):
        bob.delete_record(uri)
    alice.delete_record(str(uri))
    alice.delete_record(f"at://{alice.handle}/{uri.collection}/{uri.rkey}")
    with pytest.raises(KeyError):
        alice.get_record(uri)
    with pytest.raises(RecordNotFound, match="Could not locate record"):
        alice.get_record(uri)


def test_compare_and_swap(network: Network, alice: AtmosphereClient) -> None:
    def commit() -> str:
        latest = httpx.get(f"{network.pds}/xrpc/com.atproto.sync.getLatestCommit", params={"did": alice.did})
        return str(latest.json()["cid"])

    before = commit()
    uri = alice.put_record(KIND, "swap", record(n=1), swap_commit=before)
    for change in (
        lambda: alice.put_record(KIND, "swap", record(n=2), swap_commit=before),
        lambda: alice.delete_record(uri, swap_commit=before),
    ):
        with pytest.raises(RecordChanged):
            change()
    assert alice.get_record(uri)["n"] == 1
    alice.delete_record(uri, swap_commit=commit())


def test_lists_of_any_length(alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    told: list[list[AtUri]] = []
    uris = alice.create_records(((KIND, record(n=n)) for n in range(345)), on_written=told.append)
    assert [len(group) for group in told] == [200, 145]
    assert [uri for group in told for uri in group] == uris
    assert len({str(uri) for uri in uris}) == 345
    assert [uri.rkey for uri in uris] == sorted(uri.rkey for uri in uris)
    everything = list(anyone.iter_records(KIND, "alice.test"))
    assert [found["n"] for found in everything] == list(reversed(range(345)))
    assert [found.uri for found in everything] == list(reversed(uris))
    first, cursor = anyone.list_records(KIND, repo=alice.did, limit=250)
    assert len(first) == 250
    rest, end = anyone.list_records(KIND, repo=alice.did, limit=250, cursor=cursor)
    assert ([*first, *rest], end) == (everything, None)
    assert len(anyone.list_records(KIND, repo="alice.test")[0]) == 100
    assert len(alice.list_lenses(limit=1000)) == 345
    assert alice.list_records(KIND, limit=0) == ([], None)
    assert alice.list_records("org.example.nothing") == ([], None)
    assert isinstance(first[0], Record)
    with pytest.raises(NotLoggedIn):
        anyone.list_datasets()


def test_what_no_server_takes_is_told_before_it_is_sent(alice: AtmosphereClient) -> None:
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    for value, says in (
        (record(a={"b": [1, 2.5]}), r"record\.a\.b\[1\] is 2\.5; the protocol has no floats"),
        (record(a=2**53), "integers up to"),
        (record(a={1: 2}), "not text"),
        (record(a="\ud800"), "UTF-8"),
        (record(a=object()), "which the protocol does not have"),
        (record(a="x" * 1_000_000), "at most 1,000,000"),
        (record(a=deep), "nested"),
        ({"a": 1}, r"'\$type'"),
        ({"$type": DATASET}, r"'\$type'"),
    ):
        with pytest.raises(InvalidRecord, match=says):
            alice.create_record(KIND, value)
        with pytest.raises(InvalidRecord, match=says):
            alice.put_record(KIND, "self", value)
    for rkey in ("", "a b", "a/b", "..", "x" * 513):
        with pytest.raises(ValueError, match="record key"):
            alice.put_record(KIND, rkey, record())
    with pytest.raises(ValueError, match="collection"):
        alice.create_record("lens", record())
    assert alice.list_lenses() == []


def test_the_server_refuses_with_its_reason(alice: AtmosphereClient) -> None:
    with pytest.raises(RecordRefused, match="Unknown lexicon type"):
        alice.create_record(KIND, record(), validate=True)


def test_lexicons_are_published_as_records(alice: AtmosphereClient) -> None:
    import json
    from importlib.resources import files

    kind = "com.atproto.lexicon.schema"
    folder = files("atdata_atmosphere.lexicon") / "documents" / "ac" / "foundation" / "dataset"
    for file in folder.iterdir():
        document = json.loads(file.read_text(encoding="utf-8"))
        uri = alice.put_record(kind, document["id"], {"$type": kind, **document}, validate=True)
        assert alice.get_record(uri)["defs"] == document["defs"]
        alice.delete_record(uri)


def test_blobs(alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    blob = alice.upload_blob(b"some bytes", "application/x-tar")
    cid = blob["ref"]["$link"]
    assert (blob["$type"], blob["mimeType"], blob["size"]) == ("blob", "application/x-tar", 10)
    with pytest.raises(KeyError):
        anyone.get_blob(alice.did, cid)
    alice.create_record(KIND, record(blob=blob))
    assert anyone.get_blob("alice.test", cid) == b"some bytes"
    assert httpx.get(anyone.get_blob_url(alice.did, cid)).content == b"some bytes"


def test_entries_that_are_no_records_are_left_out() -> None:
    from atdata_atmosphere.records import listed

    for entry in (None, [], {}, {"uri": 5}, {"uri": f"at://did:plc:b/{KIND}/x", "value": {}, "cid": "c"}):
        with pytest.warns(AtmosphereWarning, match="no record"):
            assert listed(entry, "did:plc:a", KIND) is None
