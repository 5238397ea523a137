"""Entries in a catalog: put in, found by CID, read in pages, and the names that they may have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from atdata.errors import EntryNotFound, InvalidReference
from atdata.uri import LOCAL, DatasetRef, parse

from .catalog import COLUMNS, PAGE, Catalog, Row
from .entry import LocalDatasetEntry
from .schemas import now
from .words import entry_words, words

# References have no more characters.
_LONGEST = 4096

logger = logging.getLogger("atdata_local")


def check_entry(entry: LocalDatasetEntry) -> None:
    """Refuse an entry that no catalog keeps.

    Raises:
        InvalidReference: a name that references cannot hold.
        ValueError: no URLs, tags that are no list, or a tag that is no text in one line.
    """
    check_name(entry.name)
    if isinstance(entry.tags, str):
        raise ValueError(f"tags are a list; found {entry.tags!r:.80}: write [{entry.tags!r:.80}]")
    texts = [*(("tag", tag) for tag in entry.tags), ("schema reference", entry.schema_ref), ("CID", entry.cid)]
    for what, text in texts:
        if not isinstance(text, str) or not text.strip() or not text.isprintable() or len(text) > _LONGEST:
            raise ValueError(f"{text!r:.80} is not a {what}, which is text in one line")
    if not entry.data_urls:
        raise ValueError(f"{entry.name!r} has no data URLs, so there is nothing to index")


def keep(catalog: Catalog, entry: LocalDatasetEntry) -> LocalDatasetEntry:
    """Put an entry into a catalog. Returns it as it is kept there.

    Raises:
        ValueError: no catalog keeps such an entry; see ``check_entry``.
    """
    check_entry(entry)
    values = entry.as_stored()
    values["created"] = values["created"] or now()
    before = catalog.insert(values, entry_words(entry.description, entry.tags, entry.schema_ref), words(entry.name))
    if before is not None:
        moved = "%r in %s is now %s; it was %s, which versions(%r) still has"
        logger.warning(moved, entry.name, catalog.url, entry.cid, before, entry.name)
    row = catalog.by_name(entry.name)
    kept = None if row is None else LocalDatasetEntry.from_row(row, catalog)
    return kept if kept is not None and kept.cid == entry.cid else entry  # another writer may have moved the name on


def entry_of_cid(catalog: Catalog, cid: str) -> LocalDatasetEntry:
    """The entry of a CID.

    Raises:
        EntryNotFound: there is none.
    """
    row = catalog.by_cid(cid)
    if row is None:
        raise EntryNotFound(f"no entry {cid!r:.80} in {catalog.url}; list_entries() tells what is there")
    return LocalDatasetEntry.from_row(row, catalog)


def pages(limit: int | None, cursor: str | None, read: Callable[[int, str], list[Row]]) -> Iterator[list[Row]]:
    """Pages of rows, which ``read(size, after)`` gives, up to a limit in all."""
    check_limit(limit)
    after, left = cursor or "", limit
    # a short page need not be the last: a server that evicts keys may have lost some records
    while (left is None or left > 0) and (page := read(PAGE if left is None else min(left, PAGE), after)):
        yield page
        last = page[-1][COLUMNS.index("name")]
        after = last.decode() if isinstance(last, bytes) else last
        left = None if left is None else left - len(page)


def check_limit(limit: int | None) -> None:
    """Refuse a limit of nothing or less.

    Raises:
        ValueError: it is under 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more, or None for all")


def check_name(name: str) -> None:
    """Refuse what references to datasets cannot hold.

    Raises:
        InvalidReference: says why; a ``ValueError``.
        TypeError: no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a dataset's name is text; found {type(name).__name__}")
    DatasetRef(LOCAL, name)


def name_in(ref: str) -> str:
    """The name of a dataset of this index, from a reference.

    Raises:
        InvalidReference: a malformed reference, or one to something else.
        EntryNotFound: a reference to somebody else's dataset.
    """
    found = parse(ref)
    if not isinstance(found, DatasetRef):
        raise InvalidReference(f"{ref!r} does not name a dataset; write a name, or @local/name")
    if found.authority != LOCAL:
        raise EntryNotFound(f"{ref!r} is on the network, not in this index; ask an AtmosphereIndex for it")
    return found.name
