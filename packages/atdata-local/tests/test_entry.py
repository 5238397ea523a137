"""``LocalDatasetEntry`` by itself, and straight on Redis."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from servers import Server

from atdata import IndexEntry
from atdata.cid import cid_of
from atdata_local import REDIS_KEY_DATASET_ENTRY, Index, LocalDatasetEntry
from atdata_local.catalog.records import models

REF = "atdata://local/sampleSchema/Digit@1.0.0"
URLS = ["s3://bucket/data-000000.tar", "s3://bucket/data-000001.tar"]


def test_entry_has_what_it_was_made_of() -> None:
    entry = LocalDatasetEntry(name="digits", schema_ref=REF, data_urls=URLS, metadata={"samples": 10_000})
    assert isinstance(entry, IndexEntry)
    assert (entry.name, entry.schema_ref, entry.data_urls) == ("digits", REF, URLS)
    assert entry.metadata == {"samples": 10_000}
    assert (entry.wds_url, entry.sample_kind) == (URLS[0], REF)
    assert entry.cid == cid_of({"schema_ref": REF, "data_urls": URLS})
    assert (entry.created, entry.tags, entry.samples, entry.bytes, entry.digests) == (None, [], None, None, None)
    assert repr(entry) == f"LocalDatasetEntry('digits', {REF!r}, cid={entry.cid!r})"


def test_cid_is_that_of_the_content_alone() -> None:
    entry = LocalDatasetEntry("a", REF, URLS)
    assert LocalDatasetEntry("b", REF, URLS, {"x": 1}, tags=["t"]).cid == entry.cid
    assert LocalDatasetEntry("a", REF, URLS[::-1]).cid != entry.cid
    assert LocalDatasetEntry("a", REF + "1", URLS).cid != entry.cid
    assert LocalDatasetEntry("a", REF, URLS, _cid="bafkgiven", _legacy_uuid="1-2-3").cid == "bafkgiven"


def test_underscored_names_still_work() -> None:
    with pytest.deprecated_call(match="name="):
        entry = LocalDatasetEntry(_name="digits", _schema_ref=REF, _data_urls=URLS, _metadata={"a": 1})
    assert entry == LocalDatasetEntry("digits", REF, URLS, {"a": 1})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"schema_ref": REF, "data_urls": URLS}, TypeError),
        ({"name": "a", "data_urls": URLS}, TypeError),
        ({"name": "a", "schema_ref": REF}, TypeError),
        ({"name": "a", "schema_ref": REF, "data_urls": "s3://one.tar"}, TypeError),
        ({"name": "a", "schema_ref": REF, "data_urls": [1]}, TypeError),
        ({"name": 1, "schema_ref": REF, "data_urls": URLS}, TypeError),
        ({"name": "a", "schema_ref": REF, "data_urls": URLS, "nmae": "a"}, TypeError),
        ({"name": "a", "schema_ref": REF, "data_urls": URLS, "metadata": ["a"]}, TypeError),
        ({"name": "a", "schema_ref": REF, "data_urls": URLS, "metadata": {"a": {1, 2}}}, ValueError),
    ],
)
def test_impossible_entries(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        LocalDatasetEntry(**arguments)


def test_entries_compare_copy_and_pickle() -> None:
    facts: dict[str, Any] = {"tags": ["t"], "samples": 3, "bytes": 5, "shards": 2, "digests": ["00", "ff"]}
    entry = LocalDatasetEntry("a", REF, URLS, {"x": 1}, created=datetime(2026, 1, 2, tzinfo=UTC), **facts)
    for twin in (copy.copy(entry), copy.deepcopy(entry), pickle.loads(pickle.dumps(entry))):
        assert twin == entry
        assert hash(twin) == hash(entry)
        assert (twin.digests, twin.bytes, twin.created) == (["00", "ff"], 5, datetime(2026, 1, 2, tzinfo=UTC))
    assert entry != LocalDatasetEntry("a", REF, URLS)
    assert entry != "a"


def test_entry_written_to_redis_is_in_the_index(redis_server: Server, redis_url: str) -> None:
    entry = LocalDatasetEntry("digits", REF, URLS, {"a": 1}, tags=["t"], digests=["00", "ff"])
    for decodes in (False, True):
        with redis_server.client(decode_responses=decodes) as client:
            entry.write_to(client)
            assert client.exists(f"{REDIS_KEY_DATASET_ENTRY}:{entry.cid}")
            found = LocalDatasetEntry.from_redis(client, entry.cid)
            assert (found.as_dict() | {"created": None}) == entry.as_dict()
            assert found.created is not None
            assert Index(redis=client).search(tags=["t"]) == [found]
            with pytest.raises(KeyError, match="bafknothing"):
                LocalDatasetEntry.from_redis(client, "bafknothing")
    assert Index(redis_url).catalog.audit() == []


def test_records_are_redis_om_models(redis_server: Server, redis_url: str) -> None:
    import atdata

    @atdata.packable
    class Digit:
        label: int

    index = Index(redis_url)
    entry = index.insert_dataset(atdata.Dataset.of(Digit, URLS), name="digits", metadata={"a": 1})
    with redis_server.client(decode_responses=True) as client:
        kept = models(client)
        record = kept.entry.get(entry.cid)
        assert (record.cid, record.name, record.schema_ref) == (entry.cid, "digits", entry.schema_ref)
        assert list(kept.entry.all_pks()) == [entry.cid]
        assert kept.schema.get("Digit@1.0.0").version == "1.0.0"
        assert list(kept.schema.all_pks()) == ["Digit@1.0.0"]


def test_digests_are_asked_for_when_they_are_wanted(redis_server: Server, redis_url: str) -> None:
    entry = LocalDatasetEntry("digits", REF, URLS, digests=["00", "ff"])
    client = redis.Redis(port=redis_server.port)
    entry.write_to(client)
    (listed,) = Index(redis=client).list_datasets()
    client.close()
    before = listed.digests
    redis_server.client().flushall()
    assert before == listed.digests == ["00", "ff"], "the second time nobody is asked"
