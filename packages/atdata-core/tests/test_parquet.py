"""Export to Parquet: what comes back in pyarrow, pandas and polars, and what is left when it fails."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numbered import Handmade
from numpy.typing import NDArray

import atdata
from atdata import Dataset, SampleBatch
from atdata.errors import SampleTypeError, ShardCorrupted, ShardIsDirectory

REASON = "reading exports back needs pyarrow, pandas and polars; there may be no wheels for this Python"
pa = pytest.importorskip("pyarrow", reason=REASON)
pq = pytest.importorskip("pyarrow.parquet", reason=REASON)
pd = pytest.importorskip("pandas", reason=REASON)
pl = pytest.importorskip("polars", reason=REASON)

from atdata.export import arrow, parquet  # noqa: E402


@atdata.packable
class Everything:
    vector: NDArray[np.float32]
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    half: NDArray[np.float16]
    scalar: NDArray[np.int16]
    when: NDArray[np.datetime64]
    words: NDArray[np.str_]
    number: int
    score: float
    small: np.float32
    flag: bool
    text: str
    raw: bytes
    tags: list[str]
    pair: tuple[int, int]
    info: dict[str, int]
    note: str | None = None


@atdata.packable
class One:
    value: NDArray | None


@atdata.packable
class Loose:
    value: Any


def everything(n):
    return Everything(
        vector=np.arange(n, n + 3, dtype=np.float32),
        image=np.full((2, n % 3, 3), n, np.uint8),
        mask=None if n % 2 else np.array([True, False, n % 4 == 0]),
        half=np.array([n / 2, -1], np.float16),
        scalar=np.array(n, np.int16),
        when=np.array(["2024-02-29", "1969-12-31"], "M8[ms]") + np.timedelta64(n, "ms"),
        words=np.array(["ä", f"word {n}"]),
        number=n - 5,
        score=math.nan if n == 3 else n / 3,
        small=np.float32(n / 3),
        flag=n % 3 == 0,
        text=f"naïve {n}\0",
        raw=bytes([n, 0, 255]),
        tags=["x"] * (n % 3),
        pair=(n, -n),
        info={"a": n, "b": 1},
        note=None if n % 3 else f"note {n}",
    )


def write(samples, folder, **options):
    return atdata.write_samples(samples, folder / "data.tar", **options)


def plain(value):
    """A cell of any reader in Python's and NumPy's own types."""
    if isinstance(value, pl.Series | np.ndarray | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return None if value is pd.NaT else value


def cells(path, name):
    """A column as the three readers see it."""
    return {
        "pyarrow": [plain(cell) for cell in pq.read_table(path)[name].to_pylist()],
        "pandas": [plain(cell) for cell in pd.read_parquet(path)[name]],
        "polars": [plain(cell) for cell in pl.read_parquet(path)[name].to_list()],
    }


def array_of(cell, dtype):
    """The array that a cell stands for."""
    if isinstance(cell, dict):
        return np.array(cell["data"], dtype).reshape(cell["shape"])
    return np.array(cell, dtype)


def same(cell, value):
    if value is None:
        return cell is None or cell != cell  # pandas has NaN for None among numbers
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "mM":
            value = value.astype(f"{value.dtype.kind}8[us]")  # what Python's times can say
        found = array_of(cell, value.dtype)
        return found.shape == value.shape and bool(np.array_equal(found, value, equal_nan=value.dtype.kind in "fmM"))
    if isinstance(value, list | tuple):
        return len(cell) == len(value) and all(map(same, cell, value))
    return cell == value or (cell != cell and value != value)


def assert_same(path, name, values):
    for reader, column in cells(path, name).items():
        assert len(column) == len(values)
        for cell, value in zip(column, values, strict=True):
            assert same(cell, value), (reader, name, cell, value)


def in_batches(rows, dataset, *args, **options):
    """An export that decides on types anew after every so many rows, and begins row groups as often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "_BATCH_ROWS", rows)
        return dataset.to_parquet(*args, row_group_size=rows, **options)


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_all_kinds_of_fields_read_back_equal_in_three_readers(tmp_path):
    samples = [everything(n) for n in range(13)]
    dataset = write(samples, tmp_path)
    assert dataset.to_parquet(tmp_path / "out.parquet", row_group_size=4) == [tmp_path / "out.parquet"]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 4
    assert pq.read_schema(tmp_path / "out.parquet").names == [*Everything.__dataclass_fields__]
    for name in Everything.__dataclass_fields__:
        assert_same(tmp_path / "out.parquet", name, [getattr(sample, name) for sample in samples])
    assert leftovers(tmp_path) == []


