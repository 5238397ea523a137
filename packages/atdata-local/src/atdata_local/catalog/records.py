"""The records of a catalog on Redis, as redis-om models: what the hashes hold, and how their keys are called."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis_om import Field, HashModel  # type: ignore[import-untyped]


class Models(NamedTuple):
    """The models of one repository, bound to one client.

    Attributes:
        entry: dataset entries, by CID.
        schema: published schemas, by ``Name@version``.
    """

    entry: type[HashModel]
    schema: type[HashModel]


def models(client: Any, repository: str = "atdata") -> Models:
    """The models of a repository. Read with them; changes go through ``RedisCatalog``, which keeps the lookups.

    Args:
        client: a ``redis.Redis`` or ``RedisCluster``.
        repository: its name.
    """
    # the braces make it one hash slot of a cluster
    prefix = f"{{{repository}}}"

    class Entry(HashModel, index=True):  # type: ignore[call-arg, misc]
        cid: str = Field(primary_key=True)
        name: str
        schema_ref: str
        data_urls: str
        metadata: str | None = None
        facts: str
        created: str
        seq: int | None = None
        words: str
        digests: str | None = None
        also: str | None = None

        class Meta:
            global_key_prefix = prefix
            model_key_prefix = "entry"
            database = client

    class Schema(HashModel, index=True):  # type: ignore[call-arg, misc]
        pk: str | None = Field(primary_key=True)
        name: str
        version: str
        shape: str
        record: str
        created: str

        class Meta:
            global_key_prefix = prefix
            model_key_prefix = "schema"
            database = client

    return Models(Entry, Schema)
