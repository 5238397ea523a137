"""Keys, CIDs and batches of records, without a server."""

import copy
import itertools
import pickle
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.errors import AtdataError, NoCID
from atdata.uri import AtUri
from atdata_atmosphere.errors import AtmosphereWarning, InvalidRecord, ServerFault, WrongRecord
from atdata_atmosphere.lookup import SchemaPin
from atdata_atmosphere.policy import Policy
from atdata_atmosphere.records import (
    BATCH_BYTES,
    DATASET,
    batches,
    check_depth,
    is_timed,
    json_size,
    new_key,
    pages,
    record_cid,
)
from atdata_atmosphere.storage import (
    RecordSource,
    external_storage,
    facts_in,
    raw_cid,
    sha256_of,
    storage_for,
    urls_in,
)

KIND = "org.example.thing"
URI = AtUri("did:plc:abc", DATASET, "one")


def test_keys_that_tell_a_time() -> None:
    assert is_timed(new_key())
    assert not any(map(is_timed, ("", "self", "Picture.1.0.0", new_key()[:-1], new_key()[:-1] + "1")))


def test_keys_sort_by_time_and_are_never_given_twice() -> None:
    found: list[list[str]] = [[] for _ in range(4)]

    def take(keys: list[str]) -> None:
        keys += [new_key() for _ in range(2000)]

    threads = [threading.Thread(target=take, args=(keys,)) for keys in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for keys in found:
        assert keys == sorted(keys)
        assert all(len(key) == 13 and key[0] in "234567abcdefghij" for key in keys)
    assert len({key for keys in found for key in keys}) == 8000


def test_cid_of_a_record() -> None:
    # as a server calls it
    blob = {"$type": "blob", "ref": {"$link": "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"}}
    assert record_cid({"a": 1, "bb": [True, None]}) == record_cid({"bb": [True, None], "a": 1})
    assert record_cid({"blob": blob}) != record_cid({"blob": {**blob, "ref": {"$link": "x"}}} | {"blob": {}})
    assert record_cid({"a": {"$bytes": "AAE"}}) == record_cid({"a": {"$bytes": "AAE="}})
    assert record_cid({}) == "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
    for broken in ({"$bytes": "a"}, {"$bytes": "\N{SNOWMAN}"}, {"$link": "b!"}, 1 << 70):
        with pytest.raises(NoCID):
            record_cid({"a": [broken]})


def test_depth_of_records() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return {"a": value, "b": "x" * 200}

    check_depth({})
    check_depth(nested(100))
    for levels in (101, 100_000):
        with pytest.raises(WrongRecord, match="more than 100 deep"):
            check_depth(nested(levels))


@given(st.lists(st.integers(0, 60_000), max_size=500))
def test_batches_are_small_enough_and_lose_nothing(sizes: list[int]) -> None:
    writes = [(KIND, {"$type": KIND, "n": n, "text": "x" * size}) for n, size in enumerate(sizes)]
    groups = list(batches(writes))
    assert [write["value"] for group in groups for write in group] == [record for _, record in writes]
    for group in groups:
        assert len(group) <= 200
        assert json_size(group) <= BATCH_BYTES or len(group) == 1


def test_batches_of_wrong_records() -> None:
    good = (KIND, {"$type": KIND})
    with pytest.raises(InvalidRecord):
        list(batches([good, (KIND, {"$type": "org.example.other"})]))


def test_listings_end() -> None:
    given: list[dict[str, Any]] = [{"records": [1], "cursor": "a"}, {"records": [], "cursor": "b"}, {"records": [2]}]
    left = iter(given)
    assert list(pages(lambda cursor: next(left))) == given
    with pytest.raises(ServerFault, match="circles"):
        list(pages(lambda cursor: {"records": [1], "cursor": 5}))
    numbers = itertools.count()
    with pytest.raises(ServerFault, match=r"100,000 pages"):
        for _ in pages(lambda cursor: {"records": [1], "cursor": str(next(numbers))}):
            pass


def test_what_external_storage_says_of_its_shards() -> None:
    facts = [{"digest": raw_cid(f"{n:064x}"), "bytes": n, "samples": n} for n in range(4)]
    storage, size = external_storage(["https://example.org/{a,b,c}.tar", "s3://bucket/d.tar"], facts)
    assert size == {"shards": 4, "samples": 6, "bytes": 6}
    assert urls_in({"storage": storage}, URI) == ["https://example.org/{a,b,c}.tar", "s3://bucket/d.tar"]
    found = facts_in({"storage": storage}, URI)
    assert [*found] == [*(f"https://example.org/{name}.tar" for name in "abc"), "s3://bucket/d.tar"]
    assert [*found.values()] == facts
    assert [sha256_of(fact["digest"]) for fact in facts] == [f"{n:064x}" for n in range(4)]
    storage["locations"][0]["shards"].pop()
    with pytest.raises(WrongRecord, match="3 shards, with 2 facts"):
        facts_in({"storage": storage}, URI)


@pytest.mark.parametrize("cid", ["", "b", None, 5, "Qm" + "a" * 44, "bafyrei" + "a" * 52, "\N{SNOWMAN}" * 59])
def test_what_is_no_digest_of_bytes(cid: Any) -> None:
    assert sha256_of(cid) is None


def test_facts_that_are_too_many_for_a_record() -> None:
    facts = [{"digest": raw_cid("00" * 32), "bytes": 1, "samples": 1}] * 2000
    with pytest.warns(AtmosphereWarning, match=r"2,000 shards are too much"):
        storage, size = external_storage(["s3://bucket/{0000..1999}.tar"], facts)
    assert size == {"shards": 2000, "samples": 2000, "bytes": 2000}
    assert facts_in({"storage": storage}, URI) == {}


def test_storage_of_stored_shards() -> None:
    facts = [{"digest": raw_cid(f"{n:064x}"), "bytes": n + 1, "samples": n} for n in range(3)]
    urls = [f"at://did:plc:abc/blob/{fact['digest']}" for fact in facts]
    storage, size = storage_for(urls, facts, {"did:plc:abc", "alice.test"})
    assert size == {"shards": 3, "bytes": 6, "samples": 3}
    assert storage["blobs"][2] == {
        "blob": {
            "$type": "blob",
            "ref": {"$link": facts[2]["digest"]},
            "mimeType": "application/x-tar",
            "size": 3,
        },
        "samples": 2,
    }
    # others' blobs are only named
    assert urls_in({"storage": storage_for(urls, None, {"did:plc:other"})[0]}, URI) == urls
    for unknown in (None, facts[:2], [{}] * 3):
        with pytest.raises(InvalidRecord, match="the size must be known"):
            storage_for(urls, unknown, {"did:plc:abc"})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://user:password@example.org/a.tar", "a user or a password, at 'https://example.org'"),
        ("https://example.org@10.0.0.1/a.tar", "a user or a password"),
        ("https://10.0.0.1/a.tar", "no public address"),
        ("s3://10.0.0.1:9000/a.tar", "no bucket"),
        ("s3://-a/b.tar", "no bucket"),
        ("gs:///b.tar", "no bucket"),
        ("https:///a.tar", "not the URL of a server"),
        ("https://a.example/{a,b.tar", "not balanced"),
    ],
)
def test_places_that_records_may_not_name(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        RecordSource([url], Policy(), "the record")
    assert isinstance(caught.value, AtdataError)
    assert "password@" not in str(caught.value)


def test_places_that_records_may_name() -> None:
    urls = ["https://example.org/{a,b}.tar", "s3://a.bucket_of-mine/c.tar", "gs://bucket/d.tar"]
    assert len(RecordSource(urls, Policy(), "the record").list_shards()) == 4


def test_references_remember_their_pins() -> None:
    pin = SchemaPin.of("at://did:plc:abc/a.b.c/d", "bafyrei")
    assert pin == "at://did:plc:abc/a.b.c/d" == str(pin)
    assert pickle.loads(pickle.dumps(pin)).cid == copy.copy(pin).cid == "bafyrei"
    assert not hasattr(str(pin), "cid")