def test_dtypes_are_kept(tmp_path):
    write([everything(n) for n in range(3)], tmp_path).to_parquet(tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    elements = {"vector": pa.float32(), "mask": pa.bool_(), "half": pa.float16(), "when": pa.timestamp("ms")}
    assert {name: schema.field(name).type.value_type for name in elements} == elements
    assert schema.field("image").type.field("data").type.value_type == pa.uint8()
    singles = {"scalar": pa.int16(), "small": pa.float32(), "number": pa.int64(), "raw": pa.binary()}
    assert {name: schema.field(name).type for name in singles} == singles
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["vector"][0].dtype == np.float32
    assert frame["image"][0]["data"].dtype == np.uint8
    assert pl.read_parquet(tmp_path / "out.parquet")["vector"].dtype == pl.List(pl.Float32)


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.byte_string_dtypes(min_len=1, max_len=5),
    st.sampled_from([np.dtype("<U3"), np.dtype(">U3")]),
    st.sampled_from([np.dtype(f"{kind}8[{unit}]") for kind in "mM" for unit in ("s", "ms", "us")]),
)


def elements(dtype):
    if dtype.kind == "U":
        return st.text(st.characters(codec="utf-8"), max_size=3).map(lambda text: text.rstrip("\0"))  # NumPy does so
    if dtype.kind in "mM":  # years that Python's own times have, too
        return st.integers(-(10**8), 10**8).map(lambda n: np.array(n).astype(dtype)[()])
    return None


@st.composite
def columns(draw):
    """Arrays of one dtype, of any shapes, and None."""
    dtype = draw(DTYPES)
    shapes = draw(
        st.sampled_from(
            [
                st.just((2, 3)),
                hnp.array_shapes(min_dims=1, max_dims=1, min_side=0, max_side=4),
                hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
            ]
        )
    )
    arrays = hnp.arrays(dtype, shapes, elements=elements(dtype))
    return draw(st.lists(st.none() | arrays if draw(st.booleans()) else arrays, min_size=1, max_size=9))


def matches(cell, value):
    """Whether a cell of pyarrow's is the array, byte for byte, but for the byte order."""
    if value is None or cell is None:
        return value is cell
    if value.dtype.kind in "mM":
        return same(plain(cell), value)
    found = array_of(cell, value.dtype.newbyteorder("="))
    return found.shape == value.shape and found.tobytes() == value.astype(found.dtype).tobytes()


@given(columns(), st.integers(1, 10), st.none() | st.integers(1, 10), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_arrays_in_any_grouping_read_back_equal(tmp_path_factory, values, rows, maxcount, by_row):
    folder = tmp_path_factory.mktemp("any")
    dataset = write([One(value) for value in values], folder)
    sample_map = (lambda sample: {"value": sample.value}) if by_row else None
    paths = in_batches(rows, dataset, folder / "out.parquet", sample_map, maxcount)
    tables = [pq.read_table(path) for path in paths]
    assert len({str(table.schema) for table in tables}) == 1
    assert all(len(table) == maxcount for table in tables[:-1])
    found = [cell for table in tables for cell in table["value"].to_pylist()]
    assert len(found) == len(values)
    assert all(map(matches, found, values)), (found, values)
    shutil.rmtree(folder)


PLAIN = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, min_size=1),
    max_leaves=6,
)


def covers(cell, value):
    """Whether a cell has all that a value has; keys that only other rows have are null."""
    if isinstance(value, dict):
        return all(covers(cell[key], item) for key, item in value.items()) and all(
            cell[key] is None for key in cell.keys() - value.keys()
        )
    if isinstance(value, list):
        return len(cell) == len(value) and all(map(covers, cell, value))
    return cell == value and (type(cell) is type(value) or {type(cell), type(value)} == {int, float})


