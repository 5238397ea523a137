"""``DictSample``: samples of any fields, as stored."""

import collections
import copy
import datetime
import math
import pickle

import numpy as np
import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from atdata.errors import SampleDecodeError, SampleTypeError


class Thing:
    """Something that cannot be stored, and looks the same in every run."""

    def __repr__(self) -> str:
        return "a thing"


THING = Thing()


@atdata.packable
class Image:
    pixels: NDArray
    label: str


def sample():
    return DictSample(label="cat", score=0.5)


# ------------------------------------------------------------------------------------------- reading


def test_fields_are_attributes_and_items():
    assert (sample().label, sample()["score"]) == ("cat", 0.5)


def test_it_is_made_of_a_dict_of_keywords_or_of_both():
    assert DictSample({"label": "cat", "score": 0.5}) == sample()
    assert DictSample({"label": "cat"}, score=0.5) == sample()
    assert DictSample({"label": "dog"}, label="cat", score=0.5) == sample()
    assert DictSample().to_dict() == {}


def test_keys_values_and_items_are_lists_in_order():
    assert sample().keys() == ["label", "score"]
    assert sample().values() == ["cat", 0.5]
    assert sample().items() == [("label", "cat"), ("score", 0.5)]


def test_get_takes_a_default():
    assert sample().get("label") == "cat"
    assert sample().get("absent") is None
    assert sample().get("absent", 3) == 3
    assert DictSample(a=None).get("a", 3) is None


def test_it_behaves_as_a_mapping_of_its_fields():
    assert "label" in sample()
    assert "absent" not in sample()
    assert list(sample()) == ["label", "score"]
    assert len(sample()) == 2
    assert dict(sample()) == {"label": "cat", "score": 0.5}
    assert {**sample()} == {"label": "cat", "score": 0.5}


def test_dir_names_the_fields():
    assert {"label", "score", "keys", "packed"} <= set(dir(sample()))


def test_an_absent_field_is_an_error_that_names_those_there_are():
    with pytest.raises(AttributeError, match="no field 'labl'; this sample has label, score"):
        _ = sample().labl
    with pytest.raises(KeyError, match="no field 'labl'; this sample has label, score"):
        sample()["labl"]
    assert not hasattr(sample(), "labl")
    assert getattr(sample(), "labl", 3) == 3


def test_an_absent_field_of_an_empty_sample_is_an_error_too():
    with pytest.raises(AttributeError, match="none"):
        _ = DictSample().label
    with pytest.raises(KeyError, match="none"):
        DictSample()["label"]


@pytest.mark.parametrize("name", ["keys", "get", "packed", "_data", "from_data", "with space", "class", ""])
def test_fields_named_as_members_or_no_names_at_all_are_read_as_items(name):
    made = DictSample.from_data({name: 3})
    assert made[name] == 3
    assert made.keys() == [name]
    assert DictSample.from_bytes(made.packed) == made


def test_fields_cannot_be_set():
    with pytest.raises(AttributeError):
        sample().label = "dog"
    with pytest.raises(TypeError):
        sample()["label"] = "dog"


def test_to_dict_is_a_copy():
    made = sample()
    made.to_dict()["label"] = "dog"
    assert made.label == "cat"


def test_the_dict_it_was_made_of_may_change_later():
    data = {"a": 1}
    made = DictSample(data)
    data["a"] = 2
    assert made.a == 1


# ----------------------------------------------------------------------------------- packing, decoding

TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, PLAIN, max_size=4))
def test_whatever_msgpack_holds_round_trips(data):
    made = DictSample.from_data(data)
    assert DictSample.from_bytes(made.packed) == made
    assert DictSample.from_bytes(ormsgpack.packb(data)) == made


def test_packed_is_a_msgpack_map():
    assert ormsgpack.unpackb(sample().packed) == {"label": "cat", "score": 0.5}


