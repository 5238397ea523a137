"""Schema records, JSON Schemas and references that were damaged at random: used as they are, or refused cleanly.

Each mutation is known by its number and the seed. ``ATDATA_FUZZ=50`` makes fifty times as many, under another seed each
time unless ``ATDATA_FUZZ_SEED`` says which.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import random
import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from atdata import uri
from atdata.cid import generate_cid
from atdata.errors import AtdataError, InvalidReference, NoCID, SchemaError
from atdata.schema import (
    Version,
    check_record,
    diff,
    from_json_schema,
    next_version,
    schema_of,
    to_json_schema,
    type_of,
    upgrade_lens,
)
from atdata.schema.stubs import import_path, stub_text
from atdata.schema.types import essence

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))
SEED = os.environ.get("ATDATA_FUZZ_SEED") or ("0" if FUZZ == 1 else secrets.token_hex(4))
MUTATIONS = 400 * FUZZ

TYPES = "ac.foundation.dataset.schemaType"
KINDS = [{"$type": f"{TYPES}#primitive", "primitive": kind} for kind in ("str", "int", "float", "bool", "bytes")]
NDARRAY = {
    "$type": f"{TYPES}#ndarray",
    "dtype": "float32",
    "declared": True,
    "shape": [-1, 3],
    "dimensions": ["n", "xyz"],
}
RECORD = {
    "$type": "ac.foundation.dataset.sampleSchema",
    "name": "Digit",
    "version": "1.2.3",
    "description": "A digit.",
    "fields": [
        {"name": "image", "fieldType": NDARRAY, "optional": False, "description": "Ink is 255."},
        {"name": "label", "fieldType": KINDS[1], "optional": False, "default": "3"},
        {"name": "score", "fieldType": KINDS[2], "optional": True, "default": '"NaN"'},
        {"name": "raw", "fieldType": KINDS[4], "optional": False, "default": '"/w=="'},
        {
            "name": "tags",
            "fieldType": {"$type": f"{TYPES}#array", "items": KINDS[0]},
            "optional": False,
            "default": '["a"]',
        },
        {"name": "more", "fieldType": {"$type": f"{TYPES}#array", "items": NDARRAY}, "optional": True},
    ],
    "metadata": {"source": ["a", 1, 2.5, None, {"b": True}]},
    "createdAt": "2026-01-01T00:00:00Z",
    "$ref": "atdata://local/sampleSchema/Digit@1.2.3",
}
REFERENCES = [
    "atdata://local/sampleSchema/Digit@1.2.3-rc.1+b",
    "atdata://alice.example.org/sampleSchema/Digit",
    "atdata://did:web:localhost%3A2583/sampleSchema/Digit@1.0.0",
    "at://did:plc:z72i7hdynmk6r22z27h6tvur/ac.foundation.dataset.record/3jzfcijpj2z2a",
    "at://alice.example.org/blob/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "@local/handwritten digits",
    "@did:plc:z72i7hdynmk6r22z27h6tvur/digits",
    "local://schemas/module.function.<locals>.Digit@1.2.3",
]
TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "\u202e",
        "\ud800",
        "\u212a",
        "ﬁ",
        "é",
        "e\u0301",
        "%2F",
        "..",
        "/",
        "//",
        "://",
        "@",
        ":",
        ".",
    ),
    *(
        "-",
        "#",
        "?",
        "\\",
        "'",
        '"',
        '"""',
        "\\",
        "{",
        "}",
        "$",
        "`",
        "0",
        "01",
        "9" * 30,
        "None",
        "class",
        "__class__",
        "self",
    ),
    *(
        "mro",
        "packed",
        "np",
        "int",
        "local",
        "did:",
        "null",
        "NaN",
        "1e999",
        "[[",
        "a" * 300,
        "🎲" * 50,
        f"{TYPES}#ref",
    ),
]


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON-like value, and some that are not."""
    choices: list[Callable[[], Any]] = [
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(
            [None, True, False, 0, -1, 1, 1 << 63, 1 << 64, -(1 << 70), 10**5000, 0.5, float("nan"), 1e308]
        ),
        lambda: rng.choice([b"bytes", (1,), {1: 2}, object(), float("inf")]),
        lambda: copy.deepcopy(rng.choice([*KINDS, NDARRAY])),
        lambda: nested(rng.choice([list, dict]), rng.choice([1, 17, 70, 3000])),
    ]
    if depth < 3:
        choices += [
            lambda: [junk(rng, depth + 1) for _ in range(rng.randrange(4))],
            lambda: {rng.choice(TEXTS): junk(rng, depth + 1) for _ in range(rng.randrange(4))},
        ]
    return rng.choice(choices)()


def nested(kind: type[Any], depth: int) -> Any:
    made: Any = {"$type": f"{TYPES}#array", "items": 1} if kind is dict else []
    for _ in range(depth):
        made = [made] if kind is list else {"$type": f"{TYPES}#array", "items": made}
    return made


def mutated_text(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        low = rng.randrange(len(text) + 1)
        high = min(len(text), low + rng.randrange(4))
        put = rng.choice([rng.choice(TEXTS), text[low : high + 3], chr(rng.randrange(0xD800)), ""])
        text = text[:low] + put + text[high:]
    return text


def copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:
        return None


def mutated(rng: random.Random, value: Any) -> Any:
    """A copy of a tree in which something has changed."""
    value = copied(value)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        places: list[tuple[Any, Any]] = []
        todo = [value]
        while todo:
            node = todo.pop()
            keys: list[Any] = (
                [*node] if isinstance(node, dict) else [*range(len(node))] if isinstance(node, list) else []
            )
            places += [(node, key) for key in keys]
            todo += [node[key] for key in keys]
        node, key = rng.choice(places or [([value], 0)])
        match rng.randrange(7):
            case 0:
                del node[key]
            case 1 if isinstance(node, list):
                node.insert(key, copied(node[key]))
            case 1 | 2 if isinstance(node, dict):
                node[rng.choice(TEXTS) if rng.random() < 0.5 else mutated_text(rng, str(key))] = node.pop(key)
            case 3 | 4 if isinstance(node[key], str):
                node[key] = mutated_text(rng, node[key])
            case 5:
                node[key] = copied(rng.choice(places)[0]) if not isinstance(node[key], dict) else {**KINDS[0]}
            case _:
                node[key] = junk(rng)
    return value


@contextmanager
def numbered(number: int, what: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(
            f"mutation {number} under ATDATA_FUZZ_SEED={SEED}: {ascii(what)[:2000] if number >= 0 else what}"
        )
        raise


def outcome(expected: type[AtdataError], use: Callable[[], Any]) -> Any:
    """What a use gives, or None if it was refused, in a message of sensible length."""
    try:
        return use()
    except expected as error:
        message = str(error)
    assert 0 < len(message) < 5_000
    return None


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()
    yield found
    print(f"seed {SEED}: {dict(found)}")


def test_damaged_records_are_used_or_refused(counts: Counter[str]) -> None:
    for number in range(MUTATIONS):
        record = mutated(random.Random(f"{SEED} record {number}"), RECORD)
        with numbered(number, "see mutated()"):
            try:
                check_record(record)
            except SchemaError:
                counts["refused"] += 1
                for use in (type_of, stub_text, to_json_schema, import_path, partial(diff, RECORD)):
                    assert outcome(SchemaError, partial(use, record)) is None
                continue
            counts["used"] += 1
            use_record(record)


def use_record(record: Any) -> None:
    """What was checked works in every way."""
    made: Any = type_of(record)
    assert pickle.loads(pickle.dumps(made)) is made
    told = schema_of(made, version=record["version"])
    assert type_of(told).__name__ == made.__name__
    assert [item["name"] for item in told["fields"]] == [item["name"] for item in record["fields"]]
    assert not diff(record, told).breaks_readers + diff(record, told).breaks_writers
    assert schema_of(type_of(told), version=record["version"]) == told
    check_stub(ast.parse(stub_text(record)), record)
    assert from_json_schema(json.loads(json.dumps(to_json_schema(told)))) == told
    values = {item["name"]: None if item.get("optional") else 0 for item in record["fields"] if "default" not in item}
    assert isinstance(made(**values), made)
    assert upgrade_lens(record, record).is_lossless


def check_stub(module: ast.Module, record: Any) -> None:
    """A module imports, chooses, and calls one function with what the record says; nothing else."""
    match module.body:
        case [
            ast.ImportFrom(),
            ast.Import(),
            ast.If(orelse=[ast.ImportFrom(), ast.Assign(value=ast.Call(args=[told]))]),
        ]:
            assert ast.literal_eval(told) == essence(record)
        case _:
            raise AssertionError(ast.dump(module))


def test_damaged_json_schemas_are_used_or_refused(counts: Counter[str]) -> None:
    good = to_json_schema(RECORD)
    for number in range(MUTATIONS):
        with numbered(number, "see mutated()"):
            told = mutated(random.Random(f"{SEED} json {number}"), good)
            record = outcome(SchemaError, partial(from_json_schema, told))
            counts["refused" if record is None else "used"] += 1
            assert record is None or to_json_schema(record) == told


def test_damaged_references_are_read_or_refused(counts: Counter[str]) -> None:
    for number in range(MUTATIONS * 10):
        rng = random.Random(f"{SEED} reference {number}")
        text = mutated_text(rng, rng.choice(REFERENCES))
        with numbered(number, text), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = outcome(InvalidReference, partial(uri.parse, text))
            counts[type(found).__name__] += 1
            if found is not None:
                assert uri.parse(str(found)) == found
                assert str(found).isprintable()
                assert not {".", ".."} & {*str(found).partition("://")[2].split("/")}
    assert counts["NoneType"]
    assert len(counts) == 5


def test_damaged_versions_are_read_or_refused(counts: Counter[str]) -> None:
    for number in range(MUTATIONS * 10):
        text = mutated_text(random.Random(f"{SEED} version {number}"), "10.20.30-rc.1.x-2+build.5")
        with numbered(number, text):
            found = outcome(SchemaError, partial(Version.parse, text))
            counts["refused" if found is None else "read"] += 1
            assert found is None or (str(found) == text and Version.parse(next_version([text])) > found)
    assert len(counts) == 2


def test_any_value_has_an_identifier_or_a_clean_error(counts: Counter[str]) -> None:
    for number in range(MUTATIONS):
        value = junk(random.Random(f"{SEED} value {number}"))
        with numbered(number, type(value)):
            found = outcome(NoCID, partial(generate_cid, value))
            counts["none" if found is None else "found"] += 1
    assert len(counts) == 2