@given(st.lists(PLAIN, min_size=1, max_size=6), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_any_nested_values_read_back_equal_or_are_refused_by_name(tmp_path_factory, values, rows):
    folder = tmp_path_factory.mktemp("any")
    dataset = write([{"value": value} for value in values], folder)
    before = sorted(folder.iterdir())
    try:
        (path,) = in_batches(rows, dataset, folder / "out.parquet")
    except SampleTypeError as error:
        refused = str(error)  # a list beside a number, for example
        assert "value" in refused
        assert sorted(folder.iterdir()) == before
    else:
        assert all(map(covers, pq.read_table(path)["value"].to_pylist(), values))
    shutil.rmtree(folder)


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_column_widens_with_what_comes_later(tmp_path, rows):
    values = [None, None, np.array(1.5), np.arange(3.0), None, np.zeros((0, 4)), np.ones((2, 2)), np.array(2.5)]
    in_batches(rows, write([One(value) for value in values], tmp_path), tmp_path / "out.parquet")
    assert_same(tmp_path / "out.parquet", "value", values)
    assert array_of(cells(tmp_path / "out.parquet", "value")["polars"][5], float).shape == (0, 4)


def test_options_that_change_columns_on_their_way_do_not_harm_widening(tmp_path):
    times = [np.array([f"2024-01-0{day}"], "M8[us]") for day in (1, 2, 3)]
    samples = [{"a b": None}, {"a b": times[0].item()}, {"a b": times[1].item()}]
    dataset = write([{"n": n} for n in range(3)], tmp_path)
    in_batches(1, dataset, tmp_path / "out.parquet", lambda s: samples[s.n], flavor="spark", coerce_timestamps="ms")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{"a_b": sample["a b"]} for sample in samples]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_untyped_samples_may_gain_fields_and_kinds(tmp_path, rows):
    samples = [
        {"a": None, "list": [], "dict": None},
        {"a": 1, "list": [], "dict": {"x": 1}},
        {"list": [1], "dict": {"y": [None]}},
        {"a": 2.5, "list": [2.5, None], "dict": {"x": 2, "y": ["z"]}, "late": b"raw"},
    ]
    in_batches(rows, write(samples, tmp_path), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"a": None, "list": [], "dict": None, "late": None},
        {"a": 1.0, "list": [], "dict": {"x": 1, "y": None}, "late": None},
        {"a": None, "list": [1.0], "dict": {"x": None, "y": [None]}, "late": None},
        {"a": 2.5, "list": [2.5, None], "dict": {"x": 2, "y": ["z"]}, "late": b"raw"},
    ]


def test_the_segments_of_one_export_share_a_schema(tmp_path):
    samples = [{"a": n} for n in range(3)] + [{"a": 0.5, "b": "new"}]
    paths = in_batches(1, write(samples, tmp_path), tmp_path / "out.parquet", maxcount=2)
    assert len(paths) == 2
    assert pq.read_table(paths).to_pylist() == [
        *({"a": float(n), "b": None} for n in range(3)),
        {"a": 0.5, "b": "new"},
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "x"], "int64.*string|'x'.*int64"),
        ([[1], 2], "list<item: int64> and later of int64|list and non-list"),
        ([{"a": 1}, {"a": "x"}], "int64.*string|'x'.*int64"),
        ([2**53 + 1, 0.5], "9007199254740993"),
        ([b"x", "x"], "binary.*string|str beside bytes"),
        ([0.5, True], "double.*bool|bool beside float"),
        ([["x"], {}], "list.*struct|list"),
        ([[{"a": "x"}], [{"a": b"x"}]], "string.*binary|str beside bytes"),
    ],
)
@pytest.mark.parametrize("rows", [1, 100])
def test_values_that_have_no_type_in_common_are_refused_by_name(tmp_path, values, message, rows):
    dataset = write([{"value": value} for value in values], tmp_path)
    with pytest.raises(SampleTypeError, match=rf"DictSample\.value.*({message})") as caught:
        in_batches(rows, dataset, tmp_path / "out.parquet")
    assert caught.value.field == "value"
    assert "sample_map" in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("shapes", [(2, 2), (2, 3)])
