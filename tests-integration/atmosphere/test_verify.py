"""Is a dataset what its publisher signed? Asked of a real server, and of servers that lie."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testnet.files import Files
from testnet.front import Front, Handler
from testnet.network import Network
from testnet.web import WebDid

import atdata
from atdata.atmosphere import AtmosphereClient, AtUri, DatasetPublisher, Report, SchemaPublisher, verify
from atdata.errors import AtdataError
from atdata_atmosphere.errors import NotProven, RecordNotFound, ServerUnreachable, WrongRecord
from atdata_atmosphere.proof import prove
from atdata_atmosphere.records import DATASET, LENS, SCHEMA

pytestmark = pytest.mark.filterwarnings("ignore:.*nobody else can read it")  # URLs of tests are not https


@atdata.packable
class Bird:
    label: str


@atdata.packable
class Other:
    label: str
    count: int


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[str]:
    """URL of three shards, which are in ``tmp_path``."""
    atdata.write_samples((Bird(label=f"bird {n}") for n in range(300)), tmp_path / "birds.tar", maxcount=100)
    with Files(tmp_path) as server:
        yield f"{server.url}/birds-{{000000..000002}}.tar"


def facts(folder: Path) -> list[dict[str, Any]]:
    """What the record of a dataset says of its shards."""
    paths = sorted(folder.glob("*.tar"))
    return [{"digest": atdata.cid.cid_of_file(path), "bytes": path.stat().st_size, "samples": 100} for path in paths]


@pytest.fixture
def dataset(alice: AtmosphereClient, shards: str, tmp_path: Path) -> AtUri:
    """A dataset in a repository that has some nodes."""
    alice.create_records((LENS, {"$type": LENS, "name": str(n)}) for n in range(60))
    schema = SchemaPublisher(alice).publish(Bird, rkey="bird")
    return DatasetPublisher(alice).publish_with_urls([shards], schema, name="Birds", shards=facts(tmp_path))


def test_what_is_proven_and_by_whom(
    network: Network, anyone: AtmosphereClient, dataset: AtUri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int | None]] = []
    report = verify(dataset, anyone, progress=lambda done, total: told.append((done, total)))
    assert report.ok
    assert [finding.proven for finding in (report.record, report.schema, *report.shards)] == [True] * 5
    signer, size = report.record.signer, sum(path.stat().st_size for path in tmp_path.glob("*.tar"))
    assert told[-1] == (size, size)
    assert signer is not None
    assert (signer.did, signer.handle) == (dataset.authority, "alice.test")
    assert signer.document == f"{network.plc}/{dataset.authority}"
    assert signer.key == anyone.resolve(dataset.authority).key
    assert report.record.cid == anyone.get_record(dataset).cid
    assert report.schema.signer is not None
    text = str(report)
    for part in ("Birds", "signed by alice.test (did:plc:", "did:key:z", "3 of 3 shards", network.plc, "ok: all of"):
        assert part in text
    assert repr(report) == f"<Report ok: {dataset}, record proven, schema proven, 3 of 3 shards>"
    kept = json.loads(json.dumps(report.as_dict()))
    assert (kept["ok"], kept["record"]["signer"]["handle"], len(kept["shards"])) == (True, "alice.test", 3)
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    for named in (f"at://alice.test/{DATASET}/{dataset.rkey}", "@alice.test/Birds"):
        assert verify(named) == report


def test_shards_that_are_blobs(network: Network, alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    schema = SchemaPublisher(alice).publish(Bird)
    blobs = [bytes([n]) * 100_000 for n in range(3)]
    uri = DatasetPublisher(alice).publish_with_blobs(blobs, schema, name="Blobs")
    report = verify(uri, anyone)
    assert report.ok
    cids = [shard.cid for shard in report.shards]
    assert [shard.of for shard in report.shards] == [f"at://{alice.did}/blob/{cid}" for cid in cids]
    (kept,) = network.dir.glob(f"blobs/**/{cids[1]}")
    kept.write_bytes(blobs[1][:-1] + b"\0")
    report = verify(uri, anyone)
    assert [shard.proven for shard in report.shards] == [True, False, True]
    assert "have the CID" in report.shards[1].says
    kept.unlink()
    assert [shard.proven for shard in verify(uri, anyone).shards] == [True, None, True]


def test_shards_that_are_something_else(anyone: AtmosphereClient, dataset: AtUri, tmp_path: Path) -> None:
    first, second, third = sorted(tmp_path.glob("*.tar"))
    data = bytearray(first.read_bytes())
    data[700] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes() + b"\0")
    third.unlink()
    report = verify(dataset, anyone)
    assert not report.ok
    assert (report.record.proven, report.schema.proven) == (True, True)
    assert [shard.proven for shard in report.shards] == [False, False, None]
    for shard, said in zip(report.shards, ("have the CID", "more than the", "cannot be read"), strict=True):
        assert said in shard.says
    assert "0 of 3 shards" in str(report)
    assert str(report).endswith("NOT ok")
    assert "WRONG    shard http://localhost" in str(report)


def test_shards_of_which_the_record_does_not_tell(alice: AtmosphereClient, shards: str, tmp_path: Path) -> None:
    schema = SchemaPublisher(alice).publish(Bird)
    uri = DatasetPublisher(alice).publish_with_urls([shards], schema, name="Birds")
    report = verify(uri, alice)
    assert not report.ok
    assert [shard.proven for shard in report.shards] == [None] * 3
    bad = dict(alice.get_record(uri)) | {"storage": {"$type": "org.example.storage"}}
    alice.put_record(DATASET, uri.rkey, bad)
    (only,) = verify(uri, alice).shards
    assert "does not know" in only.says


def test_what_the_callback_raises_ends_the_check(anyone: AtmosphereClient, dataset: AtUri) -> None:
    def stop(done: int, total: int | None) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        verify(dataset, anyone, progress=stop)


def test_schemas_that_changed_under_their_pins(alice: AtmosphereClient, dataset: AtUri) -> None:
    schema = f"at://{alice.did}/{SCHEMA}/bird"
    other = alice.get_record(SchemaPublisher(alice).publish(Other))
    alice.put_record(SCHEMA, "bird", dict(other))
    report = verify(dataset, alice)
    assert (report.record.proven, report.schema.proven, report.ok) == (True, False, False)
    assert "it changed" in report.schema.says
    alice.put_record(SCHEMA, "bird", {"$type": SCHEMA, "name": "x"})
    assert "no proper record" in verify(dataset, alice).schema.says
    alice.delete_record(schema)
    report = verify(dataset, alice)
    assert report.schema.proven is False
    assert "there is no" in report.schema.says


def test_schemas_without_a_pin(alice: AtmosphereClient, dataset: AtUri) -> None:
    record = dict(alice.get_record(dataset))
    del record["schemaCid"]
    alice.put_record(DATASET, dataset.rkey, record)
    report = verify(dataset, alice)
    assert (report.record.proven, report.schema.proven, report.ok) == (True, None, False)
    record["schemaRef"] = f"at://nobody.test/{SCHEMA}/bird"
    alice.put_record(DATASET, dataset.rkey, record)
    assert verify(dataset, alice).schema.proven is None


def test_what_is_no_dataset(alice: AtmosphereClient, dataset: AtUri) -> None:
    with pytest.raises(WrongRecord, match="datasets are in"):
        verify(f"at://alice.test/{SCHEMA}/bird", alice)
    with pytest.raises(RecordNotFound):
        verify(f"at://alice.test/{DATASET}/nothing", alice)
    alice.put_record(DATASET, "odd", {"$type": DATASET, "name": "odd"})
    with pytest.raises(WrongRecord, match="no proper record"):
        verify(f"at://alice.test/{DATASET}/odd", alice)


# ------------------------------------------------------------------------------------------ servers that lie

Change = Callable[[bytes], bytes]


def sections(car: bytes) -> list[bytes]:
    """The sections of a CAR file, without their lengths; for files of small ones."""
    found, at = list[bytes](), 0
    while at < len(car):
        length = shift = 0
        while True:
            byte, at = car[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(car[at : at + length])
        at += length
    return found


def joined(parts: list[bytes]) -> bytes:
    car = b""
    for part in parts:
        length = len(part)
        while length >= 0x80:
            car, length = car + bytes([length & 0x7F | 0x80]), length >> 7
        car += bytes([length]) + part
    return car


def with_proofs(network: Network, change: Change, collection: str = DATASET) -> Front:
    """A server whose proofs are changed."""
    front = Front(network)

    def rule(handler: Handler) -> bool:
        if "sync.getRecord" not in handler.path or f"collection={collection}" not in handler.path:
            return False
        answered = handler.answer
        handler.answer = lambda status, content, kind="", **more: answered(status, change(content), kind)  # type: ignore
        handler.forward()
        handler.answer = answered  # type: ignore[method-assign]
        return True

    front.rule = rule
    return front


def asked(front: Front, uri: AtUri) -> Report:
    with front, AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True) as client:
        return verify(uri, client)


def test_a_server_that_changes_what_it_sends(network: Network, dataset: AtUri) -> None:
    def flipped(car: bytes) -> bytes:
        assert car.count(b"Birds") == 1
        return car.replace(b"Birds", b"Words")

    def rehashed(car: bytes) -> bytes:
        """The record changed, and its CID with it."""
        parts = sections(car)
        (at,) = (number for number, part in enumerate(parts) if b"Birds" in part)
        block = parts[at][36:].replace(b"Birds", b"Words")
        parts[at] = b"\x01\x71\x12\x20" + hashlib.sha256(block).digest() + block
        return joined(parts)

    for change, said in (
        (flipped, "is not what its CID says"),
        (rehashed, "the record is missing"),
        (lambda car: joined(sections(car)[:2]), "is missing"),
        (lambda car: car[:-1], "end in the middle"),
        (lambda car: b"", "end in the middle"),
    ):
        report = asked(with_proofs(network, change), dataset)
        assert (report.ok, report.record.proven, report.schema.proven, report.shards) == (False, False, None, ())
        assert said in report.record.says
        assert "NOT ok" in str(report)
    report = asked(with_proofs(network, flipped_schema, SCHEMA), dataset)
    assert (report.ok, report.record.proven, report.schema.proven) == (False, True, False)


def flipped_schema(car: bytes) -> bytes:
    return car.replace(b"label", b"label"[::-1])


def test_each_block_of_a_proof_is_needed(network: Network, anyone: AtmosphereClient, dataset: AtUri) -> None:
    owner, car = anyone.get_proof(dataset)
    parts = sections(car)
    assert len(parts) >= 5  # header, commit, nodes, record
    assert owner.key is not None
    assert prove(car, dataset, owner.key).value == anyone.get_record(dataset)
    for number in range(len(parts)):
        with pytest.raises(NotProven):
            prove(joined(parts[:number] + parts[number + 1 :]), dataset, owner.key)
    for at in range(0, len(car), max(1, len(car) // 200)):
        try:
            assert prove(car[:at] + bytes([car[at] ^ 1]) + car[at + 1 :], dataset, owner.key).cid
        except NotProven:
            continue
        assert at < 60  # the version of the file


def test_proofs_of_something_else(
    network: Network, anyone: AtmosphereClient, bob: AtmosphereClient, dataset: AtUri
) -> None:
    twin = SchemaPublisher(bob).publish(Bird, rkey="bird")
    lens = AtUri(dataset.authority, SCHEMA, "bird")
    for other, said in ((lens, "is missing"), (twin, "is one of 'did:plc:")):
        _, car = anyone.get_proof(other)
        report = asked(with_proofs(network, lambda _, car=car: car), dataset)  # type: ignore[misc]
        assert report.record.proven is False
        assert said in report.record.says


def test_a_document_with_another_key(
    network: Network, anyone: AtmosphereClient, bob: AtmosphereClient, dataset: AtUri
) -> None:
    def with_key(key: str | None) -> Front:
        front = Front(network)

        def rule(handler: Handler) -> bool:
            if handler.path != f"/{dataset.authority}":
                return False
            with urllib.request.urlopen(network.plc + handler.path, timeout=60) as reply:
                document = json.load(reply)
            document["service"][0]["serviceEndpoint"] = front.url
            if key is None:
                del document["verificationMethod"]
            else:
                document["verificationMethod"][0] |= {"type": "Multikey", "publicKeyMultibase": key}
            return handler.answer(200, document)

        front.rule = rule
        return front

    theirs = anyone.resolve(bob.did).key
    assert theirs is not None
    for key, said in (
        (theirs.removeprefix("did:key:"), "not signed with did:key:"),
        ("zNothing", "cannot be checked with"),
        (None, "has no key"),
    ):
        report = asked(with_key(key), dataset)
        assert report.record.proven is False
        assert said in report.record.says


def test_servers_that_do_not_answer(network: Network, dataset: AtUri) -> None:
    front = Front(network)
    front.rule = lambda handler: "getRecord" in handler.path and handler.answer(200, {"error": "no"})
    with pytest.raises(AtdataError, match="no blocks"):
        asked(front, dataset)
    client = AtmosphereClient("http://localhost:9", plc_url="http://localhost:9", allow_insecure=True)
    with pytest.raises(ServerUnreachable):
        verify(dataset, client)


def test_a_did_on_a_server_of_its_own(
    network: Network, alice: AtmosphereClient, anyone: AtmosphereClient, shards: str, tmp_path: Path
) -> None:
    web = WebDid(network, "carol.test")
    try:
        carol = network.client()
        carol.login(web.account.handle, web.account.appPassword)
        assert carol.did == web.did
        schema = SchemaPublisher(alice).publish(Bird)
        uri = DatasetPublisher(carol).publish_with_urls([shards], schema, name="Birds", shards=facts(tmp_path))
        report = verify(uri, anyone)
        assert report.ok
        signers = [finding.signer for finding in (report.record, report.schema) if finding.signer is not None]
        assert [signer.handle for signer in signers] == ["carol.test", "alice.test"]
        assert [signer.key for signer in signers] == [web.key, anyone.resolve(alice.did).key]
        port = web.did.rpartition("%3A")[2]
        assert signers[0].document == f"http://localhost:{port}/.well-known/did.json"
        web.key = signers[1].key
        report = verify(uri, anyone)
        assert report.record.proven is False
        assert "not signed with" in report.record.says
        carol.close()
    finally:
        web.close()
