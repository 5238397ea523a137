"""Metadata of any kind survives a record, and looks to others as the lexicons say."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata_atmosphere.errors import InvalidRecord
from atdata_atmosphere.metadata import from_record, to_record
from atdata_atmosphere.records import record_cid, wire

KEYS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["$type", "$bytes", "$link", "__proto__", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_nothing_is_lost(metadata: dict[str, Any]) -> None:
    stored = to_record(metadata)
    assert same(from_record(json.loads(json.dumps(stored))), metadata)
    assert wire(stored) == stored  # nothing in it that the protocol lacks
    assert record_cid({"metadata": stored}).startswith("bafyrei")


@given(VALUES)
def test_whatever_is_in_a_record_can_be_read(value: Any) -> None:
    from_record(value)


def test_form() -> None:
    assert to_record({"rate": 0.1, "count": 3, "big": 2**60, "raw": b"\x00"}) == {
        "rate": {"$type": "ac.foundation.dataset.defs#decimal", "value": "0.1"},
        "count": 3,
        "big": {"$type": "ac.foundation.dataset.defs#decimal", "value": "1152921504606846976"},
        "raw": {"$bytes": "AA"},
    }
    assert to_record({"a": {"$x": 1.5}}) == {
        "a": {
            "$type": "ac.foundation.dataset.defs#json",
            "text": '{"$x": {"$type": "ac.foundation.dataset.defs#decimal", "value": "1.5"}}',
        }
    }
    assert to_record({"n": np.float64(0.25), "t": (1, 2)}) == {
        "n": {"$type": "ac.foundation.dataset.defs#decimal", "value": "0.25"},
        "t": [1, 2],
    }


@pytest.mark.parametrize(
    "value",
    [
        {"$type": "ac.foundation.dataset.defs#decimal", "value": "0x10"},
        {"$type": "ac.foundation.dataset.defs#decimal", "value": "1_000"},
        {"$type": "ac.foundation.dataset.defs#decimal", "value": "\N{ARABIC-INDIC DIGIT ONE}"},
        {"$type": "ac.foundation.dataset.defs#decimal", "value": "9" * 5000},
        {"$type": "ac.foundation.dataset.defs#decimal"},
        {"$type": "ac.foundation.dataset.defs#json", "text": "[1]"},
        {"$type": "ac.foundation.dataset.defs#json", "text": "{"},
        {"$bytes": "\N{SNOWMAN}"},
        {"$bytes": "A"},
        {"$bytes": 5},
    ],
)
def test_what_others_wrote_wrongly_stays_as_it_is(value: Any) -> None:
    assert from_record({"x": value}) == {"x": value}


def test_what_metadata_cannot_be() -> None:
    round_and_round: dict[str, Any] = {}
    round_and_round["again"] = round_and_round
    deep: Any = {}
    for _ in range(150):
        deep = {"x": deep}
    for metadata in ({"x": object()}, {"x": np.int64(1)}, {1: 2}, [1], "x", round_and_round, deep, {"x": 10**10_000}):
        with pytest.raises(InvalidRecord):
            to_record(metadata)  # type: ignore[arg-type]