def test_arrays_of_several_dtypes_are_refused_by_name(tmp_path, rows, shapes):
    dtypes = (np.float32, np.float64)
    samples = [One(np.zeros(shape, dtype)) for shape, dtype in zip(shapes, dtypes, strict=True)]
    with pytest.raises(SampleTypeError, match=r"One\.value.*(float32, float64|float.*double)"):
        in_batches(rows, write(samples, tmp_path), tmp_path / "out.parquet")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, np.complex64),
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, np.longdouble) if np.dtype(np.longdouble).itemsize > 8 else np.zeros(2, complex),
        np.zeros(2, "M8[Y]"),
        np.zeros(2, "M8[25s]"),
        np.zeros(2, "M8"),
        np.zeros(2, "V3"),
    ],
    ids=lambda array: str(array.dtype),
)
@pytest.mark.parametrize("alike", [True, False])
def test_dtypes_without_a_form_are_refused_by_name(tmp_path, array, alike):
    dataset = write([One(array), One(array if alike else array[:1])], tmp_path)
    with pytest.raises(SampleTypeError, match=r"One\.value cannot be written to Parquet") as caught:
        dataset.to_parquet(tmp_path / "out.parquet")
    assert caught.value.field == "value"


@pytest.mark.parametrize(
    "value",
    [2**64, (1, "x"), [1, [2]], {}, {1: 2}, 1j, "\udc80", [np.zeros((2, 2), complex)]],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_form_are_refused_by_name(tmp_path, value):
    with pytest.raises(SampleTypeError, match="value"):
        write([{"n": 0}], tmp_path).to_parquet(tmp_path / "out.parquet", lambda _: {"value": value})
    assert not (tmp_path / "out.parquet").exists()


def test_nat_is_null(tmp_path):
    times = np.array(["2020-01-01", "NaT"], "M8[us]")
    write([One(times)], tmp_path).to_parquet(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["value"].to_pylist()[0][1] is None


def test_nested_arrays_become_nested_lists(tmp_path):
    rows = [{"n": n} for n in range(2)]
    write(rows, tmp_path).to_parquet(
        tmp_path / "out.parquet",
        lambda sample: {"value": {"grid": [np.full((2, 2), sample.n, ">f4")]}, "mean": np.float32(0.5)},
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["value"].to_pylist() == [{"grid": [[[n, n], [n, n]]]} for n in (0.0, 1.0)]
    assert table.schema.field("mean").type == pa.float32()


def test_stored_and_made_batches_give_one_table():
    samples = [everything(n) for n in range(4, 9)]  # without NaN, which pyarrow finds unequal
    made = arrow.batch_table(SampleBatch[Everything](samples))
    assert made.num_rows == 5
    assert made.equals(arrow.batch_table(SampleBatch(samples)))
    assert made["vector"].to_pylist() == [sample.vector.tolist() for sample in samples]


def test_views_are_exported_as_what_they_show(tmp_path):
    with atdata.LensNetwork.scoped():

        @atdata.packable
        class Shown:
            doubled: NDArray[np.float32]
            text: str

        @atdata.lens
        def show(source: Everything) -> Shown:
            return Shown(2 * source.vector, source.text.upper())

        dataset = write([everything(n) for n in range(5)], tmp_path)
        dataset.as_type(Shown).to_parquet(tmp_path / "out.parquet", progress=lambda done, total: None)
        dataset.as_type(Everything.pick("vector", "number")).to_parquet(tmp_path / "picked.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("doubled").type.value_type == pa.float32()
    assert table["doubled"].to_pylist() == [[2.0 * n, 2.0 * n + 2, 2.0 * n + 4] for n in range(5)]
    assert table["text"].to_pylist() == [f"NAÏVE {n}\0" for n in range(5)]
    assert pq.read_table(tmp_path / "picked.parquet").schema.names == ["vector", "number"]


def test_derived_fields_are_exported(tmp_path):
    import dataclasses

    @atdata.packable
    class Derived:
        a: int
        twice: int = dataclasses.field(init=False)

        def __post_init__(self):
            self.twice = 2 * self.a

    write([Derived(n) for n in range(3)], tmp_path).to_parquet(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"a": [0, 1, 2], "twice": [0, 2, 4]}


def empty_shard(folder):
    (folder / "empty.tar").write_bytes(bytes(10240))
    return folder / "empty.tar"


@pytest.mark.parametrize("maxcount", [None, 5])
def test_an_empty_dataset_is_a_file_with_the_schema(tmp_path, maxcount):
    (path,) = Dataset[Everything](empty_shard(tmp_path)).to_parquet(tmp_path / "out.parquet", maxcount=maxcount)
    table = pq.read_table(path)
    assert len(table) == 0
    assert table.schema.names == [*Everything.__dataclass_fields__]
    assert table.schema.field("image").type.value_type == pa.uint8()
    assert table.schema.field("tags").type == pa.list_(pa.string())
    assert len(pd.read_parquet(path)) == len(pl.read_parquet(path)) == 0


def test_an_empty_untyped_dataset_is_a_file_without_columns(tmp_path):
    (path,) = Dataset(empty_shard(tmp_path)).to_parquet(tmp_path / "out.parquet")
    assert pq.read_table(path).schema.names == []


def test_sample_map_decides_the_columns(tmp_path):
    dataset = write([everything(n) for n in range(6)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet", sample_map=lambda s: {"n": s.number, "sum": s.vector.sum()})
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {"n": [*range(-5, 1)], "sum": [3.0 * n + 3 for n in range(6)]}
    assert table.schema.field("sum").type == pa.float32()


@pytest.mark.parametrize("made", [None, [1], "text"])
def test_a_sample_map_that_gives_no_dict_is_refused(tmp_path, made):
    dataset = write([{"a": 1}], tmp_path)
    with pytest.raises(SampleTypeError, match=r"sample_map gave .*dict of column names"):
        dataset.to_parquet(tmp_path / "out.parquet", lambda _: made)
    with pytest.raises(SampleTypeError, match="names of columns are text; found 1"):
        dataset.to_parquet(tmp_path / "out.parquet", lambda _: {1: 1})


def test_samples_without_fields_are_not_lost_in_silence(tmp_path):
    dataset = write([{"n": n} for n in range(3)], tmp_path)
    with pytest.raises(SampleTypeError, match="without any field"):
        in_batches(1, dataset, tmp_path / "out.parquet", lambda sample: {"n": 1} if sample.n else {})


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("out.parquet", ["out-000000.parquet", "out-000001.parquet", "out-000002.parquet"]),
        ("out.v1.pq", ["out.v1-000000.pq", "out.v1-000001.pq", "out.v1-000002.pq"]),
        ("out", ["out-000000.parquet", "out-000001.parquet", "out-000002.parquet"]),
    ],
)
def test_maxcount_makes_numbered_files(tmp_path, name, names):
    dataset = write([{"n": n} for n in range(5)], tmp_path)
    paths = dataset.to_parquet(str(tmp_path / "new" / name), maxcount=2)
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    assert [pq.read_table(path)["n"].to_pylist() for path in paths] == [[0, 1], [2, 3], [4]]


def test_a_full_last_file_is_not_followed_by_an_empty_one(tmp_path):
    dataset = write([{"n": n} for n in range(4)], tmp_path)
    assert len(dataset.to_parquet(tmp_path / "out.parquet", maxcount=2)) == 2


def test_a_shorter_export_leaves_no_files_of_a_longer_one(tmp_path):
    dataset = write([{"n": n} for n in range(6)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet", maxcount=1)
    dataset.to_parquet(tmp_path / "out.parquet", maxcount=3)
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out-000000.parquet", "out-000001.parquet"]


def test_row_groups_are_limited_in_rows_and_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 10_000)
    dataset = write([One(np.zeros(1000, np.float32)) for _ in range(200)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet")
    stored = pq.ParquetFile(tmp_path / "out.parquet")
    assert stored.num_row_groups == 2  # of a batch each, which is 128 samples
    dataset.to_parquet(tmp_path / "out.parquet", row_group_size=50, maxcount=120)
    sizes = [
        [stored.metadata.row_group(n).num_rows for n in range(stored.num_row_groups)]
        for stored in map(pq.ParquetFile, sorted(tmp_path.glob("out-*")))
    ]
    assert [sum(rows) for rows in sizes] == [120, 80]
    assert all(max(rows) <= 50 for rows in sizes)


@pytest.mark.parametrize("compression", ["snappy", "gzip", "zstd", None])
@pytest.mark.parametrize("engine", ["auto", "pyarrow"])
def test_the_keywords_of_pandas_work(tmp_path, compression, engine):
    dataset = write([{"n": n} for n in range(5)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet", engine=engine, index=False, compression=compression)
    column = pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0).column(0)
    assert column.compression == (compression or "uncompressed").upper()
    assert pd.read_parquet(tmp_path / "out.parquet")["n"].tolist() == [*range(5)]


def test_the_keywords_of_pyarrow_work(tmp_path):
    dataset = write([{"n": n % 2} for n in range(5)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet", index=None, use_dictionary=False, data_page_size=1000, version="1.0")
    column = pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0).column(0)
    assert "RLE_DICTIONARY" not in column.encodings


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "fastparquet"}, ValueError, "engine='fastparquet'.*written by pyarrow"),
        ({"index": True}, ValueError, "no index.*sample_map"),
        ({"partition_cols": ["a"], "wrong": 1}, TypeError, "'partition_cols', 'wrong'.*compression"),
        ({"filesystem": None}, TypeError, "'filesystem'"),
        ({"compression": "none such"}, Exception, "none such|NONE SUCH"),
        ({"maxcount": 0}, ValueError, "maxcount is 0"),
        ({"row_group_size": -1}, ValueError, "row_group_size is -1"),
    ],
)
def test_other_keywords_are_errors_that_leave_nothing(tmp_path, options, error, message):
    dataset = write([{"n": n} for n in range(5)], tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=message):
        dataset.to_parquet(tmp_path / "out.parquet", **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("path", ["s3://bucket/out.parquet", "https://host/out.parquet", ""])
def test_files_are_written_to_folders_only(tmp_path, path):
    with pytest.raises(ValueError, match="folder of this machine"):
        write([{"n": 1}], tmp_path).to_parquet(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ShardIsDirectory, match="name a file in it"):
        write([{"n": 1}], tmp_path).to_parquet(tmp_path)


def broken_dataset(folder):
    """A dataset whose second shard is cut off."""
    dataset = atdata.write_samples([{"n": n} for n in range(6)], folder / "data.tar", maxcount=3)
    second = folder / "data-000001.tar"
    second.write_bytes(second.read_bytes()[:1500])
    return dataset


@pytest.mark.parametrize("maxcount", [None, 1])
def test_a_failing_export_keeps_what_was_there_and_leaves_nothing(tmp_path, maxcount):
    dataset = broken_dataset(tmp_path)
    Dataset(tmp_path / "data-000000.tar").to_parquet(tmp_path / "out.parquet", maxcount=maxcount)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ShardCorrupted):
        dataset.to_parquet(tmp_path / "out.parquet", maxcount=maxcount, row_group_size=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_export_that_is_stopped_leaves_nothing(tmp_path):
    dataset = write([{"n": n} for n in range(200)], tmp_path)
    before = sorted(tmp_path.iterdir())

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.to_parquet(tmp_path / "out.parquet", progress=stop, row_group_size=10)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    dataset = write([One(np.random.default_rng(0).random(100_000)) for _ in range(3)], tmp_path)
    monkeypatch.setattr(parquet.Staging, "create", lambda self, name: os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(OSError, match="No space left"):
        dataset.to_parquet(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    assert leftovers(tmp_path) == []


def test_progress_knows_the_total_from_the_manifest(tmp_path):
    calls = []
    dataset = write([{"n": n} for n in range(150)], tmp_path)
    dataset.to_parquet(tmp_path / "out.parquet", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (150, 150)
    (tmp_path / "manifest.json").unlink()
    Dataset(tmp_path / "data.tar").to_parquet(
        tmp_path / "out.parquet", progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (150, None)


def test_a_type_of_ones_own_is_exported_by_its_fields(tmp_path):
    write([{"number": n} for n in range(3)], tmp_path)
    Dataset[Handmade](tmp_path / "data.tar").to_parquet(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"number": [0, 1, 2]}


def test_without_pyarrow_the_error_says_what_to_install(tmp_path):
    write([{"n": 1}], tmp_path)
    code = f"""
import sys
sys.modules["pyarrow"] = None
import atdata
try:
    atdata.Dataset({str(tmp_path / "data.tar")!r}).to_parquet("out.parquet")
except ImportError as error:
    assert isinstance(error, atdata.errors.BackendNotInstalled)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "pip install 'atdata-core[parquet]'" in done.stdout, done.stderr
    assert not Path(tmp_path, "out.parquet").exists()
