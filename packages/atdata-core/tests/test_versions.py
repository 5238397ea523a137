"""Versions as semver.org says, and the next one."""

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.errors import SchemaError
from atdata.schema import Version, next_version

# The list that semver.org gives with its regular expression
VALID = [
    "0.0.4",
    "1.2.3",
    "10.20.30",
    "1.1.2-prerelease+meta",
    "1.1.2+meta",
    "1.1.2+meta-valid",
    "1.0.0-alpha",
    "1.0.0-beta",
    "1.0.0-alpha.beta",
    "1.0.0-alpha.beta.1",
    "1.0.0-alpha.1",
    "1.0.0-alpha0.valid",
    "1.0.0-alpha.0valid",
    "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1",
    "1.0.0-rc.1+build.1",
    "2.0.0-rc.1+build.123",
    "1.2.3-beta",
    "10.2.3-DEV-SNAPSHOT",
    "1.2.3-SNAPSHOT-123",
    "1.0.0",
    "2.0.0",
    "1.1.7",
    "2.0.0+build.1848",
    "2.0.1-alpha.1227",
    "1.0.0-alpha+beta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
    "1.2.3----R-S.12.9.1--.12+meta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12",
    "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
    "99999999999999999999999.999999999999999999.99999999",
    "1.0.0-0A.is.legal",
]
INVALID = [
    "1",
    "1.2",
    "1.2.3-0123",
    "1.2.3-0123.0123",
    "1.1.2+.123",
    "+invalid",
    "-invalid",
    "-invalid+invalid",
    "-invalid.01",
    "alpha",
    "alpha.beta",
    "alpha.beta.1",
    "alpha.1",
    "alpha+beta",
    "alpha_beta",
    "alpha.",
    "alpha..",
    "beta",
    "1.0.0-alpha_beta",
    "-alpha.",
    "1.0.0-alpha..",
    "1.0.0-alpha..1",
    "1.0.0-alpha...1",
    "01.1.1",
    "1.01.1",
    "1.1.01",
    "1.2.3.DEV",
    "1.2-SNAPSHOT",
    "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788",
    "1.2-RC-SNAPSHOT",
    "-1.0.3-gamma+b7718",
    "+justmeta",
    "9.8.7+meta+meta",
    "9.8.7-whatever+meta+meta",
    "v1.0.0",
    "latest",
    "\N{ARABIC-INDIC DIGIT ONE}.0.0",
]
# Precedence, from semver.org
ASCENDING = [
    "0.9.9",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0-0",
    "1.2.0",
    "1.9.0",
    "1.10.0",
    "1.11.0",
    "2.0.0-0.1",
    "2.0.0",
    "10.0.0",
]

numbers = st.integers(0, 10**9)
words = st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).map(lambda word: word[:9])
parts = numbers.map(str) | words.filter(lambda word: not word.isdigit())
dotted = st.lists(parts, max_size=3).map(".".join)
versions = st.builds(Version, numbers, numbers, numbers, dotted, dotted)


@pytest.mark.parametrize("text", VALID)
def test_what_semver_allows_is_read_and_written_alike(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize("text", [*INVALID, "", " 1.0.0", "1.0.0\n", "1.0.0 ", "1" * 200 + ".0.0", None, 1.0, b"1.0.0"])
def test_what_semver_forbids_is_refused(text: object) -> None:
    with pytest.raises(SchemaError, match=r"is not a version: three numbers are needed, such as '1\.0\.0'"):
        Version.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [(1, 2, -3), (1, 2, 3, "01"), (1, 2, 3, "", "a..b"), (1, 2, 3, "a+b", "c+d")])
def test_no_version_can_be_made_that_could_not_be_read(made: tuple[object, ...]) -> None:
    with pytest.raises(SchemaError, match="is not a version"):
        Version(*made)  # type: ignore[arg-type]


def test_precedence_is_that_of_semver() -> None:
    ordered = [*map(Version.parse, ASCENDING)]
    backwards = ordered[::-1]
    assert sorted(backwards) == ordered
    for low, high in itertools.combinations(ordered, 2):
        assert low < high
        assert high > low
        assert low <= high
        assert high >= low
        assert not low >= high
        assert low != high


def test_builds_differ_but_none_comes_before_the_other() -> None:
    one, other = Version.parse("1.0.0+a"), Version.parse("1.0.0+b")
    assert one != other
    assert not one < other
    assert not one > other
    assert one <= other
    assert one >= other


@given(versions)
def test_versions_come_back_from_their_text(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert pickle.loads(pickle.dumps(version)) == version
    assert version.next_patch > version


@given(versions, versions, versions)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (b < a) + (a <= b <= a) == 1
    if a <= b <= c:
        assert a <= c


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ([], "1.0.0"),
        (["1.0.0"], "1.0.1"),
        (["1.9.0", "1.10.0", "1.2.7"], "1.10.1"),
        (["1.0.0", "2.0.0-rc.1"], "2.0.1"),
        (["1.0.0+build.5"], "1.0.1"),
    ],
)
def test_the_next_version_is_the_next_patch_of_the_highest(published: list[str], expected: str) -> None:
    assert next_version(published) == expected
    assert next_version(iter(published)) == expected


def test_a_list_with_what_is_no_version_has_no_next() -> None:
    with pytest.raises(SchemaError, match="'latest' is not a version"):
        next_version(["1.0.0", "latest"])
