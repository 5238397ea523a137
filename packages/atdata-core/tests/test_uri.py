"""References: every form, there and back, and what is refused."""

import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata import uri
from atdata.errors import InvalidReference
from atdata.schema import Version
from atdata.uri import AtUri, BlobRef, DatasetRef, SchemaRef, is_reference, parse

CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
DID = "did:plc:z72i7hdynmk6r22z27h6tvur"
ONE = Version(1, 0, 0)

FORMS = {
    "atdata://local/sampleSchema/Digit@1.0.0": SchemaRef("local", "Digit", ONE),
    "atdata://local/sampleSchema/Digit": SchemaRef("local", "Digit"),
    "atdata://local/sampleSchema/Größe@2.1.3-rc.1+b": SchemaRef("local", "Größe", Version(2, 1, 3, "rc.1", "b")),
    "atdata://alice.example.org/sampleSchema/Digit@1.0.0": SchemaRef("alice.example.org", "Digit", ONE),
    f"atdata://{DID}/sampleSchema/Digit@1.0.0": SchemaRef(DID, "Digit", ONE),
    "atdata://did:web:localhost%3A2583/sampleSchema/Digit": SchemaRef("did:web:localhost%3A2583", "Digit"),
    f"at://{DID}/ac.foundation.dataset.record/3jzfcijpj2z2a": AtUri(
        DID, "ac.foundation.dataset.record", "3jzfcijpj2z2a"
    ),
    "at://alice.example.org/ac.foundation.dataset.sampleSchema/a:b_c~d.e-f": AtUri(
        "alice.example.org", "ac.foundation.dataset.sampleSchema", "a:b_c~d.e-f"
    ),
    f"at://{DID}/blob/{CID}": BlobRef(DID, CID),
    "@local/digits": DatasetRef("local", "digits"),
    "@local/handwritten digits, 2026 (ü)": DatasetRef("local", "handwritten digits, 2026 (ü)"),
    "@alice.example.org/digits-v1.2": DatasetRef("alice.example.org", "digits-v1.2"),
    f"@{DID}/digits": DatasetRef(DID, "digits"),
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_read_and_written_alike(text: str) -> None:
    found = parse(text)
    assert found == FORMS[text]
    assert str(found) == text
    assert is_reference(text)
    assert hash(found) == hash(FORMS[text])
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local://schemas/examples.Digit@1.0.0", SchemaRef("local", "Digit", ONE)),
        ("local://schemas/a.b.c.Digit@1.0.0", SchemaRef("local", "Digit", ONE)),
        ("local://schemas/module.function.<locals>.Digit@1.0.0", SchemaRef("local", "Digit", ONE)),
        ("local://schemas/__main__.Digit", SchemaRef("local", "Digit")),
        ("local://schemas/Digit", SchemaRef("local", "Digit")),
    ],
)
def test_the_older_form_is_read_with_a_warning_at_the_caller(text: str, expected: SchemaRef) -> None:
    with pytest.warns(DeprecationWarning, match=f"write {expected} instead") as caught:
        assert parse(text) == expected
    assert [warning.filename for warning in caught] == [__file__]


def test_handles_are_the_same_in_any_case_and_nothing_else_is() -> None:
    assert parse("@Alice.Example.ORG/Digits") == DatasetRef("alice.example.org", "Digits")
    assert parse("@alice.example.org/Digits") != parse("@alice.example.org/digits")
    assert parse("atdata://LOCAL/sampleSchema/A") == SchemaRef("local", "A")


def test_a_reference_can_be_moved_to_a_version() -> None:
    assert SchemaRef("local", "Digit").at("1.0.0") == SchemaRef("local", "Digit", ONE)
    assert str(SchemaRef("local", "Digit", ONE).at(ONE.next_patch)) == "atdata://local/sampleSchema/Digit@1.0.1"
    with pytest.raises(InvalidReference, match=r"'1\.0' is not a version"):
        SchemaRef("local", "Digit").at("1.0")


def test_at_uri_has_a_parser_of_its_own() -> None:
    found = AtUri.parse("at://did:plc:abc123/ac.foundation.dataset.sampleSchema/xyz")
    assert (found.authority, found.collection, found.rkey) == (
        "did:plc:abc123",
        "ac.foundation.dataset.sampleSchema",
        "xyz",
    )
    with pytest.raises(ValueError, match="is not the URI of a record"):
        AtUri.parse("@local/digits")
    with pytest.raises(ValueError, match="is not the URI of a record"):
        AtUri.parse(f"at://{DID}/blob/{CID}")


