"""Records that mean harm, and what becomes of whoever loads them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atdata_atmosphere.records import DATASET, NAMESPACE, SCHEMA
from atdata_atmosphere.storage import raw_cid

from .servers import PUBLIC

BLOB = raw_cid("00" * 32)
# For this one, the server sends something else
LIE = raw_cid("22" * 32)


@dataclass(frozen=True)
class Places:
    """Where things are.

    Attributes:
        evil: URL of the bad server.
        canary: port, on this machine, that nobody may talk to.
        trap: a file that nobody may make.
        secret: a file that nobody may read.
        did: DID of the account.
        schema: URI of a good schema: samples with a ``text``.
    """

    evil: str
    canary: int
    trap: str
    secret: str
    did: str
    schema: str


@dataclass(frozen=True)
class Case:
    """A record, and the error that it ends in.

    Attributes:
        record: the record of a dataset.
        errors: names of errors, of which it is one.
        says: a part of the message.
        forged: whether it is not kept by a server, but made up by one on the way.
    """

    record: dict[str, Any]
    errors: tuple[str, ...]
    says: str = ""
    forged: bool = False


def external(*urls: Any) -> dict[str, Any]:
    """Storage behind URLs."""
    locations = [url if isinstance(url, Mapping) else {"url": url} for url in urls]
    return {"$type": f"{NAMESPACE}.storageExternal", "locations": locations}


def dataset(storage: Mapping[str, Any], schema: str, **more: Any) -> dict[str, Any]:
    """The record of a dataset."""
    return {"$type": DATASET, "name": "free samples", "schemaRef": schema, "storage": storage, **more}


def schema(**more: Any) -> dict[str, Any]:
    """The record of a schema."""
    text = {"$type": f"{NAMESPACE}.schemaType#primitive", "primitive": "str"}
    fields = [{"name": "text", "fieldType": text}]
    return {"$type": SCHEMA, "name": "Sample", "version": "1.0.0", "fields": fields, **more}


def url_cases(at: Places) -> dict[str, Case]:
    """Records whose URLs lead where none may."""
    here = f"127.0.0.1:{at.canary}"
    shell = {
        "pipe": f"pipe:touch {at.trap}",
        "pipe-upper": f"PIPE:touch {at.trap}",
        "pipe-second": f"{at.evil}/good.tar::pipe:touch {at.trap}",
        "pipe-braces": f"{{pipe,https}}:touch {at.trap}",
        "bar": f"|touch {at.trap}",
        "ais": f"ais://$(touch {at.trap})/x.tar",
        "scp": f"scp://-oProxyCommand=touch {at.trap}/x.tar",
    }
    files = {
        "file": f"file://{at.secret}",
        "file-short": f"file:{at.secret}",
        "file-upper": f"FILE://localhost{at.secret}",
        "file-second": f"{at.evil}/good.tar::{at.secret}",
        "path": at.secret,
        "path-up": f"../../../../../../..{at.secret}",
        "path-share": "\\\\server\\share\\x.tar",
        "path-drive": "C:\\x.tar",
        "path-proc": "/proc/self/environ",
    }
    networks = {
        "http": f"http://{here}/x.tar",
        "http-public": f"http://{PUBLIC}:{at.canary}/x.tar",
        "ftp": f"ftp://{here}/x.tar",
        "ws": f"ws://{here}/x.tar",
        "private": f"https://{here}/x.tar",
        "private-name": f"https://localhost:{at.canary}/x.tar",
        "private-name-upper": f"https://LOCALHOST:{at.canary}/x.tar",
        "private-short": f"https://127.1:{at.canary}/x.tar",
        "private-number": f"https://2130706433:{at.canary}/x.tar",
        "private-hex": f"https://0x7f000001:{at.canary}/x.tar",
        "private-octal": f"https://0177.0.0.1:{at.canary}/x.tar",
        "private-digits": f"https://①②⑦.⓪.⓪.①:{at.canary}/x.tar",
        "private-6": f"https://[::1]:{at.canary}/x.tar",
        "private-mapped": f"https://[::ffff:127.0.0.1]:{at.canary}/x.tar",
        "private-zone": f"https://[fe80::1%25lo]:{at.canary}/x.tar",
        "private-any": f"https://0.0.0.0:{at.canary}/x.tar",
        "private-braces": f"https://{{{PUBLIC},127.0.0.1}}:{at.canary}/x.tar",
        "private-user": f"https://{PUBLIC}@{here}/x.tar",
        "private-backslash": f"https://{here}\\@{PUBLIC}/x.tar",
        "private-line": f"https://127.0.0.1\n:{at.canary}/x.tar",
        "network": "https://10.0.0.1/x.tar",
        "metadata": "https://169.254.169.254/latest/meta-data/",
        "nowhere": "https:///x.tar",
        "port": f"https://{PUBLIC}:99999/x.tar",
        "bucket-host": f"s3://{here}/x.tar",
        "bucket-user": f"s3://user:password@{here}/x.tar",
        "blob-web": f"at://did:web:localhost%3A{at.canary}/blob/{BLOB}",
        "blob-address": f"at://127.0.0.1/blob/{BLOB}",
        "record": f"at://{at.did}/{DATASET}/1",
    }
    refused = ("UnsafeURL",)
    cases = {
        name: Case(dataset(external(url), at.schema), refused) for name, url in {**shell, **files, **networks}.items()
    }
    for name, error in {
        "blob-address": "IdentityError",
        "record": "InvalidReference",
    }.items():
        cases[name] = Case(cases[name].record, (error,))
    for name in ("private", "private-name", "metadata"):
        cases[f"redirect-{name}"] = Case(
            dataset(external(f"{at.evil}/redirect/{name}"), at.schema), refused, "no public address"
        )
    for name in ("plain", "file", "ftp", "data", "circle"):
        cases[f"redirect-{name}"] = Case(
            dataset(external(f"{at.evil}/redirect/{name}"), at.schema), ("ShardUnreadable",), "a redirect that is not"
        )
    return cases


def pattern_cases(at: Places) -> dict[str, Case]:
    """Records that stand for too many shards, or tell nonsense of them."""
    good = f"{at.evil}/good.tar"
    many = {
        "braces": f"{at.evil}/{{0..999999999999}}.tar",
        "braces-product": f"{at.evil}/{'{a,b}' * 40}.tar",
        "braces-deep": f"{at.evil}/{'{a,' * 100}{'}' * 100}.tar",
        "braces-digits": f"{at.evil}/{{0..{'9' * 5000}}}.tar",
        "braces-open": f"{at.evil}/{{0..9.tar",
    }
    errors = ("UnsafeURL", "InvalidPattern")
    found = {name: Case(dataset(external(url), at.schema), errors) for name, url in many.items()}
    found["shards-million"] = Case(
        dataset(external(f"{at.evil}/{{000000..999999}}.tar"), at.schema), ("ShardNotFound",), "404"
    )
    found["shards-over-a-million"] = Case(
        dataset(external(*[f"{at.evil}/{n}-{{000..999}}.tar" for n in range(1001)]), at.schema), ("UnsafeURL",)
    )
    wrong = raw_cid("11" * 32)
    for name, facts, errors in (
        ("digest", [{"digest": wrong}], ("ShardCorrupted",)),
        ("size", [{"digest": wrong, "bytes": 1}], ("ShardCorrupted",)),
        ("vast-size", [{"digest": wrong, "bytes": 1 << 52, "samples": 1 << 52}], ("ShardCorrupted", "ShardUnreadable")),
        ("negative-size", [{"digest": wrong, "bytes": -1}], ("WrongRecord",)),
        ("too-many-facts", [{"digest": wrong}] * 2, ("WrongRecord",)),
    ):
        found[f"facts-{name}"] = Case(dataset(external({"url": good, "shards": facts}), at.schema), errors)
    found["facts-no-digest"] = Case(  # is no claim
        dataset(external({"url": good, "shards": [{"digest": BLOB.replace("bafkrei", "bafyrei")}]}), at.schema), ("",)
    )
    return found


def body_cases(at: Places) -> dict[str, Case]:
    """Records of shards that are bad, or never end."""
    bad = ("ShardCorrupted", "SampleDecodeError", "FieldMismatch", "MalformedSample")
    found = {
        name: Case(dataset(external(f"{at.evil}/{name}.tar"), at.schema), bad)
        for name in ("nothing", "garbage", "gzipped", "deep", "many", "long", "pickle", "vast", "no-map")
    }
    found["members-up"] = Case(dataset(external(f"{at.evil}/../../up.tar"), at.schema), ("", "ShardNotFound"))
    for name in ("garbage", "zeros", "member", "headers"):
        found[f"endless-{name}"] = Case(
            dataset(external(f"{at.evil}/endless/{name}"), at.schema), (*bad, "ShardUnreadable")
        )
    found["encoded"] = Case(
        dataset(external(f"{at.evil}/encoded/x.tar"), at.schema), ("ShardUnreadable",), "compressed"
    )
    return found


def schema_records(at: Places) -> dict[str, dict[str, Any]]:
    """Schemas that describe no type, by the last part of their keys."""
    types = f"{NAMESPACE}.schemaType"
    text = {"$type": f"{types}#primitive", "primitive": "str"}

    def fields(*given: Any) -> dict[str, Any]:
        return schema(fields=list(given))

    def array(**more: Any) -> dict[str, Any]:
        return fields({"name": "a", "fieldType": {"$type": f"{types}#ndarray", "dtype": "float32", **more}})

    nested: dict[str, Any] = text
    for _ in range(60):
        nested = {"$type": f"{types}#array", "items": nested}
    code = f"__import__('os').system('touch {at.trap}')"
    names = {
        "code": code,
        "newline": f"a\n{code}",
        "dunder": "__class__",
        "member": "from_bytes",
        "keyword": "class",
        "space": "a b",
        "ligature": "ﬁeld",
        "override": "a\u202eb",
        "invisible": "a\u200bb",
        "long": "a" * 1000,
    }
    return {
        **{f"field-{name}": fields({"name": value, "fieldType": text}) for name, value in names.items()},
        **{f"name-{name}": schema(name=value) for name, value in names.items() if name != "member"},
        "many-fields": fields(*({"name": f"f{n}", "fieldType": text} for n in range(1001))),
        "twice": fields(*[{"name": "a", "fieldType": text}] * 2),
        "nested": fields({"name": "a", "fieldType": nested}),
        "dtype-object": array(dtype="O"),
        "dtype-vast": array(dtype="<U999999999"),
        "dtype-code": array(dtype=code),
        "shape-negative": array(shape=[-5]),
        "shape-long": array(shape=[1] * 65),
        "dimensions": array(shape=[1], dimensions=[code]),
        "type-unknown": fields({"name": "a", "fieldType": {"$type": "org.example.type"}}),
        "type-ref": fields({"name": "a", "fieldType": {"$type": f"{types}#ref", "ref": at.schema}}),
        "default-deep": fields({"name": "a", "fieldType": nested["items"], "default": "[" * 100_000}),
        "default-number": fields(
            {"name": "a", "fieldType": {"$type": f"{types}#primitive", "primitive": "int"}, "default": "9" * 100_000}
        ),
        "default-code": fields({"name": "a", "fieldType": text, "default": code}),
        "version": schema(version=f"1.0.0; {code}"),
        "version-long": schema(version="9" * 127),
        "metadata-deep": schema(metadata={"a": _deep(150)}),
    }


def schema_cases(at: Places, refs: Mapping[str, str]) -> dict[str, Case]:
    """Records of datasets with bad schemas.

    Args:
        at: where things are.
        refs: URIs of ``schema_records``.
    """
    good = external(f"{at.evil}/good.tar")
    bad = ("SchemaError", "WrongRecord", "SampleTypeError")
    found = {f"schema-{name}": Case(dataset(good, ref), bad) for name, ref in refs.items()}
    others = {
        "dataset": f"at://{at.did}/{DATASET}/none",
        "blob": f"at://{at.did}/blob/{BLOB}",
        "text": "atdata.Sample",
        "web": f"at://did:web:localhost%3A{at.canary}/{SCHEMA}/a",
        "local": "atdata://local/sampleSchema/Sample",
        "missing": f"at://{at.did}/{SCHEMA}/none",
    }
    wrong = ("WrongRecord", "UnsafeURL", "RecordNotFound", "InvalidReference")
    found |= {f"schema-ref-{name}": Case(dataset(good, ref), wrong) for name, ref in others.items()}
    pin = BLOB.replace("bafkrei", "bafyrei")
    found["schema-pin"] = Case(dataset(good, at.schema, schemaCid=pin), ("SchemaChanged",))
    return found


def forged_cases(at: Places) -> dict[str, Case]:
    """Records that no server keeps, and answers that a server should not give."""
    good = dataset(external(f"{at.evil}/good.tar"), at.schema)
    blob = {"$type": "blob", "ref": {"$link": BLOB}, "mimeType": "application/x-tar", "size": 1}

    def blobs(**more: Any) -> dict[str, Any]:
        return {"$type": f"{NAMESPACE}.storageBlobs", "blobs": [{"blob": {**blob, **more}}]}

    cids = {
        "cid-other-kind": BLOB.replace("bafkrei", "bafyrei"),
        "cid-text": "x" * 59,
        "cid-path": "../../../../etc/passwd",
        "cid-query": f"{BLOB}&did={at.did}",
    }
    records = {
        "metadata-deep": {**good, "metadata": {"a": _deep(150)}},
        "metadata-text": {**good, "metadata": "all"},
        "storage-text": {**good, "storage": "here"},
        "storage-unknown": {**good, "storage": {"$type": "org.example.storage"}},
        "locations-none": {**good, "storage": external()},
        "locations-many": {**good, "storage": external(*["https://a.example/"] * 10_001)},
        "url-number": {**good, "storage": external({"url": 5})},
        "url-long": {**good, "storage": external("https://a.example/" + "a" * 10_000)},
        "name-none": {key: value for key, value in good.items() if key != "name"},
        "name-number": {**good, "name": 5},
        "other-type": {**good, "$type": SCHEMA},
        **{name: {**good, "storage": blobs(ref={"$link": cid})} for name, cid in cids.items()},
        "blob-missing": {**good, "storage": blobs()},
        "blob-no-ref": {**good, "storage": blobs(ref=None)},
        "blob-size": {**good, "storage": blobs(size=-1)},
        "blob-bytes": {**good, "storage": blobs(ref={"$link": LIE})},
    }
    wrong = ("WrongRecord", "InvalidReference", "ShardNotFound", "ShardCorrupted")
    return {f"forged-{name}": Case(copy.deepcopy(record), wrong, forged=True) for name, record in records.items()}


def identities(at: Places) -> dict[str, dict[str, Any]]:
    """DID documents that name servers where none may be, by their DIDs."""
    here = f"127.0.0.1:{at.canary}"
    places = {
        "private": f"https://{here}",
        "plain": f"http://{here}",
        "name": f"https://localhost:{at.canary}",
        "hex": f"https://0x7f000001:{at.canary}",
        "metadata": "https://169.254.169.254",
        "file": f"file://{at.secret}",
        "user": f"https://user:password@{PUBLIC}",
        "path": f"https://{PUBLIC}@{here}/",
    }
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer"}
    found = {}
    for number, place in enumerate(places.values()):
        did = f"did:plc:{'abcdefgh'[number] * 24}"
        found[did] = {"id": did, "alsoKnownAs": [], "service": [{**service, "serviceEndpoint": place}]}
    return found


NAMES = [
    "../../../etc/passwd",
    "a\u202efig.exe",
    "\x1b[31mred",
    "two\nlines",
    "zero\u200bwidth",
    "mark\ufeff",
    "free samples ",
    "'; DROP TABLE datasets; --",
    "$(reboot)",
    "<script>",
    "n" * 512,
]


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
