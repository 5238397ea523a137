"""Content identifiers beside those that libipld and the atproto libraries compute."""

import hashlib
import io
import tracemalloc
from pathlib import Path
from typing import Any

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

import atdata
from atdata.cid import cid_of_file, generate_cid, verify_cid
from atdata.errors import NoCID

# Known beyond this project: the CIDs of an empty map and of no bytes
EMPTY_MAP = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
NO_BYTES = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | texts | st.binary()
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def decoded(cid: str) -> tuple[int, int, bytes]:
    """The codec, the hash function and the digest of a CID, by libipld."""
    found = libipld.decode_cid(cid)
    assert found["version"] == 1
    return found["codec"], found["hash"]["code"], bytes(found["hash"]["digest"])


def test_known_identifiers() -> None:
    assert generate_cid({}) == EMPTY_MAP
    assert cid_of_file(io.BytesIO()) == NO_BYTES
    assert verify_cid(EMPTY_MAP, {})
    assert not verify_cid(EMPTY_MAP, [])


@given(values)
def test_a_value_has_the_identifier_that_libipld_reads(value: Any) -> None:
    digest = hashlib.sha256(libipld.encode_dag_cbor(value)).digest()
    assert decoded(generate_cid(value)) == (0x71, 0x12, digest)
    assert verify_cid(generate_cid(value), value)
    assert not verify_cid(generate_cid(value), [value])


def test_the_atproto_libraries_read_them_and_write_them_alike() -> None:
    core = pytest.importorskip("atproto_core.cid", reason="compares with the atproto SDK, which is not installed")
    for cid in (EMPTY_MAP, NO_BYTES, generate_cid({"b": [1, "ü"], "a": None})):
        assert core.CID.decode(cid).encode() == cid


def test_equal_values_in_another_order_have_one_identifier() -> None:
    assert generate_cid({"b": 1, "aa": 2, "a": 3}) == generate_cid({"a": 3, "b": 1, "aa": 2})
    assert generate_cid({"a": 1}) != generate_cid({"a": 1.0})


@pytest.mark.parametrize("cid", ["", "x", EMPTY_MAP.upper(), EMPTY_MAP[:-1], NO_BYTES, None])
def test_another_spelling_is_another_identifier(cid: Any) -> None:
    assert not verify_cid(cid, {})


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        1 << 64,
        -(1 << 64) - 1,
        (1, 2),
        {1: 2},
        {None: 1},
        object(),
        {1, 2},
        "\ud800",
        nested(100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_dag_cbor_form_has_no_identifier(value: Any) -> None:
    with pytest.raises(NoCID, match="the value has no content identifier: "):
        generate_cid(value)
    with pytest.raises(ValueError, match="the value has no content identifier: "):
        verify_cid(EMPTY_MAP, {"inside": value})


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_files_and_streams_have_the_identifier_of_their_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = (0x55, 0x12, hashlib.sha256(data).digest())
    assert decoded(cid_of_file(path)) == expected
    assert decoded(cid_of_file(str(path))) == expected
    with open(path, "rb") as stream:
        assert decoded(cid_of_file(stream)) == expected
    assert decoded(cid_of_file(Dribble(data))) == expected  # type: ignore[arg-type]


class Dribble:
    """A stream with nothing but ``read``, which gives less than it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, 77_777))


def test_a_stream_counts_from_where_it_stands() -> None:
    stream = io.BytesIO(b"head and rest")
    stream.read(9)
    assert cid_of_file(stream) == cid_of_file(io.BytesIO(b"rest"))


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        cid_of_file(path)
        with open(path, "rb") as stream:
            cid_of_file(stream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cid_of_file(tmp_path / "nowhere")


def test_the_module_is_a_name_of_the_package() -> None:
    assert atdata.cid.generate_cid is generate_cid
