"""Random changes, compared with an index that is a few lists; the catalogs agree with it and with themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atdata.errors import EntryNotFound, NameTaken
from atdata.schema import Version
from atdata_local import Index, LocalDatasetEntry
from atdata_local.catalog.rank import rank
from atdata_local.entries import keep
from atdata_local.words import terms, words

NAMES = ["a", "a b", "ab", "b", "é"]
TAGS = ["x", "x y", "z"]

CHANGES = st.one_of(
    st.tuples(
        st.just("insert"), st.sampled_from(NAMES), st.integers(0, 3), st.lists(st.sampled_from(TAGS), max_size=2)
    ),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.none() | st.integers(0, 3)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
)


def entry(name: str, content: int, tags: list[str]) -> LocalDatasetEntry:
    return LocalDatasetEntry(name, "s", [f"u{content}"], description=f"word{content}", tags=tags)


CIDS = [entry("", content, []).cid for content in range(4)]


class Model:
    """An index in memory: for each name its entries ``(cid, tags, number)``, oldest first."""

    def __init__(self) -> None:
        self.names: dict[str, list[tuple[str, list[str], int]]] = {}
        self.count = 0

    def insert(self, name: str, content: int, tags: list[str]) -> None:
        self.count += 1
        old = self.names.get(name, [])
        number = old[-1][2] if old and old[-1][0] == CIDS[content] else self.count
        self.names[name] = [one for one in old if one[0] != CIDS[content]] + [(CIDS[content], tags, number)]

    def delete(self, name: str, content: int | None) -> None:
        left = [one for one in self.names.pop(name, []) if content is not None and one[0] != CIDS[content]]
        if left:
            self.names[name] = left

    def rename(self, old: str, new: str) -> None:
        if old in self.names and new not in self.names:
            self.names[new] = self.names.pop(old)


def change(index: Index, what: str, *arguments: Any) -> None:
    try:
        if what == "insert":
            keep(index.catalog, entry(*arguments))
        elif what == "delete":
            name, content = arguments
            index.delete_entry(name, cid=None if content is None else CIDS[content])
        else:
            index.rename(*arguments)
    except (EntryNotFound, NameTaken):
        pass


def compare(index: Index, model: Model) -> None:
    assert [(e.name, e.cid, e.tags) for e in index.list_datasets()] == [
        (name, *model.names[name][-1][:2]) for name in sorted(model.names)
    ]
    numbered = sorted((number, name, cid) for name, kept in model.names.items() for cid, _, number in kept)
    assert [(e.name, e.cid) for e in index.entries] == [(name, cid) for _, name, cid in numbered]
    for name, kept in model.names.items():
        assert [(e.cid, e.tags) for e in index.versions(name)] == [one[:2] for one in kept]
    for tag in TAGS:
        having = [name for name in sorted(model.names) if tag in model.names[name][-1][1]]
        assert [e.name for e in index.search(tags=[tag])] == having
    for content, cid in enumerate(CIDS):
        having = [name for name in sorted(model.names) if model.names[name][-1][0] == cid]
        assert [e.name for e in index.search(f"word{content}")] == having
        latest = [name for _, name, one in numbered if one == cid]
        assert [e.name for e in latest and [index.get_entry(cid)]] == latest[-1:]
    assert index.catalog.audit() == []


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, max_size=25))
def test_catalogs_do_what_a_few_lists_do(kind: str, make_index: Callable[[str], Index], changes: list[Any]) -> None:
    logging.getLogger("atdata_local").setLevel(logging.ERROR)
    index, model = make_index(kind), Model()
    for found in index.list_datasets():
        index.delete_entry(found.name)
    model.count = 0
    for what, *arguments in changes:
        change(index, what, *arguments)
        getattr(model, what)(*arguments)
    compare(index, model)


NUMBERS = st.integers(0, 10**15 - 1) | st.integers(0, 3)
PARTS = st.sampled_from(["0", "1", "2", "10", "999", "a", "b", "rc", "a-b", "1a", "-", "alpha", "alphabet"])
VERSIONS = st.builds(
    Version, NUMBERS, NUMBERS, NUMBERS, st.lists(PARTS, max_size=3).map(".".join), st.sampled_from(["", "b1", "b2"])
)


@given(VERSIONS, VERSIONS)
def test_rank_sorts_as_versions_do(a: Version, b: Version) -> None:
    if a < b:
        assert rank(str(a)).encode() < rank(str(b)).encode()
    assert (rank(str(a)) == rank(str(b))) == (a == b)


def test_rank_refuses_numbers_that_lua_cannot_count() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        rank(f"1.{10**15}.0")


@given(st.text(max_size=60))
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    found = words(text)
    assert all(token == token.casefold() and "\0" not in token and "\n" not in token for token in found)
    for term in terms(text, [], None):
        assert any(token.startswith(term.token) for token in found)


def test_words_of_camel_case_and_of_long_texts() -> None:
    assert words("ImageSample_v2 Größe") == ["imagesample", "v2", "grösse", "image", "sample"]
    assert len(words(" ".join(map(str, range(10_000))))) == 500
