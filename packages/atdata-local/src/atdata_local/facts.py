"""What an index records of a dataset: its URLs, what the manifests beside its shards say, and what people say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from atdata import Dataset, Lens, URLSource
from atdata.errors import AtdataError, UnsafeURL
from atdata.indexing import check_dataset
from atdata.manifest import ShardFacts
from atdata.sources import public
from atdata.sources.url import parts_of, scheme_of

from .entries import check_entry
from .entry import LocalDatasetEntry

# What an entry says beside its metadata, given as keywords.
SAID: Final = ("description", "tags", "license")

_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def data_urls(ds: Dataset[Any]) -> list[str]:
    """URLs that give all shards of a dataset, in order; brace patterns stay as they are.

    Raises:
        UnsafeURL: a command, which nobody may be made to run, or a URL with a password in it.
        ValueError: no shards, or a file whose name would be read as a pattern.
    """
    view = ds._view
    same = view.lens is not None and all(map(_only_picks, view.lens.parts)) and not view.steps
    if ds._changes is not None and (ds._picks or not same):
        raise ValueError(
            f"the dataset is {ds._changes}, and its shards hold other samples; index the dataset below it, or write "
            "these samples with write_samples and index those"
        )
    source = ds.source
    shards = ds.list_shards()
    urls = parts_of(source.url) if isinstance(source, URLSource) else shards
    if not shards:
        raise ValueError("the dataset has no shards, so there is nothing to index")
    for url in shards:
        if scheme_of(url) == "pipe":
            raise UnsafeURL(f"{public(url)!r} is a command; an index takes only the places of shards")
        if _PASSWORD.search(url):
            raise UnsafeURL(f"{public(url)!r} has a password in it, which everybody who reads the index would see")
    if isinstance(source, URLSource) and URLSource(urls).list_shards() != shards:
        raise ValueError(f"{public(shards[0])!r}: braces in a file's name would be read as a pattern; rename the file")
    return list(urls)


def _only_picks(lens: Lens[Any, Any]) -> bool:
    """Whether a lens gives what reading the shards as its view's type gives."""
    return lens.picks is not None and all(name == source for name, source in lens.picks.items())


def shard_facts(ds: Dataset[Any]) -> dict[str, Any]:
    """``samples``, ``bytes``, ``shards`` and ``digests`` of a dataset, as far as they are known without reading it."""
    facts: dict[str, Any] = {"shards": len(ds.list_shards())}
    try:
        known = ds._facts()
    except (AtdataError, OSError):  # they are a help; reading the data will tell what is wrong with them
        known = None
    return facts if known is None else _told(known)


def stored_facts(store: Any, urls: Sequence[str]) -> dict[str, Any] | None:
    """The same of shards in a store, or None if it does not tell."""
    try:
        known = store.shard_facts(urls) if hasattr(store, "shard_facts") else None
    except (AtdataError, OSError):  # likewise
        return None
    return None if known is None else _told(known)


def _told(known: Sequence[ShardFacts]) -> dict[str, Any]:
    return {
        "shards": len(known),
        "samples": sum(shard.samples for shard in known),
        "bytes": sum(shard.bytes for shard in known),
        "digests": [shard.sha256 for shard in known],
    }


def said_of(
    ds: Dataset[Any], name: str, schema_ref: str | None, metadata: dict[str, Any] | None, facts: dict[str, Any]
) -> dict[str, Any]:
    """What is said about a dataset as an entry takes it, checked before anything is stored or published.

    Raises:
        TypeError: no dataset, or what an entry does not say.
        ValueError: what no entry can hold; see ``check_entry``.
    """
    check_dataset(ds)
    if strange := facts.keys() - {*SAID}:
        raise TypeError(f"an entry has no {', '.join(sorted(strange))}; put it into metadata")
    metadata = ds.metadata if metadata is None else metadata
    described = metadata.get("description") if isinstance(metadata, dict) else None
    if facts.get("description") is None and isinstance(described, str):
        facts = facts | {"description": described}
    said: dict[str, Any] = {"name": name, "schema_ref": schema_ref, "metadata": metadata, **facts}
    trial: dict[str, Any] = {**said, "schema_ref": "-" if schema_ref is None else schema_ref, "data_urls": ["-"]}
    check_entry(LocalDatasetEntry(**trial))
    return said