def test_as_wds_has_a_new_key_and_the_packed_bytes():
    made = sample()
    assert made.as_wds.keys() == {"__key__", "msgpack"}
    assert made.as_wds["msgpack"] == made.packed
    assert made.as_wds["__key__"] != made.as_wds["__key__"]


def test_arrays_are_stored_as_arrays_and_read_as_bytes_until_a_type_is_named():
    packed = DictSample(pixels=np.arange(3), label="a").packed
    assert isinstance(DictSample.from_bytes(packed).pixels, bytes)
    assert Image.from_bytes(packed) == Image(np.arange(3), "a")
    assert DictSample.from_bytes(packed).packed == packed


def test_numpy_numbers_are_stored_as_numbers():
    made = DictSample(a=np.int64(3), b=np.float32(0.5), c=np.bool_(True), d=[np.int8(1)])
    assert ormsgpack.unpackb(made.packed) == {"a": 3, "b": 0.5, "c": True, "d": [1]}


def test_samples_may_be_converted_by_from_data():
    typed = Image(np.arange(3), "a")
    untyped = DictSample.from_bytes(typed.packed)
    assert Image.from_data(untyped.to_dict()) == typed


def test_from_data_takes_any_mapping():
    assert DictSample.from_data(collections.ChainMap({"a": 1}, {"b": 2})).to_dict() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "value", [THING, {1, 2}, datetime.datetime(2020, 1, 1), np.array([None]), 2**64, "\ud800", 1j, sample()], ids=str
)
def test_values_that_cannot_be_stored_are_refused_with_the_field_named(value):
    with pytest.raises(SampleTypeError, match=r"DictSample\.odd") as caught:
        _ = DictSample(fine=1, odd=value).packed
    assert caught.value.field == "odd"


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", ormsgpack.packb([1]), ormsgpack.packb(None), ormsgpack.packb({"a": 1})[:-1]]
)
def test_bytes_that_are_no_sample_are_refused(data):
    with pytest.raises(SampleDecodeError):
        DictSample.from_bytes(data)


def test_maps_with_other_keys_than_text_are_refused():
    with pytest.raises(SampleDecodeError, match="field names"):
        DictSample.from_bytes(ormsgpack.packb({1: 2}, option=ormsgpack.OPT_NON_STR_KEYS))


# ------------------------------------------------------------------------------- equality, repr, copies


def test_equality_compares_fields_arrays_included():
    assert DictSample(x=np.array([1.0, np.nan])) == DictSample(x=np.array([1.0, np.nan]))
    assert DictSample(x=np.array([1.0])) != DictSample(x=np.array([2.0]))
    assert DictSample(x=math.nan) == DictSample(x=math.nan)
    assert DictSample(a=1, b=2) == DictSample(b=2, a=1)
    assert DictSample(a=1) != DictSample(a=1, b=2)
    assert DictSample(a=1) != {"a": 1}


def test_it_does_not_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(sample())


def test_repr_names_fields_and_keeps_large_values_short():
    assert repr(sample()) == "DictSample(label='cat', score=0.5)"
    assert (
        repr(DictSample(x=np.zeros((9, 9)), y=bytes(5000))) == "DictSample(x=ndarray(float64, (9, 9)), y=<5,000 bytes>)"
    )


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_it(protocol):
    made = DictSample(label="cat", x=np.arange(3))
    assert pickle.loads(pickle.dumps(made, protocol)) == made


def test_copies_are_equal_and_deep_copies_share_nothing():
    made = DictSample(x=np.zeros(2))
    assert copy.copy(made) == made
    deep = copy.deepcopy(made)
    deep.x[:] = 1
    assert made == DictSample(x=np.zeros(2))


def test_it_is_what_datasets_yield_without_a_type(tmp_path):
    atdata.write_samples([Image(np.arange(3), "a")], tmp_path / "data.tar")
    (read,) = Dataset(tmp_path / "data.tar").ordered()
    assert type(read) is DictSample
    assert sorted(read.keys()) == ["label", "pixels"]
    assert Image.from_bytes(read.packed) == Image(np.arange(3), "a")