@pytest.mark.parametrize("text", ["data.tar", "data-{000..009}.tar", "https://a.example.org/x.tar", "s3://b/k", ""])
def test_paths_and_urls_are_no_references(text: str) -> None:
    assert not is_reference(text)
    with pytest.raises(InvalidReference):
        parse(text)


HANDLE = "it is no handle, no DID and not 'local'"
DATASET = r"it is not of the form @\{owner\}/\{name\}"
SCHEMA = r"it is not of the form atdata://\{owner\}/sampleSchema"
REFUSED = [
    ("", "begins with none of"),
    ("digits", "begins with none of"),
    ("http://a.example.org/x/y", "'http' is none of the schemes"),
    ("ATDATA://local/sampleSchema/A", "'ATDATA' is none of the schemes"),
    ("@", DATASET),
    ("@/digits", DATASET),
    ("@local", DATASET),
    ("@local/", DATASET),
    ("@local//digits", DATASET),
    ("@local/a/b", DATASET),
    ("@local/..", DATASET),
    ("@local/.", DATASET),
    ("@../digits", DATASET),
    ("@local/ digits", "cannot name a dataset"),
    ("@local/digits ", "cannot name a dataset"),
    ("@local/a\\b", "cannot name a dataset"),
    ("@local/a%2Fb", "cannot name a dataset"),
    ("@local/a@1.0.0", "cannot name a dataset"),
    ("@local/a?b=c", "cannot name a dataset"),
    ("@local/a#b", "cannot name a dataset"),
    ("@local/" + "a" * 513, "cannot name a dataset"),
    ("@alice/digits", HANDLE),
    ("@alice..org/digits", HANDLE),
    ("@.example.org/digits", HANDLE),
    ("@example.org./digits", HANDLE),
    ("@-a.example.org/digits", HANDLE),
    ("@a_b.example.org/digits", HANDLE),
    ("@127.0.0.1/digits", HANDLE),
    ("@example.org:8080/digits", HANDLE),
    ("@user:password@example.org/digits", HANDLE),
    (f"@{'a' * 64}.example.org/digits", HANDLE),
    (f"@{'a.' * 130}org/digits", HANDLE),
    ("@alice%2Eexample.org/digits", HANDLE),
    ("@älice.example.org/digits", "handles are ASCII"),
    ("@\u0430lice.example.org/digits", "handles are ASCII"),
    ("@\u212aate.example.org/digits", "handles are ASCII"),  # lower() makes the Kelvin sign a k
    ("@did:plc/digits", "is not a DID"),
    ("@did::abc/digits", "is not a DID"),
    ("@did:PLC:abc/digits", "is not a DID"),
    ("@did:plc:abc:/digits", "is not a DID"),
    ("@did:plc:a%20b/digits", "is not a DID"),
    ("@did:web:example.org%3A443/digits", "is not a DID"),
    ("@did:web:localhost%3A123456/digits", "is not a DID"),
    ("@did:plc:../digits", "is not a DID"),
    (f"@did:plc:{'a' * 2048}/digits", "is not a DID"),
    ("atdata://", SCHEMA),
    ("atdata:///sampleSchema/A", SCHEMA),
    ("atdata://local/sampleSchema", SCHEMA),
    ("atdata://local/sampleSchema/", SCHEMA),
    ("atdata://local/sampleSchema/A/", SCHEMA),
    ("atdata://local/../A", SCHEMA),
    ("atdata://local/lens/A", "'lens' is neither 'sampleSchema' nor 'dataset'"),
    ("atdata://local/sampleschema/A", "'sampleschema' is neither 'sampleSchema' nor 'dataset'"),
    ("atdata://local/sampleSchema/my-type@1.0.0", "is not the name of a schema"),
    ("atdata://local/sampleSchema/@1.0.0", "is not the name of a schema"),
    ("atdata://local/sampleSchema/1A", "is not the name of a schema"),
    ("atdata://local/sampleSchema/" + "A" * 257, "is not the name of a schema"),
    ("atdata://local/sampleSchema/A@", "'' is not a version"),
    ("atdata://local/sampleSchema/A@latest", "'latest' is not a version: .*without @ it is the highest version"),
    ("atdata://local/sampleSchema/A@1.0", r"'1\.0' is not a version"),
    ("atdata://local/sampleSchema/A@1.0.0@2.0.0", "is not a version"),
    ("atdata://local/sampleSchema/A?x=1", "is not the name of a schema"),
    ("at://local/org.example.thing/x", "'local' is not on the network"),
    ("at://alice.example.org", "it is not of the form at://"),
    ("at://alice.example.org/org.example.thing", "it is not of the form at://"),
    ("at://alice.example.org/org.example.thing/", "it is not of the form at://"),
    ("at://alice.example.org/org.example.thing/..", "it is not of the form at://"),
    ("at://alice.example.org/org.example.thing/x/y", "it is not of the form at://"),
    ("at://alice.example.org/thing/x", "is not a collection"),
    ("at://alice.example.org/org.example.1thing/x", "is not a collection"),
    ("at://alice.example.org/org..thing/x", "is not a collection"),
    (f"at://alice.example.org/org.{'a.' * 160}thing/x", "is not a collection"),
    ("at://alice.example.org/org.example.thing/a%20b", "is not a record key"),
    ("at://alice.example.org/org.example.thing/a b", "is not a record key"),
    ("at://alice.example.org/org.example.thing/ü", "is not a record key"),
    ("at://alice.example.org/org.example.thing/x#fragment", "is not a record key"),
    ("at://alice.example.org/org.example.thing/" + "a" * 513, "is not a record key"),
    (f"at://{DID}/blob/cid", "is not a CID"),
    (f"at://{DID}/blob/{CID.upper()}", "is not a CID"),
    ("local://data/a.B@1.0.0", "local://schemas/"),
    ("local://schemas/a..B@1.0.0", "'' is not the name of a module"),
    ("local://schemas/a b.B@1.0.0", "is not the name of a module"),
    ("local://schemas/a.B@x", "'x' is not a version"),
    ("@local/a\x00b", "control or invisible characters"),
    ("@local/a\nb", "control or invisible characters"),
    ("@local/a\u202eb", "control or invisible characters"),
    ("@local/a\u200bb", "control or invisible characters"),
    ("@local/\ud800", "control or invisible characters"),
    ("atdata://local/sampleSchema/A@1.0.0\r\n", "control or invisible characters"),
    ("@local/" + "a" * 1_000_000, "has 1,000,007 characters"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_what_is_no_reference_is_refused_with_the_reason(text: str, reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidReference, match=reason) as caught:
            parse(text)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("given", [None, 7, b"@local/digits", ["@local/digits"]])
def test_what_is_no_text_is_no_reference(given: object) -> None:
    with pytest.raises(InvalidReference, match=f"a reference is text; found {type(given).__name__}"):
        parse(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SchemaRef("", "Digit"),
        lambda: SchemaRef("local", "a/b"),
        lambda: DatasetRef("nobody", "digits"),
        lambda: DatasetRef("local", ""),
        lambda: AtUri("local", "org.example.thing", "x"),
        lambda: AtUri(DID, "org.example.thing", "."),
        lambda: BlobRef(DID, ""),
    ],
)
def test_no_reference_can_be_made_that_could_not_be_read(make: object) -> None:
    with pytest.raises(InvalidReference):
        make()  # type: ignore[operator]


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
handles = st.builds(lambda parts, top: ".".join([*parts, top]), st.lists(labels, min_size=1, max_size=3), labels)
handles = handles.filter(lambda handle: not handle.rpartition(".")[2][0].isdigit())
dids = st.from_regex(r"did:(plc|web|key):[a-zA-Z0-9_-]{1,30}", fullmatch=True)
owners = handles | dids
versions = st.builds(Version, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.sampled_from(["", "rc.1"]))
names = st.from_regex(r"[^\W\d]\w{0,20}", fullmatch=True).filter(str.isidentifier)
dataset_names = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"], exclude_characters="/\\@?#%"), min_size=1, max_size=50
).filter(lambda name: name.isprintable() and name == name.strip() and name not in (".", ".."))
nsids = st.from_regex(r"[a-z]{1,9}\.[a-z0-9]{1,9}\.[a-zA-Z]{1,9}", fullmatch=True)
keys = st.from_regex(r"[a-zA-Z0-9._:~-]{1,40}", fullmatch=True).filter(lambda key: key not in (".", ".."))
references = st.one_of(
    st.builds(SchemaRef, owners | st.just("local"), names, st.none() | versions),
    st.builds(DatasetRef, owners | st.just("local"), dataset_names),
    st.builds(AtUri, owners, nsids, keys),
    st.builds(BlobRef, owners, st.just(CID)),
)


@given(references)
def test_references_come_back_from_their_text(reference: uri.Reference) -> None:
    assert parse(str(reference)) == reference


@given(st.text() | st.builds(lambda start, rest: start + rest, st.sampled_from(["@", "atdata://", "at://"]), st.text()))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except InvalidReference:
        return
    assert parse(str(found)) == found
